import type { Tier } from '../../attestation/evidence.ts';
import type { AttestationStatement } from '../../attestation/statement.ts';
import { verifyEvidence } from '../../attestation/verify-evidence.ts';
import { type Bytes, toBase64 } from '../../bytes.ts';
import { encodeSpki, type PublicKey } from '../../crypto/public-key.ts';
import { parseCertificate } from '../../crypto/x509.ts';
import { KeyprovError } from '../../errors.ts';
import { decodeKast, statementFromKast } from '../../formats/windows/kast.ts';
import type { KeyRegistration } from '../../formats/windows/key-registration.ts';
import { decode } from '../../tpm/codec/index.ts';
import { TPMS_ATTEST } from '../../tpm/structures/attest.ts';
import type { ServiceContext } from './service-context.ts';

/** The attestation level proved for a key, or why the key is refused. */
export type CheckedAttestation = { readonly level: string } | { readonly problem: string };

/** The level that Windows logs for a key without attestation. */
const SOFTWARE_LEVEL = 'ATT_SOFT';

/** Checks the attestation of a key against the policy of the service, with the verifier of this library. */
export async function attestationLevel(
  context: ServiceContext,
  registration: KeyRegistration,
  deviceId: string,
): Promise<CheckedAttestation> {
  const { attestation: mode = 'verify' } = context.options;
  if (mode === 'ignore') return { level: 'not-verified' };
  const minTier = context.options.minTier ?? (mode === 'require' ? 'virtual' : 'software');
  if (registration.profile === 'strict' || registration.attestation === undefined) {
    const isEnough = mode === 'verify' && minTier === 'software';
    return isEnough ? { level: SOFTWARE_LEVEL } : { problem: 'the key is not attested, but must be' };
  }
  const { attestation, aikCertificate, publicKey } = registration;
  try {
    return await verify(context, { attestation, aikCertificate, publicKey, deviceId, minTier });
  } catch (error) {
    // It is unreadable, which is the client's fault.
    if (error instanceof KeyprovError) return { problem: error.message };
    throw error;
  }
}

interface Attested {
  /** KAST. */
  readonly attestation: Bytes;
  readonly aikCertificate: Bytes | undefined;
  readonly publicKey: PublicKey;
  readonly deviceId: string;
  readonly minTier: Tier;
}

async function verify(context: ServiceContext, given: Attested): Promise<CheckedAttestation> {
  const { attestation, aikCertificate, publicKey, deviceId, minTier } = given;
  const { akRoots = [], allowedManufacturers, acceptSha1 = false } = context.options;
  const known = aikCertificate && context.state.attestationKeys.withCertificate(aikCertificate);
  const statement = statementFromKast(decodeKast(attestation), known?.pubArea);
  const challenge = takeChallenge(context, statement, deviceId);
  if (challenge === undefined) return { problem: 'it does not answer a nonce that the service gave this device' };
  const time = context.now();
  if (known && aikCertificate && (await parseCertificate(aikCertificate)).notAfter < time) {
    return { problem: 'the AIK certificate is no longer valid' };
  }
  // The service knows the keys that it has certified; for others it checks the certificate.
  const trust = known
    ? { trustedAks: [{ key: { pubArea: known.pubArea }, tier: known.tier }] }
    : { akRoots, ...(allowedManufacturers && { allowedManufacturers }) };
  const ak = { pubArea: statement.ak.pubArea, ...(aikCertificate && !known && { certificates: [aikCertificate] }) };
  const result = await verifyEvidence(
    { ...statement, ak },
    { ...trust, challenge, acceptSha1, minTier, time, expectedKey: { spki: encodeSpki(publicKey) } },
  );
  if (result.ok) return { level: result.tier };
  const wrong = result.findings.filter(({ status }) => status === 'fail').map(({ id }) => id);
  return { problem: wrong.join(', ') };
}

/** Takes the nonce in the statement, which uses it up. */
function takeChallenge(
  { state, now }: ServiceContext,
  { certInfo }: AttestationStatement,
  deviceId: string,
): Uint8Array | undefined {
  const { extraData } = decode(TPMS_ATTEST, certInfo);
  const nonce = state.nonces.take('registration', toBase64(extraData), now());
  if (nonce === undefined) return undefined;
  const isForDevice = nonce.deviceId === undefined || nonce.deviceId.toLowerCase() === deviceId.toLowerCase();
  return isForDevice ? extraData : undefined;
}
