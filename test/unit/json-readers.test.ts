import { describe, expect, it } from 'vitest';
import { decodeActivationChallenge, decodeActivationResponse, decodeStatement } from '../../src/attestation/index.ts';
import { toBase64, toBase64Url } from '../../src/bytes.ts';
import { decodeJwk } from '../../src/crypto/jwk.ts';
import { KeyprovError } from '../../src/errors.ts';
import { parseAcmeDeviceAttest } from '../../src/formats/services/acme-device-attest.ts';
import { decodeAcmeIdentifier } from '../../src/formats/services/acme-identifier.ts';
import {
  decodeGoAttestationCredential,
  decodeSmallstepCredential,
} from '../../src/formats/services/credential-encodings.ts';
import {
  parseGoAttestationParameters,
  parseGoCertificationParameters,
  parseGoQuote,
} from '../../src/formats/services/go-attestation.ts';
import { parseJws } from '../../src/formats/services/jws.ts';
import { parseKeylimeActivation, parseKeylimeRegistration } from '../../src/formats/services/keylime.ts';
import {
  parseSmallstepAttest,
  parseSmallstepChain,
  parseSmallstepSecret,
} from '../../src/formats/services/smallstep.ts';
import { parseWebauthnClientData } from '../../src/formats/webauthn/webauthn-client-data.ts';
import { parseWebauthnRegistration } from '../../src/formats/webauthn/webauthn-registration.ts';
import { decodeKeyMaterial } from '../../src/formats/windows/key-material.ts';
import { parseKeyRegistration } from '../../src/formats/windows/key-registration.ts';
import { parseNgcAssertion } from '../../src/formats/windows/ngc-assertion.ts';
import { parsePolicy } from '../../src/policy/index.ts';
import { decodeRecording } from '../../src/tpm/transports/recording.ts';
import { codeOf, filesIn } from './source-files.ts';

const ZERO = toBase64(new Uint8Array(4));
const utf8 = (text: string) => new TextEncoder().encode(text);
const frame = '80010000000c0000017b0008';

/** Everything that reads JSON of others: members as they might be, and the reader of the text. */
const READERS: readonly [
  name: string,
  code: string,
  members: Record<string, unknown>,
  read: (text: string) => unknown,
][] = [
  [
    'decodeStatement',
    'statement-invalid',
    {
      version: 1,
      pubArea: '00',
      certInfo: '00',
      signature: '00',
      ak: { pubArea: '00', certificates: [ZERO] },
      creation: { creationData: '00' },
    },
    decodeStatement,
  ],
  [
    'decodeActivationChallenge',
    'credential-invalid',
    { version: 1, credentialBlob: '00', encryptedSecret: '00' },
    decodeActivationChallenge,
  ],
  ['decodeActivationResponse', 'credential-invalid', { version: 1, secret: '00' }, decodeActivationResponse],
  ['decodeJwk', 'key-invalid', { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' }, decodeJwk],
  ['decodeJwk of RSA', 'key-invalid', { kty: 'RSA', n: 'AA', e: 'AA' }, decodeJwk],
  [
    'parseGoAttestationParameters',
    'request-invalid',
    { Public: ZERO, UseTCSDActivationFormat: false, CreateData: ZERO, CreateAttestation: ZERO, CreateSignature: ZERO },
    parseGoAttestationParameters,
  ],
  [
    'parseGoCertificationParameters',
    'request-invalid',
    { Public: ZERO, CreateData: null, CreateAttestation: ZERO, CreateSignature: ZERO },
    parseGoCertificationParameters,
  ],
  ['parseGoQuote', 'request-invalid', { Version: 2, Quote: ZERO, Signature: ZERO }, parseGoQuote],
  ['parseSmallstepChain', 'request-invalid', { chain: [ZERO] }, parseSmallstepChain],
  [
    'decodeGoAttestationCredential',
    'credential-invalid',
    { Credential: ZERO, Secret: ZERO },
    decodeGoAttestationCredential,
  ],
  ['decodeSmallstepCredential', 'credential-invalid', { credential: ZERO, secret: ZERO }, decodeSmallstepCredential],
  [
    'parseKeylimeRegistration',
    'request-invalid',
    { agent_id: 'a', ek_tpm: ZERO, aik_tpm: ZERO, port: 1 },
    (body) => parseKeylimeRegistration({ method: 'POST', path: '/v3.0/agents/', body }),
  ],
  [
    'parseKeylimeActivation',
    'request-invalid',
    { auth_tag: '00' },
    (body) => parseKeylimeActivation({ method: 'POST', path: '/v3.0/agents/a/activate', body }),
  ],
  [
    'parseWebauthnClientData',
    'request-invalid',
    { type: 'webauthn.get', challenge: 'AA', origin: 'https://a', crossOrigin: false },
    (text) => parseWebauthnClientData(utf8(text)),
  ],
  [
    'parseWebauthnRegistration',
    'request-invalid',
    { id: 'AA', rawId: 'AA', type: 'public-key', response: { attestationObject: 'AA', clientDataJSON: 'AA' } },
    parseWebauthnRegistration,
  ],
  [
    'decodeKeyMaterial',
    'request-invalid',
    { authData: ZERO, x5c: [ZERO], displayName: '' },
    (text) => decodeKeyMaterial(utf8(text)),
  ],
  [
    'parseKeyRegistration',
    'request-invalid',
    { kngc: ZERO, AikCertificate: '', AttestationData: '' },
    (text) => parseKeyRegistration(text, 'attested'),
  ],
  [
    'parsePolicy',
    'policy-invalid',
    { hardware: 'required', allowedAlgorithms: ['rsa-2048'], pin: { minLength: 6 } },
    parsePolicy,
  ],
  ['parseAcmeDeviceAttest', 'request-invalid', { attObj: 'AA' }, parseAcmeDeviceAttest],
  ['parseSmallstepSecret', 'request-invalid', { secret: ZERO }, parseSmallstepSecret],
  [
    'parseSmallstepAttest',
    'request-invalid',
    { tpmInfo: { version: 2 }, ek: ZERO, ekCerts: [ZERO], akCert: ZERO, params: { public: ZERO } },
    parseSmallstepAttest,
  ],
  [
    'parseNgcAssertion',
    'request-invalid',
    { iss: 'a', aud: 'b', iat: 1, exp: 2, scope: 'c', request_nonce: 'd' },
    (text) =>
      parseNgcAssertion(
        `${toBase64Url(utf8('{"alg":"RS256","typ":"JWT","kid":"AA","use":"ngc"}'))}.${toBase64Url(utf8(text))}.AA`,
      ),
  ],
  [
    'parseJws',
    'request-invalid',
    { alg: 'RS256' },
    (text) => parseJws(`${Buffer.from(text).toString('base64url')}.AA.AA`),
  ],
];

/** Readers of values that are parsed already. */
const VALUES: readonly [
  name: string,
  code: string,
  members: Record<string, unknown>,
  read: (value: never) => unknown,
][] = [
  [
    'decodeRecording',
    'recording-invalid',
    {
      format: 'keyprov-tpm-recording',
      version: 1,
      kind: 'swtpm',
      emulator: true,
      managed: true,
      entries: [{ command: frame, answer: frame, milliseconds: 1 }],
    },
    decodeRecording,
  ],
  ['decodeAcmeIdentifier', 'request-invalid', { type: 'permanent-identifier', value: 'a' }, decodeAcmeIdentifier],
];

const HOSTILE: readonly unknown[] = [
  { toString: 1 },
  { toString: 1, valueOf: 1, toJSON: 1, length: 1e9, split: 1 },
  JSON.parse('{"__proto__":{"length":1}}'),
  [{ toString: 1 }],
  [[[]]],
  null,
  -1,
  1e308,
  true,
];

/** The thrown error's code; `ok` if nothing is thrown. Any other error is a bug in the reader. */
function outcome(work: () => unknown): string {
  try {
    work();
    return 'ok';
  } catch (error) {
    if (error instanceof KeyprovError) return error.code;
    throw error;
  }
}

/** The value with something hostile in place of each member, at any depth. */
function* poisoned(value: unknown): Generator<unknown> {
  if (typeof value !== 'object' || value === null) return;
  for (const [name, member] of Object.entries(value)) {
    const put = (other: unknown) =>
      Array.isArray(value) ? value.with(Number(name), other) : { ...value, [name]: other };
    for (const other of HOSTILE) yield put(other);
    for (const other of poisoned(member)) yield put(other);
  }
}

describe.each(READERS)('%s', (_, code, members, read) => {
  it('refuses a member that appears twice', () => {
    for (const [name, value] of Object.entries(members)) {
      const twice = `{"${name}":${JSON.stringify(value)},${JSON.stringify(members).slice(1)}`;
      let message = '';
      expect(
        outcome(() => {
          try {
            read(twice);
          } catch (error) {
            message = error instanceof Error ? error.message : '';
            throw error;
          }
        }),
      ).toBe(code);
      expect(message).toContain(`the member "${name}" appears twice`);
    }
  });

  it('refuses 100,000 lists in each other', () => {
    const text = `{"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    expect(outcome(() => read(text))).toBe(code);
  });
});

describe.each([...READERS, ...VALUES])('%s', (_, code, members, read) => {
  const give = (value: unknown) =>
    outcome(() => (read as (value: unknown) => unknown)(isText(read) ? JSON.stringify(value) : value));

  it('reports a value of another type', () => {
    const seen = new Set<string>();
    for (const value of [...poisoned(members), ...HOSTILE]) seen.add(give(value));
    expect([...seen].filter((one) => one !== 'ok' && one !== code && one !== 'codec')).toEqual([]);
    expect([...seen]).toContain(code);
  });
});

describe('the readers above', () => {
  it('are all that formats, attestation and policy give to read JSON', () => {
    const sources = filesIn(['src/formats', 'src/attestation', 'src/crypto', 'src/policy', 'src/tpm'], '.ts');
    const readers = sources.flatMap((path) => {
      const [, ...exported] = codeOf(path).split(/^export (?:async )?(?:function )?/m);
      return exported.filter((code) => /^(?:parse|decode)\w+/.test(code) && /JsonMembers|parseJson/.test(code));
    });
    const names = readers.map((code) => /^\w+/.exec(code)?.[0] ?? '');
    // The text that parsePolicy reads; bytes, in the file that reads statements.
    const others = ['parseSettings', 'decodePublicArea'];
    const known = [...READERS, ...VALUES].map(([name]) => name).concat(others);
    expect(names.length).toBeGreaterThan(15);
    expect(names.filter((name) => !known.includes(name))).toEqual([]);
  });
});

const isText = (read: unknown): boolean => READERS.some(([, , , known]) => known === read);
