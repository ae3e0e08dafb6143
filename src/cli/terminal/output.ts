import { constants } from 'node:os';
import { KeyprovError, sayError } from '../../errors.ts';
import { describeFileError, errorCode } from '../../storage/file-error.ts';
import { EXIT } from '../exit-codes.ts';
import { Printer } from './printer.ts';

/**
 * Watches standard output and standard error. A failed write does not stop the work, so that a reader that stops reading
 * leaves nothing half done. It is reported at the end.
 */
export class Output {
  #problem: unknown;

  constructor() {
    process.stdout.on('error', (error) => {
      this.#problem ??= error;
    });
    // There is nowhere to report it.
    process.stderr.on('error', () => undefined);
  }

  /** Waits until the result is written. Returns the exit code if that fails; undefined if all is well. */
  async finish(): Promise<number | undefined> {
    const { stdout } = process;
    // Even an empty write fails if the target is full.
    if (stdout.writableLength > 0) await new Promise<void>((resolve) => stdout.write('', () => resolve()));
    else await new Promise((resolve) => setImmediate(resolve));
    const problem = this.#problem;
    if (problem === undefined) return undefined;
    // The reader has gone: exit as if by SIGPIPE.
    if (errorCode(problem) === 'EPIPE') return 128 + constants.signals.SIGPIPE;
    const { what } = describeFileError('standard output', problem);
    const lost = new KeyprovError('store-io', `the result is lost: standard output ${what}`, {
      remedy: 'the command itself has finished; if it made or changed a key, keyprov status shows it',
    });
    new Printer(process.stderr).lines(`keyprov: ${sayError(lost)}`);
    return EXIT.files;
  }
}
