import type { SwtpmProcess } from '../../../src/tpm/transports/swtpm-process.ts';

/** The path of its data socket. */
export function socketOf({ data }: SwtpmProcess): string {
  if (!('path' in data)) throw new Error('not a unix socket');
  return data.path;
}

/** Its name for tpm2-tss. */
export const tctiOf = ({ data }: SwtpmProcess): string =>
  'path' in data ? `swtpm:path=${data.path}` : `swtpm:host=127.0.0.1,port=${data.port}`;
