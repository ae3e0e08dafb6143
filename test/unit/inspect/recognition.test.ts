import { describe, expect, it } from 'vitest';
import { concat, fromHex, utf8 } from '../../../src/bytes.ts';
import { type CborValue, decodeCbor, encodeCbor, isMap } from '../../../src/crypto/cbor.ts';
import { FORMATS, inspect } from '../../../src/inspect/index.ts';
import { entrances } from '../../entrances.ts';
import { inspectSamples } from '../../inspect-samples.ts';

const SHORT = 'a few bytes with nothing that tells';
const LINE = 'a word or two with nothing that tells';
const WINDOWS = 'text of Windows, which the commands with --dsregcmd and --scheduler read';
const POLICY = 'settings, which `keyprov policy explain` reads';
const SERVICE = 'an answer that is read where it arrives';
const PART = 'a value in DER, which is described in the request or certificate that it is part of';

/** Inputs that entrances accept but `inspect` does not recognize by name, with the reason. */
const NOT_RECOGNISED: Readonly<Record<string, string>> = {
  '[ldapReader].dn': LINE,
  '[parseErrorDetails]': SERVICE,
  decodeAaguid: SHORT,
  'decodeAcmeIdentifier.value': LINE,
  decodeAlternativeNames: PART,
  decodeAttestationKeyInfo: PART,
  decodeCustomKeyInformation: SHORT,
  decodeEndorsementKeyInfo: PART,
  decodeGuid: SHORT,
  parseAdSyncScheduler: WINDOWS,
  'parseDiscovery.json': SERVICE,
  'parseDiscovery.xml': SERVICE,
  parseDsregStatus: WINDOWS,
  'parseKeylimeActivation.path': LINE,
  'parseKeylimeRegistration.path': LINE,
  parseLayer: POLICY,
  parsePolicy: POLICY,
  parseTpmAddress: LINE,
  pinFromFile: SHORT,
  readDsregFacts: WINDOWS,
  readPolicyFile: POLICY,
  readRegistryExport: POLICY,
  readSyncMl: POLICY,
};

const samples = await inspectSamples();
const parses = (bytes: Uint8Array): CborValue | undefined => {
  try {
    return decodeCbor(bytes);
  } catch {
    return undefined;
  }
};
const inCbor = samples.flatMap(({ name, format, bytes }) => {
  const value = parses(bytes);
  return isMap(value) ? [{ name, format, value }] : [];
});
const inJson = samples.flatMap(({ name, format, bytes }) => {
  const text = new TextDecoder().decode(bytes);
  // A key record has one form, whose digest is in it.
  return text.startsWith('{') && format !== 'keyprov-key' ? [{ name, format, value: JSON.parse(text) as object }] : [];
});

const head = (major: number, length: number): Uint8Array => {
  const [first = 0, ...rest] = encodeCbor(length);
  return new Uint8Array([first | (major << 5), ...rest]);
};
/** The members of maps, at every depth, in the other order. */
function reversed(value: CborValue): Uint8Array {
  if (!isMap(value)) return encodeCbor(value);
  const members = [...value].reverse().map(([key, item]) => concat(encodeCbor(key), reversed(item)));
  return concat(head(5, value.size), ...members);
}

/** Maps, lists and strings without lengths, each string in two parts. RFC 8949, 3.2. */
function indefinite(value: CborValue): Uint8Array {
  const open = (major: number, ...parts: readonly Uint8Array[]) =>
    concat(new Uint8Array([(major << 5) | 31]), ...parts, new Uint8Array([0xff]));
  if (isMap(value)) return open(5, ...[...value].flatMap(([key, item]) => [encodeCbor(key), indefinite(item)]));
  if (Array.isArray(value)) return open(4, ...value.map(indefinite));
  if (value instanceof Uint8Array) {
    return open(2, encodeCbor(value.subarray(0, 3)), encodeCbor(value.subarray(3)));
  }
  if (typeof value === 'string') return open(3, encodeCbor(value.slice(0, 1)), encodeCbor(value.slice(1)));
  return encodeCbor(value);
}

const reorder = (value: unknown): unknown =>
  typeof value !== 'object' || value === null || Array.isArray(value)
    ? value
    : Object.fromEntries(
        Object.entries(value)
          .reverse()
          .map(([name, member]) => [name, reorder(member)]),
      );

describe('inspect', () => {
  it('recognizes what every reader of this library accepts, apart from formats without distinguishing marks', async () => {
    const unknown: string[] = [];
    for (const [name, { sample }] of Object.entries(await entrances())) {
      const { format, confidence } = await inspect(sample);
      if (format === 'der' || !['certain', 'likely'].includes(confidence)) unknown.push(name);
    }
    expect(unknown.sort()).toEqual(Object.keys(NOT_RECOGNISED).sort());
  });

  it('has samples in CBOR and JSON', () => {
    expect(new Set(inCbor.map(({ format }) => format))).toEqual(new Set(['attestation-object', 'cose-key']));
    expect(new Set(inJson.map(({ format }) => format)).size).toBeGreaterThan(15);
  });

  it.each(inCbor)('recognizes $name with members in any order', async ({ format, value }) => {
    const found = await inspect(reversed(value));
    expect({ format: found.format, problems: found.problems }).toEqual({ format, problems: [] });
  });

  it.each(inCbor)('knows $name in CBOR without definite lengths, and says so', async ({ format, value }) => {
    const bytes = indefinite(value);
    const found = await inspect(bytes);
    expect(found).toMatchObject({
      format,
      problems: ['it is CBOR with indefinite lengths, which readers reject'],
    });
    expect(found.fields).toEqual((await inspect(encodeCbor(value))).fields);
    expect((await inspect(bytes.subarray(0, -1))).confidence).not.toBe('certain');
  });

  it.each(inJson)('knows $name in any order of its members, indented, and as Windows writes text', async (sample) => {
    const { format, confidence, problems } = await inspect(utf8(JSON.stringify(sample.value)));
    const text = JSON.stringify(reorder(sample.value), undefined, 2).replaceAll('\n', '\r\n');
    for (const written of [
      utf8(text),
      utf8(`\ufeff${text}\r\n`),
      new Uint8Array(Buffer.from(`\ufeff${text}`, 'utf16le')),
      new Uint8Array(Buffer.from(`\ufeff${text}`, 'utf16le').swap16()),
    ]) {
      expect(await inspect(written)).toMatchObject({ format, confidence, problems });
    }
    expect(format).toBe(sample.format);
  });

  it('knows a JWS whose header begins with a blank or a new line', async () => {
    for (const header of ['{"alg":"ES256"}', '{ "alg":"ES256"}', '{\r\n\t"alg":"ES256"\r\n}', ' {"alg":"ES256"}']) {
      const jws = `${Buffer.from(header).toString('base64url')}.e30.AAAA`;
      expect(await inspect(utf8(jws))).toMatchObject({ format: 'jws', confidence: 'certain' });
    }
  });
});

describe('the expected format', () => {
  /** Values in DER that are no format of their own. */
  const others = ['3003020101', '300506032b6570', '30053003020101'].map((hex) => ({ name: hex, bytes: fromHex(hex) }));

  it.each([...samples, ...others])(
    'is the format of $name only if it also is without being expected',
    async ({ bytes }) => {
      const plain = await inspect(bytes);
      const possible = [plain, ...plain.alternatives].map(({ format }) => format);
      for (const { format: hint } of FORMATS) {
        const { format, confidence } = await inspect(bytes, { hint });
        const isRead = format === hint && (confidence === 'certain' || confidence === 'likely');
        expect({ hint, isRead }).toEqual({ hint, isRead: possible.includes(hint) });
      }
    },
  );
});
