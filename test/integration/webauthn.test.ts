import { X509Certificate } from 'node:crypto';
import { SettingsService, verifyRegistrationResponse } from '@simplewebauthn/server';
import { Fido2Lib } from 'fido2-lib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAttestationKey } from '../../src/attestation/attestation-key.ts';
import { attestKey } from '../../src/attestation/certify.ts';
import { type AttestationStatement, verifyStatement } from '../../src/attestation/index.ts';
import { type Bytes, concat, copy, fromHex, toBase64, toBase64Url, toHex, utf8 } from '../../src/bytes.ts';
import { encodePem } from '../../src/crypto/pem.ts';
import { encodeSpki } from '../../src/crypto/public-key.ts';
import { COSE_ALG } from '../../src/formats/webauthn/cose-key.ts';
import { verifyWebauthnTpm } from '../../src/formats/webauthn/verify-webauthn.ts';
import {
  computeRpIdHash,
  encodeAaguid,
  encodeAuthenticatorData,
  WINDOWS_HELLO_AAGUID,
} from '../../src/formats/webauthn/webauthn-authenticator-data.ts';
import { buildWebauthnClientData } from '../../src/formats/webauthn/webauthn-client-data.ts';
import {
  buildWebauthnTpm,
  computeWebauthnExtraData,
  decodeWebauthnTpm,
  encodeWebauthnTpm,
  statementFromWebauthnTpm,
} from '../../src/formats/webauthn/webauthn-tpm.ts';
import { decode } from '../../src/tpm/codec/index.ts';
import { CreatePrimary } from '../../src/tpm/commands/hierarchy.ts';
import { TPM_RH } from '../../src/tpm/constants.ts';
import { publicKeyOf } from '../../src/tpm/public-key.ts';
import { TPMT_PUBLIC } from '../../src/tpm/structures/object.ts';
import { userKeyTemplate } from '../../src/tpm/templates.ts';
import type { Tpm } from '../../src/tpm/tpm.ts';
import { buildCommonName, type CertificateSpec, issue, issueAuthority, type TestCertificate } from '../certificates.ts';
import { PYTHON, pythonLacks, RUBY, rubyLacks } from '../programs.ts';
import { LineChild } from './support/line-child.ts';
import { newTpm, tpmMissing } from './support/new-tpm.ts';

const RP_ID = 'login.example';
const ORIGIN = 'https://login.example';
const CHALLENGE = utf8('the challenge of the relying party');
const EMPTY = new Uint8Array(0);

/** A registration as a relying party receives it, with the expected values. */
interface Registration {
  readonly credentialId: Bytes;
  readonly clientDataJson: Bytes;
  readonly attestationObject: Bytes;
  readonly challenge: Bytes;
  readonly origin: string;
  readonly authority: TestCertificate;
}

/** Returns the id of the credential in hexadecimal, or throws. */
type Verifier = (registration: Registration, algorithms?: readonly number[]) => Promise<string>;

const simpleWebauthn: Verifier = async (registration, algorithms) => {
  const { credentialId, clientDataJson, attestationObject, ...expected } = registration;
  SettingsService.setRootCertificates({
    identifier: 'tpm',
    certificates: [encodePem('CERTIFICATE', expected.authority.der)],
  });
  const id = toBase64Url(credentialId);
  const { verified, registrationInfo } = await verifyRegistrationResponse({
    response: {
      id,
      rawId: id,
      type: 'public-key',
      clientExtensionResults: {},
      response: {
        clientDataJSON: toBase64Url(clientDataJson),
        attestationObject: toBase64Url(attestationObject),
      },
    },
    expectedChallenge: toBase64Url(expected.challenge),
    expectedOrigin: expected.origin,
    expectedRPID: RP_ID,
    requireUserVerification: true,
    ...(algorithms && { supportedAlgorithmIDs: [...algorithms] }),
  });
  if (!verified) throw new Error('not verified');
  expect(registrationInfo.fmt).toBe('tpm');
  return toHex(Buffer.from(registrationInfo.credential.id, 'base64url'));
};

const fido2Lib: Verifier = async ({ credentialId, clientDataJson, attestationObject, ...expected }) => {
  const result = await new Fido2Lib().attestationResult(
    {
      rawId: copy(credentialId).buffer,
      response: { clientDataJSON: toBase64Url(clientDataJson), attestationObject: toBase64Url(attestationObject) },
    },
    { rpId: RP_ID, origin: expected.origin, challenge: toBase64Url(expected.challenge), factor: 'first' },
  );
  expect(result.authnrData.get('fmt')).toBe('tpm');
  // It leaves the path of the certificates to its caller.
  const [akCertificate = EMPTY] = decodeWebauthnTpm(attestationObject).certificates;
  const authorityKey = new X509Certificate(expected.authority.der).publicKey;
  if (!new X509Certificate(akCertificate).verify(authorityKey)) throw new Error('another authority');
  return toHex(new Uint8Array(result.authnrData.get('credId')));
};

const keyprov: Verifier = async ({ credentialId: _, clientDataJson, attestationObject, ...expected }, algorithms) => {
  const result = await verifyWebauthnTpm(
    { clientDataJson, attestationObject },
    {
      ...{ challenge: expected.challenge, rpId: RP_ID, origins: [expected.origin], akRoots: [expected.authority.der] },
      minTier: 'virtual',
      algorithms,
    },
  );
  if (result.ok) return toHex(result.credential.credentialId);
  throw new Error(result.findings.flatMap(({ id, status }) => (status === 'fail' ? [id] : [])).join());
};

const children = new Map<string, LineChild>();
const notInstalled = new Set<string>();

/** A verifier in another language. `missing`: why it must be skipped. */
function inAChild(name: string, command: string, missing: string | undefined, script: string): Verifier {
  if (missing !== undefined) notInstalled.add(name);
  return async ({ credentialId: _, authority, origin, ...binary }) => {
    let child = children.get(name);
    if (child === undefined) {
      child = new LineChild(command, [`test/integration/children/${script}`]);
      children.set(name, child);
    }
    const inBase64 = Object.fromEntries(Object.entries(binary).map(([name, bytes]) => [name, toBase64(bytes)]));
    const [answer] = await child.ask([{ rpId: RP_ID, origin, authority: toBase64(authority.der), ...inBase64 }]);
    const { credentialId, refused } = answer as { credentialId?: string; refused?: string };
    if (credentialId === undefined) throw new Error(refused);
    return credentialId;
  };
}

const VERIFIERS = {
  keyprov,
  '@simplewebauthn/server': simpleWebauthn,
  'fido2-lib': fido2Lib,
  'python3-fido2': inAChild('python3-fido2', PYTHON, pythonLacks('fido2.server'), 'webauthn_fido2.py'),
  'ruby-webauthn': inAChild('ruby-webauthn', RUBY, rubyLacks('webauthn'), 'webauthn_ruby.rb'),
};
type VerifierName = keyof typeof VERIFIERS;

/**
 * The keys that each accepts: fido2-lib 3.5.9, python3-fido2 0.9.1 and ruby-webauthn 2.5.2 read no public areas of ECC
 * keys.
 */
const TAKES: Readonly<Record<VerifierName, readonly KeyKind[]>> = {
  keyprov: ['rsa-2048', 'p-256'],
  '@simplewebauthn/server': ['rsa-2048', 'p-256'],
  'fido2-lib': ['rsa-2048'],
  'python3-fido2': ['rsa-2048'],
  'ruby-webauthn': ['rsa-2048'],
};
type KeyKind = 'rsa-2048' | 'p-256';

/** SAN of an attestation key certificate in three relative names. TCG EK Credential Profile, 3.2.9. */
const tpmName = (manufacturer: string) => ({
  directory: [
    [['2.23.133.2.1', manufacturer]],
    [['2.23.133.2.2', 'virtual']],
    [['2.23.133.2.3', 'id:20230001']],
  ] as const,
});

/** An AAGUID is in an OCTET STRING in the extension. */
const aaguidExtension = (aaguid: string) =>
  ['1.3.6.1.4.1.45724.1.1.4', false, concat(fromHex('0410'), encodeAaguid(aaguid))] as const;

/** The same with one bit changed in a part of the attestation object. */
const flipped =
  (part: 'signature' | 'certInfo' | 'pubArea', at: number, mask = 1) =>
  (registration: Registration): Registration => {
    const object = decodeWebauthnTpm(registration.attestationObject);
    const bytes = copy(object[part]);
    const index = at < 0 ? bytes.length + at : at;
    bytes[index] = (bytes[index] ?? 0) ^ mask;
    return { ...registration, attestationObject: encodeWebauthnTpm({ ...object, [part]: bytes }) };
  };

/** Changed registrations, and each verifier's result. */
const CHANGES: readonly {
  readonly of: string;
  readonly make: (registration: Registration) => Registration;
  readonly refused: Readonly<Record<VerifierName, RegExp>>;
}[] = [
  {
    of: 'another bit in the signature',
    make: flipped('signature', -1),
    refused: {
      keyprov: /^signature,tier$/,
      '@simplewebauthn/server': /^not verified$/,
      'fido2-lib': /^TPM attestation signature verification failed$/,
      'python3-fido2': /^InvalidSignature: signature of certInfo does not match$/,
      'ruby-webauthn': /^WebAuthn::AttestationStatementVerificationError$/,
    },
  },
  {
    of: 'another bit in the firmware version in certInfo',
    make: flipped('certInfo', -73),
    refused: {
      keyprov: /^signature,tier$/,
      '@simplewebauthn/server': /^not verified$/,
      'fido2-lib': /^TPM attestation signature verification failed$/,
      'python3-fido2': /^InvalidSignature: signature of certInfo does not match$/,
      'ruby-webauthn': /^WebAuthn::AttestationStatementVerificationError$/,
    },
  },
  {
    of: 'another bit in the extraData in certInfo',
    make: flipped('certInfo', 44),
    refused: {
      keyprov: /^challenge,signature,tier$/,
      '@simplewebauthn/server': /^CertInfo extra data did not equal hashed attestation \(TPM\)$/,
      'fido2-lib': /extraData/,
      'python3-fido2': /^InvalidSignature: attestation does not sign for authData and ClientData$/,
      'ruby-webauthn': /^WebAuthn::AttestationStatementVerificationError$/,
    },
  },
  {
    of: 'another attribute (noDA) in pubArea',
    make: flipped('pubArea', 6, 4),
    refused: {
      keyprov: /^name,tier$/,
      '@simplewebauthn/server': /^Attested name comparison failed \(TPM\)$/,
      'fido2-lib': /^pubAreaName hash did not match hash of publicArea$/,
      'python3-fido2': /^InvalidData: TPMS_CERTIFY_INFO does not include a valid name for pubArea$/,
      'ruby-webauthn': /^WebAuthn::AttestationStatementVerificationError$/,
    },
  },
  {
    of: 'another bit in the key in pubArea',
    make: flipped('pubArea', -1),
    refused: {
      keyprov: /^webauthn.structures$/,
      '@simplewebauthn/server': /^PubArea unique is not same as /,
      'fido2-lib': /^tpm attestation: RSA 'n' of WebAuthn credentialPublicKey and TPM publicArea did not match$/,
      'python3-fido2': /^InvalidSignature: attestation pubArea does not match attestedCredentialData$/,
      'ruby-webauthn': /^WebAuthn::AttestationStatementVerificationError$/,
    },
  },
  {
    of: 'another challenge',
    make: (registration) => ({ ...registration, challenge: utf8('another challenge') }),
    refused: {
      keyprov: /^webauthn.challenge$/,
      '@simplewebauthn/server': /^Unexpected registration response challenge /,
      'fido2-lib': /^clientData challenge mismatch$/,
      'python3-fido2': /^ValueError: Wrong challenge in response\.$/,
      'ruby-webauthn': /^WebAuthn::ChallengeVerificationError$/,
    },
  },
  {
    of: 'another origin',
    make: (registration) => ({ ...registration, origin: 'https://evil.example' }),
    refused: {
      keyprov: /^webauthn.origin$/,
      '@simplewebauthn/server': /^Unexpected registration response origin /,
      'fido2-lib': /^clientData origin did not match expected origin$/,
      'python3-fido2': /^ValueError: Invalid origin in ClientData\.$/,
      'ruby-webauthn': /^WebAuthn::OriginVerificationError$/,
    },
  },
  {
    of: 'another authority of the same name',
    make: (registration) => ({ ...registration, authority: otherAuthority }),
    refused: {
      keyprov: /^ak-chain.path,ak-trusted,tier$/,
      '@simplewebauthn/server': /^x5c could not be chained to any specified trust anchor \(TPM\)$/,
      'fido2-lib': /^another authority$/,
      'python3-fido2': /^UntrustedAttestation: /,
      'ruby-webauthn': /^WebAuthn::AttestationStatementVerificationError$/,
    },
  },
];

/** Other certificates of the attestation key, and who refuses them. */
const CERTIFICATES: readonly {
  readonly that: string;
  readonly spec: CertificateSpec;
  readonly refuse: readonly VerifierName[];
}[] = [
  { that: 'names the aaguid', spec: { extensions: [aaguidExtension(WINDOWS_HELLO_AAGUID)] }, refuse: [] },
  {
    that: 'names another aaguid',
    spec: { extensions: [aaguidExtension('00000000-0000-0000-0000-000000000000')] },
    refuse: ['keyprov', '@simplewebauthn/server', 'fido2-lib', 'ruby-webauthn'],
  },
  {
    that: 'has a subject',
    spec: { subject: buildCommonName('attestation key') },
    refuse: ['keyprov', '@simplewebauthn/server', 'fido2-lib', 'ruby-webauthn'],
  },
  {
    that: 'has another purpose',
    spec: { purposes: ['2.23.133.8.1'] },
    refuse: ['keyprov', '@simplewebauthn/server', 'fido2-lib', 'python3-fido2', 'ruby-webauthn'],
  },
  {
    that: 'is of an authority',
    spec: { ca: true },
    refuse: ['keyprov', '@simplewebauthn/server', 'fido2-lib', 'python3-fido2', 'ruby-webauthn'],
  },
];

let otherAuthority: TestCertificate;
const missing = await tpmMissing();

describe.skipIf(missing !== undefined)('WebAuthn objects of a TPM', () => {
  let tpm: Tpm;
  let authority: TestCertificate;
  const made = new Map<string, { registration: Registration; statement: AttestationStatement }>();
  const of = (key: KeyKind, ak: KeyKind) => made.get(`${key} ${ak}`) ?? expect.unreachable(`${key} ${ak}`);

  beforeAll(async () => {
    tpm = await newTpm();
    authority = await issueAuthority('Attestation CA');
    otherAuthority = await issueAuthority('Attestation CA');
    for (const akKind of ['rsa-2048', 'p-256'] as const) {
      await using ak = await createAttestationKey(tpm, { algorithm: akKind });
      const { der } = await issue(
        {
          spki: encodeSpki(publicKeyOf(ak.publicArea)),
          ca: false,
          purposes: ['2.23.133.8.3'],
          names: [tpmName(akKind === 'p-256' ? 'id:53544D20' : 'id:49424D00')],
          namesCritical: true,
        },
        authority,
      );
      for (const kind of ['rsa-2048', 'p-256'] as const) {
        const { objectHandle, outPublic } = await tpm.run(CreatePrimary, {
          primaryHandle: TPM_RH.OWNER,
          inSensitive: { userAuth: EMPTY, data: EMPTY },
          inPublic: userKeyTemplate(kind),
          outsideInfo: EMPTY,
          creationPCR: [],
        });
        const credentialId = fromHex(kind === 'p-256' ? 'c0ffee01' : 'c0ffee02');
        const authData = encodeAuthenticatorData({
          rpIdHash: computeRpIdHash(RP_ID),
          ...{ userPresent: true, userVerified: true, backupEligible: false, backedUp: false, signCount: 0 },
          credential: {
            aaguid: encodeAaguid(WINDOWS_HELLO_AAGUID),
            credentialId,
            key: {
              publicKey: publicKeyOf(outPublic),
              algorithm: kind === 'p-256' ? COSE_ALG.ES256 : COSE_ALG.RS256,
            },
          },
        });
        const clientDataJson = buildWebauthnClientData({
          type: 'webauthn.create',
          challenge: CHALLENGE,
          origin: ORIGIN,
          crossOrigin: false,
        });
        const context = { authData, clientDataJson };
        const challenge = computeWebauthnExtraData(context);
        const statement = await attestKey(tpm, { key: objectHandle, ak, challenge, akCertificates: [der] });
        await objectHandle.flush();
        const attestationObject = buildWebauthnTpm(statement, context);
        const expected = { challenge: CHALLENGE, origin: ORIGIN, authority };
        made.set(`${kind} ${akKind}`, {
          registration: { credentialId, clientDataJson, attestationObject, ...expected },
          statement,
        });
      }
    }
  });
  afterAll(async () => {
    await tpm?.close();
    for (const child of children.values()) await child[Symbol.asyncDispose]();
  });

  const kinds = ['rsa-2048', 'p-256'] as const;

  it.each(kinds.flatMap((key) => kinds.map((ak) => [key, ak] as const)))(
    'for a %s key certified with %s are read again as the statement that was made',
    (key, ak) => {
      const { registration, statement } = of(key, ak);
      const object = decodeWebauthnTpm(registration.attestationObject);
      const again = statementFromWebauthnTpm(object, statement.ak.pubArea);
      expect(again).toEqual(statement);
      const challenge = computeWebauthnExtraData({ ...registration, authData: object.authData });
      expect(verifyStatement(again, { challenge, attestationKey: { pubArea: statement.ak.pubArea } }).ok).toBe(true);
    },
  );

  it.each([
    [keyprov, /^webauthn\/algorithm$/],
    [simpleWebauthn, /^Unexpected public key alg "-\d+", expected one of/],
  ])('are accepted only with an alg that the relying party allows: %o', async (verify, refused) => {
    const { ES256, RS256 } = COSE_ALG;
    for (const [key, own, other] of [
      ['rsa-2048', RS256, ES256],
      ['p-256', ES256, RS256],
    ] as const) {
      const { registration } = of(key, 'rsa-2048');
      const id = toHex(registration.credentialId);
      expect(await verify(registration, [own])).toBe(id);
      expect(await verify(registration, [other, own])).toBe(id);
      await expect(verify(registration, [other])).rejects.toThrow(refused);
    }
  });

  for (const name of Object.keys(VERIFIERS) as VerifierName[]) {
    const verify = VERIFIERS[name];
    const cases = TAKES[name].flatMap((key) => kinds.map((ak) => [key, ak] as const));

    describe.skipIf(notInstalled.has(name))(name, () => {
      it.each(cases)('accepts one for a %s key, certified with %s', async (key, ak) => {
        const { registration } = of(key, ak);
        expect(await verify(registration)).toBe(toHex(registration.credentialId));
      });

      it.each(CERTIFICATES.map((one) => [one.that, one] as const))(
        'gives the expected result for one whose certificate %s',
        async (_, { spec, refuse }) => {
          const { registration, statement } = of('rsa-2048', 'rsa-2048');
          const spki = encodeSpki(publicKeyOf(decode(TPMT_PUBLIC, statement.ak.pubArea)));
          const names = [tpmName('id:53544D20')];
          const usual = { spki, ca: false, purposes: ['2.23.133.8.3'], names, namesCritical: true };
          const { der } = await issue({ ...usual, ...spec }, authority);
          const object = decodeWebauthnTpm(registration.attestationObject);
          const attestationObject = encodeWebauthnTpm({ ...object, certificates: [der] });
          const outcome = await verify({ ...registration, attestationObject }).then(
            () => 'taken',
            () => 'refused',
          );
          expect(outcome).toBe(refuse.includes(name) ? 'refused' : 'taken');
        },
      );

      it.each(cases.flatMap(([key, ak]) => CHANGES.map((change) => [key, ak, change.of, change] as const)))(
        'refuses one for a %s key, certified with %s, with %s',
        async (key, ak, _, { make, refused }) => {
          const { registration } = of(key, ak);
          await expect(verify(make(registration))).rejects.toThrow(refused[name]);
        },
      );
    });
  }
});
