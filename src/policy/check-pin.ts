import buffer from 'node:buffer'; // isUtf8 by name would stop an older Node.js before keyprov says which one it needs
import { checkBytes } from '../bytes.ts';
import type { PinProblem } from '../errors/pin-refused-error.ts';
import { checkMembers } from '../known-members.ts';
import { type PinHistory, type PinHistoryOptions, pinHistoryContains } from './pin-history.ts';
import { checkPinRules, PIN_CLASSES, PIN_SPECIAL_CHARACTERS, type PinClass, type PinPolicy } from './pin-policy.ts';

const NAMES: Readonly<Record<PinClass, readonly [one: string, many: string]>> = {
  uppercase: ['uppercase letter', 'uppercase letters'],
  lowercase: ['lowercase letter', 'lowercase letters'],
  special: ['special character', 'special characters'],
  digits: ['digit', 'digits'],
};

/** The class of each ASCII character; undefined for the space and control characters. */
const CLASS_OF: readonly (PinClass | undefined)[] = Array.from({ length: 128 }, (_, code) => {
  const character = String.fromCharCode(code);
  if (/[A-Z]/.test(character)) return 'uppercase';
  if (/[a-z]/.test(character)) return 'lowercase';
  if (/[0-9]/.test(character)) return 'digits';
  return PIN_SPECIAL_CHARACTERS.includes(character) ? 'special' : undefined;
});

/**
 * Checks a PIN's bytes against the rules for every PIN: UTF-8, without a byte order mark, and without the zero bytes of
 * UTF-16. Returns the problems; empty if there are none.
 * @throws TypeError if it is not bytes.
 */
export function checkPinEncoding(pin: Uint8Array): PinProblem[] {
  checkBytes(pin, 'a PIN');
  const wrong = (message: string): PinProblem[] => [{ code: 'encoding-invalid', message }];
  const [first, second, third] = pin;
  if (first === 0xef && second === 0xbb && third === 0xbf) return wrong("Your PIN can't begin with a byte order mark.");
  const hasMark = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
  if (hasMark || hasEveryOtherZero(pin)) return wrong('Your PIN must be text in UTF-8, not in UTF-16.');
  if (pin.includes(0)) return wrong("Your PIN can't contain a zero byte (NUL).");
  return buffer.isUtf8(pin) ? [] : wrong('Your PIN must be text in UTF-8, but some of its bytes are not.');
}

/** ASCII text in UTF-16 has a zero in every other byte. */
function hasEveryOtherZero(pin: Uint8Array): boolean {
  if (pin.length < 2 || pin.length % 2 !== 0) return false;
  return [0, 1].some((start) => pin.every((byte, index) => (byte === 0) === (index % 2 === start)));
}

/**
 * Returns every rule that a PIN in UTF-8 breaks; empty if it is allowed. Keeps no copy of the PIN.
 *
 * A PIN that has only digits is a common pattern if each digit differs from the next by the same amount modulo 10, as
 * in 1111, 1234 and 7036: 100 PINs of each length. Characters outside the four sets are refused.
 * @throws TypeError if it is not bytes, or if rules are missing; PolicyError if one is wrong.
 */
export function checkPin(pin: Uint8Array, policy: PinPolicy): PinProblem[] {
  checkPinRules(policy);
  const encoding = checkPinEncoding(pin);
  if (encoding.length > 0) return encoding;
  const seen: Record<PinClass, boolean> = { uppercase: false, lowercase: false, special: false, digits: false };
  let length = 0;
  let others = false;
  for (const byte of pin) {
    if ((byte & 0xc0) !== 0x80) length++;
    const found = CLASS_OF[byte];
    if (found === undefined) others = true;
    else seen[found] = true;
  }
  const problems: PinProblem[] = [];
  const { minLength, maxLength } = policy;
  if (length < minLength) {
    problems.push({ code: 'too-short', message: `Your PIN must be at least ${minLength} characters long.` });
  }
  if (length > maxLength) {
    problems.push({ code: 'too-long', message: `Your PIN can't be longer than ${maxLength} characters.` });
  }
  for (const name of PIN_CLASSES) {
    const [one, many] = NAMES[name];
    if (policy[name] === 'required' && !seen[name]) {
      problems.push({ code: `${name}-required`, message: `Your PIN must include at least one ${one}.` });
    } else if (policy[name] === 'not-allowed' && seen[name]) {
      problems.push({ code: `${name}-not-allowed`, message: `Your PIN can't include ${many}.` });
    }
  }
  if (others) {
    const message = `Your PIN can only include letters, digits, and these characters: ${PIN_SPECIAL_CHARACTERS}`;
    problems.push({ code: 'character-not-allowed', message });
  }
  const isNumeric = seen.digits && !seen.uppercase && !seen.lowercase && !seen.special && !others;
  if (isNumeric && hasConstantDifference(pin)) {
    problems.push({ code: 'common-pattern', message: "Your PIN can't be a common number pattern." });
  }
  return problems;
}

/**
 * Does {@link checkPin}, and also refuses one of the last `policy.history` PINs, including the current one.
 * @throws the reason of `signal`; KeyprovError like {@link pinHistoryContains}.
 */
export async function checkNewPin(
  pin: Uint8Array,
  policy: PinPolicy,
  options: PinHistoryOptions & { readonly history?: PinHistory | undefined } = {},
): Promise<PinProblem[]> {
  const { history, ...hashing } = checkMembers('checkNewPin', options, 'history pepper:bytes? signal');
  const problems = checkPin(pin, policy);
  const recent = { entries: history?.entries.slice(0, policy.history) ?? [] };
  if (await pinHistoryContains(recent, pin, hashing)) {
    problems.push({ code: 'in-history', message: "Your PIN can't be one that you used before." });
  }
  return problems;
}

/**
 * Describes the PIN rules for the user, each as a sentence without its period.
 * @throws TypeError if rules are missing; PolicyError if one is wrong.
 */
export function describePinRules(policy: PinPolicy): string[] {
  checkPinRules(policy);
  const { minLength, maxLength, history } = policy;
  const rules = [`Must be at least ${minLength} characters long`, `Can't be longer than ${maxLength} characters`];
  for (const name of PIN_CLASSES) {
    const [one, many] = NAMES[name];
    const rule = {
      allowed: `May include ${many}`,
      required: `Must include at least one ${one}`,
      'not-allowed': `Can't include ${many}`,
    };
    rules.push(rule[policy[name]]);
  }
  if (policy.digits !== 'not-allowed') rules.push("Can't be a number pattern (such as 123456 or 111111)");
  if (history > 0) rules.push(`Can't be one of your last ${history} PINs`);
  return rules;
}

function hasConstantDifference(digits: Uint8Array): boolean {
  const difference = (index: number): number => ((digits[index + 1] ?? 0) - (digits[index] ?? 0) + 10) % 10;
  for (let index = 1; index < digits.length - 1; index++) if (difference(index) !== difference(0)) return false;
  return true;
}
