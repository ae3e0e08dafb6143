import { expect, it } from 'vitest';
import { registrationRefusal } from '../../../src/registration/registration-refusal.ts';

it.each([
  ['it does not answer a nonce that the service gave this device', /^attest with a fresh nonce from the service$/],
  ['challenge, tier', /^attest with a fresh nonce from the service$/],
  ['trust, ak-trusted, tier', /^have the attestation key certified by a CA that the service trusts/],
  ['tier', /^have the attestation key certified by a CA that the service trusts/],
  ['not valid', /fresh nonce from the service, and with an attestation key that it trusts$/],
])('the remedy for a refused attestation goes by the reason: %s', (why, remedy) => {
  const details = { form: 'json' as const, code: 'AttestationFailed', message: `Attestation failed: ${why}` };
  expect(registrationRefusal(400, details)).toEqual({ windowsCode: 0x801c03ee, remedy: expect.stringMatching(remedy) });
});
