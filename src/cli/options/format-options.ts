import type { Command } from 'commander';
import { type Bytes, concat } from '../../bytes.ts';
import { atLeastOne, splitCertificates } from '../../crypto/certificate-bytes.ts';
import { decodeJwk } from '../../crypto/jwk.ts';
import type { PublicKey } from '../../crypto/public-key.ts';
import { isKeyprovError, KeyprovError } from '../../errors.ts';
import { readInput } from '../../storage/read-input.ts';
import { decodeFileText } from '../../text.ts';
import type { Arguments } from './arguments.ts';
import { valueOption } from './value-option.ts';

/** The options that only some formats use: the value of each, and its description. */
const OPTIONS = {
  challenge: ['hex', 'challenge for the attestation, 1 to 64 bytes'],
  name: ['text', 'for csr: common name (default: the user)'],
  'for-user': ['name', 'user in the request (default: from record)'],
  'for-device': ['guid', 'device in the request (default: from record)'],
  'tenant-id': ['guid', 'for pkinit: tenant'],
  sid: ['text', 'for pkinit: SID of the user'],
  dn: ['text', 'for key-credential-link: distinguished name'],
  audience: ['text', 'for ngc-assertion (default: common)'],
  nonce: ['text', 'for ngc-assertion: nonce from the service'],
  'rp-id': ['text', 'for webauthn: id of the relying party'],
  origin: ['text', 'for webauthn: origin'],
  token: ['text', 'for acme: token of the challenge'],
  'account-key': ['file', 'for acme: public key of the account, JWK'],
  'ak-certificate': ['file', "attestation key's certificate, then its CAs'"],
  'ek-certificate': ['file', 'for csr-wcce: EK certificate, if not in the TPM'],
  'exchange-certificate': ['file', 'for csr-wcce: CA exchange certificate'],
  statement: ['file', 'attestation.json to use instead of a new one'],
} as const;

/** Options, and those that have no effect beside them unless the format needs them. */
const WITHOUT_EFFECT: readonly (readonly [option: string, others: readonly FormatOption[]])[] = [
  ['attestation-ca', ['ek-certificate']],
  ['ak-certificate', ['ek-certificate']],
  ['name', ['for-user']],
  ['challenge', ['token', 'account-key']],
  ['statement', ['challenge', 'token', 'account-key']],
];

/** An option that only some formats use. */
export type FormatOption = keyof typeof OPTIONS;

/** The values of the format options. */
export interface FormatOptions {
  readonly texts: ReadonlyMap<FormatOption, string>;
  readonly challenge: Bytes | undefined;
  readonly accountKey: PublicKey | undefined;
  readonly akCertificates: readonly Bytes[];
  readonly ekCertificate: Bytes | undefined;
  readonly exchangeCertificate: Bytes | undefined;
}

/** Adds the options that formats use to a command. */
export function addFormatOptions(command: Command, used: ReadonlySet<FormatOption>): void {
  for (const name of FORMAT_OPTIONS.filter((option) => used.has(option))) {
    const [value, description] = OPTIONS[name];
    command.addOption(valueOption(`--${name} <${value}>`, description));
  }
}

/** The value of `--format`, and the options that the format needs or uses. */
export interface FormatUse {
  readonly format: string;
  readonly needed: readonly FormatOption[];
  readonly used: ReadonlySet<FormatOption>;
}

/** Reads the options that were given. The result reads the files: call it after all arguments have been checked. */
export function readFormatOptions(given: Arguments, { format, needed, used }: FormatUse): () => Promise<FormatOptions> {
  const challenge = given.hex('challenge', 64);
  const hasCa = given.isThere('attestation-ca');
  const texts = new Map<FormatOption, string>();
  for (const name of FORMAT_OPTIONS) {
    const value = given.text(name);
    if (value !== undefined) texts.set(name, value);
  }
  const missing = needed.filter((name) => !texts.has(name) && !(name === 'ak-certificate' && hasCa));
  given.problems.push(...missing.map((name) => `--${name} is missing: this command needs it with --format ${format}`));
  given.refuse(
    FORMAT_OPTIONS.filter((name) => !used.has(name)),
    `cannot be used with --format ${format}`,
  );
  if (!used.has('ak-certificate')) given.refuse(['attestation-ca'], `cannot be used with --format ${format}`);
  if (hasCa) given.refuse(['ak-certificate', 'statement'], 'cannot be used with --attestation-ca');
  for (const [name, others] of WITHOUT_EFFECT) {
    if (!given.isThere(name)) continue;
    given.refuse(
      others.filter((other) => used.has(other) && !needed.includes(other)),
      `cannot be used with --${name}`,
    );
  }
  const read = async <T>(name: FormatOption, use: (content: Uint8Array) => T): Promise<T | undefined> => {
    const path = texts.get(name);
    if (path === undefined) return undefined;
    const content = await readInput(path, given);
    try {
      return use(content);
    } catch (cause) {
      const [code, remedy] =
        name === 'account-key'
          ? (['key-invalid', 'pass a public key as JSON Web Key (RFC 7517)'] as const)
          : (['certificate-invalid', 'pass certificates in PEM or DER'] as const);
      if (!isKeyprovError(cause, code)) throw cause;
      throw new KeyprovError(code, `--${name}: ${path}: ${cause.message}`, { cause, remedy });
    }
  };
  return async () => ({
    texts,
    challenge,
    accountKey: await read('account-key', (content) => decodeJwk(decodeFileText(content) ?? content)),
    akCertificates: (await read('ak-certificate', certificatesIn)) ?? [],
    ekCertificate: await read('ek-certificate', (content) => concat(...certificatesIn(content))),
    exchangeCertificate: (await read('exchange-certificate', certificatesIn))?.[0],
  });
}

const certificatesIn = (content: Uint8Array): readonly Bytes[] => atLeastOne(splitCertificates(content));

const isFormatOption = (name: string): name is FormatOption => Object.hasOwn(OPTIONS, name);
const FORMAT_OPTIONS: readonly FormatOption[] = Object.keys(OPTIONS).filter(isFormatOption);
