import { describe, expect, it } from 'vitest';
import { isOurs } from '../wrong-values.ts';
import { publicModules } from './public-modules.ts';

/** What a caller without types may pass in place of an argument. */
const WRONG: readonly unknown[] = [undefined, null, 42, 'text', {}, [], Uint8Array.of(9)];

/** What V8 says about code that uses a wrong value. */
const V8 = /Cannot (?:read|destructure|convert)|is not (?:a function|iterable)|reading '|argument must be/;

/** All lists of so many wrong arguments. */
function* wrongArguments(count: number): Generator<readonly unknown[]> {
  if (count === 0) return yield [];
  for (const before of wrongArguments(count - 1)) for (const wrong of WRONG) yield [...before, wrong];
}

/** Every public function of every subpath, by name; a class is none. */
const FUNCTIONS = new Map<string, CallableFunction>();
for (const module of await publicModules()) {
  for (const [name, value] of Object.entries(module)) {
    if (typeof value === 'function' && !String(value).startsWith('class ')) FUNCTIONS.set(name, value);
  }
}

describe('a public function', () => {
  it('is in the list', () => expect(FUNCTIONS.size).toBeGreaterThan(350));

  it('says in words which argument is wrong', async () => {
    const foreign: string[] = [];
    for (const [name, call] of FUNCTIONS) {
      for (const given of wrongArguments(Math.min(Math.max(1, call.length), 3))) {
        try {
          const made: unknown = await Reflect.apply(call, undefined, given);
          // Some need no argument, and start a program.
          await Reflect.get(Object(made), Symbol.asyncDispose)?.call(made);
        } catch (error) {
          if (isOurs(error) && !V8.test(String(error))) continue;
          foreign.push(`${name}(${given.map((one) => JSON.stringify(one) ?? 'undefined').join(', ')}): ${error}`);
          break;
        }
      }
    }
    expect(foreign).toEqual([]);
  });
});
