import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { builders } from '../builders.ts';
import { entranceWorld } from '../entrances/world.ts';
import { isOurs } from '../wrong-values.ts';
import { publicModules } from './public-modules.ts';

const BUILDERS = await builders(await entranceWorld());

/** What a caller without types may pass in place of a value. */
const WRONG: readonly unknown[] = [
  ...[undefined, null, 5, -1, 0.5, 2 ** 40, 'text', '', true],
  ...[{}, [], [undefined], [5], Uint8Array.of(), Uint8Array.of(9), () => undefined],
];

/** Of `node:vm`, such as in some test runners. */
const Foreign: typeof Uint8Array = runInNewContext('Uint8Array');

const isPlain = (value: unknown): value is object =>
  Array.isArray(value) ||
  (typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype);

/** The paths of all members, down to those that are not plain objects or lists. */
function* pathsOf(value: unknown, path: readonly string[] = []): Generator<readonly string[]> {
  if (path.length > 0) yield path;
  if (isPlain(value)) for (const [name, member] of Object.entries(value)) yield* pathsOf(member, [...path, name]);
}

/** A copy of `value` with another member at a path. */
function changed(value: unknown, [name, ...rest]: readonly string[], wrong: unknown): unknown {
  if (name === undefined) return wrong;
  const copy = Array.isArray(value) ? [...value] : { ...Object(value) };
  copy[name] = changed(copy[name], rest, wrong);
  return copy;
}

describe('a function that encodes, builds or computes', () => {
  it('is in the list', async () => {
    const names = (await publicModules()).flatMap((module) =>
      Object.entries(module).flatMap(([name, value]) =>
        typeof value === 'function' && /^(encode|build|compute|makeCredential)/.test(name) ? [name] : [],
      ),
    );
    const listed = new Set(Object.keys(BUILDERS).map((name) => name.split('.')[0]));
    expect([...new Set(names)].filter((name) => !listed.has(name))).toEqual([]);
  });

  it.each(Object.entries(BUILDERS))('takes bytes of another realm: %s', async (_name, { call, args }) => {
    for (const path of pathsOf(args)) {
      const bytes = path.reduce<unknown>((at, name) => Reflect.get(Object(at), name), args);
      if (!(bytes instanceof Uint8Array)) continue;
      const foreign: Uint8Array = new Foreign(bytes);
      await Reflect.apply(call, undefined, changed(args, path, foreign) as readonly unknown[]);
    }
  });

  it.each(Object.entries(BUILDERS))('says in words which value is wrong: %s', async (_name, { call, args }) => {
    await Reflect.apply(call, undefined, args);
    const foreign = new Set<string>();
    for (const path of pathsOf(args)) {
      for (const wrong of WRONG) {
        const given = changed(args, path, wrong) as readonly unknown[];
        try {
          await Reflect.apply(call, undefined, given);
        } catch (error) {
          if (!isOurs(error)) foreign.add(`${path.join('.')} = ${show(wrong)}: ${error}`);
        }
      }
    }
    expect([...foreign]).toEqual([]);
  });
});

const show = (value: unknown): string =>
  value instanceof Uint8Array
    ? `${value.length} bytes`
    : typeof value === 'function'
      ? 'a function'
      : (JSON.stringify(value) ?? 'undefined');
