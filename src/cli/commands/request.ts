import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type AttestationStatement, decodeStatement } from '../../attestation/index.ts';
import { type Bytes, equal, toBase64, wipe } from '../../bytes.ts';
import { encodeSpki } from '../../crypto/public-key.ts';
import { readTbs } from '../../formats/x509/issue-certificate.ts';
import { decode } from '../../tpm/codec/index.ts';
import { publicKeyOf } from '../../tpm/public-key.ts';
import { TPMT_PUBLIC } from '../../tpm/structures/object.ts';
import type { CliCommand, Context } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { fileIo, readText } from '../file-io.ts';
import { type Arguments, UsageError } from '../options/arguments.ts';
import { addFormatOptions, type FormatOption, readFormatOptions } from '../options/format-options.ts';
import { readTpmAddress, tpmOption } from '../options/tpm-option.ts';
import { requiredOption, valueOption } from '../options/value-option.ts';
import { readKey } from '../record.ts';
import { type Place, signWith, warnOfOtherTpm, withTpm } from '../sign-with.ts';
import { readPin } from '../terminal/pin-file.ts';
import type { Outcome } from '../terminal/report.ts';
import { readEndorsementKey } from './formats/endorsement.ts';
import { REQUEST_FORMATS, type RequestFormat } from './formats/request-formats.ts';
import type { RequestInput } from './formats/request-parts.ts';

/** What a request is made of, before there is a statement. */
type KeyInput = Omit<RequestInput, 'statement'>;
/** Where the statement comes from. */
export type FindStatement = (
  input: KeyInput,
  format: RequestFormat,
  place: Place,
) => Promise<AttestationStatement | undefined>;

/** `keyprov request`. */
export const requestCommand: CliCommand = {
  name: 'request',
  examples: [
    'keyprov request --dir key --format ssh',
    'keyprov request --dir key --format csr-lamps --name ada --out key.csr',
    'keyprov request --formats',
  ],
  define,
  run: runRequest,
};

function define(command: Command): void {
  command
    .summary('build a request of any format for a key')
    .description('build a request of any format for a key; nothing is sent');
  defineFormats(command);
  command.addOption(valueOption('--challenge <hex>', 'WebAuthn: the challenge of the relying party'));
}

/** The options that `request` and `attest` share. */
export function defineFormats(command: Command): void {
  command
    .addOption(requiredOption('--format <format>', 'what to build'))
    .option('--formats', 'list the formats, and what each needs')
    .addOption(requiredOption('--dir <dir>', 'the directory that keyprov create wrote'))
    .addOption(valueOption('--out <file>', 'where to put it (default: standard output)'))
    .addOption(valueOption('--pin-file <file>', 'the PIN where the key has to sign, - for standard input'))
    .addOption(tpmOption());
  addFormatOptions(command);
}

async function runRequest(given: Arguments, context: Context): Promise<Outcome> {
  return await runFormat(given, context, {
    formats: REQUEST_FORMATS,
    needs: ({ needs = [] }) => needs,
    findStatement: (_, { attests }, { directory }) => (attests ? readStatement(directory) : Promise.resolve(undefined)),
  });
}

/** What differs between `request` and `attest`. */
export interface FormatRun {
  readonly formats: Readonly<Record<string, RequestFormat>>;
  readonly needs: (format: RequestFormat) => readonly FormatOption[];
  readonly findStatement: FindStatement;
}

/** Builds what `--format` names, and writes it. */
export async function runFormat(
  given: Arguments,
  context: Context,
  { formats, needs, findStatement }: FormatRun,
): Promise<Outcome> {
  const { report, signal } = context;
  if (given.has('formats')) return listFormats(given, formats, needs);
  given.required('format');
  const name = given.choice('format', Object.keys(formats)) ?? '';
  const format = formats[name];
  const directory = given.required('dir');
  const output = given.text('out');
  const pinFile = given.text('pin-file');
  const place = { directory, address: readTpmAddress(given, context) };
  const readOptions = readFormatOptions(given, format === undefined ? [] : needs(format));
  given.check();
  if (format === undefined) throw new UsageError(['no format']);
  const [key, options] = [await readKey(directory), await readOptions()];
  const pin = pinFile === undefined ? undefined : await readPin(pinFile, report, signal);
  const endorsementKey = () => withTpm(place.address, { signal }, (tpm) => readEndorsementKey(tpm, { signal }));
  const sign: KeyInput['signing']['sign'] = (what) => {
    warnOfOtherTpm(key, place.address, report);
    return signWith(key, { ...what, pin, signal }, place);
  };
  const input: KeyInput = { key, signing: { publicKey: key.publicKey, sign }, options, endorsementKey };
  let content: string | Bytes;
  report.progress.begin(name, `for the ${key.algorithm} key in ${directory}`);
  try {
    const statement = await findStatement(input, format, place);
    content = await build(format, {
      ...input,
      statement: statement && withCertificates(statement, options.akCertificates),
    });
  } finally {
    wipe(pin);
  }
  if (output !== undefined) await fileIo(output, () => writeFile(output, content));
  report.progress.end(`${content.length} ${typeof content === 'string' ? 'characters' : 'bytes'}`);
  const text = typeof content === 'string' ? content : `${toBase64(content)}\n`;
  const encoding = typeof content === 'string' ? 'text' : 'base64';
  const json = {
    format: name,
    encoding,
    content: text.replace(/\n$/, ''),
    ...(output !== undefined && { file: resolve(output) }),
  };
  return { exitCode: EXIT.done, text: output === undefined ? text : '', json };
}

/** Each format in a line, with the options that it needs. */
function listFormats(given: Arguments, formats: FormatRun['formats'], needs: FormatRun['needs']): Outcome {
  given.check();
  const list = Object.entries(formats).map(([name, format]) => ({ name, title: format.title, needs: needs(format) }));
  const lines = list.map(({ name, title, needs: own }) => {
    const options = own.length === 0 ? '' : `; needs ${own.map((option) => `--${option}`).join(', ')}`;
    return `${name.padEnd(20)} ${title}${options}\n`;
  });
  return { exitCode: EXIT.done, text: lines.join(''), json: { formats: list } };
}

/** What a builder says about its arguments is about those of the user. */
async function build(format: RequestFormat, input: RequestInput): Promise<string | Bytes> {
  try {
    return await format.build(input);
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) throw new UsageError([error.message]);
    throw error;
  }
}

/** Reads `attestation.json` in a directory; `undefined` where there is none. */
async function readStatement(directory: string): Promise<AttestationStatement | undefined> {
  const text = await readText(directory, 'attestation.json');
  return text === undefined ? undefined : decodeStatement(text);
}

/** The statement with certificates of its attestation key, which must be of that key. */
function withCertificates(statement: AttestationStatement, certificates: readonly Bytes[]): AttestationStatement {
  const [own] = certificates;
  if (own === undefined) return statement;
  const spki = encodeSpki(publicKeyOf(decode(TPMT_PUBLIC, statement.ak.pubArea)));
  if (!equal(readTbs(own).spki.der, spki))
    throw new UsageError(['--ak-certificate is not of the attestation key of the statement']);
  return { ...statement, ak: { ...statement.ak, certificates } };
}
