import { readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { utf8, wipe } from '../../../bytes.ts';
import { KeyprovError, withCleanup } from '../../../errors.ts';
import { judgePin } from '../../../policy/index.ts';
import { ignoring } from '../../../storage/file-error.ts';
import { makeDirectory } from '../../../storage/make-directory.ts';
import { absolutePath } from '../../../storage/user-paths.ts';
import type { Context } from '../../command.ts';
import { EXIT } from '../../exit-codes.ts';
import { fileIo } from '../../file-io.ts';
import type { Arguments } from '../../options/arguments.ts';
import { readPolicy } from '../../options/policy-option.ts';
import type { Outcome } from '../../terminal/report.ts';
import { checkDemoParts } from './demo-parts.ts';
import { tellStory } from './demo-story.ts';

const DEFAULT_DIRECTORY = 'keyprov-demo';
/** Marks a directory that belongs to a demo and may be emptied. */
const MARKER = 'README.txt';

/** The files that the demo leaves, for people. */
const FILES: readonly (readonly [name: string, what: string])[] = [
  [MARKER, 'this list'],
  [
    'dsregcmd.txt',
    'output of dsregcmd /status for the device, as Windows would print it; the prerequisites were checked with it',
  ],
  ['device.pem', 'certificate that the device received when it joined'],
  ['device-key.pem', "the device's private key, in software"],
  ['service-ca.pem', 'root certificate of the demo service'],
  ['challenge.hex', 'nonce from the service, over which the TPM attested the key'],
  ['attestation.json', 'the statement: what the TPM signed about the key, and the certificate of the attestation key'],
  [
    'ak-certificate.pem',
    'certificate of the attestation key, which the attestation CA issued after the TPM had activated a credential',
  ],
  ['request.json', 'body of the registration request, byte for byte'],
  ['public.pem', 'public key that was registered'],
  ['key-credential-link.txt', 'value of msDS-KeyCredentialLink in the directory, as the synchronization wrote it'],
  ['store/', 'key store: the key, wrapped by the TPM, with its registration and the state of its PIN'],
  ['tpm/', 'state of the virtual TPM'],
  ['service/', 'database of the demo service'],
  ['directory/', 'database of the LDAP directory (slapd)'],
];

/** The PIN of the demo if nobody is asked for one. It is not a secret, and protects nothing. */
const DEMO_PIN = '271828';

/** Options of `keyprov provision` that the demo takes. */
export const DEMO_OPTIONS: readonly string[] = ['demo', 'out', 'force', 'web', 'open', 'json', 'verbose'];

/** Runs `keyprov provision --demo`. */
export async function runDemo(given: Arguments, context: Context): Promise<Outcome> {
  const { report, prompter, signal } = context;
  const directory = absolutePath(given.text('out') ?? DEFAULT_DIRECTORY);
  const merged = await readPolicy(given, context);
  given.check();
  await checkDemoParts({ signal });
  report.speakPlainly();
  const [web, open] = [given.has('web'), given.has('open')];
  const isAsked = web || (prompter.isTerminal && !given.has('json'));
  const pin = isAsked ? undefined : utf8(DEMO_PIN);
  if (pin !== undefined) await judgePin(pin, merged.policy.pin, { signal });
  const remove = await makeDemoDirectory(directory, given.has('force'));
  try {
    const told = await tellStory({ ...context, directory, merged, pin, web, open });
    const list = FILES.map(([name, what]) => `  ${name.padEnd(24)} ${what}`);
    await writeFile(join(directory, MARKER), `Files of keyprov provision --demo:\n\n${list.join('\n')}\n`);
    const lines = [...told.lines, '', `All files are in ${directory}; ${MARKER} describes each of them.`];
    return { exitCode: EXIT.done, lines, json: { ...told.json, directory } };
  } catch (error) {
    return await withCleanup(() => Promise.reject(error), remove);
  } finally {
    wipe(pin);
  }
}

/**
 * Makes the directory, or empties that of an earlier demo. Returns a function that removes it again.
 * @throws KeyprovError `key-exists` if it contains anything else, or an earlier demo without `force`; `store-io`.
 */
async function makeDemoDirectory(directory: string, force: boolean): Promise<() => Promise<void>> {
  return await fileIo(directory, async () => {
    const names = await readdir(directory).catch(ignoring('ENOENT', undefined));
    if (names !== undefined && names.length > 0) {
      const isDemo = (await stat(join(directory, MARKER)).catch(ignoring('ENOENT', undefined)))?.isFile();
      if (!force || !isDemo) {
        const what = isDemo ? 'an earlier demo' : 'files that do not belong to a demo';
        throw new KeyprovError('key-exists', `${directory} contains ${what}`, {
          remedy: isDemo ? 'pass --force to replace it' : 'choose another directory with --out',
        });
      }
      await removeContents(directory);
    }
    makeDirectory(directory);
    return async () => {
      // A directory that existed before stays.
      await removeContents(directory);
      if (names === undefined) await rm(directory, { recursive: true, force: true });
    };
  });
}

/** Names in a directory need not be UTF-8. */
async function removeContents(directory: string): Promise<void> {
  for (const name of await readdir(directory, 'buffer')) {
    await rm(Buffer.concat([Buffer.from(join(directory, '/')), name]), { recursive: true, force: true });
  }
}
