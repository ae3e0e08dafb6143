import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import { type AttestationStatement, decodeStatement } from '../../attestation/index.ts';
import { type Bytes, equal, toBase64, toHex, view, wipe } from '../../bytes.ts';
import { encodeSpki } from '../../crypto/public-key.ts';
import { causedBy, isKeyprovError, KeyprovError } from '../../errors.ts';
import { readTbs } from '../../formats/x509/issue-certificate.ts';
import { LIMIT } from '../../limits.ts';
import type { EnrolAk } from '../../provisioning/key-request.ts';
import { readInput } from '../../storage/read-input.ts';
import { absolutePath } from '../../storage/user-paths.ts';
import { decodeFileText } from '../../text.ts';
import { decode } from '../../tpm/codec/index.ts';
import { publicKeyOf } from '../../tpm/public-key.ts';
import { TPMT_PUBLIC } from '../../tpm/structures/object.ts';
import type { CliCommand, Context } from '../command.ts';
import { EXIT, exitCodeOf } from '../exit-codes.ts';
import { checkOutput, readNamed, writeResult } from '../file-io.ts';
import { type Arguments, UsageError } from '../options/arguments.ts';
import {
  addFormatOptions,
  type FormatOption,
  type FormatOptions,
  readFormatOptions,
} from '../options/format-options.ts';
import { keyOptions, pinOptions, readKeyArguments } from '../options/key-option.ts';
import {
  type AttestationCaArguments,
  attestationCaOptions,
  connectionOptions,
  readAttestationCaArguments,
} from '../options/service-option.ts';
import { openExistingStore } from '../options/store-option.ts';
import { requiredOption, valueOption } from '../options/value-option.ts';
import { type StoredKey, withStoredKey } from '../stored-key.ts';
import { readPinOf } from '../terminal/pin-input.ts';
import type { Outcome } from '../terminal/report.ts';
import { readEndorsementKey } from './formats/endorsement.ts';
import { REQUEST_FORMATS, type RequestFormat, usedBy } from './formats/request-formats.ts';
import type { RequestInput } from './formats/request-parts.ts';

/** `keyprov request`. */
export const requestCommand: CliCommand = {
  examples: [
    'keyprov request --format ssh',
    'keyprov request --store key --format csr-lamps --name ada --challenge c0ffee --out key.csr',
    'keyprov request --formats',
  ],
  define,
  run: runRequest,
};

function define(command: Command): void {
  command.description(
    'build a request for a key, in any format, without sending it; if the format contains an attestation, make a new one',
  );
  defineFormats(command, REQUEST_FORMATS, () => true);
}

/** Adds the options of `request` and `attest`, with those of the formats' options that `isOffered` accepts. */
export function defineFormats(
  command: Command,
  formats: FormatRun['formats'],
  isOffered: (option: FormatOption) => boolean,
): void {
  command
    .addOption(requiredOption('--format <format>', 'format to build', Object.keys(formats)))
    .option('--formats', 'list the formats with their required options')
    .addOption(valueOption('--out <file>', 'file to write (default: standard output)'));
  const pin = pinOptions('file with the PIN, if the key signs');
  for (const option of [...keyOptions(), ...pin]) command.addOption(option);
  const used = Object.values(formats).flatMap((format) => [...usedBy(format)]);
  addFormatOptions(command, new Set(used.filter(isOffered)));
  for (const option of [...attestationCaOptions(), ...connectionOptions()]) command.addOption(option);
}

async function runRequest(given: Arguments, context: Context): Promise<Outcome> {
  return await runFormat(given, context, { formats: REQUEST_FORMATS, needs: ({ needs = [] }) => needs });
}

/** The differences between `request` and `attest`. */
export interface FormatRun {
  readonly formats: Readonly<Record<string, RequestFormat>>;
  readonly needs: (format: RequestFormat) => readonly FormatOption[];
}

/** Builds what `--format` names, and writes it. */
export async function runFormat(given: Arguments, context: Context, { formats, needs }: FormatRun): Promise<Outcome> {
  if (given.has('formats')) return listFormats(given, formats, needs);
  const names = Object.keys(formats);
  given.required('format', names);
  const name = given.choice('format', names, '--formats') ?? '';
  const format = formats[name];
  const [output, pinFile, statementFile] = [given.text('out'), given.text('pin-file'), given.text('statement')];
  const force = given.has('force');
  const wanted = await readKeyArguments(given, context);
  const used = format && usedBy(format);
  const why = used?.has('ak-certificate') === false ? `cannot be used with --format ${name}` : undefined;
  const enrolment = await readAttestationCaArguments(given, why);
  if (enrolment.attestationCa === undefined)
    given.refuse(['service-ca', 'proxy'], why ?? 'works only with --attestation-ca');
  const readOptions = format && used && readFormatOptions(given, { format: name, needed: needs(format), used });
  given.check();
  if (format === undefined || readOptions === undefined) throw new UsageError(['no format']);
  const options = await readOptions();
  await checkOutput(given);
  const store = await openExistingStore(given, context);
  return await withStoredKey(store, wanted, context, async (stored) => {
    const { progress } = context.report;
    progress.begin(name, `for the ${stored.record.algorithm} key ${stored.record.id}`);
    const built = await buildFor(stored, format, { options, enrolment, pinFile, force, statementFile, context });
    if (output !== undefined) await writeResult(output, built.content, context.signal);
    return describe(name, built, output, context);
  });
}

/** The request that was built, and the challenge of a new attestation in it. */
interface Built {
  readonly content: string | Bytes;
  readonly challenge: Bytes | undefined;
}

async function buildFor(
  { key, record, places }: StoredKey,
  format: RequestFormat,
  {
    options,
    enrolment,
    pinFile,
    force,
    statementFile,
    context,
  }: {
    readonly options: FormatOptions;
    readonly enrolment: AttestationCaArguments;
    readonly pinFile: string | undefined;
    readonly force: boolean;
    readonly statementFile: string | undefined;
    readonly context: Context;
  },
): Promise<Built> {
  const { signal } = context;
  // The PIN is asked for only when the key signs.
  let pin: Promise<Bytes | undefined> | undefined;
  const sign: RequestInput['signing']['sign'] = async (what) => {
    pin ??= readPinOf({ key, record }, pinFile, context);
    return await key.sign({ ...what, pin: await pin, force, signal });
  };
  const endorsementKey = async () =>
    readEndorsementKey(await places.tpm({ signal }), { given: options.ekCertificate, signal });
  const input = { key: record, signing: { publicKey: record.publicKey, sign }, options, endorsementKey };
  try {
    if (!format.attests)
      return { content: await build(format, { ...input, statement: undefined }), challenge: undefined };
    if (statementFile !== undefined) {
      const given = await readStatement(statementFile, signal);
      const spki = encodeSpki(publicKeyOf(decode(TPMT_PUBLIC, given.pubArea)));
      if (!equal(spki, encodeSpki(record.publicKey))) {
        throw new UsageError([`--statement is about another key, not the key ${record.id}`]);
      }
      const statement = withCertificates(given, options.akCertificates);
      return { content: await build(format, { ...input, statement }), challenge: undefined };
    }
    const challenge = format.extraData?.(input) ?? options.challenge ?? view(randomBytes(32));
    const attest = async (enrolAk?: EnrolAk) =>
      withCertificates(await key.attest({ challenge, enrolAk, signal }).catch(ofCa), options.akCertificates);
    const statement = record.backend === 'tpm' ? await withEnrolment(enrolment, attest) : undefined;
    const akCertificates = statement?.ak.certificates?.map(view) ?? options.akCertificates;
    return {
      content: await build(format, { ...input, options: { ...options, akCertificates }, statement }),
      challenge: statement && usedBy(format).has('challenge') ? challenge : undefined,
    };
  } finally {
    wipe(await pin?.catch(() => undefined)); // the signing that waited for it reports the error
  }
}

/** Runs `work` with the attestation CA, if there is one. */
async function withEnrolment<T>(
  enrolment: AttestationCaArguments,
  work: (enrolAk?: EnrolAk) => Promise<T>,
): Promise<T> {
  if (enrolment.attestationCa === undefined) return await work();
  const { withAttestationCa } = await import('../service-connection.ts'); // loads much
  return await withAttestationCa(enrolment, work);
}

/** Throws the error of an attestation CA as it is, because it says nothing about TPM or policy. */
function ofCa(error: unknown): never {
  const cause = isKeyprovError(error, 'attestation-unavailable') ? error.cause : undefined;
  throw exitCodeOf(cause) === EXIT.service ? cause : error;
}

function describe(
  format: string,
  { content, challenge }: Built,
  output: string | undefined,
  { report }: Context,
): Outcome {
  const isText = typeof content === 'string';
  const over = challenge === undefined ? '' : `, attested over ${toHex(challenge)}`;
  report.progress.end(`${content.length} ${isText ? 'characters' : 'bytes'}${over}`);
  const text = isText ? content.replace(/\n$/, '') : toBase64(content);
  return {
    exitCode: EXIT.done,
    lines: output === undefined ? text.split('\n') : [],
    verbatim: true,
    json: {
      ...{ format, encoding: isText ? 'text' : 'base64', content: text },
      ...(challenge !== undefined && { challenge: toHex(challenge) }),
      ...(output !== undefined && { file: absolutePath(output) }),
    },
  };
}

/** One line per format, with the options that it needs. */
function listFormats(given: Arguments, formats: FormatRun['formats'], needs: FormatRun['needs']): Outcome {
  given.check();
  const list = Object.entries(formats).map(([name, format]) => ({ name, title: format.title, needs: needs(format) }));
  const lines = list.map(({ name, title, needs: own }) => {
    const options = own.length === 0 ? '' : `; needs ${own.map((option) => `--${option}`).join(', ')}`;
    return `${name.padEnd(20)} ${title}${options}`;
  });
  return { exitCode: EXIT.done, lines, json: { formats: list } };
}

/** Turns a builder's error about its arguments into one about the user's. */
async function build(format: RequestFormat, input: RequestInput): Promise<string | Bytes> {
  try {
    return await format.build(input);
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) throw new UsageError([error.message]);
    throw error;
  }
}

/** Reads a statement as `keyprov create --out` writes it. */
export async function readStatement(path: string, signal: AbortSignal): Promise<AttestationStatement> {
  const bytes = path === '-' ? await readNamed(path, signal, LIMIT.export) : await readInput(path, { signal });
  const text = decodeFileText(bytes) ?? '';
  try {
    return decodeStatement(text);
  } catch (cause) {
    if (!isKeyprovError(cause, 'statement-invalid')) throw cause;
    const { inspect } = await import('../../inspect/index.ts');
    const { format, title } = await inspect(bytes);
    const isUnknownJson = format === 'unknown' && text.trimStart().startsWith('{'); // the cause says what is wrong in it
    if (format !== 'attestation-statement' && !isUnknownJson) {
      const instead = format === 'unknown' ? '' : `; it was recognized as: ${title}`;
      throw new KeyprovError('statement-invalid', `${path} is not an attestation statement${instead}`, {
        cause,
        remedy: 'use the attestation.json of keyprov create --out, or the output of keyprov attest --format statement',
      });
    }
    throw new KeyprovError('statement-invalid', `${path}: ${cause.message}`, causedBy(cause));
  }
}

/** Adds certificates of the attestation key to the statement. The first must be of that key. */
function withCertificates(statement: AttestationStatement, certificates: readonly Bytes[]): AttestationStatement {
  const [own] = certificates;
  if (own === undefined) return statement;
  const spki = encodeSpki(publicKeyOf(decode(TPMT_PUBLIC, statement.ak.pubArea)));
  if (!equal(readTbs(own).spki.der, spki)) {
    throw new UsageError(['--ak-certificate does not belong to the attestation key of the statement']);
  }
  return { ...statement, ak: { ...statement.ak, certificates } };
}
