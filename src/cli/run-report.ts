import { toBase64, toHex } from '../bytes.ts';
import { sayError } from '../errors.ts';
import type { KeyStore } from '../keys/key-store.ts';
import type { RegisteredRecord } from '../provisioning/registration-record.ts';
import type { ProvisionOutcome, RunEvent } from '../provisioning/run.ts';
import { describeSyncStatus, forecastSync } from '../registration/sync-status.ts';
import { EXIT } from './exit-codes.ts';
import { prerequisiteLines } from './prerequisite-facts.ts';
import type { Progress } from './terminal/progress.ts';
import { errorToJson, type Outcome, type Report } from './terminal/report.ts';

const BEGINNINGS: Partial<Record<string, string>> = {
  prerequisites: 'checking',
  mfa: 'a fresh authentication with a second factor is needed',
  pin: 'a new PIN is needed',
  attestation: 'certifying the key over the challenge of the service',
  request: 'building the body',
  registration: 'sending the public key',
  record: 'writing to the store',
};

/** Shows what goes on in a run. That a key is made, the one who makes it says. */
export function showRunEvent(event: RunEvent, progress: Progress): void {
  switch (event.type) {
    case 'begin':
      if (event.step !== 'key') progress.begin(event.step, BEGINNINGS[event.step] ?? '');
      break;
    case 'end':
      progress.end(event.detail);
      break;
    case 'retry':
      progress.note(`registration: once more in ${Math.ceil(event.delayMs / 1000)} s, since ${event.reason}`);
      break;
    case 'resume':
      progress.note(`run: an earlier one was cut off (${event.from}); this one goes on there`);
  }
}

/** What a run comes to, for people, for programs, and as exit code. */
export function describeRun(outcome: ProvisionOutcome, store: KeyStore, report: Report): Outcome {
  if (outcome.status === 'blocked') {
    const { prerequisites } = outcome;
    const message = 'a prerequisite does not hold; nothing was done';
    return {
      exitCode: EXIT.blocked,
      text: `${[...prerequisiteLines(prerequisites), '', message].join('\n')}\n`,
      json: { error: { code: 'blocked', message }, status: outcome.status, prerequisites },
    };
  }
  if (outcome.status === 'pending') {
    const { problem, retryAfterMs } = outcome;
    const when = retryAfterMs === undefined ? 'later' : `in ${Math.ceil(retryAfterMs / 1000)} s`;
    const next = `The key waits in ${store.directory}. Run the same again ${when}: it goes on, without another PIN.`;
    const lines = [`not finished: ${sayError(problem)}`, ...report.windowsLine(problem), next];
    return {
      exitCode: EXIT.pending,
      text: `${lines.join('\n')}\n`,
      json: { error: errorToJson(problem), status: outcome.status, retryAfterMs },
    };
  }
  const { record, registration, resumed } = outcome;
  const failed = record.attempts.filter((attempt) => attempt.outcome === 'failed');
  if (record.backend === 'software' && failed.length > 0) {
    const reasons = failed.map(({ backend, reason }) => `${backend} failed: ${reason}`);
    report.warn(`software made the key: ${reasons.join('; ')}`);
  }
  if (outcome.attestation?.status === 'none' && record.backend === 'tpm') {
    report.warn(`the key is not attested: ${outcome.attestation.reason}`);
  }
  const forecast = forecastSync(registration.registered);
  const sync = describeSyncStatus({ ...forecast, state: 'registered' });
  const lines = [...registrationLines(outcome), `${'store'.padEnd(12)} ${store.directory}`, '', sync];
  return {
    exitCode: EXIT.done,
    text: `${lines.join('\n')}\n`,
    json: {
      ...{ status: outcome.status, resumed, ...registrationJson(outcome), store: store.directory },
      sync: { state: 'registered', ...forecast },
    },
  };
}

const WHERE = { hardware: 'in a TPM', virtual: 'in a virtual TPM', software: 'in software' } as const;

/** A registered key for people. */
export function registrationLines({ record, registration }: RegisteredRecord): string[] {
  const { attestationLevel, aikStatus } = registration;
  const proof = attestationLevel === 'none' ? 'none' : `by the TPM, attestation key ${aikStatus}`;
  return [
    ['user', registration.user],
    ['device', registration.deviceId],
    ['key', `${record.algorithm} ${WHERE[record.assurance]}${record.hasPin ? ', with a PIN' : ''}`],
    ['key ID', toBase64(registration.keyId)],
    ['registered', `${registration.kid} at ${registration.service}, ${registration.registered.toISOString()}`],
    ['attestation', proof],
  ].map(([name = '', value = '']) => `${name.padEnd(12)} ${value}`);
}

/** The same for programs. No secret is in it. */
export function registrationJson({ record, registration }: RegisteredRecord): object {
  const { id, backend, assurance, algorithm, hasPin, created, attempts } = record;
  const { user, deviceId, kid, keyId, attestationLevel, aikStatus, domain, tenant, service, registered } = registration;
  return {
    ...{ user, deviceId, kid, keyId: { hex: toHex(keyId), base64: toBase64(keyId) } },
    ...{ id, backend, assurance, algorithm, hasPin, created, attempts },
    ...{ attestationLevel, aikStatus, domain, tenant, service, registered: registered.toISOString() },
  };
}
