import { type Bytes, checkBytes, concatSecrets } from '../bytes.ts';
import { PinRefusedError } from '../errors/pin-refused-error.ts';
import { checkMembers } from '../known-members.ts';
import { checkNewPin, checkPinEncoding, describePinRules } from './check-pin.ts';
import type { PinHistory, PinHistoryOptions } from './pin-history.ts';
import type { PinPolicy } from './pin-policy.ts';

/**
 * Judges a new PIN: its encoding, the rules, and the history. Everything that takes a PIN for a key calls this first.
 * @throws PinRefusedError with every reason; KeyprovError like {@link checkNewPin}; the reason of `signal`.
 */
export async function judgePin(
  pin: Uint8Array,
  policy: PinPolicy,
  options: PinHistoryOptions & { readonly history?: PinHistory | undefined } = {},
): Promise<void> {
  const problems = await checkNewPin(pin, policy, options);
  if (problems.length === 0) return;
  const isText = checkPinEncoding(pin).length === 0;
  const rules = `choose another one: ${describePinRules(policy).join('; ')}`;
  throw new PinRefusedError(problems, { remedy: isText ? rules : ENCODING });
}

const ENCODING = 'write it in UTF-8 without a byte order mark';

/** Size limit of a PIN in bytes of UTF-8: more than any PIN has. */
export const MAX_PIN_BYTES = 1024;

/** Options of {@link pinFromFile}. */
export interface PinFileOptions {
  /** The name of the file in messages. Default `the PIN file`. */
  readonly name?: string | undefined;
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const BLANK = 0x20;
const DELETE = 0x7f;

/**
 * Returns the PIN from a file's bytes, without a trailing newline. Refuses anything that cannot be a PIN, so it does
 * not cost a try. The caller wipes both arrays.
 * @throws PinRefusedError for an empty file, more than 1024 bytes, anything but UTF-8 without a byte order mark, a
 * second line or a control character, and spaces around the PIN.
 */
export function pinFromFile(file: Uint8Array, options: PinFileOptions = {}): Bytes {
  checkBytes(file, 'the file');
  const { name = 'the PIN file' } = checkMembers('pinFromFile', options, 'name:text?');
  const pin = withoutNewline(file);
  if (pin.length === 0) throw new PinRefusedError([{ code: 'too-short', message: `There is no PIN in ${name}.` }]);
  if (pin.length > MAX_PIN_BYTES) {
    throw new PinRefusedError([{ code: 'too-long', message: `The text in ${name} is longer than a PIN can be.` }]);
  }
  checkPossiblePin(pin, name);
  return concatSecrets(pin);
}

/** A view of the bytes without one newline at the end. */
export function withoutNewline(bytes: Uint8Array): Uint8Array {
  if (bytes.at(-1) !== LINE_FEED) return bytes;
  return bytes.subarray(0, bytes.at(-2) === CARRIAGE_RETURN ? -2 : -1);
}

/**
 * Refuses bytes that cannot be a PIN, so they do not cost a try.
 * @throws PinRefusedError if there are none, they are not UTF-8, or have a control character, or spaces around them.
 */
export function checkPossiblePin(pin: Uint8Array, name?: string): void {
  if (pin.length === 0) throw new PinRefusedError([{ code: 'too-short', message: 'The PIN is empty.' }]);
  const problems = checkPinEncoding(pin);
  if (problems.length > 0) {
    throw new PinRefusedError(problems, { remedy: ENCODING });
  }
  const isLine = name === undefined && problemIn(pin) !== undefined && problemIn(withoutNewline(pin)) === undefined;
  const problem = isLine ? 'There is a newline at the end of' : problemIn(pin);
  if (problem !== undefined) {
    const message = `${problem} ${name ?? 'the PIN'}.`;
    throw new PinRefusedError([{ code: 'character-not-allowed', message }], {
      remedy: isLine
        ? 'read the PIN from its file with pinFromFile, which removes the newline'
        : 'provide only the PIN, on one line, without spaces around it',
    });
  }
}

/** Finds bytes that no policy allows in a PIN. */
function problemIn(pin: Uint8Array): string | undefined {
  if (pin.includes(LINE_FEED) || pin.includes(CARRIAGE_RETURN)) return 'There is more than one line in';
  if (pin.some((byte) => byte < BLANK || byte === DELETE)) return 'There is a control character in';
  if (pin[0] === BLANK || pin.at(-1) === BLANK) return 'There is a space at the beginning or end of';
  return undefined;
}
