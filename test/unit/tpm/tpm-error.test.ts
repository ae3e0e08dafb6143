import { describe, expect, it } from 'vitest';
import { TPM_RH } from '../../../src/tpm/constants.ts';
import { tpmError } from '../../../src/tpm/tpm-error.ts';

describe('the error of a disabled hierarchy', () => {
  it.each([
    [TPM_RH.OWNER, 'primaryHandle: owner hierarchy'],
    [TPM_RH.ENDORSEMENT, 'primaryHandle: endorsement hierarchy'],
    [TPM_RH.NULL, 'primaryHandle'],
  ])('names it if the handle %i is one', (handle, named) => {
    const { message } = tpmError('CreatePrimary', 0x185, {
      ...{ handles: ['primaryHandle'], parameters: [], values: [handle] },
    });
    expect(message).toContain(`TPM_RC_HIERARCHY (handle 1, ${named}): the hierarchy is disabled`);
  });
});

describe('the error of a lockout', () => {
  const errorFor = (handle: number) =>
    tpmError('DictionaryAttackLockReset', 0x921, { handles: ['lockHandle'], parameters: [], values: [handle] });

  it('does not advise to reset the lockout with the password that is blocked', () => {
    const { code, hierarchy, message, remedy, responseCode } = errorFor(TPM_RH.LOCKOUT);
    expect([code, hierarchy, message, remedy]).toEqual([
      'tpm-lockout',
      'lockout',
      'TPM2_DictionaryAttackLockReset: TPM_RC_LOCKOUT: an earlier password for the lockout hierarchy was wrong, so the ' +
        'TPM accepts none at present',
      "wait for the TPM's lockout recovery time (if it is 0, restart the machine), then provide the right password",
    ]);
    expect(responseCode).toMatchObject({ base: 0x921, name: 'TPM_RC_LOCKOUT', advice: remedy });
  });

  it.each([0x80000000, TPM_RH.OWNER])('is that of wrong PINs for the handle %i', (handle) => {
    const { code, hierarchy, remedy } = errorFor(handle);
    expect([code, hierarchy, remedy]).toEqual(['tpm-lockout', undefined, expect.stringMatching(/, or reset it with/)]);
  });
});
