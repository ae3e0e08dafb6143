import { constants } from 'node:os';
import { KeyprovError, sayError } from '../../errors.ts';
import { errorCode } from '../../storage/atomic-file.ts';
import { EXIT } from '../exit-codes.ts';
import { Printer } from './printer.ts';

/**
 * Watches standard output and standard error. Neither ends the work: that one cannot be written is told at the end, since
 * a reader that has seen enough must leave nothing half done.
 */
export class Output {
  #problem: unknown;

  constructor() {
    process.stdout.on('error', (error) => {
      this.#problem ??= error;
    });
    // Nobody is there who could be told.
    process.stderr.on('error', () => undefined);
  }

  /** Waits until the result is written. The exit code for one that cannot be; undefined if all is well. */
  async finish(): Promise<number | undefined> {
    const { stdout } = process;
    // Not even nothing can be written to what is full: so nothing is, unless there is something to wait for.
    if (stdout.writableLength > 0) await new Promise<void>((resolve) => stdout.write('', () => resolve()));
    else await new Promise((resolve) => setImmediate(resolve));
    const problem = this.#problem;
    if (problem === undefined) return undefined;
    // Whoever reads has seen enough: as for a program that SIGPIPE ends.
    if (errorCode(problem) === 'EPIPE') return 128 + constants.signals.SIGPIPE;
    const lost = new KeyprovError('store-io', `the result cannot be written to standard output: ${reason(problem)}`, {
      remedy: 'what the command has done stays done; keyprov status shows the keys',
    });
    new Printer(process.stderr).lines(`keyprov: ${sayError(lost)}`);
    return EXIT.files;
  }
}

const reason = (problem: unknown): string => (problem instanceof Error ? problem.message : String(problem));
