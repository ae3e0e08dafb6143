import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type AttestationStatement, decodeBareSignature, encodeStatement } from '../../src/attestation/index.ts';
import { fromHex, toHex, utf8 } from '../../src/bytes.ts';
import { isSameName } from '../../src/crypto/distinguished-name.ts';
import { type Certificate, parseCertificate } from '../../src/crypto/x509.ts';
import { decode, encode } from '../../src/tpm/codec/index.ts';
import { TPM_ALG } from '../../src/tpm/constants.ts';
import { TPMT_SIGNATURE } from '../../src/tpm/structures/algorithm.ts';
import { TPMT_PUBLIC } from '../../src/tpm/structures/object.ts';
import { inspectSamples } from '../inspect-samples.ts';
import { Dice } from '../mutations.ts';
import {
  type Authorities,
  type EvidenceChanges,
  issueAuthorities,
  nameOf,
  paperEvidence,
  tpmName,
} from '../unit/attestation/paper-evidence.ts';
import { CHALLENGE, flipped, paperKey } from '../unit/attestation/paper-tpm.ts';
import type { Call } from './program.ts';

/** NIST's Public Key Interoperability Test Suite from Debian's python3-cryptography-vectors. */
const PKITS = '/usr/lib/python3/dist-packages/cryptography_vectors/x509/PKITS_data/certs';

const hex = (bytes: Uint8Array) => ({ hex: toHex(bytes) });

/** A statement as an argument. `encodeStatement` would refuse to write a wrong one. */
const argumentOf = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return hex(value);
  if (Array.isArray(value)) return value.map(argumentOf);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, argumentOf(member)]));
};
const vectors = (name: string) => JSON.parse(readFileSync(`test/vectors/${name}.json`, 'utf8'));

/** Verifier calls by topic: good inputs, changed inputs, published inputs, and values that are not inputs. */
export async function webCases(): Promise<Readonly<Record<string, readonly Call[]>>> {
  const authorities = await issueAuthorities();
  return {
    evidence: await evidenceCalls(authorities),
    'published statements': publishedStatements(),
    registrations: webauthnCalls(),
    'files read by every reader': await readerCalls(),
    'endorsement certificates': await ekCalls(authorities),
    PKITS: existsSync(PKITS) ? await pkitsCalls() : [],
  };
}

/** Evidence with one thing wrong. */
const CHANGES: readonly EvidenceChanges[] = [
  {},
  { keyKind: 'rsa-2048', akKind: 'rsa-2048' },
  { keyKind: 'rsa-2048' },
  { akKind: 'rsa-2048' },
  { akCertificate: { notAfter: new Date('2020-01-01') } },
  { akCertificate: { purposes: [] } },
  { akCertificate: { names: [] } },
  { akCertificate: { ca: true } },
  { akCertificate: { hash: 'SHA-1' } },
  { akCertificate: { extensions: [['1.2.3', true, fromHex('0500')]] } },
  { ekCertificate: { keyUsage: [0] } },
  { ekCertificate: { purposes: ['2.23.133.8.3'] } },
  { ekCertificate: { names: [tpmName('id:00001014')] } },
  { ekCertificate: { notBefore: new Date('2999-01-01'), notAfter: new Date('2999-02-01') } },
  { signatureHash: TPM_ALG.SHA1 },
  { signatureHash: TPM_ALG.SHA384 },
  {
    signer: paperKey(
      { ...decode(TPMT_PUBLIC, fromHex(vectors('attestation').statements[0].input.akPubArea)) },
      'other',
    ),
  },
  { key: (area) => ({ ...area, objectAttributes: { ...area.objectAttributes, fixedTPM: false } }) },
  { ak: (area) => ({ ...area, objectAttributes: { ...area.objectAttributes, restricted: false } }) },
  { certInfo: (attest) => ({ ...attest, extraData: utf8('another') }) },
  { certInfo: (attest) => ({ ...attest, qualifiedSigner: new Uint8Array(34) }) },
];

async function evidenceCalls(authorities: Authorities): Promise<Call[]> {
  const calls: Call[] = [];
  const certified = { akRoots: [hex(authorities.ak.der)] };
  const roots = { ...certified, ekRoots: [hex(authorities.ek.der)] };
  for (const changes of CHANGES) {
    const evidence = await paperEvidence(authorities, changes);
    const statement = { statement: encodeStatement(evidence) };
    const activation = { ak: { name: hex(nameOf(evidence.ak.pubArea)) }, ek: { pubArea: hex(evidence.ek.pubArea) } };
    const common = { challenge: hex(CHALLENGE), minTier: 'software' };
    const list = { ekAllowList: [{ pubArea: hex(evidence.ek.pubArea) }], activation };
    for (const options of [{ ...roots, activation }, certified, list, {}, { ...roots, time: { time: '2001-01-01' } }]) {
      calls.push({ call: 'attestation.verifyEvidence', args: [statement, { ...common, ...options }] });
    }
    calls.push({
      call: 'attestation.verifyEvidence',
      args: [statement, { ...common, ...roots, activation, acceptSha1: true, allowedManufacturers: ['id:00001014'] }],
    });
    const attestationKey = { pubArea: hex(evidence.ak.pubArea) };
    calls.push({
      call: 'attestation.verifyStatement',
      args: [statement, { challenge: hex(CHALLENGE), attestationKey }],
    });
  }
  return [...calls, ...(await changedEvidence(authorities, roots))];
}

/** Genuine evidence with one bit of it flipped. */
async function changedEvidence(authorities: Authorities, roots: object): Promise<Call[]> {
  const dice = new Dice(20261130);
  const calls: Call[] = [];
  for (const kinds of [{}, { keyKind: 'rsa-2048', akKind: 'rsa-2048' }] as const) {
    const evidence = await paperEvidence(authorities, kinds);
    const activation = { ak: { name: hex(nameOf(evidence.ak.pubArea)) }, ek: { pubArea: hex(evidence.ek.pubArea) } };
    const [ak, ek] = [evidence.ak.certificates?.[0], evidence.ek.certificates?.[0]] as [Uint8Array, Uint8Array];
    const change = (bytes: Uint8Array) => flipped(bytes, dice.roll(bytes.length), 1 << dice.roll(8));
    const changes: readonly (() => AttestationStatement)[] = [
      () => ({ ...evidence, pubArea: change(evidence.pubArea) }),
      () => ({ ...evidence, certInfo: change(evidence.certInfo) }),
      () => ({ ...evidence, signature: change(evidence.signature) }),
      () => ({ ...evidence, ak: { ...evidence.ak, pubArea: change(evidence.ak.pubArea) } }),
      () => ({ ...evidence, ak: { ...evidence.ak, certificates: [change(ak)] } }),
      () => ({ ...evidence, ek: { ...evidence.ek, certificates: [change(ek)] } }),
      () => ({ ...evidence, ek: { ...evidence.ek, pubArea: change(evidence.ek.pubArea) } }),
    ];
    for (const make of changes) {
      for (let round = 0; round < 12; round++) {
        const options = { ...roots, activation, challenge: hex(CHALLENGE), minTier: 'software' };
        calls.push({ call: 'attestation.verifyEvidence', args: [argumentOf(make()), options] });
      }
    }
  }
  return calls;
}

const everyFourth = (bytes: Uint8Array): number[] => [...bytes.keys()].filter((at) => at % 4 === 0);

function publishedStatements(): Call[] {
  return vectors('attestation').statements.flatMap(({ input }: { input: Record<string, string> }) => {
    const bytes = (name: string) => fromHex(input[name] ?? '');
    const ak = bytes('akPubArea');
    const { bareSignature: bare } = input;
    const signature =
      bare === undefined
        ? bytes('signature')
        : encode(TPMT_SIGNATURE, decodeBareSignature(decode(TPMT_PUBLIC, ak), fromHex(bare)));
    const [pubArea, certInfo] = [bytes('pubArea'), bytes('certInfo')];
    const verified = (changed: Partial<AttestationStatement>): Call => ({
      call: 'attestation.verifyStatement',
      args: [
        argumentOf({ version: 1, pubArea, certInfo, signature, ak: { pubArea: ak }, ...changed }),
        { challenge: hex(bytes('challenge')), attestationKey: { pubArea: hex(ak) } },
      ],
    });
    return [
      verified({}),
      ...everyFourth(signature).map((at) => verified({ signature: flipped(signature, at) })),
      ...everyFourth(certInfo).map((at) => verified({ certInfo: flipped(certInfo, at, 0x80) })),
    ];
  });
}

function webauthnCalls(): Call[] {
  const { tpm } = vectors('webauthn');
  const object = fromHex(tpm.attestationObjectHex);
  const expected = { challenge: { hex: tpm.challengeHex }, rpId: tpm.rpId, origins: [tpm.origin], minTier: 'software' };
  const verified = (attestationObject: Uint8Array, clientData: string = tpm.clientDataJSON): Call => ({
    call: 'webauthn.verifyWebauthnTpm',
    args: [{ attestationObject: hex(attestationObject), clientDataJson: hex(utf8(clientData)) }, expected],
  });
  return [
    verified(object),
    verified(object, tpm.clientDataJSON.replace('example', 'other')),
    verified(object, '{'),
    ...Array.from({ length: 150 }, (_, i) => verified(flipped(object, (i * 7) % object.length))),
  ];
}

/** Public functions whose only argument is bytes or text. */
const BYTE_READERS = [
  ...['attestation.decodePublicArea', 'attestation.parseCertificate', 'endorsement.parseEkCertificate'],
  ...['webauthn.decodeWebauthnTpm', 'webauthn.decodeTpmAttestationObject', 'webauthn.decodeAuthenticatorData'],
  ...['webauthn.decodeCoseKey', 'webauthn.findAkCertificateProblem', 'webauthn.parseWebauthnClientData'],
  ...['services.decodeSshPublicKey', 'services.decodeTpm2ToolsCredential', 'services.decodeSizedCredential'],
  ...['services.decodeAcmeIdentifier', 'tcg.decodeIdevidContent', 'tcg.parseTcgCsrIdevid'],
];
const TEXT_READERS = [
  ...['attestation.decodeActivationChallenge', 'services.decodeJwk', 'services.parseJws', 'services.parseGoQuote'],
  ...['services.decodeKeylimeBlob', 'services.decodeSshPublicKeyLine'],
  ...['services.parseAcmeDeviceAttest', 'services.parseSmallstepAttest', 'services.decodeGoAttestationCredential'],
];

async function readerCalls(): Promise<Call[]> {
  const samples = await inspectSamples();
  return samples.flatMap(({ bytes }) => [
    ...BYTE_READERS.map((call) => ({ call, args: [hex(bytes)] })),
    ...TEXT_READERS.map((call) => ({ call, args: [Buffer.from(bytes).toString('utf8')] })),
  ]);
}

async function ekCalls(authorities: Authorities): Promise<Call[]> {
  const { ek } = await paperEvidence(authorities);
  const [certificate] = ek.certificates as [Uint8Array];
  const options = { roots: [hex(authorities.ek.der)], ek: { area: hex(ek.pubArea) } };
  const verified = (der: Uint8Array): Call => ({ call: 'endorsement.verifyEkCertificate', args: [hex(der), options] });
  return [
    verified(certificate),
    verified(Buffer.concat([certificate, new Uint8Array(100)])),
    verified(
      utf8(`-----BEGIN CERTIFICATE-----\n${Buffer.from(certificate).toString('base64')}\n-----END CERTIFICATE-----`),
    ),
    ...Array.from({ length: 50 }, (_, i) => verified(flipped(certificate, (i * 11) % certificate.length))),
  ];
}

/** Every PKITS test, treated as an endorsement key certificate; only the findings about the chain matter. */
async function pkitsCalls(): Promise<Call[]> {
  const files = readdirSync(PKITS).map((file) => ({ file, der: readFileSync(join(PKITS, file)) }));
  const read = await Promise.allSettled(files.map(({ der }) => parseCertificate(der)));
  const certificates = read.flatMap((one, i) => (one.status === 'fulfilled' ? [{ ...files[i], ...one.value }] : []));
  const authorities = certificates.filter(({ file }) => !/EE\.crt$|^TrustAnchor/.test(file ?? ''));
  const roots = files.filter(({ file }) => file === 'TrustAnchorRootCertificate.crt').map(({ der }) => hex(der));
  const above = (below: Certificate, found = new Set<Certificate>()): Set<Certificate> => {
    for (const one of authorities) {
      if (!found.has(one) && isSameName(one.subject, below.issuer)) above(one, found.add(one));
    }
    return found;
  };
  return certificates
    .filter(({ file }) => /EE\.crt$/.test(file ?? ''))
    .map((certificate) => {
      const intermediates = [...above(certificate)].map(({ der }) => hex(der));
      const options = { roots, intermediates, time: { time: '2020-06-01' } };
      return { call: 'endorsement.verifyEkCertificate', args: [hex(certificate.der), options] };
    });
}
