import { describe, expect, it } from 'vitest';
import { concat, utf8 } from '../../src/bytes.ts';
import { derOctets, derOid, derSequence, derValue, TAG } from '../../src/crypto/der-write.ts';
import { counted, type Entrance, text } from '../entrances/entrance.ts';
import { entrances } from '../entrances.ts';
import { inspectSamples } from '../inspect-samples.ts';

/** Shorter CPU times cannot be measured well, and need not be, because sizes are limited. */
const MEASURABLE_US = 3000;
/**
 * Limit for the cost of an input, relative to four readings of an input of a quarter of its size, which use as much memory. A
 * linear reader costs about the same, a quadratic one four times as much.
 */
const MOST_GROWTH = 2.25;
/** Less than this is linear, even if only two measurements say so. */
const PLAIN_GROWTH = 1.5;
const SMALL = 4 * 1024;
const LARGE = 64 * 1024;

async function read(entrance: Entrance, input: Uint8Array): Promise<void> {
  const given = entrance.kind === 'text' ? new TextDecoder('latin1').decode(input) : input;
  try {
    await entrance.read(given as never);
  } catch {
    // Most is refused; other tests look at how.
  }
}

/** CPU time of the process for one reading, in microseconds. */
async function cost(entrance: Entrance, input: Uint8Array): Promise<number> {
  const start = process.cpuUsage();
  await read(entrance, input);
  const { user, system } = process.cpuUsage(start);
  return user + system;
}

/** Whether not even the time that has passed can be measured well, to ask for which costs less. */
async function isQuick(entrance: Entrance, input: Uint8Array): Promise<boolean> {
  const start = performance.now();
  await read(entrance, input);
  return 1000 * (performance.now() - start) < MEASURABLE_US;
}

/** The least of so many measurements of so many readings: others on the machine make no measurement cheaper. */
async function least(entrance: Entrance, input: Uint8Array, readings: number, runs: number): Promise<number> {
  let found = Number.POSITIVE_INFINITY;
  for (let run = 0; run < runs; run++) {
    let sum = 0;
    globalThis.gc?.({ type: 'minor', execution: 'sync' });
    for (let i = 0; i < readings; i++) sum += await cost(entrance, input);
    found = Math.min(found, sum);
  }
  return found;
}

/** An input of about that size. */
type Hostile = (size: number) => Uint8Array;

/** Cost of an input of that size relative to four inputs of a quarter of it; 0 if that cannot be measured. */
async function growthAt(entrance: Entrance, make: Hostile, size: number): Promise<number> {
  const [large, small] = [make(size), make(size / 4)];
  const measure = async (runs: number): Promise<number> => {
    const whole = await least(entrance, large, 1, runs);
    return whole < MEASURABLE_US ? 0 : whole / (await least(entrance, small, 4, runs));
  };
  const plain = await measure(2);
  if (plain < PLAIN_GROWTH) return plain;
  let found = Number.POSITIVE_INFINITY;
  for (let tries = 0; tries < 3 && found > MOST_GROWTH; tries++) found = Math.min(found, await measure(5));
  return found;
}

/**
 * How much more four times the input costs than four inputs. Memory is dearer once it comes in large pieces, but only
 * once: what seems to grow too much must do so for a larger input too.
 */
async function growth(entrance: Entrance, make: Hostile): Promise<number> {
  for (const size of [SMALL, LARGE]) {
    if (await isQuick(entrance, make(size))) continue;
    const found = await growthAt(entrance, make, size);
    if (found > MOST_GROWTH) return Math.min(found, await growthAt(entrance, make, 4 * size));
    if (found > 0) return found;
  }
  return 0;
}

const TEXT_UNITS = [
  ...[' ', '\t', '\r', '\n', ' \r\n', '=', '.', ',', ':', ';', '-', '|', '&', '\\', '"', '/', '#', '0', 'A', 'a='],
  ...['<', '<!--', '<![CDATA[', '<script', '<a ', '[', '{', '{"a":', '[1,', '"a",', '-----BEGIN ', '-----END A-----'],
  ...['-----BEGIN A-----\n', '-----BEGIN CERTIFICATE-----\n'],
];
const BINARY_UNITS = [
  '\u0000',
  '\u00ff',
  '\u0030\u0080',
  '\u0081',
  '\u0005\u0000',
  ' ',
  '-----BEGIN CERTIFICATE-----\n',
];

/** A run of one unit: alone, behind a sample, and in the middle of it. */
function* runs(sample: Uint8Array, units: readonly string[]): Generator<readonly [name: string, make: Hostile]> {
  for (const unit of units) {
    const run = (size: number) => Buffer.from(unit.repeat(Math.ceil(size / unit.length)), 'latin1');
    const name = JSON.stringify(unit);
    yield [`${name} alone`, run];
    if (sample.length === 0) continue;
    const middle = sample.length >>> 1;
    yield [`${name} behind a sample`, (size) => concat(sample, run(size))];
    yield [`${name} in a sample`, (size) => concat(sample.subarray(0, middle), run(size), sample.subarray(middle))];
  }
}

const repeated = (part: Uint8Array, size: number) =>
  new Uint8Array(part.length * Math.ceil(size / part.length)).map((_, at) => part[at % part.length] ?? 0);
const nested = (size: number) => {
  const levels = Math.floor(size / 5);
  const bytes = new Uint8Array(5 * levels);
  for (let i = 0; i < levels; i++) {
    const length = 5 * (levels - i - 1);
    bytes.set([0x30, 0x83, length >>> 16, length >>> 8, length], 5 * i);
  }
  return bytes;
};
const oid = (size: number) => derValue(TAG.OID, new Uint8Array(size).fill(0x81), new Uint8Array([1]));
const commonName = (text: Uint8Array) =>
  derValue(TAG.SET, derSequence(derOid('2.5.4.3'), derValue(TAG.UTF8_STRING, text)));

/** A certificate with a wrong signature, of parts as large as they are given. */
function certificate(subject: Uint8Array, extensions: readonly Uint8Array[]): Uint8Array {
  const algorithm = derSequence(derOid('1.2.840.10045.4.3.2'));
  const time = derValue(TAG.UTC_TIME, utf8('200101000000Z'));
  const key = derSequence(derSequence(derOid('1.2.3')), derValue(TAG.BIT_STRING, new Uint8Array(1)));
  const tbs = derSequence(
    ...[derValue(0xa0, derValue(TAG.INTEGER, new Uint8Array([2]))), derValue(TAG.INTEGER, new Uint8Array([1]))],
    ...[algorithm, derSequence(), derSequence(time, time), subject, key],
    derValue(0xa3, derSequence(...extensions)),
  );
  return derSequence(tbs, algorithm, derValue(TAG.BIT_STRING, new Uint8Array(2)));
}
const extension = (id: string, value: Uint8Array) => derSequence(derOid(id), derOctets(value));
const SAN = '2.5.29.17';

/** DER that is as it should be from outside. */
const DER: Readonly<Record<string, Hostile>> = {
  'nested DER': nested,
  'wide DER': (size) => derSequence(repeated(new Uint8Array([5, 0]), size)),
  'a long OID': (size) => derSequence(derSequence(oid(size))),
  'many OIDs': (size) => derSequence(repeated(derOid('1.2.3.4.5.6.7'), size)),
  'a certificate with a nested extension': (size) => certificate(derSequence(), [extension(SAN, nested(size))]),
  'a certificate with many names': (size) =>
    certificate(derSequence(), [extension(SAN, derSequence(repeated(derValue(0x82, utf8('a.test')), size)))]),
  'a certificate with a long OID in its subject': (size) =>
    certificate(derSequence(derValue(TAG.SET, derSequence(oid(size), derValue(TAG.UTF8_STRING)))), []),
  'a certificate with many parts of its subject': (size) =>
    certificate(derSequence(repeated(commonName(utf8('a')), size)), []),
  'a certificate with many extensions': (size) =>
    certificate(
      derSequence(),
      Array.from({ length: Math.ceil(size / 16) }, (_, i) => extension(`1.2.${i}`, new Uint8Array(4))),
    ),
  'a certificate with marks over a letter': (size) =>
    certificate(derSequence(repeated(commonName(utf8('a\u0345\u0334'.repeat(100))), size)), []),
  'a certificate with many constraints': (size) =>
    certificate(derSequence(), [
      extension('2.5.29.30', derSequence(derValue(0xa0, repeated(derSequence(derValue(0x82, utf8('a'))), size)))),
    ]),
};

const samples = await inspectSamples();
/** Samples of input that is never a file. */
const TEXTS: Readonly<Record<string, string>> = {
  decodeGuid: '0123456789abcdef',
  decodeAaguid: '0123456789abcdef',
  'decodeAcmeIdentifier.value': 'a/1.2.3',
  'parseKeylimeActivation.path': '/v3.0/agents/a/activate',
  'parseKeylimeRegistration.path': '/v2.0/agents/a',
  parseTpmAddress: 'swtpm:localhost:2321',
  inspect: '{"a":1}',
  parseWebauthnClientData: '{"type":"webauthn.get","challenge":"AA","origin":"https://a","crossOrigin":false}',
  readPolicyFile: '{}',
  pinFromFile: '123456',
  readSyncMl: '<SyncML><SyncBody></SyncBody></SyncML>',
  'parseDiscovery.xml': '<Discovery><a>b</a></Discovery>',
  'parseDiscovery.json': '{"a":"b"}',
  parseAdSyncScheduler: 'SyncCycleEnabled : True',
  parseDsregStatus: '+---+\n| Device State |\n+---+\n AzureAdJoined : YES\n',
  readDsregFacts: '+---+\n| Device State |\n+---+\n AzureAdJoined : YES\n',
  readRegistryExport:
    'REGEDIT4\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\PassportForWork]\n"Enabled"=dword:1\n',
  '[parseErrorDetails]': '<html><b>no</b></html>',
  '[ldapReader].dn': 'CN=a\\,b,DC=a',
  '[ldapReader].value': 'B:2:00:CN=a\\,b,DC=a',
};

/** A sample that the entrance accepts; empty if there is none. */
async function sampleFor(name: string, entrance: Entrance): Promise<Uint8Array> {
  // The doors take whatever comes, and find something in all of it.
  const own = name.startsWith('verify') ? '' : TEXTS[name];
  if (own !== undefined) return utf8(own);
  for (const { bytes } of samples) {
    if (bytes.length > SMALL) continue;
    try {
      const found = await (entrance.kind === 'text'
        ? entrance.read(new TextDecoder('latin1').decode(bytes))
        : entrance.read(bytes));
      if (found !== undefined) return bytes;
    } catch {
      // It is of another format.
    }
  }
  return new Uint8Array(0);
}

const all = Object.entries(await entrances());

describe('four times the input', () => {
  it('is found to cost 16 times as much if it does', async () => {
    const slow = ({ length }: string): number => {
      let sum = 0;
      for (let i = 0; i < length; i++) for (let j = 0; j < i; j += 8) sum = (sum + j) % 7919;
      return sum;
    };
    const quadratic = text(slow, '', counted('it is slow'));
    // Code that is compiled during the measurement costs less the second time.
    for (let warm = 0; warm < 200; warm++) slow(' '.repeat(1024));
    expect(await growthAt(quadratic, (size) => utf8(' '.repeat(size)), SMALL)).toBeGreaterThan(MOST_GROWTH);
  });

  it.each(all)('costs %s time in proportion', async (name, entrance) => {
    const sample = await sampleFor(name, entrance);
    const isText = sample.length > 0 && sample.every((byte) => byte < 0x80);
    const isBinary = entrance.kind === 'bytes' && !isText;
    const inputs = [...runs(sample, isBinary ? BINARY_UNITS : TEXT_UNITS), ...(isBinary ? Object.entries(DER) : [])];
    const bad: string[] = [];
    for (const [what, make] of inputs) {
      const found = await growth(entrance, make);
      if (found > MOST_GROWTH) bad.push(`${what}: ${(4 * found).toFixed(1)} times`);
    }
    expect(bad).toEqual([]);
  });
});
