// Verification of one attestation with certificates: a WebAuthn registration of an RSA-2048 key, certified by an RSA-2048
// attestation key that has a certificate, beside SimpleWebAuthn on the same object.
import { randomBytes } from 'node:crypto';
import { SettingsService, verifyRegistrationResponse } from '@simplewebauthn/server';
import { type VerifyEvidenceOptions, verifyEvidence, verifyStatement } from '../src/attestation/index.ts';
import { toBase64Url } from '../src/bytes.ts';
import { encodePem } from '../src/crypto/pem.ts';
import { encodeSpki } from '../src/crypto/public-key.ts';
import { parseCertificate } from '../src/crypto/x509.ts';
import { COSE_ALG } from '../src/formats/webauthn/cose-key.ts';
import { computeRpIdHash, encodeAuthenticatorData } from '../src/formats/webauthn/webauthn-authenticator-data.ts';
import { buildWebauthnClientData } from '../src/formats/webauthn/webauthn-client-data.ts';
import {
  buildWebauthnTpm,
  computeWebauthnExtraData,
  decodeWebauthnTpm,
  statementFromWebauthnTpm,
} from '../src/formats/webauthn/webauthn-tpm.ts';
import { publicKeyOf } from '../src/tpm/public-key.ts';
import { akTemplate, userKeyTemplate } from '../src/tpm/templates.ts';
import { issue, issueAuthority } from '../test/certificates.ts';
import { AK_PURPOSE, tpmName } from '../test/unit/attestation/paper-evidence.ts';
import { paperKey, paperStatement } from '../test/unit/attestation/paper-tpm.ts';
import { measure } from './measure.ts';

const RP_ID = 'login.example';
const ORIGIN = 'https://login.example';
const challenge = new Uint8Array(randomBytes(32));
const credentialId = new Uint8Array(randomBytes(32));

const userKey = publicKeyOf(paperKey(userKeyTemplate('rsa-2048'), 'user').area);
const akKey = publicKeyOf(paperKey(akTemplate('rsa-2048'), 'ak').area);
const root = await issueAuthority('attestation CA');
const certificate = await issue(
  { spki: encodeSpki(akKey), names: [tpmName()], namesCritical: true, purposes: [AK_PURPOSE], ca: false },
  root,
);
const clientDataJson = buildWebauthnClientData({
  type: 'webauthn.create',
  challenge,
  origin: ORIGIN,
  crossOrigin: false,
});
const authData = encodeAuthenticatorData({
  rpIdHash: computeRpIdHash(RP_ID),
  userPresent: true,
  userVerified: true,
  backupEligible: false,
  backedUp: false,
  signCount: 0,
  credential: {
    aaguid: new Uint8Array(16),
    credentialId,
    key: { publicKey: userKey, algorithm: COSE_ALG.RS256 },
  },
});
const extraData = computeWebauthnExtraData({ authData, clientDataJson });
const {
  creation: _,
  akCreation: __,
  ...statement
} = paperStatement('rsa-2048', 'rsa-2048', {
  certInfo: (attest) => ({ ...attest, extraData }),
});
const evidence = { ...statement, ak: { ...statement.ak, certificates: [certificate.der] } };
const attestationObject = buildWebauthnTpm(evidence, { authData, clientDataJson });

SettingsService.setRootCertificates({ identifier: 'tpm', certificates: [encodePem('CERTIFICATE', root.der)] });
const id = toBase64Url(credentialId);
const registration = {
  id,
  rawId: id,
  type: 'public-key',
  clientExtensionResults: {},
  response: { clientDataJSON: toBase64Url(clientDataJson), attestationObject: toBase64Url(attestationObject) },
} as const;
const expected = { expectedChallenge: toBase64Url(challenge), expectedOrigin: ORIGIN, expectedRPID: RP_ID };

async function simpleWebAuthn(): Promise<void> {
  const { verified } = await verifyRegistrationResponse({ response: registration, ...expected });
  if (!verified) throw new Error('SimpleWebAuthn does not verify it');
}

const options: VerifyEvidenceOptions = {
  challenge: extraData,
  minTier: 'ek-certificate',
  akRoots: [await parseCertificate(root.der)],
};

async function fromObject(more: Partial<VerifyEvidenceOptions> = {}): Promise<void> {
  const object = decodeWebauthnTpm(attestationObject);
  const read = statementFromWebauthnTpm(object, statement.ak.pubArea);
  const { ok } = await verifyEvidence(read, { ...options, ...more });
  if (!ok) throw new Error('verifyEvidence does not verify it');
}

await measure('verification of one RSA attestation with its certificates', {
  'SimpleWebAuthn 14.0.3: verifyRegistrationResponse': simpleWebAuthn,
  'the object read, verifyEvidence': () => fromObject(),
  'the same with a root in DER': () => fromObject({ akRoots: [root.der] }),
  'verifyStatement: the same without certificates': () => {
    const attestationKey = { pubArea: statement.ak.pubArea };
    if (!verifyStatement(statement, { challenge: extraData, attestationKey }).ok) throw new Error('not verified');
  },
});
