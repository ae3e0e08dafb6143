import { describe, expect, it } from 'vitest';
import { ServiceError } from '../../../../src/errors/service-error.ts';
import type { ErrorCode } from '../../../../src/errors.ts';
import {
  findWindowsError,
  formatWindowsCode,
  tpmHresult,
  WINDOWS_ERRORS,
  windowsErrorOf,
} from '../../../../src/provisioning/windows/windows-errors.ts';
import { tpmError } from '../../../../src/tpm/tpm-error.ts';
import { diagnostics } from '../../../diagnostics.ts';
import { errorOfCode } from '../../../error-of-code.ts';

const CLASSES = { listed: 'documented', 'no documented remedy': 'no-remedy', 'key storage or TPM': 'key-storage' };
const names = { handles: [], parameters: [] };

describe('findWindowsError', () => {
  it.each(diagnostics.errors)('knows $code $name', ({ code, name, remedy, class: group }) => {
    const found = findWindowsError(Number(code));
    expect(found).toMatchObject({ code: Number(code), name, class: CLASSES[group as keyof typeof CLASSES] });
    expect(formatWindowsCode(Number(code))).toBe(code);
    expect(found?.meaning).not.toBe('');
    if (group === 'listed') expect([found?.remedy, remedy].every((text) => text)).toBe(true);
    if (group === 'no documented remedy') expect(found?.remedy).toBeUndefined();
    if (name !== '') expect(findWindowsError(name)).toBe(found);
  });

  it('has every code and every name once', () => {
    expect(diagnostics.errors).toHaveLength(104);
    const codes = WINDOWS_ERRORS.map(({ code }) => code);
    const named = WINDOWS_ERRORS.map(({ name }) => name).filter((name) => name !== '');
    expect([new Set(codes).size, new Set(named).size]).toEqual([codes.length, named.length]);
    expect(codes.every((code) => code > 0 && code <= 0xffffffff)).toBe(true);
  });

  it('accepts signed numbers, and does not find others', () => {
    expect(findWindowsError(0x80090035 | 0)?.name).toBe('NTE_DEVICE_NOT_FOUND');
    expect([0, 0x80004005, '', 'NTE_NONSENSE'].map(findWindowsError)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe('tpmHresult', () => {
  it.each([
    ['TPM_RC_AUTH_FAIL', 0x08e, 0x8028008e],
    ['TPM_RC_AUTH_FAIL of session 1', 0x98e, 0x8028008e],
    ['TPM_RC_BAD_AUTH of session 2', 0xaa2, 0x802800a2],
    ['TPM_RC_VALUE of parameter 3', 0x3c4, 0x80280084],
    ['TPM_RC_LOCKOUT', 0x921, 0x80280921],
    ['TPM_RC_RETRY', 0x922, 0x80280922],
    ['TPM_RC_AUTH_FAIL passed on by the resource manager', 0x000b098e, 0x8028008e],
    ['a code that Windows passed on', 0x8028098e, 0x8028008e],
    ['a code of TBS', 0x8028400f, 0x8028400f],
    ['a code of the Platform Crypto Provider', 0x80290408, 0x80290408],
    ['success', 0, undefined],
    ['a code of tpm2-tss', 0x000a000a, undefined],
    ['a number that is too large for a TPM', 0x1921, undefined],
    ['a code of nobody', 0x12345678, undefined],
  ])('maps %s', (_, code, expected) => {
    expect(tpmHresult(code)).toBe(expected);
  });
});

describe('windowsErrorOf', () => {
  it.each([
    ['hardware-required', 0x80090035],
    ['tpm-lockout', 0x80090031],
    ['pin-wrong', 0x80090010],
    ['key-exists', 0x8009000f],
    ['key-not-found', 0x80090011],
    ['attestation-unavailable', 0x801c03ee],
    ['service-answer', 0x801c03e9],
    ['mfa-failed', 0x801c03ed],
    ['mfa-timeout', 0x801c044e],
    ['mfa-stale', 0x801c03ed],
    ['token-invalid', 0x801c03ed],
    ['run-active', undefined],
    ['policy-invalid', undefined],
  ] satisfies [ErrorCode, number | undefined][])('reports %s', (code, expected) => {
    expect(windowsErrorOf(errorOfCode(code, 'x'))?.code).toBe(expected);
  });

  it.each([
    [0x801c03ec, 0x801c03ec],
    [undefined, 0x801c03eb],
  ])('reports the code %j of an error of a service', (windowsCode, expected) => {
    const error = new ServiceError('service-refused', 'x', { windowsCode });
    expect(windowsErrorOf(error)?.code).toBe(expected);
  });

  it('reports the response of a TPM, and lockout as Windows names it', () => {
    expect(windowsErrorOf(tpmError('Sign', 0x98e, names))?.name).toBe('TPM_20_E_AUTH_FAIL');
    expect(windowsErrorOf(tpmError('Sign', 0x3c4, names))?.name).toBe('TPM_20_E_VALUE');
    expect(windowsErrorOf(tpmError('Sign', 0x921, names))?.name).toBe('NTE_AUTHENTICATION_IGNORED');
  });

  it('reports an abort as canceled by the user, and does not know other errors', () => {
    expect(windowsErrorOf(AbortSignal.abort().reason)?.name).toBe('NTE_USER_CANCELLED');
    expect([new Error('x'), undefined, 'x'].map(windowsErrorOf)).toEqual([undefined, undefined, undefined]);
  });
});
