import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { wipe } from '../../../src/bytes.ts';
import { encodePem } from '../../../src/crypto/pem.ts';
import { withCleanup } from '../../../src/errors.ts';
import { decodeKeyFile } from '../../../src/keys/key-file.ts';
import { deriveAuthValue } from '../../../src/keys/pin-derivation.ts';
import type { ProvidedKey } from '../../../src/keys/provider.ts';
import { parentOf } from '../../../src/keys/storage-parent.ts';
import { EvictControl } from '../../../src/tpm/commands/context.ts';
import { DictionaryAttackParameters } from '../../../src/tpm/commands/dictionary-attack.ts';
import { TPM_RH } from '../../../src/tpm/constants.ts';
import { Tpm } from '../../../src/tpm/tpm.ts';
import type { SwtpmProcess } from '../../../src/tpm/transports/swtpm-process.ts';
import { missingPrograms } from '../../programs.ts';
import type { LogonIdentity } from './mit-kdc.ts';
import { runToolWell } from './tool-run.ts';

/** A keyprov key in a swtpm on TCP, which other programs use through PKCS #11. */
export interface Pkcs11Key {
  readonly swtpm: SwtpmProcess;
  readonly key: ProvidedKey;
  /** The key's PIN, UTF-8. */
  readonly pin: Uint8Array;
  /** Its certificate in DER. */
  readonly certificate: Uint8Array;
  /** The directory for the token's files. */
  readonly directory: string;
}

const TOKEN_PIN = '314159';
/** The persistent handle for a temporary parent. */
const PARENT = 0x81000010;

/** The tools that tpm2_ptool uses. */
const TOOLS = ['create', 'createprimary', 'evictcontrol', 'getcap', 'load', 'loadexternal', 'readpublic', 'unseal'];

/**
 * A wrapper for each tool. Without a resource manager, the objects that a tool loads would stay in the TPM, which has room for
 * three. The wrapper flushes them, since the tool has saved them to files.
 */
const FLUSHING = `#!/bin/sh
PATH=\${PATH#*:}
"\${0##*/}" "$@"; status=$?
tpm2_flushcontext -t >/dev/null
exit $status
`;

/** The reason why tests cannot use tpm2-pkcs11. Undefined if they can, and in continuous integration, where they must. */
export const pkcs11Missing = (): string | undefined =>
  missingPrograms('swtpm', 'tpm2_ptool', 'tpm2_flushcontext', 'dpkg');

/** Makes a tpm2-pkcs11 token that contains the key, which stays the same TPM object. No client may be using the TPM. */
export async function makePkcs11Token({ swtpm, key, pin, certificate, directory }: Pkcs11Key): Promise<LogonIdentity> {
  const [store, tools] = [join(directory, 'store'), join(directory, 'tools')];
  for (const path of [store, tools]) mkdirSync(path);
  for (const tool of TOOLS) writeFileSync(join(tools, `tpm2_${tool}`), FLUSHING, { mode: 0o700 });
  const parent = await keepParent(swtpm, key);
  if ('path' in swtpm.data) throw new Error('tpm2-tss is told of a swtpm by its port here');
  const tcti = `swtpm:host=${swtpm.data.host},port=${swtpm.data.port}`;
  const env = { TPM2_PKCS11_STORE: store, TPM2_PKCS11_TCTI: tcti, TPM2TOOLS_TCTI: tcti };
  const ptool = (...args: string[]) =>
    runToolWell('tpm2_ptool', args, { env: { ...env, PATH: `${tools}:${process.env.PATH}` } });

  const { publicArea, privateArea } = await decodeKeyFile(key.privateKey);
  const file = (name: string, bytes: string | Uint8Array): string => {
    const path = join(directory, name);
    writeFileSync(path, bytes);
    return path;
  };
  ptool('init', `--primary-handle=0x${parent.toString(16)}`);
  ptool('addtoken', '--pid=1', `--sopin=${TOKEN_PIN}`, `--userpin=${TOKEN_PIN}`, '--label=whfb');
  const token = ['--label=whfb', '--key-label=user'];
  const auth = key.pinDerivation && (await deriveAuthValue(pin, key.pinDerivation));
  const password = auth === undefined ? [] : [`--auth=${Buffer.from(auth).toString('latin1')}`];
  wipe(auth);
  ptool(
    'link',
    ...token,
    `--userpin=${TOKEN_PIN}`,
    ...password,
    file('k.pub', publicArea),
    file('k.priv', privateArea),
  );
  ptool('addcert', ...token, file('k.crt', encodePem('CERTIFICATE', certificate)));
  return { argument: `PKCS11:module_name=${moduleFile()}:token=whfb`, env, pin: TOKEN_PIN };
}

/**
 * The persistent handle of the key's parent, which tpm2-pkcs11 requires. Wrong PINs and each unclean end of the TPM are counted,
 * and the programs under test must not lock the TPM.
 */
async function keepParent(swtpm: SwtpmProcess, key: ProvidedKey): Promise<number> {
  if (key.parent === undefined) throw new Error('not a key of a TPM');
  const { parent: record } = key;
  await using tpm = await Tpm.open(await swtpm.open());
  await tpm.run(DictionaryAttackParameters, {
    lockHandle: TPM_RH.LOCKOUT,
    ...{ newMaxTries: 32, newRecoveryTime: 600, lockoutRecovery: 86_400 },
  });
  const parent = await parentOf(tpm, record);
  const { handle } = parent;
  if (typeof handle === 'number') return handle;
  await withCleanup(
    async () => {
      await tpm.run(EvictControl, { auth: TPM_RH.OWNER, objectHandle: handle, persistentHandle: PARENT });
    },
    () => parent.release(),
  );
  return PARENT;
}

/** The path of the library, in a folder named after the machine's architecture. */
function moduleFile(): string {
  const files = runToolWell('dpkg', ['-L', 'libtpm2-pkcs11-1']).split('\n');
  const file = files.find((path) => path.endsWith('/pkcs11/libtpm2_pkcs11.so'));
  if (file === undefined) throw new Error('libtpm2-pkcs11-1 has no libtpm2_pkcs11.so');
  return file;
}
