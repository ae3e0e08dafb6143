import { describe, expect, it } from 'vitest';
import { verifyEvidence, verifyStatement } from '../../src/attestation/index.ts';
import * as keyprov from '../../src/index.ts';
import { joinDevice, startIdentityService } from '../../src/testing/index.ts';
import { asyncRefusal } from '../refusal.ts';

/** Entry points, called with options. */
const CALLS: Readonly<Record<string, (options: never) => unknown>> = {
  openTpm: (options) => keyprov.openTpm('libtpms', options),
  openKeyStore: (options) => keyprov.openKeyStore('keys', options),
  keySources: keyprov.keySources,
  openKey: keyprov.openKey,
  provision: keyprov.provision,
  provisionKey: keyprov.provisionKey,
  createKeyPool: keyprov.createKeyPool,
  createMfaPrompt: keyprov.createMfaPrompt,
  createServiceFetch: keyprov.createServiceFetch,
  openKeyRegistrar: keyprov.openKeyRegistrar,
  policyInForce: keyprov.policyInForce,
  verifyEvidence: (options) => verifyEvidence(Object({}), options),
  verifyStatement: (options) => verifyStatement(Object({}), options),
  startIdentityService,
  joinDevice: (options) => joinDevice('https://localhost', options),
};

describe('an option that does not exist', () => {
  it.each(Object.entries(CALLS))('is refused by %s, which names it and the one that was meant', async (name, call) => {
    const said = await asyncRefusal(async () => Reflect.apply(call, undefined, [{ signla: undefined }]));
    expect(said).toMatch(new RegExp(`^foreign: TypeError: ${name} has no option 'signla'`));
  });

  it('is told with the nearest name, if one is near', async () => {
    const said = (options: object) => asyncRefusal(async () => keyprov.keySources(Object(options)));
    expect(await said({ tmp: 'auto' })).toBe("foreign: TypeError: keySources has no option 'tmp', did you mean 'tpm'?");
    expect(await said({ colour: 'red' })).toBe("foreign: TypeError: keySources has no option 'colour'");
    expect(await said({ hierarchyauth: {} })).toMatch(/did you mean 'hierarchyAuth'\?$/);
    expect(keyprov.keySources({ tpm: 'none', store: undefined })).toEqual({ tpm: undefined, software: undefined });
  });
});
