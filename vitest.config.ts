import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

const project = (name: string, testTimeout: number, globalSetup: string[] = [], execArgv: string[] = []) => ({
  test: {
    ...{ name, include: [`test/${name}/**/*.test.ts`], testTimeout, hookTimeout: testTimeout, globalSetup, execArgv },
    setupFiles: ['test/own-cache.ts'],
  },
});
/** Measured work is not disturbed by the collection of garbage: there is room for what it makes. */
const MEASURED = ['--expose-gc', '--min-semi-space-size=64', '--max-semi-space-size=64'];

export default defineConfig({
  test: {
    // Most tests wait for other processes now and then, so on two cores two files at a time are better than one.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    projects: [
      project('unit', 120_000),
      project('integration', 120_000),
      project('cli', 120_000, ['test/build.ts']),
      project('fuzz', 120_000, [], MEASURED),
      project('package', 180_000, ['test/build.ts']),
    ],
  },
});
