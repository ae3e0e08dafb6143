// A verifier program for any runtime: it reads calls as JSON and returns each result as JSON. Bytes and times are written as
// `{ hex }` and `{ time }`. It uses the package's public names, as users do.
import * as attestation from 'keyprov/attestation';
import * as endorsement from 'keyprov/attestation/endorsement';
import * as services from 'keyprov/formats/services';
import * as tcg from 'keyprov/formats/tcg';
import * as webauthn from 'keyprov/formats/webauthn';

const SUBPATHS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  attestation,
  endorsement,
  services,
  tcg,
  webauthn,
};

/** A call: `subpath.name` and its arguments in this program's form. An array in `then` says what to do with the result. */
export interface Call {
  readonly call: string;
  readonly args: readonly unknown[];
}

/** A call's result as JSON: the value or the error. */
async function answer({ call, args }: Call): Promise<unknown> {
  const [subpath = '', name = ''] = call.split('.');
  const called = SUBPATHS[subpath]?.[name];
  if (typeof called !== 'function') throw new TypeError(`no function ${call}`);
  try {
    return plain(await called(...(await Promise.all(args.map(revive)))));
  } catch (error) {
    const { name: kind, message, code } = Object(error);
    return { thrown: plain({ kind, code, message }) };
  }
}

/** Makes the calls in `json`, one after the other. */
export async function run(json: string): Promise<string> {
  const answers: unknown[] = [];
  for (const call of JSON.parse(json) as Call[]) answers.push(await answer(call));
  return JSON.stringify(answers);
}

/** Converts an argument from JSON: replaces placeholders by bytes, times and the results of other calls. */
async function revive(value: unknown): Promise<unknown> {
  if (Array.isArray(value)) return await Promise.all(value.map(revive));
  if (typeof value !== 'object' || value === null) return value;
  const { hex, time, statement, area } = value as Readonly<Record<string, unknown>>;
  if (typeof hex === 'string') return Uint8Array.from(hex.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
  if (typeof time === 'string') return new Date(time);
  if (statement !== undefined) return attestation.decodeStatement(statement);
  if (area !== undefined) return attestation.decodePublicArea((await revive(area)) as Uint8Array);
  const entries = Object.entries(value).map(async ([name, member]) => [name, await revive(member)] as const);
  return Object.fromEntries(await Promise.all(entries));
}

/** A result for JSON: bytes in hexadecimal, without functions. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array)
    return `hex ${Array.from(value, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
  if (typeof value === 'string') return value.replace(/not JSON: .*/, 'not JSON'); // the wording depends on the engine
  if (typeof value === 'bigint') return `${value}n`;
  if (value instanceof Set) return [...value].map(plain);
  if (value instanceof Map) return [...value].map(plain);
  if (value instanceof Date || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]));
}
