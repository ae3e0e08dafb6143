import type { PinProblem } from '../errors/pin-refused-error.ts';
import { checkPin } from './check-pin.ts';
import { PIN_CLASSES, type PinCharacterUse, type PinPolicy } from './pin-policy.ts';

/** What is kept about a PIN. Plain data; says nothing of the PIN but which rules it met. */
export interface PinRecord {
  /** When it was set, in milliseconds since 1970. */
  readonly setAt: number;
  /** The rules that it is known to meet. */
  readonly met: PinPolicy;
}

/** Why a PIN must be changed. */
export interface PinChangeReason {
  /** `expired`: its days are over. `policy-tightened`: it may not meet a rule that came later. */
  readonly code: 'expired' | 'policy-tightened';
  /** The rule behind it. */
  readonly setting: keyof PinPolicy;
  /** For the user, in English. */
  readonly message: string;
}

const DAY = 24 * 60 * 60 * 1000;
const TIGHTENED = 'Your organization changed its rules for PINs; set a new PIN.';

/**
 * Why a PIN must be changed at this time (milliseconds since 1970), without having it: it expired, or a rule is now
 * stricter than the one that it met. Empty where it may stay. The next time that the PIN is at hand, {@link recheckPin}
 * can tell whether it meets the new rules after all.
 */
export function pinMustChange(record: PinRecord, policy: PinPolicy, now: number): PinChangeReason[] {
  const reasons: PinChangeReason[] = [];
  const { setAt, met } = record;
  const { expirationDays } = policy;
  if (expirationDays > 0 && now >= setAt + expirationDays * DAY) {
    reasons.push({ code: 'expired', setting: 'expirationDays', message: 'Your PIN has expired; set a new PIN.' });
  }
  const tightened: (keyof PinPolicy)[] = [];
  if (policy.minLength > met.minLength) tightened.push('minLength');
  if (policy.maxLength < met.maxLength) tightened.push('maxLength');
  for (const name of PIN_CLASSES) if (!isCovered(policy[name], met[name])) tightened.push(name);
  return [
    ...reasons,
    ...tightened.map((setting) => ({ code: 'policy-tightened', setting, message: TIGHTENED }) as const),
  ];
}

/**
 * Checks a PIN that is at hand, at sign-in for instance, against rules that came after it: the record that says so where
 * it meets them, and what is wrong where it does not.
 */
export function recheckPin(
  record: PinRecord,
  pin: Uint8Array,
  policy: PinPolicy,
): { readonly record: PinRecord; readonly problems: readonly PinProblem[] } {
  const problems = checkPin(pin, policy);
  return { record: problems.length === 0 ? { ...record, met: policy } : record, problems };
}

/** Whether each PIN that met the old rule for a set of characters meets the new one. */
function isCovered(now: PinCharacterUse, then: PinCharacterUse): boolean {
  return now === 'allowed' || now === then;
}
