import { SHUTDOWN_CLEAR } from './frame.ts';
import type { TpmTransport } from './transport.ts';

const open = new Set<TpmTransport>();

const shutdownAll = (): void => {
  for (const transport of open) {
    try {
      transport.sendSync?.(SHUTDOWN_CLEAR);
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
  if (transport.sendSync === undefined) return () => {};
  if (open.size === 0) process.on('exit', shutdownAll);
  open.add(transport);
  return () => {
    open.delete(transport);
    if (open.size === 0) process.off('exit', shutdownAll);
  };
}
