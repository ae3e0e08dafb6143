import { describe, expect, it } from 'vitest';
import { EXIT, EXIT_CODES, exitCodeOf, exitCodeOfSignal } from '../../../src/cli/exit-codes.ts';
import { UsageError } from '../../../src/cli/options/arguments.ts';
import type { ErrorCode } from '../../../src/errors.ts';
import { errorOfCode } from '../../error-of-code.ts';
import { textOf } from '../source-files.ts';

describe('the exit code', () => {
  it.each<[ErrorCode, number]>([
    ['policy-invalid', 2],
    ['address-invalid', 2],
    ['request-invalid', 2],
    ['hardware-required', 3],
    ['attestation-unavailable', 3],
    ['downgrade-refused', 3],
    ['library-missing', 4],
    ['transport-permission', 4],
    ['state-in-use', 4],
    ['no-tpm', 4],
    ['pin-wrong', 5],
    ['tpm-lockout', 5],
    ['key-locked', 5],
    ['tpm-response', 6],
    ['tpm-identity-changed', 6],
    ['key-exists', 7],
    ['store-io', 7],
    ['statement-invalid', 7],
    ['certificate-invalid', 7],
    ['run-active', 7],
    ['journal-invalid', 7],
    ['recovery-unavailable', 5],
    ['mfa-timeout', 12],
    ['token-invalid', 12],
    ['service-timeout', 13],
    ['service-refused', 13],
    ['credential-invalid', 13],
    ['replay-mismatch', 1],
  ])('of %s is %i', (code, exit) => {
    expect(exitCodeOf(errorOfCode(code, 'x'))).toBe(exit);
  });

  it('of wrong arguments, signals and other causes', () => {
    expect(exitCodeOf(new UsageError(['x']))).toBe(2);
    expect(exitCodeOf(new TypeError('x'))).toBe(1);
    expect(exitCodeOf(undefined)).toBe(1);
    expect(exitCodeOfSignal('SIGINT')).toBe(130);
  });

  it('is explained in the help and in docs/scripting.md, each of them', () => {
    for (const exit of Object.values(EXIT)) {
      expect(EXIT_CODES).toMatch(new RegExp(`^ {2}${exit} {2}\\w`, 'm'));
      expect(textOf('docs/scripting.md')).toMatch(new RegExp(`^\\| ${exit} \\| \\w`, 'm'));
    }
  });
});
