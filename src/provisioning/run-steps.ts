import { randomUUID } from 'node:crypto';
import { checkBytes, concatSecrets, isBytes, toHex, wipe } from '../bytes.ts';
import { ServiceError } from '../errors/service-error.ts';
import { isKeyprovError, KeyprovError, undoOnFailure } from '../errors.ts';
import { encodePublicBlob, keyIdOf } from '../formats/windows/key-registration.ts';
import type { KeyRecord } from '../keys/key-record.ts';
import { noteLastBackend } from '../keys/last-backend.ts';
import { selectKeyProvider } from '../keys/select-provider.ts';
import { proveAttestation } from '../keys/storage-parent.ts';
import { judgePin } from '../policy/index.ts';
import { sayTime } from '../printable.ts';
import type { KeyRegistrar } from '../registration/key-registrar.ts';
import { isRegistrationId, peerLine } from '../registration/peer-text.ts';
import type { RegistrationAnswer } from '../registration/register-key.ts';
import { unlessAborted } from '../signal.ts';
import { readProperties } from '../tpm/capabilities.ts';
import { TPM_PT } from '../tpm/constants.ts';
import { askService, askToUnregister } from './ask-service.ts';
import { lastBackendOf } from './find-key.ts';
import { policyProblem } from './fits-policy.ts';
import { type KeyRequest, type KeyRequestOptions, requestOf, UNATTESTED } from './key-request.ts';
import { isKeyLoss } from './lost-key.ts';
import { checkFresh, type MfaProof, passMfa } from './mfa-gate.ts';
import { enterNewPin } from './pin-entry.ts';
import { type ProvisionedKey, provisionKey, requestForKey, withTpmOfKey } from './provision-key.ts';
import { withRegistration } from './registration-record.ts';
import type { FinishedRun, ProvisionOptions, ProvisionOutcome, RunStep } from './run.ts';
import type { RunJournal, RunState } from './run-journal.ts';
import { checkAnswer, registrationOf } from './run-records.ts';

type Progress<S extends RunState['progress']['step']> = Extract<RunState['progress'], { step: S }>;

/** What {@link RunSteps} needs: the options of the run, completed. */
interface RunOptions extends ProvisionOptions {
  readonly onEvent: NonNullable<ProvisionOptions['onEvent']>;
  readonly now: () => Date;
}

/**
 * The steps of one run, from the state of its journal. The journal notes each step with a side effect before it begins.
 */
export class RunSteps {
  readonly #journal: RunJournal;
  readonly #options: RunOptions;
  /** Whether an earlier request may have reached the service: then a refusal now does not mean that it has no key. */
  #maybeSent: boolean;

  constructor(journal: RunJournal, options: RunOptions) {
    this.#journal = journal;
    this.#options = options;
    this.#maybeSent = journal.state.progress.step === 'sending';
  }

  /**
   * Runs the remaining steps and removes the journal. If it throws, the journal stays as it was: see {@link settle}.
   */
  async run(): Promise<FinishedRun> {
    const { progress, service } = this.#journal.state;
    const { registrar } = this.#options;
    if (service !== registrar.address) {
      if (progress.step !== 'begun' && progress.step !== 'made') {
        throw new KeyprovError('journal-invalid', `an unfinished run belongs to another service, ${service}`, {
          remedy: `finish that run with its service first, or remove ${this.#journal.path}`,
        });
      }
      await this.#journal.write({ service: registrar.address });
    }
    switch (progress.step) {
      case 'registered': {
        if (this.#problemOf(progress.key) === undefined) return await this.#keep(progress);
        await this.#noteBackend(progress.key);
        const { user, kid, keyId } = progress.registration;
        const unwanted: Progress<'unwanted'> = { step: 'unwanted', user, kid, keyId };
        await this.#journal.write({ progress: unwanted });
        await this.#takeBack(unwanted);
        break;
      }
      case 'made':
      case 'sending':
        return await this.#goOn(progress);
      case 'unwanted':
        await this.#takeBack(progress);
        break;
      case 'begun':
    }
    return await this.#beginAnew();
  }

  /**
   * Settles the journal after an error: removes it if the service cannot have the key, else leaves it for the next
   * start.
   * @returns the outcome that replaces the error; undefined if the error is to be thrown.
   */
  async settle(error: unknown): Promise<ProvisionOutcome | undefined> {
    const { progress } = this.#journal.state;
    const { step } = progress;
    const service = error instanceof ServiceError ? error : undefined;
    // A refusal is the answer to the last request, even if an earlier one may have registered the key.
    const isOpen = service?.retry === 'backoff' || (service?.code === 'service-answer' && service.outcomeUnknown);
    const isRefused = service !== undefined && !isOpen;
    try {
      const isNowhere = step === 'begun' || step === 'made' || (step === 'sending' && isRefused && !this.#maybeSent);
      if (!isNowhere) await this.#journal.release();
      else {
        if ('key' in progress) {
          const { key } = progress;
          await undoOnFailure(
            () => this.#noteBackend(key),
            () => this.#journal.release(),
          );
        }
        await this.#journal.remove();
      }
    } catch (second) {
      if (isKeyprovError(error)) error.suppressed.push(second);
    }
    if (step !== 'sending' || service === undefined || isRefused) return undefined;
    return { status: 'pending', problem: service, retryAfterMs: service.retryAfterMs };
  }

  async #beginAnew(passed?: MfaProof): Promise<FinishedRun> {
    const { store, user, deviceId, policy, pool, sources, signal, onEvent } = this.#options;
    const { enrolAk, allowDowngrade, fallBack, now, tpmOptions } = this.#options;
    const { pin: given, askPinFirst, pinRecovery, pinPepper } = this.#options;
    const previous = this.#options.previous ?? (await lastBackendOf(store, user));
    // Checked first: the user must not authenticate and choose a PIN for a key that cannot be made.
    const rules = { algorithm: policy.algorithm, hasPin: given !== 'none', previous, allowDowngrade, fallBack, signal };
    if (pool !== undefined) await pool.check({ ...rules, policy });
    else await (await selectKeyProvider(policy, sources, { ...rules, tpmOptions })).close();
    // And the user must not authenticate for a PIN that is then refused.
    if (isBytes(given)) {
      this.#begin('pin');
      await judgePin(given, policy.pin, { signal });
      this.#end('pin', 'meets the policy');
    }
    let pin = askPinFirst ? await this.#enterPin() : undefined;
    let proof: MfaProof;
    let made: ProvisionedKey;
    try {
      proof = passed ?? (await this.#authenticate());
      pin ??= await this.#enterPin();
      proof = await this.#freshened(proof);
      const challenge = await this.#challenge(proof);
      const wanted = {
        ...{ user, deviceId, policy, challenge, pin, pinRecovery, pinPepper, profile: this.#profile, enrolAk },
        ...{ previous, allowDowngrade, fallBack, now, signal, onEvent },
      };
      made = pool === undefined ? await provisionKey({ ...wanted, sources, tpmOptions }) : await pool.take(wanted);
    } finally {
      wipe(pin);
    }
    await this.#journal.write({ progress: { step: 'made', key: made.record } });
    return await this.#register(made.record, made, proof);
  }

  /**
   * The key exists, so the user is not asked for a PIN. The TPM attests it again, which proves that it still exists.
   */
  async #goOn(progress: Progress<'made' | 'sending'>): Promise<FinishedRun> {
    // Checked first: the user must not authenticate for a key that is lost, or whose TPM cannot be used at present.
    const loss = await this.#lossOf(progress.key);
    if (loss !== undefined) return await this.#replace(progress, loss);
    const { key } = progress;
    const proof = await this.#authenticate();
    let request: KeyRequest;
    try {
      request = await this.#attestAgain(key, proof);
    } catch (error) {
      if (!isKeyLoss(error)) throw error;
      return await this.#replace(progress, error, proof);
    }
    return await this.#register(key, request, proof);
  }

  /** Why the key cannot be registered any more: policy has changed, or the TPM was cleared or replaced. */
  async #lossOf(key: KeyRecord): Promise<KeyprovError | undefined> {
    const problem = this.#problemOf(key);
    if (problem !== undefined || key.backend === 'software') return problem;
    const { policy, tpmOptions, signal } = this.#options;
    try {
      await withTpmOfKey(key, this.#options, async ({ tpm }) => {
        if (policy.attestation !== 'required') return;
        const properties = await readProperties(tpm, TPM_PT.PERMANENT, { signal });
        await proveAttestation(tpm, { ...policy, properties }, { ...tpmOptions, signal });
      });
      return undefined;
    } catch (error) {
      if (!isKeyLoss(error)) throw error;
      return error;
    }
  }

  /** Makes another key in place of one that is lost, which the service must not keep either. */
  async #replace(
    { step, key }: Progress<'made' | 'sending'>,
    loss: KeyprovError,
    proof?: MfaProof,
  ): Promise<FinishedRun> {
    await this.#noteBackend(key);
    const passed = step === 'sending' ? await this.#disown(key, loss, proof) : proof;
    await this.#forget();
    return await this.#beginAnew(passed);
  }

  /** Notes that a key that is given up was in the TPM, before the journal forgets it: its successor must not be weaker. */
  async #noteBackend({ backend }: KeyRecord): Promise<void> {
    const { store, user, now } = this.#options;
    if (backend === 'tpm') await noteLastBackend(store.directory, user, backend, now());
  }

  /** Registers the key again to learn its Key ID from a service that may have it, then takes it back. */
  async #disown(key: KeyRecord, loss: KeyprovError, given: MfaProof | undefined): Promise<MfaProof> {
    if (this.#options.registrar.unregister === undefined) {
      const what = `an unfinished run's key can no longer be used (${loss.message}); the service may have it`;
      throw this.#cannotUnregister(`${what}, but`, loss);
    }
    const proof = await (given === undefined ? this.#authenticate() : this.#freshened(given));
    const { request } = requestOf(key.publicKey, UNATTESTED, this.#formFor(key));
    const { kid } = await this.#send(key, request.body, proof);
    const keyId = keyIdOf(key.publicKey);
    const progress: Progress<'unwanted'> = { step: 'unwanted', user: this.#options.user, kid, keyId };
    await this.#journal.write({ progress });
    await this.#takeBack(progress);
    return proof;
  }

  async #register(record: KeyRecord, first: KeyRequest, given: MfaProof): Promise<FinishedRun> {
    let built = first;
    const send = async (proof: MfaProof): Promise<RegistrationAnswer> => {
      // The challenge may be used up, or be for the earlier token only.
      if (proof !== given) built = await this.#attestAgain(record, proof);
      return await this.#send(record, built.request.body, proof);
    };
    const registration = await send(await this.#freshened(given)).catch(async (error: unknown) => {
      // The service requires a newer or stronger authentication: try once more, not a third time.
      if (!(error instanceof ServiceError) || error.retry !== 'mfa') throw error;
      return await send(await this.#authenticate());
    });
    const kept = registrationOf(record, registration, built, this.#options);
    const progress: Progress<'registered'> = { step: 'registered', key: record, registration: kept };
    await this.#journal.write({ progress });
    return { ...(await this.#keep(progress)), attestation: built.attestation, request: built.request };
  }

  /** The request for a key that exists, over a new challenge. @throws as {@link requestForKey}. */
  async #attestAgain(key: KeyRecord, proof: MfaProof): Promise<KeyRequest> {
    const { sources, enrolAk, signal, onEvent, tpmOptions } = this.#options;
    const challenge = await this.#challenge(proof);
    const wanted = { ...this.#formFor(key), sources, tpmOptions, challenge, enrolAk, signal, onEvent };
    return await requestForKey(key, wanted);
  }

  async #send(key: KeyRecord, body: string, proof: MfaProof): Promise<RegistrationAnswer> {
    const { registrar, user, signal, onEvent } = this.#options;
    await this.#journal.write({ progress: { step: 'sending', key } });
    this.#begin('registration');
    try {
      const request = { token: proof.token(), body, user, clientRequestId: this.#journal.state.id };
      const more: Parameters<KeyRegistrar['register']>[1] = {
        signal,
        outcomeUnknown: this.#maybeSent,
        onRetry: ({ error, delayMs }) =>
          onEvent({ type: 'retry', step: 'registration', reason: error.message, delayMs }),
      };
      const answer = await askService(() => unlessAborted(() => registrar.register(request, more), signal), {
        ...{ name: 'registrar.register', outcomeUnknown: true, signal },
      });
      const registration = checkAnswer(answer, user);
      this.#end('registration', `number ${registration.kid}`);
      return registration;
    } catch (error) {
      if (error instanceof ServiceError) {
        this.#maybeSent ||= error.outcomeUnknown;
        // This run has no right to remove a key of another user. It gives up its own key.
        if (error.misplaced !== undefined) {
          await this.#noteBackend(key);
          await this.#forget();
        }
      }
      throw error;
    }
  }

  /** Unregisters the key. A key that may not belong to this run stays registered, and the next start ignores it. */
  async #takeBack({ user, kid, keyId }: Progress<'unwanted'>): Promise<void> {
    const { registrar, deviceId, signal } = this.#options;
    if (keyId === undefined || !isRegistrationId(kid) || user.toLowerCase() !== this.#options.user.toLowerCase()) {
      await this.#forget();
      const which = `the key ${peerLine(kid, 256)} of ${peerLine(user, 256)}`;
      const problem = `nothing shows that ${which} belongs to this run, so it was not removed`;
      const remedy = 'check at the service whether you want that key, then run this again';
      throw new ServiceError('service-untrusted', problem, { remedy });
    }
    const { unregister } = registrar;
    if (unregister === undefined) {
      throw this.#cannotUnregister(`the service has registered the key ${kid} for ${user}, and`);
    }
    try {
      await askToUnregister(() => unregister.call(registrar, { user, kid, keyId, deviceId }, { signal }), signal);
    } catch (error) {
      if (isKeyprovError(error, 'service-untrusted')) await this.#forget();
      throw error;
    }
    await this.#forget();
  }

  #cannotUnregister(what: string, cause?: unknown): ServiceError {
    return new ServiceError('service-refused', `${what} the registrar cannot unregister it`, {
      cause,
      remedy: `unregister it at the service, then remove ${this.#journal.path}`,
    });
  }

  /** Sets the journal back to its start. Another key is another request, with its own id. */
  async #forget(): Promise<void> {
    await this.#journal.write({ progress: { step: 'begun' }, id: randomUUID() });
    this.#maybeSent = false;
  }

  /** Saves the key, then removes the journal. An earlier start may have been interrupted between the two. */
  async #keep({ key, registration }: Progress<'registered'>): Promise<FinishedRun> {
    const { store, signal } = this.#options;
    this.#begin('record');
    const record = withRegistration(key, registration);
    try {
      await store.save(record, { signal });
    } catch (error) {
      if (!isKeyprovError(error, 'key-exists')) throw error;
      const { publicKey } = await store.load(record.id);
      if (toHex(encodePublicBlob(publicKey)) !== toHex(encodePublicBlob(record.publicKey))) throw error;
    }
    await this.#journal.remove();
    this.#end('record', record.id);
    return { record, registration };
  }

  async #challenge(proof: MfaProof): Promise<Uint8Array> {
    const { registrar, user, deviceId, signal } = this.#options;
    const request = { user, deviceId, token: proof.token(), signal };
    const challenge = await askService(() => unlessAborted(() => registrar.challenge(request), signal), {
      ...{ name: 'registrar.challenge', outcomeUnknown: false, signal },
    });
    checkBytes(challenge, 'the result of registrar.challenge');
    return challenge;
  }

  async #authenticate(): Promise<MfaProof> {
    const { mfa, mfaOptions, user, deviceId, registrar, signal, now } = this.#options;
    this.#begin('mfa');
    const proof = await passMfa(mfa, { ...mfaOptions, user, deviceId, resource: registrar.resource, signal, now });
    this.#end('mfa', `passed at ${sayTime(proof.passedAt)}`);
    return proof;
  }

  /** Authenticates again if the proof expired while the user chose a PIN. */
  async #freshened(proof: MfaProof): Promise<MfaProof> {
    try {
      checkFresh(proof, this.#options.now());
      return proof;
    } catch (error) {
      if (!isKeyprovError(error, 'mfa-stale')) throw error;
      return await this.#authenticate();
    }
  }

  async #enterPin(): Promise<Uint8Array | undefined> {
    const { pin, policy, signal } = this.#options;
    if (pin === 'none') return undefined;
    if (isBytes(pin)) return concatSecrets(pin);
    this.#begin('pin');
    const entered = await enterNewPin(pin, { policy: policy.pin, signal });
    this.#end('pin', 'meets the policy');
    return entered;
  }

  /** The form of the request for a key that exists, whatever algorithm policy wants now. */
  #formFor({ algorithm }: KeyRecord): Pick<KeyRequestOptions, 'policy' | 'profile'> {
    return { policy: { ...this.#options.policy, algorithm }, profile: this.#profile };
  }

  get #profile(): ProvisionOptions['profile'] {
    return this.#options.profile ?? this.#options.registrar.profile;
  }

  /** Why policy, which may have changed since the key was made, does not allow it. */
  #problemOf(key: KeyRecord): KeyprovError | undefined {
    const { policy, pin } = this.#options;
    return policyProblem(key, policy, { wantsPin: pin !== 'none' });
  }

  #begin(step: RunStep): void {
    this.#options.onEvent({ type: 'begin', step });
  }

  #end(step: RunStep, detail: string): void {
    this.#options.onEvent({ type: 'end', step, detail });
  }
}
