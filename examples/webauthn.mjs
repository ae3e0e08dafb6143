// @ts-check
// WebAuthn with a key in a TPM, for the authenticator and the relying party: `node webauthn.mjs`.
import { createHash, randomBytes, verify } from 'node:crypto';
import { definePolicy, encodeSpkiPem, openKey, openTpm, provisionKey } from 'keyprov';
import * as webauthn from 'keyprov/formats/webauthn';
import { createTestAuthority } from 'keyprov/testing';

const authority = await createTestAuthority(); // stands for an attestation CA that knows this TPM
const [rpId, origin, challenge] = ['login.example', 'https://login.example', Uint8Array.from(randomBytes(32))];
const pin = new TextEncoder().encode('271828');

// Registration: the authenticator
const tpm = await openTpm('libtpms');
const policy = definePolicy({ hardware: 'required', algorithm: 'p-256' });
const { record } = await provisionKey({ policy, sources: { tpm }, challenge, pin });
const key = await openKey({ record, sources: { tpm } });
const flags = { userPresent: true, userVerified: true, backupEligible: false, backedUp: false, signCount: 0 };
const rpIdHash = webauthn.computeRpIdHash(rpId);
const credential = {
  aaguid: new Uint8Array(16),
  credentialId: Uint8Array.from(randomBytes(32)),
  key: { publicKey: key.publicKey, algorithm: webauthn.COSE_ALG.ES256 },
};
const context = {
  authData: webauthn.encodeAuthenticatorData({ rpIdHash, ...flags, credential }),
  clientDataJson: webauthn.buildWebauthnClientData({ type: 'webauthn.create', challenge, origin, crossOrigin: false }),
};
const statement = await key.attest({
  challenge: webauthn.computeWebauthnExtraData(context),
  enrolAk: async (_tpm, ak) => [await authority.issueAkCertificate(ak.publicArea)],
});
const registration = { ...context, attestationObject: webauthn.buildWebauthnTpm(statement, context) };

// Registration: the relying party
const trust = { challenge, rpId, origins: [origin], akRoots: [authority.root] };
const result = await webauthn.verifyWebauthnTpm(registration, { ...trust, minTier: 'virtual' });
console.log('registration:', result.ok, result.ok && result.tier);

// Sign-in: the authenticator signs its data and the digest of the client data; the relying party verifies the signature
const authData = webauthn.encodeAuthenticatorData({ rpIdHash, ...flags, signCount: 1 });
const clientDataJson = webauthn.buildWebauthnClientData({
  type: 'webauthn.get',
  challenge,
  origin,
  crossOrigin: false,
});
const data = Buffer.concat([authData, createHash('sha256').update(clientDataJson).digest()]);
const signature = await key.sign({ data, pin });
console.log('sign-in:', verify('sha256', data, encodeSpkiPem(key.publicKey), signature));

await key.close();
await tpm.close();
