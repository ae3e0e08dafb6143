import { SelectionError } from '../../errors/selection-error.ts';
import { ServiceError } from '../../errors/service-error.ts';
import { type ErrorCode, KeyprovError } from '../../errors.ts';
import { shellWord } from '../../storage/shell-word.ts';
import { PASSWORDS } from '../options/password-names.ts';

const KEY_LOST =
  "if the key's TPM is gone or was cleared, the key is lost: remove it with keyprov unregister, or with keyprov remove if it " +
  'is not registered (with --force if your own program registered it), and make a new one';

/** Advice for the command line, in addition to the error's remedy. */
const WAYS_ON: Partial<Record<ErrorCode, string>> = {
  'tpm-identity-changed': KEY_LOST,
  'pin-wrong':
    'if you forgot the PIN of a registered key, use keyprov reset; if your own program registered it, remove it with ' +
    'keyprov remove --force; remove any other key with keyprov remove; then make a new one',
};

/** Advice if a key is to be made and there is no TPM. */
const WITHOUT_TPM =
  'choose a TPM with --tpm (--tpm libtpms:DIR is a virtual one with its state in DIR), start one with keyprov sim -- ' +
  'COMMAND, or run keyprov doctor to see what is missing';

/** The advice for the user of a command; undefined if the message is enough. `ofKey`: a key was to be used. */
export function wayOn(error: unknown, ofKey = false): string | undefined {
  if (!(error instanceof KeyprovError)) return undefined;
  if (error instanceof ServiceError && error.details?.code === 'AttestationFailed') {
    if (error.details.message?.includes('nonce')) return undefined;
    return 'have the attestation key certified with --attestation-ca, or send no attestation with --profile strict';
  }
  if (error instanceof ServiceError && error.code === 'service-unreachable' && isAtGraph(error)) {
    return 'if the service is your own, pass the address of its Graph with --graph-url';
  }
  if (error instanceof ServiceError && error.code === 'service-unreachable' && error.retry === 'none') {
    return 'if the service has a certificate from your own CA, pass its root with --service-ca';
  }
  if (error.code === 'no-tpm') {
    const lists = 'keyprov doctor lists the TPMs that --tpm can open';
    return ofKey || error.message.startsWith('the key ') ? `${lists}; ${KEY_LOST}` : lists;
  }
  const isWithoutTpm = error instanceof SelectionError && codesOf(error).some((code) => code === 'no-tpm');
  return isWithoutTpm ? WITHOUT_TPM : WAYS_ON[error.code];
}

const isAtGraph = ({ message }: ServiceError): boolean => message.includes(' https://graph.microsoft.com/');

/** The codes of an error and of its causes. */
function codesOf(error: SelectionError): unknown[] {
  const codes: unknown[] = error.attempts.map(({ code }) => code);
  for (let at: unknown = error; at instanceof KeyprovError; at = at.cause) codes.push(at.code);
  return codes;
}

/** Words of the library, and what the user of a command passes instead. */
const OPTIONS: readonly (readonly [words: string, instead: string])[] = [
  ["fallBack: 'any'", '--fall-back any'],
  ['`force: true`', '--force'],
  ["reset this key's PIN try counter (PinTryLog.reset)", 'run keyprov status --reset-pin-tries'],
  ['(allowDowngrade)', '(--allow-downgrade)'],
  ['the SID as userSid', 'the SID with --policy-for'],
  ['if you trust that host, add it to trustedHosts', 'the command line has no option to trust that host'],
  ['(listHelloMethods)', '(keyprov unregister --list)'],
  ['(deleteHelloMethod)', '(keyprov unregister --registration ID)'],
  ['add it to trustedResources', 'accept it with --resource'],
  ['provide your own token or prompt', 'pass --token-command'],
  [', or with a longer timeoutMs', ''],
  [
    'by user and device, or by its id',
    'with --key, or --user and --device-id; keyprov status shows the keys; keyprov remove --key ID removes one ' +
      'that is not registered',
  ],
  [
    'change its PIN; if that is forgotten or the TPM is lost, unregister the key first',
    'change its PIN with keyprov change-pin; if that is forgotten or the TPM is lost, replace the key with keyprov reset',
  ],
  [
    'if the service has moved, keep its old address',
    'if your own program registered it, remove it there, then run keyprov remove --force',
  ],
  ['use the TPM at ', 'pass --tpm '],
  [
    "with the lockout hierarchy's password",
    'with keyprov tpm --reset-lockout and the password for the lockout hierarchy, if one is set',
  ],
  ...PASSWORDS.map(([option, member]) => [`hierarchyAuth.${member}`, `--tpm-auth ${option}=FILE`] as const),
];

/** Options that the user gave, with their values, which an advised command needs too. */
export type RepeatedOptions = readonly (readonly [option: '--store' | '--tpm', value: string])[];

/** A command in a message that needs them, unless the message advises against it, and what follows there. */
const ADVISED = /(?<!instead of )\bkeyprov (status|change-pin|reset|unregister|remove|tpm)\b(?=([^;,.()]*))/g;
const NEEDS_TPM: readonly string[] = ['tpm', 'change-pin', 'reset'];

/**
 * Replaces the options of the library in a message by those of the command line. Commands in the message get the repeated
 * options, unless they have them.
 */
export function inOptions(text: string, repeated: RepeatedOptions = []): string {
  const said = OPTIONS.reduce((before, [words, instead]) => before.replaceAll(words, instead), text);
  return said.replace(ADVISED, (command, name: string, rest: string) => {
    if (/ --(?:help|list|registration)\b/.test(rest)) return command; // needs neither
    const needed = repeated.filter(
      ([option]) => !rest.includes(option) && (option === '--tpm' ? NEEDS_TPM.includes(name) : name !== 'tpm'),
    );
    return [command, ...needed.flat().map(shellWord)].join(' ');
  });
}
