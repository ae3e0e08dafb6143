/** The interface of all transports, and a recorder that removes secrets from the traffic. */
export { redact } from '../redact.ts';
export type { SendOptions, TpmTransport, TransportKind } from '../transport.ts';
export { type RecordingTransport, recordTransport, replayTransport } from './recorder.ts';
export { formatRecording, loadRecording, type Recording, type RecordingEntry, saveRecording } from './recording.ts';
