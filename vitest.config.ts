import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Ends what hangs. What only takes long, on a machine that has much else to do, is not wrong. */
const LIMIT_MS = 300_000;

const project = (name: string, globalSetup: string[] = [], setupFiles: string[] = [], execArgv: string[] = []) => ({
  test: {
    ...{ name, include: [`test/${name}/**/*.test.ts`], globalSetup, execArgv },
    ...{ testTimeout: LIMIT_MS, hookTimeout: LIMIT_MS, setupFiles: ['test/own-cache.ts', ...setupFiles] },
    maxConcurrency: 2,
  },
});
/** Tests that start identity services. */
const SERVICES = ['test/cheap-service.mjs'];
/** Measured work is not disturbed by the collection of garbage: there is room for what it makes. */
const MEASURED = ['--expose-gc', '--min-semi-space-size=64', '--max-semi-space-size=64'];

/** The files that take longest. Started last, one of them would leave a core idle. */
const LONGEST =
  /\/(?:package\/(?:examples|packed)|cli\/(?:web-pages|provision-web|provision-service|doctor|demo)|integration\/altered-answers)\.test\.ts$/;

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLongest = ({ moduleId }: TestSpecification): boolean => LONGEST.test(moduleId);
    return [...sorted.filter(isLongest), ...sorted.filter((file) => !isLongest(file))];
  }
}

export default defineConfig({
  test: {
    // Most tests wait for other processes now and then, so on two cores two files at a time are better than one; three are
    // no better than two.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    sequence: { sequencer: LongestFirst },
    // A TPM that is given serves one test at a time.
    fileParallelism: !process.env.KEYPROV_TEST_TPM,
    // The files of test/unit share what is loaded, which is most of their time; test/unit/house.test.ts holds them to it.
    projects: [
      { test: { ...project('unit').test, isolate: false } },
      project('integration', [], SERVICES),
      project('cli', ['test/build.ts'], SERVICES),
      project('fuzz', [], [], MEASURED),
      project('package', ['test/build.ts'], SERVICES),
    ],
  },
});
