import { type Bytes, concatSecrets, equal, wipe } from '../bytes.ts';
import { checkMembers } from '../known-members.ts';
import {
  checkNewPin,
  describePinRules,
  type PinHistory,
  type PinHistoryOptions,
  type PinPolicy,
  type PinProblem,
  PinRefusedError,
} from '../policy/index.ts';
import { askSecret, type SignalOptions } from '../signal.ts';

/** A request to the user for a PIN. */
export interface NewPinRequest {
  /** `enter`: a new PIN. `confirm`: the same again. */
  readonly step: 'enter' | 'confirm';
  readonly policy: PinPolicy;
  /** The rules of the policy, each as a sentence without its period. */
  readonly rules: readonly string[];
  /** Problems of the last PIN; empty the first time. */
  readonly problems: readonly PinProblem[];
  /** Number of this try, from 1. */
  readonly attempt: number;
}

/** Asks the user and returns the PIN in UTF-8, which {@link enterNewPin} wipes. Reject to give up. */
export type NewPinPrompt = (request: NewPinRequest, options: SignalOptions) => Promise<Uint8Array>;

/** Options of {@link enterNewPin}. */
export interface EnterPinOptions extends PinHistoryOptions {
  readonly policy: PinPolicy;
  /** PINs from which the new one must differ. */
  readonly history?: PinHistory | undefined;
  /** Maximum number of refused PINs. Default 10. */
  readonly maxAttempts?: number | undefined;
}

/**
 * Asks for a new PIN until policy allows it and the user has confirmed it. The caller wipes it.
 * @throws errors of the prompt; TypeError if it returns a PIN that was wiped; PinRefusedError after the last try;
 * RangeError if `maxAttempts` is less than 1; the reason of `signal`.
 */
export async function enterNewPin(prompt: NewPinPrompt, options: EnterPinOptions): Promise<Bytes> {
  const {
    policy,
    history,
    pepper,
    signal,
    maxAttempts = 10,
  } = checkMembers('enterNewPin', options, 'policy history pepper:bytes? maxAttempts:number? signal');
  if (!(maxAttempts >= 1)) throw new RangeError(`maxAttempts must be 1 or more, not ${maxAttempts}`);
  const rules = describePinRules(policy);
  let problems: readonly PinProblem[] = [];
  for (let attempt = 1; attempt <= maxAttempts; attempt++) {
    let pin: Bytes | undefined;
    let again: Bytes | undefined;
    try {
      const ask = async (step: NewPinRequest['step']): Promise<Bytes> => {
        const request = { step, policy, rules, problems, attempt };
        const answer = await askSecret(
          'the result of the prompt for a new PIN',
          () => prompt(request, { signal }),
          signal,
        );
        if (answer.length > 0 && answer.every((byte) => byte === 0))
          throw new TypeError(
            'the prompt returned a PIN that has already been overwritten: return a new array each time',
          );
        return answer;
      };
      pin = await ask('enter');
      problems = await checkNewPin(pin, policy, { history, pepper, signal });
      if (problems.length > 0) continue;
      again = await ask('confirm');
      if (equal(pin, again)) return concatSecrets(pin);
      problems = [{ code: 'confirmation-differs', message: "The PINs don't match." }];
    } finally {
      wipe(pin, again);
    }
  }
  throw new PinRefusedError(problems, { remedy: `start again: all ${maxAttempts} tries are used up` });
}
