import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../../../../src/cli/commands/index.ts';
import { buildProgram } from '../../../../src/cli/program.ts';
import { inOptions, wayOn } from '../../../../src/cli/terminal/ways-on.ts';
import { ServiceError } from '../../../../src/errors/service-error.ts';
import { KeyprovError } from '../../../../src/errors.ts';
import { filesIn, textOf } from '../../source-files.ts';

/** Texts that no command prints, with the reason. */
const NOT_PRINTED: Readonly<Record<string, string>> = {
  "pass the right key's record, or leave out id, user and deviceId": 'commands call openKey with a record only',
  "make the key's `sign` obey `format: 'raw'`: it returned DER":
    "keyprov's own keys sign in the format that is asked for",
  'pass a record that KeyStore.load returned': 'commands load records',
  'pass pin, or pass wrappingSecret to openSoftwareKeyProvider: one of them has to encrypt the key':
    'commands keep software keys in a store, whose secret encrypts them',
  'read the PIN from its file with pinFromFile, which removes the newline': 'commands read PINs with pinFromFile',
  'use a key whose name algorithm is SHA-256, or call certifyKey, which does not check the result':
    "keyprov's own keys have the name algorithm SHA-256",
  'the privateKey of clientCertificate ': 'commands check --device-key before they use it',
  'the attestation key is not in trustedAks': 'no command passes trustedAks',
};

/** Names in policy files and TPM structures, which the user of a command knows. */
const NOT_OPTIONS = /\b(?:allowedAlgorithms|maxLength|authPolicy)\b/g;

const unreachable = (url: string) =>
  new ServiceError('service-unreachable', `GET ${url}: getaddrinfo ENOTFOUND`, { retry: 'backoff' });

const LOADED = await Promise.all(COMMANDS.map(async (entry) => ({ ...entry, command: await entry.load() })));

/** Every command with its options, also those in groups. */
function programCommands(): readonly Command[] {
  const nothing = async () => {};
  const program = buildProgram(LOADED, { version: '0', call: nothing, onText: () => {}, onErrorText: () => {} });
  return program.commands.flatMap((command) => [command, ...command.commands]);
}

/** The text after each of the words that introduce what a command prints. */
const textsIn = (source: string): string[] =>
  [
    ...source.matchAll(/\b(?:remedy|reason|detail|problems?)\b[^'"`]{0,80}?(?:'([^'\n]+)'|"([^"\n]+)"|`([^`\n]+)`)/g),
  ].map(([, a, b, c]) => a ?? b ?? c ?? '');

describe('a remedy, a reason, a detail or a problem', () => {
  it('that a command prints names no option of the library', () => {
    const texts = filesIn(['src'], '.ts')
      .filter((path) => !/^src\/(?:cli|testing|webcrypto)\//.test(path))
      .flatMap((path) => textsIn(textOf(path)))
      .filter((text) => text.includes(' '));
    expect(texts.length).toBeGreaterThan(200);
    const inWords = texts
      .map((text) =>
        inOptions(text)
          .replaceAll(/\$\{[^}]*\}/g, '')
          .replaceAll(NOT_OPTIONS, ''),
      )
      .filter((text) => !Object.hasOwn(NOT_PRINTED, text));
    expect(inWords.filter((text) => /\b[a-z]+[A-Z]\w*|\w: (?:true|')/.test(text))).toEqual([]);
  });

  it('names an option only if a command has it', () => {
    const named = [...textOf('src/cli/terminal/ways-on.ts').matchAll(/--[a-z][a-z-]*/g)].map(([option]) => option);
    expect(named.length).toBeGreaterThan(15);
    const had = new Set(programCommands().flatMap(({ options }) => options.map(({ long }) => long)));
    expect(named.filter((option) => !had.has(option))).toEqual([]);
  });

  it('with force is open to every command and function that tries a PIN', () => {
    const forced = /even if a wrong one would lock the TPM/;
    const files = filesIn(['src/cli/commands'], '.ts').filter(
      // The demo uses keys that it has just made.
      (path) => !path.includes('/demo/') && /\bread(?:PinOf|CurrentPin)\(/.test(textOf(path)),
    );
    expect(files.length).toBeGreaterThan(2);
    expect(files.filter((path) => !textOf(path).includes('pinOptions('))).toEqual([]);
    const names = programCommands().flatMap((command) =>
      command.options.some(({ long, description }) => long === '--force' && forced.test(description))
        ? command.name()
        : [],
    );
    expect(names.sort()).toEqual(['attest', 'change-pin', 'request', 'sign']);
    const members = filesIn(['src'], '.ts').flatMap((path) =>
      [...textOf(path).matchAll(/'([^'\n]*\bpin:(?:bytes|function)[^'\n]*)'/g)].map(([, text = '']) => text),
    );
    // These make a key, or give it its first PIN.
    const makes = /algorithm:=rsa|^pin:bytes signal$/;
    expect(members.length).toBeGreaterThan(6);
    expect(members.filter((text) => !makes.test(text) && !/ force:boolean\?/.test(text))).toEqual([]);
  });

  it.each([
    ['use the last try with `force: true`', 'use the last try with --force'],
    ['if you trust that resource, add it to trustedResources', 'if you trust that resource, accept it with --resource'],
    ['provide your own token or prompt', 'pass --token-command'],
    ["or allow a software key (fallBack: 'any')", 'or allow a software key (--fall-back any)'],
    [
      "wait 9 s for another try, or reset the lockout with the lockout hierarchy's password",
      'wait 9 s for another try, or reset the lockout with keyprov tpm --reset-lockout and the password for the ' +
        'lockout hierarchy, if one is set',
    ],
  ])('%s is told in options', (text, told) => expect(inOptions(text)).toBe(told));
});

describe('an advised command', () => {
  const repeated = [
    ['--store', 'my keys'],
    ['--tpm', 'libtpms:tpm'],
  ] as const;

  it.each([
    [
      'a PIN must be changed: keyprov change-pin',
      "a PIN must be changed: keyprov change-pin --store 'my keys' --tpm libtpms:tpm",
    ],
    ['end it with keyprov tpm --reset-lockout', 'end it with keyprov tpm --tpm libtpms:tpm --reset-lockout'],
    ["reset this key's PIN try counter (PinTryLog.reset)", "run keyprov status --store 'my keys' --reset-pin-tries"],
    ['keyprov remove --key ID removes one', "keyprov remove --store 'my keys' --key ID removes one"],
    ['list them (keyprov status --store /a), or wait', 'list them (keyprov status --store /a), or wait'],
    ['keyprov create --tpm auto --out key', 'keyprov create --tpm auto --out key'],
    ['keyprov create --out key', 'keyprov create --out key'],
    ['keyprov doctor shows it', 'keyprov doctor shows it'],
  ])('gets the options that the user gave: %s', (text, told) => {
    expect(inOptions(text, repeated)).toBe(told);
    expect(inOptions(told, repeated)).toBe(told);
  });
});

describe('the advice', () => {
  it('tells of a lost key only if the error is about a key', () => {
    const lists = 'keyprov doctor lists the TPMs that --tpm can open';
    expect(wayOn(new KeyprovError('no-tpm', 'this machine has no TPM that can be opened'))).toBe(lists);
    const key = new KeyprovError('no-tpm', 'the key ngc-1 was made in the TPM at libtpms:tpm');
    expect(wayOn(key)).toMatch(new RegExp(`^${lists}; if the key's TPM is gone`));
  });

  it('names --graph-url only if Microsoft Graph cannot be reached', () => {
    expect(wayOn(unreachable('https://graph.microsoft.com/v1.0/users'))).toMatch(/--graph-url$/);
    expect(wayOn(unreachable('https://keys.contoso.test/'))).toBe(undefined);
  });
});
