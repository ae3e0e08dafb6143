import {
  type ErrorByCode,
  type ErrorCode,
  isKeyprovError,
  KeyprovError,
  type PlainErrorCode,
} from '../../src/index.ts';
import { errorOfCode } from '../error-of-code.ts';

declare const error: unknown;

/** Compiles only if `A` and `B` are the same type. */
function same<A, B>(
  ..._: (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? [] : ['not the same']
): void {}

// Every code narrows to its class, and its class knows the code.
type Narrowed = {
  [Code in ErrorCode]: Code extends ErrorByCode[Code]['code'] ? true : false;
}[ErrorCode];
same<Narrowed, true>();

// A class with its own codes has no others.
type Strays = {
  [Code in ErrorCode]: Exclude<ErrorByCode[Code]['code'], CodesOf<ErrorByCode[Code]>>;
}[Exclude<ErrorCode, PlainErrorCode>];
type CodesOf<E> = { [Code in ErrorCode]: ErrorByCode[Code] extends E ? Code : never }[ErrorCode];
same<Strays, never>();

// By code, without a cast.
if (isKeyprovError(error, 'pin-wrong')) {
  same<typeof error.code, 'pin-wrong'>();
  same<typeof error.triesLeft, number | undefined>();
  same<typeof error.retryAfterSeconds, number | undefined>();
}
if (isKeyprovError(error, 'tpm-unavailable')) {
  same<(typeof error.attempts)[number]['backend'], 'tpm' | 'software'>();
  same<typeof error.retryAfterSeconds, number | undefined>();
}
if (isKeyprovError(error, 'policy-invalid')) same<(typeof error.problems)[number]['setting'], string>();
if (isKeyprovError(error, 'token-invalid')) same<(typeof error.problems)[number]['message'], string>();
if (isKeyprovError(error, 'service-refused')) same<typeof error.status, number | undefined>();
if (isKeyprovError(error, 'tpm-response')) same<typeof error.command, string | undefined>();
if (isKeyprovError(error, 'codec')) same<typeof error.path, string>();

// By `switch`.
if (isKeyprovError(error)) {
  switch (error.code) {
    case 'key-locked':
    case 'pin-last-try':
      same<typeof error.triesLeft, number | undefined>();
      break;
    case 'hardware-required':
      same<(typeof error.attempts)[number]['reason'], string>();
      break;
    case 'no-tpm':
      // @ts-expect-error a plain error has no members of its own
      error.attempts;
  }
}

// In the other branch the type is unchanged.
declare const known: KeyprovError;
if (!isKeyprovError(known, 'no-tpm')) same<typeof known, KeyprovError>();

// A code with a class of its own is thrown with that class only.
new KeyprovError('no-tpm', 'plain');
// @ts-expect-error PinError
new KeyprovError('pin-wrong', 'bare');
// @ts-expect-error SelectionError
new KeyprovError('hardware-required', 'bare', { remedy: 'none' });
// @ts-expect-error not a code
isKeyprovError(error, 'virtual-tpm-refused');

errorOfCode('pin-wrong', 'made with its class');
