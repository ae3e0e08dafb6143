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
import { EXIT } from '../exit-codes.ts';
import { fileIo, readText } from '../file-io.ts';
import { type Arguments, UsageError, valueOption } from '../options/arguments.ts';
import { addFormatOptions, type FormatOption, readFormatOptions } from '../options/format-options.ts';
import { readTpmAddress, tpmOption } from '../options/tpm-option.ts';
import { readKey } from '../record.ts';
import { type Place, signWith, warnOfOtherTpm, withTpm } from '../sign-with.ts';
import { readPin } from '../terminal/pin-file.ts';
import type { Outcome, Report } from '../terminal/report.ts';
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

/** Describes `keyprov request`. */
export function defineRequest(command: Command): void {
  command.description('build a request of any format from what keyprov provision wrote');
  defineFormats(command, Object.entries(REQUEST_FORMATS));
  command.addOption(valueOption('--challenge <hex>', 'WebAuthn: the challenge of the relying party'));
}

/** The options that `request` and `attest` share. */
export function defineFormats(command: Command, formats: readonly (readonly [string, RequestFormat])[]): void {
  command
    .addOption(valueOption('--format <format>', 'what to build, see below'))
    .addOption(valueOption('--dir <dir>', 'the directory that keyprov provision wrote'))
    .addOption(valueOption('--out <file>', 'where to put it (default: standard output; bytes as base64 there)'))
    .addOption(
      valueOption('--pin-file <file>', 'the PIN of the key where the format is signed with it, - for standard input'),
    )
    .addOption(tpmOption())
    .option('--json', 'print one JSON object and nothing else');
  addFormatOptions(command);
  const lines = formats.map(([name, { title }]) => `  ${name.padEnd(20)} ${title}`);
  command.addHelpText('after', `\nFormats:\n${lines.join('\n')}`);
}

/** Runs `keyprov request`. */
export async function runRequest(given: Arguments, report: Report, signal: AbortSignal): Promise<Outcome> {
  return await runFormat(given, report, signal, {
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
  report: Report,
  signal: AbortSignal,
  { formats, needs, findStatement }: FormatRun,
): Promise<Outcome> {
  given.required('format');
  const name = given.choice('format', Object.keys(formats)) ?? '';
  const format = formats[name];
  const directory = given.required('dir');
  const output = given.text('out');
  const pinFile = given.text('pin-file');
  const place = { directory, address: readTpmAddress(given) };
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
