import { checkObject } from '../bytes.ts';
import { ServiceError } from '../errors/service-error.ts';
import { keyIdOf } from '../formats/windows/key-registration.ts';
import { showJson } from '../json.ts';
import type { KeyRecord } from '../keys/key-record.ts';
import { isContext, isRegistrationId, peerLine } from '../registration/peer-text.ts';
import type { RegistrationAnswer } from '../registration/register-key.ts';
import type { KeyRequest } from './key-request.ts';
import type { RegistrationRecord } from './registration-record.ts';
import type { ProvisionOptions } from './run.ts';

/**
 * Checks the response of a registrar, which may be the caller's own, and returns it.
 * @throws TypeError if it has no `kid` or `upn`; ServiceError `service-answer` if its registration number (`kid`) does
 * not consist of 1 to 256 printable characters or its user is empty (then it is unknown whether the service has the key),
 * or if it has another user (`misplaced`).
 */
export function checkAnswer(answer: RegistrationAnswer, user: string): RegistrationAnswer {
  const { kid, upn } = checkObject(answer, 'the result of registrar.register', 'kid:string', 'upn:string');
  if (!isRegistrationId(kid) || upn === '') {
    const problem = "the registrar's response lacks the registration number (kid) or the user";
    const remedy = 'fix the registrar, then try again';
    throw new ServiceError('service-answer', problem, { outcomeUnknown: true, remedy });
  }
  if (upn.toLowerCase() === user.toLowerCase()) return answer;
  throw new ServiceError('service-answer', `the key was registered for ${showJson(upn)}, not for ${user}`, {
    misplaced: { kid, upn: peerLine(upn, 256) },
    remedy: 'have that registration removed, and get a token for the right user',
  });
}

export function registrationOf(
  { publicKey }: KeyRecord,
  { kid, pctx }: RegistrationAnswer,
  { attestation, request }: KeyRequest,
  options: Pick<ProvisionOptions, 'user' | 'deviceId' | 'registrar'> & { readonly now: () => Date },
): RegistrationRecord {
  const { user, deviceId, registrar, now } = options;
  const isSent = attestation.status === 'made' && request.carriesAttestation;
  const isCertified = isSent && (attestation.statement.ak.certificates?.length ?? 0) > 0;
  return {
    ...{ user, deviceId, kid, keyId: keyIdOf(publicKey) },
    attestationLevel: isSent ? 'certified' : 'none',
    aikStatus: isCertified ? 'certified' : isSent ? 'uncertified' : 'none',
    domain: user.slice(user.lastIndexOf('@') + 1),
    tenant: registrar.tenant,
    service: registrar.address,
    registered: now(),
    ...(isContext(pctx) && { pctx }),
  };
}
