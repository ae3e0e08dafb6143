import { spawnSync } from 'node:child_process';

/** Debian's own, which has the modules of Debian's packages. Another one may come first in PATH. */
export const PYTHON = '/usr/bin/python3';
/** The same of Ruby. */
export const RUBY = '/usr/bin/ruby';

/** Our environment with the directories of system programs in PATH, which ordinary users may lack. */
export const toolEnvironment = (): NodeJS.ProcessEnv => ({
  ...process.env,
  PATH: `${process.env.PATH}:/usr/local/sbin:/usr/sbin:/sbin`,
});

/**
 * Returns `reason`, why tests must be skipped, after a warning; undefined without one.
 * @throws Error with the reason in continuous integration, where nothing may be missing.
 */
export function missingOutsideCi(reason: string | undefined): string | undefined {
  if (reason === undefined) return undefined;
  if (process.env.CI === 'true') throw new Error(reason);
  console.warn(`skipped: ${reason}`);
  return reason;
}

/** The reason why tests that need `programs` must be skipped; see {@link missingOutsideCi}. */
export function missingPrograms(...programs: string[]): string | undefined {
  const env = toolEnvironment();
  const missing = programs.filter((program) => spawnSync('which', [program], { env }).status !== 0);
  return missingOutsideCi(missing.length === 0 ? undefined : `${missing.join(', ')} not installed`);
}

/** The same for a program that fails if `what` is missing. */
export function missingIfFails(what: string, command: string, ...args: string[]): string | undefined {
  const { status } = spawnSync(command, args);
  return missingOutsideCi(status === 0 ? undefined : `${what} not installed`);
}

/** The same for modules of {@link PYTHON}. */
export const pythonLacks = (...modules: string[]): string | undefined =>
  missingIfFails(`${modules.join(', ')} for ${PYTHON}`, PYTHON, '-c', `import ${modules.join(', ')}`);

/** The same for a library of {@link RUBY}. */
export const rubyLacks = (library: string): string | undefined =>
  missingIfFails(`${library} for ${RUBY}`, RUBY, '-e', `require "${library}"`);
