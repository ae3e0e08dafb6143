import { computeKeyId } from '../formats/windows/cng-blob.ts';
import { encodePublicBlob } from '../formats/windows/key-registration.ts';
import type { KeyRecord } from '../keys/key-record.ts';
import type { RegistrationAnswer } from '../registration/register-key.ts';
import type { KeyRequest } from './key-request.ts';
import type { RegistrationRecord } from './registration-record.ts';
import type { ProvisionOptions } from './run.ts';

/** What is kept of a registration that the service has just confirmed. */
export function registrationOf(
  { publicKey }: KeyRecord,
  { kid, pctx }: RegistrationAnswer,
  { attestation, request }: KeyRequest,
  {
    user,
    deviceId,
    registrar,
    now,
  }: Pick<ProvisionOptions, 'user' | 'deviceId' | 'registrar'> & { readonly now: () => Date },
): RegistrationRecord {
  const isSent = attestation.status === 'made' && request.carriesAttestation;
  const isCertified = isSent && (attestation.statement.ak.certificates?.length ?? 0) > 0;
  return {
    ...{ user, deviceId, kid, keyId: computeKeyId(encodePublicBlob(publicKey)) },
    attestationLevel: isSent ? 'certified' : 'none',
    aikStatus: isCertified ? 'certified' : isSent ? 'uncertified' : 'none',
    domain: user.slice(user.lastIndexOf('@') + 1),
    tenant: registrar.tenant,
    service: registrar.address,
    registered: now(),
    ...(pctx !== undefined && { pctx }),
  };
}
