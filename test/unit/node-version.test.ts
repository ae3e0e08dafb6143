import { expect, it } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import { nodeProblem } from '../../src/node-version.ts';

it.each(['16.20.2', '18.20.8', '20.18.3'])('Node.js %s is too old, and the message names both versions', (version) => {
  expect(nodeProblem(version)).toBe(`keyprov needs Node.js 20.19 or newer, and this is ${version}`);
});

it.each(['20.19.0', '20.20.2', '22.12.0', '24.0.0', '25.0.0-nightly'])('Node.js %s is not', (version) => {
  expect(nodeProblem(version)).toBeUndefined();
});

it('the least version is that of the manifest', () => {
  expect(manifest.engines.node.split(' ')[0]).toBe('^20.19.0');
});
