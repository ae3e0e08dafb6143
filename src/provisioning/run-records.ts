import { toHex } from '../bytes.ts';
import { computeKeyId } from '../formats/windows/cng-blob.ts';
import { encodePublicBlob } from '../formats/windows/key-registration.ts';
import type { KeyRecord } from '../keys/key-record.ts';
import type { Registration } from '../registration/register-key.ts';
import type { AttestationOutcome } from './key-request.ts';
import { newPinState, writePinState } from './pin-state.ts';
import type { ProvisionOptions } from './provision.ts';
import type { ProvisionedKey } from './provision-key.ts';
import type { RegistrationRecord } from './registration-record.ts';

type RunContext = Pick<ProvisionOptions, 'user' | 'deviceId' | 'registrar' | 'policy' | 'pinRecovery' | 'pinPepper'> & {
  readonly now: () => Date;
  readonly signal?: AbortSignal | undefined;
};

/** The record of a key that was just made, with what is kept about its PIN. */
export async function recordOf(
  { key, keyId: id, assurance, policy, attempts }: ProvisionedKey,
  pin: Uint8Array | undefined,
  { user, deviceId, now, pinRecovery: recovery, pinPepper: pepper, signal }: RunContext,
): Promise<KeyRecord> {
  const record: KeyRecord = {
    ...key,
    id: `ngc-${toHex(id).slice(0, 32)}`,
    name: `${user} on ${deviceId}`,
    assurance,
    created: now().toISOString(),
    policy: JSON.parse(JSON.stringify(policy)),
    attempts: JSON.parse(JSON.stringify(attempts)),
    annotations: {},
  };
  if (pin === undefined) return record;
  const { publicKey } = key;
  const context = { publicKey, recovery, pepper, signal, now: () => now().getTime() };
  return writePinState(record, await newPinState(pin, policy.pin, context));
}

/** What is kept of a registration that the service has just confirmed. */
export function registrationOf(
  { publicKey }: KeyRecord,
  { kid, pctx }: Registration,
  attestation: AttestationOutcome,
  { user, deviceId, registrar, now }: RunContext,
): RegistrationRecord {
  const isMade = attestation.status === 'made';
  const isCertified = isMade && (attestation.statement.ak.certificates?.length ?? 0) > 0;
  return {
    ...{ user, deviceId, kid, keyId: computeKeyId(encodePublicBlob(publicKey)) },
    attestationLevel: isMade ? 'certified' : 'none',
    aikStatus: isCertified ? 'certified' : isMade ? 'uncertified' : 'none',
    domain: user.slice(user.lastIndexOf('@') + 1),
    tenant: registrar.tenant,
    service: registrar.address,
    registered: now(),
    ...(pctx !== undefined && { pctx }),
  };
}
