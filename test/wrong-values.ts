import { readFileSync } from 'node:fs';
import { KeyprovError } from '../src/errors.ts';
import { CodecError } from '../src/tpm/index.ts';

const linesOf = (path: string): readonly string[] => readFileSync(path, 'utf8').split('\n');

/** Whether keyprov made the error, in words: not V8, Node.js or another package, which do not know what the value is for. */
export function isOurs(error: unknown): boolean {
  if (error instanceof KeyprovError || error instanceof CodecError) return true;
  if (!(error instanceof TypeError || error instanceof RangeError)) return false;
  const first = error.stack?.split('\n').find((line) => line.startsWith('    at ')) ?? '';
  const [, path, line = 0, column = 0] = /([^( ]+\/src\/[^ ]+\.ts):(\d+):(\d+)\)?$/.exec(first) ?? [];
  const made = path && linesOf(path)[Number(line) - 1]?.slice(Number(column) - 1);
  return made?.startsWith('new ') === true;
}
