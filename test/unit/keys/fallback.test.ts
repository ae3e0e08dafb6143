import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { TpmError } from '../../../src/errors/tpm-error.ts';
import { type ErrorCode, KeyprovError } from '../../../src/errors.ts';
import {
  FALLBACK_REASONS,
  type FallbackClass,
  type FallbackReason,
  fallbackClassOf,
  retryAfterOf,
} from '../../../src/keys/fallback.ts';
import { TBS_CODES } from '../../../src/tpm/response-code-layers.ts';
import { tpmError } from '../../../src/tpm/tpm-error.ts';
import { TPM_RC } from '../../../src/tpm/tpm-rc.ts';
import { errorOfCode } from '../../error-of-code.ts';

const refusal = (code: number, command = 'CreatePrimary') => tpmError(command, code, { handles: [], parameters: [] });
const cellOf = ({ code, responseCodes, commands }: FallbackReason): string => {
  const names = responseCodes?.map((name) => `\`${name}\``).join(', ');
  const at = commands?.map((name) => `TPM2_${name}`).join(', ');
  return `\`${code}\`${names === undefined ? '' : `: ${names}`}${at === undefined ? '' : ` of ${at}`}`;
};

/** Files of which errors reach the choice of a provider, and the making of a key. */
const SOURCES = [
  ...readdirSync('src/tpm', { recursive: true, encoding: 'utf8' }).map((name) => join('src/tpm', name)),
  ...['new-tpm-key', 'prepared-key', 'loaded-key', 'storage-parent', 'select-provider', 'tpm-provider'].map(
    (name) => `src/keys/${name}.ts`,
  ),
].filter((path) => path.endsWith('.ts'));

/** Codes in those files that no making of a key can end in, and why. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  'address-invalid': "the caller's mistake, which is thrown as it is",
  'pin-required': 'a key that is used without its PIN',
  'hardware-required': 'what the choice itself ends in',
  'tpm-unavailable': 'what the choice itself ends in',
  'attestation-unavailable': 'has the class of its cause',
  'downgrade-refused': 'what the choice itself ends in',
  'no-key-provider': 'what the choice itself ends in',
};

describe('the classes of reasons for a key in software', () => {
  test('every code that these sources name has a row, or cannot come up', () => {
    const codes =
      /'((?:transport|library|state|tpm|key|pin|no|virtual|algorithm|hardware|downgrade|attestation|replay|recording|address)-[a-z-]+|codec)'/g;
    const known = new Set<string>([...FALLBACK_REASONS.map(({ code }) => code), ...Object.keys(ELSEWHERE)]);
    const union = readFileSync('docs/errors.md', 'utf8');
    const missing = new Set<string>();
    for (const path of SOURCES) {
      for (const [, code = ''] of readFileSync(path, 'utf8').matchAll(codes)) {
        if (union.includes(`| \`${code}\` |`) && !known.has(code)) missing.add(`${path}: ${code}`);
      }
    }
    expect([...missing]).toEqual([]);
    expect(SOURCES.length).toBeGreaterThan(40);
  });

  test('names only response codes that there are', () => {
    const names = new Set([
      ...Object.keys(TPM_RC).map((name) => `TPM_RC_${name}`),
      ...[...TBS_CODES.values()].map(([name]) => name),
    ]);
    expect(
      FALLBACK_REASONS.flatMap(({ responseCodes = [] }) => responseCodes).filter((name) => !names.has(name)),
    ).toEqual([]);
  });

  test('the table in docs/policy.md has these rows, without the temporary ones', () => {
    const listed = FALLBACK_REASONS.filter((row) => row.class !== 'temporary');
    const rows = listed.map((row) => `| ${cellOf(row)} | ${row.class} | ${row.why} |`);
    const documented = readFileSync('docs/policy.md', 'utf8')
      .split('\n')
      .filter((line) => /^\| `[^|]* \| (absent|temporary|password) \| /.test(line));
    expect(documented).toEqual(rows);
  });

  test.each<[string, unknown, FallbackClass]>([
    ['a hierarchy that is switched off', refusal(TPM_RC.HIERARCHY + 0x100), 'absent'],
    ['a TPM 1.2', refusal(TPM_RC.BAD_TAG, 'Startup'), 'absent'],
    ['failure mode', refusal(TPM_RC.FAILURE, 'GetCapability'), 'absent'],
    ['a command that is not there', refusal(TPM_RC.COMMAND_CODE, 'Create'), 'absent'],
    ['a curve that the TPM lacks', refusal(TPM_RC.CURVE + 0x240), 'absent'],
    ['a handle that is gone', refusal(TPM_RC.VALUE + 0x100, 'ContextSave'), 'temporary'],
    ['a wrong owner password', refusal(TPM_RC.BAD_AUTH + 0x900), 'password'],
    ['no owner password', refusal(TPM_RC.AUTH_MISSING), 'password'],
    ['a lockout', refusal(TPM_RC.LOCKOUT), 'temporary'],
    ['no slot for an object', refusal(TPM_RC.OBJECT_MEMORY), 'temporary'],
    ['the same of the resource manager', refusal(0x000b0000 + TPM_RC.OBJECT_MEMORY), 'temporary'],
    ['a TPM that slows down writes', refusal(TPM_RC.NV_RATE), 'temporary'],
    ['Windows without a TPM', refusal(0x8028400f), 'absent'],
    ['a curve in a signature', refusal(TPM_RC.CURVE + 0x240, 'Sign'), 'temporary'],
    [
      'a curve in nobody knows what',
      new TpmError('tpm-response', 'no', { responseCode: refusal(TPM_RC.CURVE).responseCode }),
      'temporary',
    ],
    ['a refusal without a code', new TpmError('tpm-response', 'no', { command: 'Create' }), 'temporary'],
    ['a vendor code', refusal(0x5ff), 'temporary'],
    ['a code that nobody defined', refusal(0x12345678), 'temporary'],
    ['no TPM, since it may not be opened', wrap('no-tpm', new KeyprovError('transport-permission', 'no')), 'temporary'],
    ['no TPM, since there is no device', wrap('no-tpm', new KeyprovError('no-tpm', 'no')), 'absent'],
    ['no TPM, as the system says', wrap('no-tpm', Object.assign(new Error('no'), { code: 'ENOENT' })), 'absent'],
    ['an error of a service', errorOfCode('service-timeout', 'late'), 'temporary'],
    ['an error that is not of this library', new Error('what?'), 'temporary'],
    ['something that is not an error', undefined, 'temporary'],
  ])('%s', (_, error, expected) => {
    expect(fallbackClassOf(error)).toBe(expected);
  });

  test('the time of the next try is found at any depth', () => {
    const locked = new TpmError('tpm-lockout', 'locked', { retryAfterSeconds: 600 });
    expect(retryAfterOf(locked)).toBe(600);
    expect(retryAfterOf(wrap('tpm-unavailable', wrap('no-tpm', locked)))).toBe(600);
    expect(retryAfterOf(refusal(TPM_RC.LOCKOUT))).toBeUndefined();
    expect(retryAfterOf('later')).toBeUndefined();
  });
});

function wrap(code: ErrorCode, cause: unknown): KeyprovError {
  return errorOfCode(code, 'wrapped', { cause });
}
