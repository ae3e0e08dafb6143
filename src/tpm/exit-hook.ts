import { SHUTDOWN_CLEAR } from './frame.ts';
import type { TpmTransport } from './transport.ts';

/** A transport that can send while the process exits, when nothing asynchronous runs any more. */
interface SyncTransport {
  /** `undefined` while a command runs. */
  sendSync(command: Uint8Array): Uint8Array | undefined;
}

const hasSendSync = (transport: object): transport is SyncTransport =>
  'sendSync' in transport && typeof transport.sendSync === 'function';

const open = new Set<SyncTransport>();

const shutdownAll = (): void => {
  for (const transport of open) {
    try {
      transport.sendSync(SHUTDOWN_CLEAR);
    } catch {
      // The process is ending, so the error cannot be reported; the other TPMs must still be shut down.
    }
  }
};

/**
 * Makes sure that a TPM inside this process is shut down cleanly if the process exits with it open. Otherwise the TPM
 * counts a failed authorization try at its next start. Other transports end with their own process.
 * @returns a function that undoes this.
 */
export function shutdownAtExit(transport: TpmTransport): () => void {
  if (!hasSendSync(transport)) return () => {};
  if (open.size === 0) process.on('exit', shutdownAll);
  open.add(transport);
  return () => {
    open.delete(transport);
    if (open.size === 0) process.off('exit', shutdownAll);
  };
}
