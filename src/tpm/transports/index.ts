/** The interface of every way to a TPM, and a recorder of the traffic that removes secrets. */
export { redact } from '../redact.ts';
export type { SendOptions, TpmTransport, TransportKind } from '../transport.ts';
export { type RecordingTransport, recordTransport, replayTransport } from './recorder.ts';
export { formatRecording, loadRecording, type Recording, type RecordingEntry, saveRecording } from './recording.ts';
