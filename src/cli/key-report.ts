import { toBase64, toHex } from '../bytes.ts';
import { keyIdOf } from '../formats/windows/key-registration.ts';
import { sayPlace } from '../keys/provider.ts';
import type { PinChangeReason } from '../policy/index.ts';
import { sayTime } from '../printable.ts';
import type { FoundKey } from '../provisioning/find-key.ts';
import type { AttestationOutcome, RegistrationBody } from '../provisioning/key-request.ts';

/** A key, registered or not. */
export type ReportedKey = Pick<FoundKey, 'record' | 'registration'>;

/** One row of a table, as text. */
export const row = (name: string, value: string): string => `${name.padEnd(12)} ${value}`;

/** A row: its name and value. */
export type ReportRow = readonly [name: string, value: string];

/** A key for people. */
export const keyLines = (key: ReportedKey): string[] => keyRows(key).map(([name, value]) => row(name, value));

/** The same as rows. */
export function keyRows({ record, registration }: ReportedKey): ReportRow[] {
  const rows: ReportRow[] = [
    ['id', record.id],
    ['user', registration?.user ?? record.user ?? 'none'],
    ['device', registration?.deviceId ?? record.deviceId ?? 'none'],
    ['key', `${record.algorithm} ${sayPlace(record.assurance)}, ${record.hasPin ? 'with a PIN' : 'without a PIN'}`],
    ['Key ID', toBase64(keyIdOf(record.publicKey))],
  ];
  if (registration === undefined) return [...rows, ['registered', 'no']];
  const { kid, service, registered, attestationLevel, aikStatus } = registration;
  const proof = attestationLevel === 'none' ? 'none' : `by the TPM, attestation key ${aikStatus}`;
  const where = `${kid} at ${service}, ${sayTime(registered)}`;
  return [...rows, ['registered', where], ['attestation', proof]];
}

/** The same for programs. It contains no secret. */
export function keyJson({ record, registration }: ReportedKey): object {
  const { id, name, backend, assurance, algorithm, hasPin, created, attempts, policy, tpm } = record;
  const keyId = keyIdOf(record.publicKey);
  const key = {
    ...{ id, name, user: registration?.user ?? record.user ?? null },
    ...{ deviceId: registration?.deviceId ?? record.deviceId ?? null },
    keyId: { hex: toHex(keyId), base64: toBase64(keyId) },
    ...{ backend, assurance, algorithm, hasPin, created, attempts, policy },
    ...(tpm !== undefined && { tpm: { address: tpm.address, virtual: tpm.virtual, signs: tpm.signs } }),
    registered: registration?.registered.toISOString() ?? null,
  };
  if (registration === undefined) return key;
  const { kid, attestationLevel, aikStatus, domain, tenant, service } = registration;
  return { ...key, kid, attestationLevel, aikStatus, domain, tenant, service };
}

/** That a PIN must be changed, and why, as the end of a sentence about it. */
export function describePinChange(reasons: readonly PinChangeReason[]): string {
  return `must be changed: ${[...new Set(reasons.map(({ message }) => message))].join(' ')}`;
}

/** The result of the attestation, and whether the request contains it, for people. */
export function requestLines(
  attestation: AttestationOutcome | undefined,
  request: RegistrationBody | undefined,
): string[] {
  return [
    ...(attestation === undefined
      ? []
      : [row('attestation', attestation.status === 'made' ? 'made' : `none: ${attestation.reason}`)]),
    ...(request === undefined ? [] : [row('request', `profile ${request.profile}, ${carried(request)}`)]),
  ];
}

function carried({ carriesAttestation, reason }: RegistrationBody): string {
  if (carriesAttestation) return 'contains the attestation';
  return `contains no attestation${reason === undefined ? '' : `: ${reason}`}`;
}

/** The same for programs. */
export function requestJson(
  attestation: AttestationOutcome | undefined,
  request: RegistrationBody | undefined,
): object {
  return {
    ...(attestation !== undefined && {
      attestation:
        attestation.status === 'made' ? { status: 'made', uncertified: attestation.uncertified } : attestation,
    }),
    ...(request !== undefined && {
      request: {
        profile: request.profile,
        carriesAttestation: request.carriesAttestation,
        ...(request.reason !== undefined && { reason: request.reason }),
      },
    }),
  };
}
