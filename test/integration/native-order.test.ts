import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bundle, bundle } from './support/bundle.ts';
import { libtpmsMissing } from './support/libtpms.ts';

const MODULES = ['libtpms', 'libtpms-library', 'tctildr', 'tbs'];

const orders = (names: readonly string[]): string[][] =>
  names.length === 0 ? [[]] : names.flatMap((name) => orders(names.filter((n) => n !== name)).map((n) => [name, ...n]));

describe.skipIf(await libtpmsMissing())('the bindings of shared libraries', () => {
  let script: Bundle;
  beforeAll(async () => {
    script = await bundle('test/integration/children/native-order.ts');
  });
  afterAll(() => script[Symbol.dispose]());

  // koffi 3.3.4 confused types of two libraries if the TCTI loader came first.
  it.each(orders(MODULES))('do not disturb each other, loaded as %s, %s, %s, %s', (...names) => {
    const { stdout, stderr } = spawnSync(process.execPath, [script.path, ...names], { encoding: 'utf8' });
    expect([stdout, stderr]).toEqual(['started\n', '']);
  });
});
