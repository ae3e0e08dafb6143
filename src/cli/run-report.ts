import { sayError } from '../errors.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { describeUncertified } from '../provisioning/key-request.ts';
import type { ProvisionOutcome, RunEvent } from '../provisioning/run.ts';
import type { PrerequisiteResult } from '../provisioning/windows/prerequisites.ts';
import { describeSyncStatus, forecastSync } from '../registration/sync-status.ts';
import { EXIT } from './exit-codes.ts';
import { keyJson, keyLines, requestJson, requestLines, row } from './key-report.ts';
import { prerequisiteLines } from './prerequisite-facts.ts';
import type { Progress } from './terminal/progress.ts';
import { errorToJson, type Outcome, type Report, reasonsOf } from './terminal/report.ts';

const BEGINNINGS: Partial<Record<string, string>> = {
  prerequisites: 'checking',
  mfa: 'a fresh authentication with a second factor is needed',
  pin: 'a new PIN is needed',
  attestation: 'certifying the key over the challenge from the service',
  request: 'building the request',
  registration: 'sending the public key',
  record: 'writing to the store',
};

/** Shows the progress of a run. The key sources show the step that makes the key. */
export function showRunEvent(event: RunEvent, progress: Progress): void {
  switch (event.type) {
    case 'begin':
      if (event.step !== 'key') progress.begin(event.step, BEGINNINGS[event.step] ?? '');
      break;
    case 'end':
      progress.end(event.detail);
      break;
    case 'retry':
      progress.note(`registration: retry in ${Math.ceil(event.delayMs / 1000)} s: ${event.reason}`);
      break;
    case 'resume':
      progress.note(`run: continuing the unfinished one (state: ${event.from})`);
  }
}

/** Describes the outcome of a run: for people, for programs, and as an exit code. */
export function describeRun(outcome: ProvisionOutcome, store: KeyStore, report: Report): Outcome {
  if (outcome.status === 'blocked') return describeBlocked(outcome.prerequisites);
  if (outcome.status === 'pending') {
    const { problem, retryAfterMs } = outcome;
    const when = retryAfterMs === undefined ? 'later' : `in ${Math.ceil(retryAfterMs / 1000)} s`;
    const next = `The key is kept in ${store.directory}. Run keyprov provision ${when}: it continues with this key.`;
    const lines = [`not finished: ${sayError(problem)}`, ...report.windowsLine(problem), next];
    return {
      exitCode: EXIT.pending,
      lines,
      json: { error: errorToJson(problem), status: outcome.status, retryAfterMs },
    };
  }
  const { record, registration, resumed } = outcome;
  const failed = record.attempts.filter((attempt) => attempt.outcome === 'failed');
  if (record.backend === 'software' && failed.length > 0) {
    report.warn(`the key was made in software: ${reasonsOf(failed)}`);
  }
  if (outcome.attestation?.status === 'none' && record.backend === 'tpm') {
    report.warn(`the key is not attested: ${outcome.attestation.reason}`);
  }
  if (outcome.attestation?.status === 'made' && outcome.attestation.uncertified !== undefined) {
    report.warn(describeUncertified(outcome.attestation.uncertified));
  }
  const forecast = forecastSync(registration.registered);
  const sync = describeSyncStatus({ ...forecast, state: 'registered' });
  const { attestation, request } = outcome;
  const lines = [...keyLines(outcome), ...requestLines(undefined, request), row('store', store.directory), '', sync];
  return {
    exitCode: EXIT.done,
    lines,
    json: {
      ...{ status: outcome.status, resumed, ...keyJson(outcome), ...requestJson(attestation, request) },
      ...{ store: store.directory, sync: { state: 'registered', ...forecast } },
    },
  };
}

/** Describes the outcome of a command that a prerequisite stops. */
export function describeBlocked(prerequisites: PrerequisiteResult): Outcome {
  const message = 'a prerequisite is not met; nothing was done';
  return {
    exitCode: EXIT.blocked,
    lines: [...prerequisiteLines(prerequisites), '', message],
    json: { error: { code: 'blocked', message }, status: 'blocked', prerequisites },
  };
}
