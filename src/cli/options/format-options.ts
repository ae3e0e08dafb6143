import type { Command } from 'commander';
import type { Bytes } from '../../bytes.ts';
import { splitCertificates } from '../../crypto/certificate-bytes.ts';
import { decodeJwk } from '../../crypto/jwk.ts';
import type { PublicKey } from '../../crypto/public-key.ts';
import { readInput } from '../../storage/read-input.ts';
import type { Arguments } from './arguments.ts';
import { valueOption } from './value-option.ts';

/** Texts that some formats need. */
const TEXTS = {
  name: 'for csr: common name (default: the user)',
  'for-user': 'user in the request (default: from the record)',
  'for-device': 'device (default: from the record)',
  'tenant-id': 'for pkinit: tenant',
  sid: 'for pkinit: SID of the user',
  dn: 'for key-credential-link: distinguished name',
  audience: 'for ngc-assertion (default: common)',
  nonce: 'for ngc-assertion: nonce from the service',
  'rp-id': 'for webauthn: id of the relying party',
  origin: 'for webauthn: origin',
  token: 'for acme: token of the challenge',
} as const;

const KINDS: Readonly<Record<string, string>> = { 'for-user': 'name', 'for-device': 'guid', 'tenant-id': 'guid' };

/** Files that some formats need. */
const FILES = {
  'account-key': 'for acme: public key of the account, JWK',
  'ak-certificate': "attestation key's certificate, then its CAs'",
  'ek-certificate': 'for csr-wcce: EK certificate, if not in the TPM',
  'exchange-certificate': 'for csr-wcce: CA exchange certificate',
} as const;

/** The options that are texts. */
export type TextOption = keyof typeof TEXTS;
/** The options that formats need. */
export type FormatOption = TextOption | keyof typeof FILES | 'challenge';

/** The values of the format options. */
export interface FormatOptions {
  readonly texts: ReadonlyMap<TextOption, string>;
  readonly challenge: Bytes | undefined;
  readonly accountKey: PublicKey | undefined;
  readonly akCertificates: readonly Bytes[];
  /** PEM or DER. */
  readonly ekCertificate: Uint8Array | undefined;
  readonly exchangeCertificate: Bytes | undefined;
}

/** Adds the options of formats to a command. */
export function addFormatOptions(command: Command): void {
  for (const [name, description] of Object.entries(TEXTS)) {
    command.addOption(valueOption(`--${name} <${KINDS[name] ?? 'text'}>`, description));
  }
  for (const [name, description] of Object.entries(FILES)) {
    command.addOption(valueOption(`--${name} <file>`, description));
  }
}

/** Reads the options that were given. The result reads the files: call it after all arguments have been checked. */
export function readFormatOptions(given: Arguments, needed: readonly FormatOption[]): () => Promise<FormatOptions> {
  const challenge = given.hex('challenge', 64);
  const texts = new Map<TextOption, string>();
  for (const name of Object.keys(TEXTS).filter(isTextOption)) {
    const value = given.text(name);
    if (value !== undefined) texts.set(name, value);
  }
  const files = new Map(Object.keys(FILES).map((name) => [name, given.text(name)]));
  const missing = needed.filter((name) => given.text(name) === undefined);
  given.problems.push(...missing.map((name) => `--${name} is missing: the format needs it`));
  const read = async <T>(name: keyof typeof FILES, use: (content: Uint8Array) => T): Promise<T | undefined> => {
    const path = files.get(name);
    return path === undefined ? undefined : use(await readInput(path, given));
  };
  return async () => ({
    texts,
    challenge,
    accountKey: await read('account-key', decodeJwk),
    akCertificates: (await read('ak-certificate', splitCertificates)) ?? [],
    ekCertificate: await read('ek-certificate', (content) => content),
    exchangeCertificate: (await read('exchange-certificate', splitCertificates))?.[0],
  });
}

const isTextOption = (name: string): name is TextOption => Object.hasOwn(TEXTS, name);
