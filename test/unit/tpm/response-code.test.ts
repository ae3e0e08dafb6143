import { describe, expect, it } from 'vitest';
import { decodeResponseCode, describeResponseCode } from '../../../src/tpm/response-code.ts';
import { TPM_RC } from '../../../src/tpm/tpm-rc.ts';

const NAMES = Object.entries(TPM_RC);
const FORMAT_ONE = NAMES.filter(([, value]) => (value & 0x080) !== 0);
const FORMAT_ZERO = NAMES.filter(([, value]) => (value & 0x080) === 0);

describe('decodeResponseCode', () => {
  it('knows the 106 codes of Part 2, each under one number', () => {
    expect([FORMAT_ZERO.length, FORMAT_ONE.length]).toEqual([65, 41]);
    expect(new Set(NAMES.map(([, value]) => value)).size).toBe(106);
  });

  it('names every code without position, and explains it', () => {
    for (const [name, value] of NAMES) {
      const rc = decodeResponseCode(value);
      expect(rc).toMatchObject({ value, base: value, name: `TPM_RC_${name}`, layer: 'tpm' });
      expect(rc.meaning.length, name).toBeGreaterThan(10);
      expect(rc.advice, name).not.toBe('');
    }
  });

  it('finds the position of every format-one code at every parameter, session and handle', () => {
    for (const [name, base] of FORMAT_ONE) {
      const expected = { base, name: `TPM_RC_${name}`, layer: 'tpm' };
      for (let number = 1; number <= 15; number++) {
        const value = base | 0x040 | (number << 8);
        expect(decodeResponseCode(value)).toMatchObject({
          ...expected,
          value,
          position: { kind: 'parameter', number },
        });
      }
      for (let number = 1; number <= 7; number++) {
        const handle = base | (number << 8);
        expect(decodeResponseCode(handle)).toMatchObject({ ...expected, position: { kind: 'handle', number } });
        const session = base | 0x800 | (number << 8);
        expect(decodeResponseCode(session)).toMatchObject({ ...expected, position: { kind: 'session', number } });
      }
      for (const nowhere of [base, base | 0x040, base | 0x800]) {
        const rc = decodeResponseCode(nowhere);
        expect(rc).toMatchObject(expected);
        expect(rc.position).toBeUndefined();
      }
    }
  });

  it.each([
    [0x1c4, 0x084, 'TPM_RC_VALUE', { kind: 'parameter', number: 1 }],
    [0x2e6, 0x0a6, 'TPM_RC_CURVE', { kind: 'parameter', number: 2 }],
    [0x98e, 0x08e, 'TPM_RC_AUTH_FAIL', { kind: 'session', number: 1 }],
    [0x18b, 0x08b, 'TPM_RC_HANDLE', { kind: 'handle', number: 1 }],
    [0x9a2, 0x0a2, 'TPM_RC_BAD_AUTH', { kind: 'session', number: 1 }],
    [0xfd5, 0x095, 'TPM_RC_SIZE', { kind: 'parameter', number: 15 }],
    [0x143, 0x143, 'TPM_RC_COMMAND_CODE', undefined],
    [0x921, 0x921, 'TPM_RC_LOCKOUT', undefined],
    [0x910, 0x910, 'TPM_RC_REFERENCE_H0', { kind: 'handle', number: 1 }],
    [0x916, 0x916, 'TPM_RC_REFERENCE_H6', { kind: 'handle', number: 7 }],
    [0x918, 0x918, 'TPM_RC_REFERENCE_S0', { kind: 'session', number: 1 }],
    [0x91e, 0x91e, 'TPM_RC_REFERENCE_S6', { kind: 'session', number: 7 }],
    [0x01e, 0x01e, 'TPM_RC_BAD_TAG', undefined],
  ])('decodes code %i', (value, base, name, position) => {
    const rc = decodeResponseCode(value);
    expect([rc.base, rc.name, rc.position]).toEqual([base, name, position]);
  });

  it('defines no other number below 0x1000', () => {
    const defined = new Set<number>(FORMAT_ZERO.map(([, value]) => value));
    for (const [, base] of FORMAT_ONE)
      for (let n = 0; n < 16; n++) defined.add(base | (n << 8)).add(base | 0x040 | (n << 8));
    for (let value = 0; value <= 0xfff; value++) {
      const rc = decodeResponseCode(value);
      expect(rc.name !== 'unknown', `0x${value.toString(16)}`).toBe(defined.has(value));
      expect(rc.value).toBe(value);
    }
    expect(defined.size).toBe(65 + 41 * 32);
  });

  it('says retryable for YIELDED, TESTING and RETRY only', () => {
    const retryable = [];
    for (let value = 0; value <= 0xfff; value++) if (decodeResponseCode(value).retryable) retryable.push(value);
    expect(retryable).toEqual([0x908, 0x90a, 0x922]);
    expect(decodeResponseCode(0x000b0922).retryable).toBe(true);
  });

  it('tells codes of a maker and of TPM 1.2 from undefined ones', () => {
    const meaning = (value: number) => decodeResponseCode(value).meaning;
    expect(meaning(0x521)).toBe("a code of the TPM's manufacturer");
    expect(meaning(0xd21)).toBe("a code of the TPM's manufacturer");
    expect(meaning(0x003)).toBe('a TPM 1.2 code');
    expect(meaning(0x17e)).toBe('a code that the specification does not define');
    expect(meaning(0x0bf)).toBe('a code that the specification does not define');
  });

  it.each([
    [0x000b0143, 'resource-manager', 'TPM_RC_COMMAND_CODE', 0x143],
    [0x000b018b, 'resource-manager', 'TPM_RC_HANDLE', 0x08b],
    [0x000b0000, 'resource-manager', 'unknown', 0x000b0000],
    [0x000b1143, 'resource-manager', 'unknown', 0x000b1143],
    [0x000c0005, 'resource-manager', 'TSS2_RESMGR_RC_BAD_REFERENCE', 0x000c0005],
    [0x000a000a, 'tcti', 'TSS2_TCTI_RC_IO_ERROR', 0x000a000a],
    [0x000a0002, 'tcti', 'TSS2_TCTI_RC_NOT_IMPLEMENTED', 0x000a0002],
    [0x000a0015, 'tcti', 'TSS2_TCTI_RC_NOT_SUPPORTED', 0x000a0015],
    [0x000a0008, 'tcti', 'TSS2_TCTI_RC_NO_CONNECTION', 0x000a0008],
    [0x000a0000, 'tcti', 'unknown', 0x000a0000],
    [0x00060034, 'tss', 'TSS2_FAPI_RC_NOT_PROVISIONED', 0x00060034],
    [0x0007001b, 'tss', 'TSS2_ESYS_RC_RSP_AUTH_FAILED', 0x0007001b],
    [0x00080011, 'tss', 'TSS2_SYS_RC_MALFORMED_RESPONSE', 0x00080011],
    [0x00090006, 'tss', 'TSS2_MU_RC_INSUFFICIENT_BUFFER', 0x00090006],
    [0x000d0001, 'tss', 'TSS2_POLICY_RC_GENERAL_FAILURE', 0x000d0001],
    [0x00050001, 'unknown', 'unknown', 0x00050001],
    [0x80284008, 'tbs', 'TBS_E_SERVICE_NOT_RUNNING', 0x80284008],
    [0x8028400f, 'tbs', 'TBS_E_TPM_NOT_FOUND', 0x8028400f],
    [0x80284fff, 'tbs', 'unknown', 0x80284fff],
    [0x80280400, 'tbs', 'TPM_E_COMMAND_BLOCKED', 0x80280400],
    [0x8028098e, 'tpm', 'TPM_RC_AUTH_FAIL', 0x08e],
    [0x80280921, 'tpm', 'TPM_RC_LOCKOUT', 0x921],
    [0x80280003, 'windows', 'unknown', 0x80280003],
    [0x8028001e, 'windows', 'unknown', 0x8028001e],
    [0x80280000, 'windows', 'unknown', 0x80280000],
    [0x8029041b, 'windows', 'TPM_E_LOCKED_OUT', 0x8029041b],
    [0x80290100, 'windows', 'unknown', 0x80290100],
    [0x80070005, 'unknown', 'unknown', 0x80070005],
    [0x80000000, 'unknown', 'unknown', 0x80000000],
    [0xffffffff, 'unknown', 'unknown', 0xffffffff],
  ])('finds the layer of code %i', (value, layer, name, base) => {
    expect(decodeResponseCode(value)).toMatchObject({ value, layer, name, base });
  });

  it('reads a signed number as its 32 bits', () => {
    expect(decodeResponseCode(0x80280400 | 0)).toEqual(decodeResponseCode(0x80280400));
    expect(decodeResponseCode(0x80280400 | 0).value).toBe(0x80280400);
  });

  it('reads only 0 as success, in every layer', () => {
    const successes = [];
    for (let layer = 0; layer <= 0xffff; layer++) {
      for (const low of [0, 0x4000, 0x8000]) {
        const rc = decodeResponseCode(layer * 0x10000 + low);
        if (rc.base === TPM_RC.SUCCESS || rc.name === 'TPM_RC_SUCCESS') successes.push(rc.value);
      }
    }
    expect(successes).toEqual([0]);
  });

  it("gives other layers' codes no base of a TPM code", () => {
    const bases = new Set<number>(NAMES.map(([, value]) => value));
    for (let low = 0; low <= 0xffff; low++) {
      for (const layer of [0x0006, 0x0007, 0x0008, 0x0009, 0x000a, 0x000c, 0x000d, 0x8029]) {
        if (bases.has(decodeResponseCode(layer * 0x10000 + low).base)) expect.fail(`0x${layer}/0x${low}`);
      }
    }
  });
});

describe('describeResponseCode', () => {
  const describeCode = (value: number, command?: string, parameter?: string) =>
    describeResponseCode(decodeResponseCode(value), command, parameter);

  it.each([
    [
      describeCode(0x2e6, 'TPM2_CreatePrimary', 'inPublic'),
      'TPM2_CreatePrimary: TPM_RC_CURVE (parameter 2, inPublic): the curve is not supported',
    ],
    [
      describeCode(0x18b, 'TPM2_ReadPublic'),
      'TPM2_ReadPublic: TPM_RC_HANDLE (handle 1): the handle is not correct in this context',
    ],
    [describeCode(0x922), 'TPM_RC_RETRY: the TPM could not start the command'],
    [describeCode(0x922, 'TPM2_Sign', 'nobody'), 'TPM2_Sign: TPM_RC_RETRY: the TPM could not start the command'],
    [
      describeCode(0x000b0143, 'TPM2_Vendor'),
      'TPM2_Vendor: TPM_RC_COMMAND_CODE (0x000b0143, from the resource manager): the TPM does not have this command',
    ],
    [
      describeCode(0x80280400, 'TPM2_Clear'),
      'TPM2_Clear: TPM_E_COMMAND_BLOCKED (0x80280400, from TPM Base Services): Windows blocks this command',
    ],
    [describeCode(0x521), "unknown response code (0x00000521): a code of the TPM's manufacturer"],
  ])('says: %s', (actual, expected) => {
    expect(actual).toBe(expected);
  });
});
