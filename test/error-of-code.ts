import { CodecError } from '../src/errors/codec-error.ts';
import type { ErrorByCode, ErrorCode, PlainErrorCode } from '../src/errors/error-by-code.ts';
import { MfaError } from '../src/errors/mfa-error.ts';
import { PinError } from '../src/errors/pin-error.ts';
import { PinRefusedError } from '../src/errors/pin-refused-error.ts';
import { PolicyError } from '../src/errors/policy-error.ts';
import { SelectionError } from '../src/errors/selection-error.ts';
import { ServiceError } from '../src/errors/service-error.ts';
import { TpmError } from '../src/errors/tpm-error.ts';
import { KeyprovError, type KeyprovErrorOptions } from '../src/errors.ts';

type Make<E> = (message: string, options: KeyprovErrorOptions) => E;

const pin =
  (code: PinError['code']): Make<PinError> =>
  (...args) =>
    new PinError(code, ...args);
const tpm =
  (code: TpmError['code']): Make<TpmError> =>
  (...args) =>
    new TpmError(code, ...args);
const mfa =
  (code: MfaError['code']): Make<MfaError> =>
  (...args) =>
    new MfaError(code, ...args);
const service =
  (code: ServiceError['code']): Make<ServiceError> =>
  (...args) =>
    new ServiceError(code, ...args);
const selection =
  (code: SelectionError['code']): Make<SelectionError> =>
  (message, options) =>
    new SelectionError(code, message, [], options);

/** Makes an error for each code that has its own class. The compiler checks it against {@link ErrorByCode}. */
const OWN_CLASSES: { readonly [Code in Exclude<ErrorCode, PlainErrorCode>]: Make<ErrorByCode[Code]> } = {
  'policy-invalid': (problem) => new PolicyError([{ setting: 'policy', problem, expected: 'another' }]),
  codec: (problem) => new CodecError('bytes', problem),
  'tpm-response': tpm('tpm-response'),
  'tpm-auth-failed': tpm('tpm-auth-failed'),
  'tpm-lockout': tpm('tpm-lockout'),
  'tpm-out-of-memory': tpm('tpm-out-of-memory'),
  'tpm-failure-mode': tpm('tpm-failure-mode'),
  'tpm-canceled': tpm('tpm-canceled'),
  'tpm-retry-exhausted': tpm('tpm-retry-exhausted'),
  'tpm-unsupported': tpm('tpm-unsupported'),
  'tpm-command-blocked': tpm('tpm-command-blocked'),
  'hardware-required': selection('hardware-required'),
  'tpm-unavailable': selection('tpm-unavailable'),
  'no-key-provider': selection('no-key-provider'),
  'downgrade-refused': selection('downgrade-refused'),
  'algorithm-unsupported': selection('algorithm-unsupported'),
  'attestation-unavailable': selection('attestation-unavailable'),
  'pin-refused': (message, options) => new PinRefusedError([{ code: 'too-short', message }], options),
  'key-locked': pin('key-locked'),
  'pin-wrong': pin('pin-wrong'),
  'pin-last-try': pin('pin-last-try'),
  'service-untrusted': service('service-untrusted'),
  'service-unreachable': service('service-unreachable'),
  'service-timeout': service('service-timeout'),
  'service-refused': service('service-refused'),
  'service-answer': service('service-answer'),
  'mfa-failed': mfa('mfa-failed'),
  'mfa-timeout': mfa('mfa-timeout'),
  'mfa-stale': mfa('mfa-stale'),
  'token-invalid': mfa('token-invalid'),
};

const hasOwnClass = (code: ErrorCode): code is Exclude<ErrorCode, PlainErrorCode> => Object.hasOwn(OWN_CLASSES, code);

/** Makes an error of any code, in the code's class. */
export function errorOfCode(code: ErrorCode, message: string, options: KeyprovErrorOptions = {}): KeyprovError {
  return hasOwnClass(code) ? OWN_CLASSES[code](message, options) : new KeyprovError(code, message, options);
}
