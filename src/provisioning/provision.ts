import { checkObject, isBytes } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';
import { checkGuid } from '../formats/windows/guid.ts';
import { KeyStore } from '../keys/key-store.ts';
import { checkMembers } from '../known-members.ts';
import { cleanUnlessAborted } from '../signal.ts';
import { checkTypes } from './provision-key.ts';
import { listRegistrations } from './registration-record.ts';
import type { ProvisionOptions, ProvisionOutcome } from './run.ts';
import { claimRun } from './run-journal.ts';
import { RunSteps } from './run-steps.ts';

/**
 * Provisions a key for a user: checks the prerequisites, has the user authenticate, asks for a PIN, makes and attests
 * the key, registers it, and stores its record. The process may be killed at any point: called again with the same
 * user, device and store, it continues, or starts over if no key had been made.
 *
 * @throws KeyprovError `key-exists` if the user has a key on this device; `run-active` while another run makes one;
 * `mfa-…`, `token-invalid`, `pin-refused`; SelectionError, PinError and TpmError as `provisionKey` does; ServiceError
 * if the service refuses the key; `journal-invalid`, `store-…`; TypeError for an option that is unknown or of another
 * kind, before the user is asked for anything, or if `prerequisites` or `registrar` returns something of
 * another kind; errors of the prompts; the reason of `signal`. If the service may have the key by then, the
 * journal stays and the next call continues; else nothing is left.
 *
 * @example
 * ```ts
 * import { createMfaPrompt, createServiceFetch, definePolicy, keySources, openKeyRegistrar, openKeyStore, provision } from 'keyprov';
 *
 * declare const device: { id: string; certificate: string; privateKey: string }; // PEM, of a device that has joined
 * declare const askForPin: () => Promise<Uint8Array>;
 *
 * const url = 'https://sts.contoso.test';
 * await using fetch = createServiceFetch({ clientCertificate: device });
 * const store = await openKeyStore('./keys');
 * const outcome = await provision({
 *   user: 'ada@contoso.test',
 *   deviceId: device.id,
 *   store,
 *   policy: definePolicy({ hardware: 'preferred', pin: { minLength: 6 } }),
 *   sources: keySources({ store }),
 *   prerequisites: 'skip',
 *   mfa: createMfaPrompt({ url, fetch, onCode: ({ message }) => console.log(message) }),
 *   pin: askForPin,
 *   registrar: await openKeyRegistrar({ url, fetch }),
 * });
 * if (outcome.status === 'registered') console.log(outcome.record.backend, outcome.registration.kid);
 * ```
 */
export async function provision(options: ProvisionOptions): Promise<ProvisionOutcome> {
  options = checkMembers(
    'provision',
    options,
    'user:text deviceId:text store policy sources prerequisites mfa:function mfaOptions pin askPinFirst:boolean? pinRecovery pinPepper:bytes?',
    'registrar profile:=strict|attested?',
    'enrolAk:function? pool tpmOptions allowDowngrade:boolean? fallBack:=absent|any? previous:=tpm|software? onEvent:function? now:function? signal',
  );
  checkArguments(options);
  const { user, deviceId, store, registrar, signal, onEvent = () => {}, now = () => new Date() } = options;
  signal?.throwIfAborted();
  if (options.prerequisites !== 'skip') {
    onEvent({ type: 'begin', step: 'prerequisites' });
    const { prerequisites: check } = options;
    const prerequisites = await cleanUnlessAborted(() => check({ signal }), signal);
    const result: unknown = prerequisites?.result;
    if (result !== 'WillProvision' && result !== 'WillNotProvision')
      throw new TypeError('prerequisites must return the result of checkPrerequisites');
    onEvent({ type: 'end', step: 'prerequisites', detail: result });
    if (result === 'WillNotProvision') return { status: 'blocked', prerequisites };
  }
  const begin = { user, deviceId, service: registrar.address, now: now() };
  const { journal, resumed } = await claimRun(store, begin, { signal });
  const steps = new RunSteps(journal, { ...options, onEvent, now });
  try {
    if (resumed) onEvent({ type: 'resume', from: journal.state.progress.step });
    else await refuseSecondKey(store, options);
    return { ...(await steps.run()), status: 'registered', resumed };
  } catch (error) {
    const settled = await steps.settle(error);
    if (settled !== undefined) return settled;
    throw error;
  }
}

/** For callers without types, before the user is asked for anything. @throws TypeError */
function checkArguments(options: ProvisionOptions): void {
  const { store, prerequisites, pin, registrar, signal } = options;
  const demand = (isRight: boolean, what: string): void => {
    if (!isRight) throw new TypeError(`provision: ${what}`);
  };
  demand(store instanceof KeyStore, 'store must be a KeyStore from openKeyStore');
  checkTypes(options);
  checkGuid(options.deviceId, 'provision: deviceId');
  demand(
    prerequisites === 'skip' || typeof prerequisites === 'function',
    "prerequisites must be 'skip', or a function that returns the result of checkPrerequisites",
  );
  demand(
    pin === 'none' || typeof pin === 'function' || isBytes(pin),
    "pin must be a function that asks for it, a Uint8Array, or 'none'",
  );
  checkObject(
    registrar,
    'registrar',
    ...(['address:string', 'resource:string', 'tenant:string'] as const),
    ...(['challenge:function', 'register:function', 'unregister:function?'] as const),
  );
  demand(signal === undefined || signal instanceof AbortSignal, 'signal must be an AbortSignal');
}

async function refuseSecondKey(store: KeyStore, { user, deviceId }: ProvisionOptions): Promise<void> {
  const [first] = await listRegistrations(store, { user, deviceId });
  if (first === undefined) return;
  throw new KeyprovError('key-exists', `${user} already has the key ${first.record.id} on this device`, {
    remedy: 'change its PIN; if that is forgotten or the TPM is lost, unregister the key first',
  });
}
