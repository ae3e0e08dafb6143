import { expect, it } from 'vitest';
import { parseWebauthnRegistration, verifyWebauthnTpm } from '../../../../src/formats/webauthn/index.ts';
import { asyncRefusal, refusal } from '../../../refusal.ts';

const JSON_OF_BROWSER = {
  id: 'wN4',
  rawId: 'wN4',
  type: 'public-key',
  authenticatorAttachment: 'platform',
  clientExtensionResults: {},
  response: { attestationObject: 'AQI', clientDataJSON: 'AwQ', transports: ['internal'], publicKeyAlgorithm: -7 },
};

it('reads the JSON of a registration, parsed or as text', () => {
  for (const json of [JSON_OF_BROWSER, JSON.stringify(JSON_OF_BROWSER)]) {
    expect(parseWebauthnRegistration(json)).toEqual({
      credentialId: Uint8Array.of(0xc0, 0xde),
      attestationObject: Uint8Array.of(1, 2),
      clientDataJson: Uint8Array.of(3, 4),
    });
  }
});

it.each([
  [
    'a response to a sign-in',
    { ...JSON_OF_BROWSER, response: { clientDataJSON: 'AwQ' } },
    'attestationObject: missing',
  ],
  ['two ids', { ...JSON_OF_BROWSER, rawId: 'wN8' }, 'rawId: it differs from id'],
  ['another type', { ...JSON_OF_BROWSER, type: 'password' }, 'type'],
  ['no response', { ...JSON_OF_BROWSER, response: null }, 'response in a registration: not a JSON object'],
])('refuses %s', (_, json, problem) => {
  const said = refusal(() => parseWebauthnRegistration(json));
  expect(said).toMatch(/^request-invalid/);
  expect(said).toContain(problem);
});

it('is recommended to callers who pass the JSON to the verifier', async () => {
  const trust = { challenge: Uint8Array.of(1), rpId: 'a', origins: ['https://a'], minTier: 'virtual' };
  const call = async () => Reflect.apply(verifyWebauthnTpm, undefined, [JSON_OF_BROWSER.response, trust]);
  expect(await asyncRefusal(call)).toMatch(/^foreign: TypeError: attestationObject .*parseWebauthnRegistration/);
});
