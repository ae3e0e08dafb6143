import { missingPrograms } from '../../programs.ts';
import { libtpmsMissing } from './libtpms.ts';

/** The engines of TPMs for tests, each with the reason why its tests must be skipped. */
export const ENGINES = [
  ['libtpms', await libtpmsMissing()],
  ['swtpm', missingPrograms('swtpm')],
] as const;
