import { beforeAll, describe, expect, it } from 'vitest';
import { encodeBareSignature } from '../../../../src/attestation/signature.ts';
import { type Bytes, concat, copy, fromHex } from '../../../../src/bytes.ts';
import { encodeSpki } from '../../../../src/crypto/public-key.ts';
import { COSE_ALG, encodeCoseKey } from '../../../../src/formats/webauthn/cose-key.ts';
import { type VerifyWebauthnOptions, verifyWebauthnTpm } from '../../../../src/formats/webauthn/verify-webauthn.ts';
import {
  type AuthenticatorData,
  computeRpIdHash,
  encodeAaguid,
  encodeAuthenticatorData,
  WINDOWS_HELLO_AAGUID,
} from '../../../../src/formats/webauthn/webauthn-authenticator-data.ts';
import {
  buildWebauthnClientData,
  type WebauthnClientData,
} from '../../../../src/formats/webauthn/webauthn-client-data.ts';
import type { WebauthnRegistration } from '../../../../src/formats/webauthn/webauthn-registration.ts';
import {
  buildWebauthnTpm,
  computeWebauthnExtraData,
  decodeWebauthnTpm,
  encodeWebauthnTpm,
} from '../../../../src/formats/webauthn/webauthn-tpm.ts';
import { decode } from '../../../../src/tpm/codec/index.ts';
import { publicKeyOf } from '../../../../src/tpm/public-key.ts';
import { TPMT_SIGNATURE } from '../../../../src/tpm/structures/algorithm.ts';
import { TPMT_PUBLIC } from '../../../../src/tpm/structures/object.ts';
import {
  AK_CERTIFICATE,
  buildCommonName,
  type CertificateSpec,
  issue,
  issueAuthority,
  type TestCertificate,
} from '../../../certificates.ts';
import { refusal } from '../../../refusal.ts';
import { paperStatement } from '../../attestation/paper-tpm.ts';

const AAGUID = encodeAaguid(WINDOWS_HELLO_AAGUID);
const CHALLENGE = fromHex('c0ffee');
const RP_ID = 'login.example';
const ORIGIN = 'https://login.example';
/** The extension that names an aaguid, which is an OCTET STRING in it. */
const aaguidExtension = (aaguid: Uint8Array, critical = false) =>
  ['1.3.6.1.4.1.45724.1.1.4', critical, concat(fromHex('0410'), aaguid)] as const;

let root: TestCertificate;
beforeAll(async () => {
  root = await issueAuthority('attestation CA');
});

/** A registration whose credential key has this alg, or none, as no builder of keyprov makes it. */
async function registerAs(algorithm: number | undefined): Promise<WebauthnRegistration> {
  const head = await register();
  const { authData } = head.context;
  const at = authData.length - encodeCoseKey({ publicKey: head.publicKey, algorithm: -7 }).length;
  const key = encodeCoseKey({ publicKey: head.publicKey, ...(algorithm !== undefined && { algorithm }) });
  const context = { ...head.context, authData: concat(authData.subarray(0, at), key) };
  const extraData = computeWebauthnExtraData(context);
  const { signature, certInfo } = paperStatement('p-256', 'rsa-2048', {
    certInfo: (attest) => ({ ...attest, extraData }),
  });
  const ak = { ...head.statement.ak, certificates: [head.own] };
  expect(refusal(() => buildWebauthnTpm({ ...head.statement, certInfo, signature, ak }, context))).toMatch(
    /: the credential key /,
  );
  const object = decodeWebauthnTpm(head.attestationObject);
  const bare = encodeBareSignature(decode(TPMT_SIGNATURE, signature));
  const attestationObject = encodeWebauthnTpm({ ...object, authData: context.authData, certInfo, signature: bare });
  return { attestationObject, clientDataJson: context.clientDataJson };
}

interface Changes {
  readonly certificate?: CertificateSpec;
  readonly authData?: Partial<AuthenticatorData>;
  readonly clientData?: Partial<WebauthnClientData>;
}

/** A registration by a paper TPM. */
async function register({ certificate, authData, clientData }: Changes = {}) {
  const { pubArea, ak } = paperStatement('p-256', 'rsa-2048');
  const key = { publicKey: publicKeyOf(decode(TPMT_PUBLIC, pubArea)), algorithm: -7 };
  const data = encodeAuthenticatorData({
    rpIdHash: computeRpIdHash(RP_ID),
    ...{ userPresent: true, userVerified: true, backupEligible: false, backedUp: false, signCount: 0 },
    credential: { aaguid: AAGUID, credentialId: fromHex('0102'), key },
    ...authData,
  });
  const parts = { type: 'webauthn.create', challenge: CHALLENGE, origin: ORIGIN, crossOrigin: false } as const;
  const clientDataJson = buildWebauthnClientData({ ...parts, ...clientData });
  const context = { authData: data, clientDataJson };
  const extraData = computeWebauthnExtraData(context);
  const statement = paperStatement('p-256', 'rsa-2048', { certInfo: (attest) => ({ ...attest, extraData }) });
  const akKey = encodeSpki(publicKeyOf(decode(TPMT_PUBLIC, ak.pubArea)));
  const good = await issue({ ...AK_CERTIFICATE, spki: akKey }, root);
  const object = decodeWebauthnTpm(
    buildWebauthnTpm({ ...statement, ak: { ...statement.ak, certificates: [good.der] } }, context),
  );
  const own = certificate === undefined ? good : await issue({ ...AK_CERTIFICATE, spki: akKey, ...certificate }, root);
  const attestationObject = encodeWebauthnTpm({ ...object, certificates: [own.der] });
  return { attestationObject, clientDataJson, statement, context, own: own.der, publicKey: key.publicKey };
}

const failures = async (registration: WebauthnRegistration, options: Partial<VerifyWebauthnOptions> = {}) => {
  const common = { challenge: CHALLENGE, rpId: RP_ID, origins: [ORIGIN], akRoots: [root.der] };
  const result = await verifyWebauthnTpm(registration, { ...common, minTier: 'ek-certificate', ...options });
  const failed = result.findings.filter(({ status }) => status === 'fail').map(({ id }) => id);
  expect(result.ok).toBe(failed.length === 0);
  return failed;
};

describe('verifyWebauthnTpm', () => {
  it('accepts a registration, and returns the credential', async () => {
    const registration = await register();
    const result = await verifyWebauthnTpm(registration, {
      ...{ challenge: CHALLENGE, rpId: RP_ID, origins: ['https://other.example', ORIGIN], akRoots: [root.der] },
      minTier: 'ek-certificate',
    });
    expect(result).toMatchObject({ ok: true, tier: 'ek-certificate', credential: { credentialId: fromHex('0102') } });
    expect(await failures(registration, { akPubArea: registration.statement.ak.pubArea })).toEqual([]);
    await expect(failures(registration, Object({ requireUserVerifcation: true }))).rejects.toThrow(/'requireUserVerif/);
  });

  it.each<[string, Changes, Partial<VerifyWebauthnOptions>, string[]]>([
    ['of a sign-in', { clientData: { type: 'webauthn.get' } }, {}, ['webauthn/type']],
    ['for another challenge', {}, { challenge: fromHex('c0ffef') }, ['webauthn/challenge']],
    ['from another origin', {}, { origins: ['https://login.example:8443'] }, ['webauthn/origin']],
    ['from a frame', { clientData: { crossOrigin: true } }, {}, ['webauthn/origin']],
    ['from a frame that is taken', { clientData: { crossOrigin: true } }, { acceptCrossOrigin: true }, []],
    ['for another relying party', {}, { rpId: 'example' }, ['webauthn/rp-id']],
    ['without the user', { authData: { userPresent: false } }, {}, ['webauthn/user']],
    ['without verification of the user', { authData: { userVerified: false } }, {}, ['webauthn/user']],
    [
      'without verification that is not wanted',
      { authData: { userVerified: false } },
      { requireUserVerification: false },
      [],
    ],
    ['that is backed up and cannot be', { authData: { backedUp: true } }, {}, ['webauthn/backup']],
    ['under no root', {}, { akRoots: [] }, ['trust', 'ak-trusted', 'tier']],
    ['with the aaguid', { certificate: { extensions: [aaguidExtension(AAGUID)] } }, {}, []],
    [
      'with another aaguid',
      { certificate: { extensions: [aaguidExtension(new Uint8Array(16))] } },
      {},
      ['webauthn/aaguid'],
    ],
    [
      'with a critical aaguid',
      { certificate: { extensions: [aaguidExtension(AAGUID, true)] } },
      {},
      ['webauthn/aaguid', 'ak-chain/critical-extensions', 'ak-trusted', 'tier'],
    ],
    [
      'whose certificate has a subject',
      { certificate: { subject: buildCommonName('ak') } },
      {},
      ['webauthn/ak-certificate'],
    ],
    [
      'whose certificate has names that are not critical',
      { certificate: { namesCritical: false } },
      {},
      ['webauthn/ak-certificate'],
    ],
    [
      'whose certificate names a maker only',
      { certificate: { names: [{ directory: [[['2.23.133.2.1', 'id:53544D20']]] }] } },
      {},
      ['webauthn/ak-certificate'],
    ],
    [
      'whose certificate names two makers',
      {
        certificate: {
          names: [...(AK_CERTIFICATE.names ?? []), { directory: [[['2.23.133.2.1', 'id:53544D20']]] }],
        },
      },
      {},
      ['webauthn/ak-certificate'],
    ],
    [
      'whose certificate has no alternative names',
      { certificate: { names: undefined as never } },
      {},
      ['webauthn/ak-certificate', 'ak-manufacturer', 'ak-trusted', 'tier'],
    ],
    [
      'whose certificate has another purpose',
      { certificate: { purposes: ['2.23.133.8.1'] } },
      {},
      ['webauthn/ak-certificate', 'ak-chain/extended-key-usage', 'ak-trusted', 'tier'],
    ],
    [
      'whose certificate has no basic constraints',
      { certificate: { ca: undefined as never } },
      {},
      ['webauthn/ak-certificate'],
    ],
    [
      'whose certificate is of an authority',
      { certificate: { ca: true } },
      {},
      ['webauthn/ak-certificate', 'ak-chain/end-entity', 'ak-trusted', 'tier'],
    ],
  ])('gives the expected result for a registration %s', async (_, changes, options, expected) => {
    expect(await failures(await register(changes), options)).toEqual(expected);
  });

  it('refuses a certificate of another key, and a known attestation key that differs from the certificate', async () => {
    const registration = await register();
    const object = decodeWebauthnTpm(registration.attestationObject);
    const { der } = await issue(AK_CERTIFICATE, root);
    const attestationObject = encodeWebauthnTpm({ ...object, certificates: [der] });
    expect(await failures({ ...registration, attestationObject })).toEqual(['webauthn/ak-key']);
    const other = paperStatement('p-256', 'p-256').ak.pubArea;
    expect(await failures(registration, { akPubArea: other })).toEqual(['webauthn/ak-key']);
  });

  it.each([-7, -37, -65535, -8, 0])('refuses alg %d, which does not match the signature', async (algorithm) => {
    const registration = await register();
    const object = decodeWebauthnTpm(registration.attestationObject);
    const attestationObject = encodeWebauthnTpm({ ...object, algorithm });
    expect((await failures({ ...registration, attestationObject })).length).toBeGreaterThan(0);
  });

  it.each([undefined, -257, -8, -35, -65535])('refuses a P-256 credential key with alg %s', async (algorithm) => {
    expect(await failures(await registerAs(algorithm))).toEqual(['webauthn/algorithm']);
    const { publicKey } = await register();
    const key = { publicKey, ...(algorithm !== undefined && { algorithm }) };
    await expect(
      register({ authData: { credential: { aaguid: AAGUID, credentialId: CHALLENGE, key } } }),
    ).rejects.toThrow(/^the credential key (has no alg|cannot be used with alg -\d+)$/);
  });

  it('refuses a credential key whose alg the relying party does not allow', async () => {
    const registration = await register();
    expect(await failures(registration, { algorithms: [COSE_ALG.RS256, COSE_ALG.ES256] })).toEqual([]);
    for (const algorithms of [[], [COSE_ALG.RS256], [COSE_ALG.RS256, COSE_ALG.ES384]]) {
      expect(await failures(registration, { algorithms })).toEqual(['webauthn/algorithm']);
    }
    const options = { challenge: CHALLENGE, rpId: RP_ID, origins: [ORIGIN], minTier: 'virtual' } as const;
    const { findings } = await verifyWebauthnTpm(registration, { ...options, algorithms: [COSE_ALG.RS256] });
    expect(findings.find(({ id }) => id === 'webauthn/algorithm')?.detail).toBe(
      "the credential key's alg -7 is not allowed; allowed: -257",
    );
  });

  it('refuses every changed byte without an error', async () => {
    const registration = await register();
    const change = (bytes: Uint8Array, at: number): Bytes => {
      const changed = copy(bytes);
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      return changed;
    };
    const { attestationObject, clientDataJson } = registration;
    for (let at = 0; at < attestationObject.length; at += 5) {
      const failed = await failures({ clientDataJson, attestationObject: change(attestationObject, at) });
      expect([at, failed.length > 0]).toEqual([at, true]);
    }
    for (let at = 0; at < clientDataJson.length; at += 5) {
      const failed = await failures({ attestationObject, clientDataJson: change(clientDataJson, at) });
      expect([at, failed.length > 0]).toEqual([at, true]);
    }
  });
});

describe('buildWebauthnTpm', () => {
  it.each<[string, CertificateSpec, RegExp]>([
    ['has a subject', { subject: buildCommonName('ak') }, /it has a subject/],
    ['names another aaguid', { extensions: [aaguidExtension(new Uint8Array(16))] }, /its aaguid extension is not/],
    ['is of an authority', { ca: true }, /it is a CA certificate/],
  ])('makes no object with a certificate that %s', async (_, certificate, problem) => {
    const { statement, context, own } = await register({ certificate });
    const given = { ...statement, ak: { ...statement.ak, certificates: [own] } };
    expect(refusal(() => buildWebauthnTpm(given, context))).toMatch(problem);
  });
});
