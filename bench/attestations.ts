import { randomBytes, webcrypto } from 'node:crypto';
import type { AttestationStatement } from '../src/attestation/index.ts';
import { toBase64Url } from '../src/bytes.ts';
import { encodePem } from '../src/crypto/pem.ts';
import { encodeSpki } from '../src/crypto/public-key.ts';
import { COSE_ALG } from '../src/formats/webauthn/cose-key.ts';
import { computeRpIdHash, encodeAuthenticatorData } from '../src/formats/webauthn/webauthn-authenticator-data.ts';
import { buildWebauthnClientData } from '../src/formats/webauthn/webauthn-client-data.ts';
import { buildWebauthnTpm, computeWebauthnExtraData } from '../src/formats/webauthn/webauthn-tpm.ts';
import { publicKeyOf } from '../src/tpm/public-key.ts';
import { akTemplate, userKeyTemplate } from '../src/tpm/templates.ts';
import { AK_CERTIFICATE, issue, issueAuthority } from '../test/certificates.ts';
import { paperKey, paperStatement } from '../test/unit/attestation/paper-tpm.ts';

const RP_ID = 'login.example';
const ORIGIN = 'https://login.example';

/** An attestation in the forms that verifiers accept: WebAuthn's, and a statement. */
interface Attestation {
  readonly object: Uint8Array;
  readonly statement: AttestationStatement;
  /** The challenge for `verifyEvidence`. */
  readonly extraData: Uint8Array;
  /** For @simplewebauthn/server. */
  readonly registration: {
    readonly response: {
      readonly id: string;
      readonly rawId: string;
      readonly type: 'public-key';
      readonly clientExtensionResults: Record<string, never>;
      readonly response: { readonly clientDataJSON: string; readonly attestationObject: string };
    };
    readonly expectedChallenge: string;
    readonly expectedOrigin: string;
    readonly expectedRPID: string;
  };
}

/** Attestations, and the verifier's trust anchors. */
export interface Attestations {
  readonly list: readonly Attestation[];
  readonly pubArea: Uint8Array;
  /** In DER, and in PEM. */
  readonly root: { readonly der: Uint8Array; readonly pem: string };
}

/**
 * Makes attestations of an RSA-2048 key by an RSA-2048 attestation key. Each has a different challenge and leaf certificate;
 * root, intermediate and leaf use RSA-2048.
 */
export async function makeAttestations(count: number): Promise<Attestations> {
  const root = await issueAuthority('root', undefined, { keys: await rsaKeys() });
  const authority = await issueAuthority('attestation CA', root, { keys: await rsaKeys() });
  const spki = encodeSpki(publicKeyOf(paperKey(akTemplate('rsa-2048'), 'ak').area));
  const { pubArea } = paperStatement('rsa-2048', 'rsa-2048').ak;
  const list: Attestation[] = [];
  for (let made = 0; made < count; made++) {
    const leaf = await issue({ ...AK_CERTIFICATE, spki }, authority);
    list.push(attestationWith([leaf.der, authority.der]));
  }
  return { list, pubArea, root: { der: root.der, pem: encodePem('CERTIFICATE', root.der) } };
}

const rsaKeys = () =>
  webcrypto.subtle.generateKey(
    {
      ...{ name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
      ...{ modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1) },
    },
    true,
    ['sign', 'verify'],
  );

function attestationWith(certificates: readonly Uint8Array[]): Attestation {
  const [challenge, credentialId] = [new Uint8Array(randomBytes(32)), new Uint8Array(randomBytes(32))];
  const clientDataJson = buildWebauthnClientData({
    ...{ type: 'webauthn.create', challenge, origin: ORIGIN, crossOrigin: false },
  });
  const publicKey = publicKeyOf(paperKey(userKeyTemplate('rsa-2048'), 'user').area);
  const authData = encodeAuthenticatorData({
    ...{ rpIdHash: computeRpIdHash(RP_ID), userPresent: true, userVerified: true, backupEligible: false },
    ...{ backedUp: false, signCount: 0 },
    credential: { aaguid: new Uint8Array(16), credentialId, key: { publicKey, algorithm: COSE_ALG.RS256 } },
  });
  const extraData = computeWebauthnExtraData({ authData, clientDataJson });
  const change = { certInfo: (attest: object) => ({ ...attest, extraData }) as never };
  const { creation: _, akCreation: __, ...made } = paperStatement('rsa-2048', 'rsa-2048', change);
  const statement = { ...made, ak: { ...made.ak, certificates } };
  const object = buildWebauthnTpm(statement, { authData, clientDataJson });
  const [id, clientDataJSON] = [toBase64Url(credentialId), toBase64Url(clientDataJson)];
  const response = { clientDataJSON, attestationObject: toBase64Url(object) };
  return {
    ...{ object, statement, extraData },
    registration: {
      response: { id, rawId: id, type: 'public-key', clientExtensionResults: {}, response },
      expectedChallenge: toBase64Url(challenge),
      expectedOrigin: ORIGIN,
      expectedRPID: RP_ID,
    },
  };
}
