import { byteCount, checkBytes, toHex } from '../bytes.ts';
import { firstCertificate, onlyCertificate } from '../crypto/certificate-bytes.ts';
import { TAG } from '../crypto/der-write.ts';
import { readOr, sayError } from '../errors.ts';
import { isJsonObject, parseJson } from '../json.ts';
import { checkMembers } from '../known-members.ts';
import { DER_FORMATS } from './der-formats.ts';
import { derInput } from './der-input.ts';
import { field, gathered, nested, secretField, shortened } from './fields.ts';
import { type Candidate, candidatesOf, type Format, MAX_USUAL_SIZE } from './format.ts';
import { IDEVID_FORMATS } from './idevid-format.ts';
import type { Confidence, Inspection } from './inspection.ts';
import { JSON_FORMATS } from './json-formats.ts';
import type { JsonInput } from './json-input.ts';
import { STATE_FORMATS } from './own-formats.ts';
import { describeEncrypted } from './private-key.ts';
import { OPENSSH_PRIVATE_KEY, SSH_BLOB, TEXT_FORMATS } from './text-formats.ts';
import { type Decoded, decodedText, decodePemBlocks, decodeText } from './text-layer.ts';
import { TPM_FORMATS } from './tpm-formats.ts';
import { TRAFFIC_FORMATS } from './tpm-traffic.ts';
import { WEBAUTHN_FORMATS } from './webauthn-formats.ts';
import { WINDOWS_FORMATS } from './windows-formats.ts';

/** Larger files are not read. */
export const MAX_SIZE: number = 1024 * 1024;
/** How many text encodings may be nested. */
const MAX_LAYERS = 4;

const BINARY_FORMATS: readonly Format<Uint8Array>[] = [
  ...STATE_FORMATS,
  ...WINDOWS_FORMATS,
  ...IDEVID_FORMATS,
  SSH_BLOB,
  OPENSSH_PRIVATE_KEY,
  ...TRAFFIC_FORMATS,
  ...WEBAUTHN_FORMATS,
  ...TPM_FORMATS,
];

/** Every format that {@link inspect} recognizes: its name, for use as the hint, and its title. */
export const FORMATS: readonly { readonly format: string; readonly title: string }[] = [
  ...TEXT_FORMATS,
  ...JSON_FORMATS,
  ...DER_FORMATS,
  ...BINARY_FORMATS,
].map(({ format, title }) => ({ format, title }));

/** Options of {@link inspect}. */
export interface InspectOptions {
  /**
   * The name of the expected format. It is tried first, even if nothing in the bytes suggests it. If the file has
   * another format, the result describes that one, and its first problem says so.
   */
  readonly hint?: string | undefined;
}

/** A candidate, and the encodings that were removed to find it. */
interface Found extends Candidate {
  readonly encodings: readonly string[];
  readonly size: number;
}

const RANK: Readonly<Record<Confidence, number>> = { certain: 0, likely: 1, damaged: 2, none: 3 };

/**
 * Recognizes and describes the content of a file: any format of this library, in bytes or as hexadecimal, base64,
 * base64url, PEM or JSON text, also nested. Decrypts nothing and shows no secret.
 *
 * Never throws because of the bytes. A file that cannot be read is `damaged` or `unknown`; oddities are in `problems`.
 * Does not read files of more than 1 MiB. Above 128 KiB, reads only states of virtual TPMs and recordings of TPM
 * commands.
 * @throws TypeError for a wrong option.
 *
 * @example
 * ```ts
 * import { readFile } from 'node:fs/promises';
 * import { inspect, printInspection } from 'keyprov/inspect';
 *
 * const inspection = await inspect(await readFile('request.json'));
 * console.log(inspection.format, inspection.confidence);
 * console.log(printInspection(inspection));
 * ```
 */
export async function inspect(bytes: Uint8Array, options: InspectOptions = {}): Promise<Inspection> {
  checkBytes(bytes, 'the input');
  const { hint } = checkMembers('inspect', options, 'hint:text?');
  if (bytes.length > MAX_SIZE) return unknown(bytes, [`${byteCount(bytes.length)}; the limit is ${MAX_SIZE}`]);
  const found = await readBytes(bytes, { hint, encodings: [], problems: [] });
  const [best, ...others] = byRank(found, hint);
  if (best === undefined) {
    const isLarge = bytes.length > MAX_USUAL_SIZE;
    return unknown(
      bytes,
      isLarge ? ['at this size, keyprov reads only states of virtual TPMs and recordings of TPM commands'] : [],
    );
  }
  const isPossible = (other: Found) =>
    other.format !== best.format && (best.confidence === 'damaged' || other.confidence !== 'damaged');
  const alternatives = others
    .filter(isPossible)
    .map(({ format, title, confidence }) => ({ format, title, confidence }));
  const { format, title, confidence, encodings, size, fields } = best;
  const isOther = hint !== undefined && format !== hint;
  const problems = [...(isOther ? [`it is not in the expected format, ${hint}`] : []), ...best.problems];
  return { format, title, confidence, encodings, size, problems, fields, alternatives };
}

/** The best first. What the hint says counts more, unless the bytes are certainly of another format. */
function byRank<T extends Candidate>(found: readonly T[], hint: string | undefined): T[] {
  const rank = ({ format, confidence, isOnlyHinted }: T): number => {
    if (format !== hint) return RANK[confidence];
    if (isOnlyHinted) return RANK.likely + 0.5;
    return confidence === 'damaged' ? RANK.certain + 0.5 : -1;
  };
  return [...found].sort((a, b) => rank(a) - rank(b));
}

/** Shows no byte of a short file, which may be a secret. */
function unknown(bytes: Uint8Array, problems: readonly string[]): Inspection {
  const start = bytes.length < 64 ? [] : [field('first bytes', toHex(bytes.subarray(0, 8)))];
  return {
    ...{ format: 'unknown', title: 'unknown format', confidence: 'none' },
    ...{ encodings: [], size: bytes.length, problems, alternatives: [] },
    fields: [field('length', bytes.length), ...start],
  };
}

/** The encodings that were removed so far, and their problems. */
interface Context {
  readonly hint: string | undefined;
  readonly encodings: readonly string[];
  readonly problems: readonly string[];
}

async function readBytes(bytes: Uint8Array, context: Context): Promise<Found[]> {
  const text = decodedText(bytes);
  const size = bytes.length;
  // The hint is about the decoded bytes, not about the text.
  const hint = text === undefined ? context.hint : undefined;
  const candidates = [...(await readDer(bytes, hint)), ...(await candidatesOf(BINARY_FORMATS, bytes, { size, hint }))];
  const found = candidates.map((candidate) => within(candidate, size, context));
  found.push(...(await readStored(bytes, context)));
  return text === undefined ? found : [...found, ...(await readText(text, context))];
}

/** A certificate as a TPM keeps it: followed by padding, or in a structure of the TCG. */
async function readStored(bytes: Uint8Array, context: Context): Promise<Found[]> {
  const isStored = bytes[0] === 0x10 && bytes[1] === 0x01;
  const isPadded = bytes[0] === TAG.SEQUENCE && (bytes.at(-1) === 0xff || bytes.at(-1) === 0x00);
  if (!isStored && !isPadded) return [];
  const der = readOr(undefined, () => onlyCertificate(bytes)); // else it is something else
  if (der === undefined || der.length === bytes.length) return [];
  const encodings = [...context.encodings, isStored ? 'TCG_PCCLIENT_STORED_CERT' : 'padding'];
  const found = (await readDer(der, context.hint)).filter(({ format }) => format === 'certificate');
  return found.map((candidate) => within(candidate, der.length, { ...context, encodings }));
}

const within = (candidate: Candidate, size: number, { encodings, problems }: Context): Found => ({
  ...candidate,
  ...{ encodings, size },
  problems: [...problems, ...candidate.problems],
});

async function readDer(bytes: Uint8Array, hint: string | undefined): Promise<Candidate[]> {
  try {
    const input = derInput(bytes);
    if (input === undefined) return [];
    const found = await candidatesOf(DER_FORMATS, input, { size: bytes.length, hint });
    // The format that claims everything counts only if no other one does.
    return found.length > 1 ? found.filter(({ format }) => format !== 'der') : found;
  } catch (error) {
    const problems = [`it cannot be read: ${sayError(error)}`];
    return [{ format: 'der', title: 'value in DER', confidence: 'damaged', problems, fields: [] }];
  }
}

async function readText(whole: string, context: Context): Promise<Found[]> {
  const text = whole.trim();
  if (text.length > MAX_USUAL_SIZE) return isRecording(text) ? await readJson(whole, context) : [];
  const json = text.startsWith('{') || text.startsWith('"') ? await readJson(whole, context) : [];
  // JSON may hold PEM, and PEM may have any text before it.
  const blocks = json.some(({ confidence }) => confidence !== 'damaged') ? [] : decodePemBlocks(whole);
  if (blocks.length > 0) return [...json, await readPem(blocks, context)];
  if (json.length > 0) return json;
  const found = (await candidatesOf(TEXT_FORMATS, whole, { size: text.length, hint: context.hint })).map((one) =>
    within(one, text.length, context),
  );
  if (context.encodings.length >= MAX_LAYERS) return found;
  for (const { encoding, bytes, problems } of decodeText(text.replaceAll(/\s/g, ''))) {
    const inner = {
      ...context,
      encodings: [...context.encodings, encoding],
      problems: [...context.problems, ...problems],
    };
    found.push(...(await readBytes(bytes, inner)));
    if (found.some(({ confidence }) => confidence !== 'damaged')) break;
  }
  return found;
}

/** The only text format that can be longer. */
const isRecording = (text: string): boolean =>
  text.startsWith('{') && text.slice(0, 100).includes('keyprov-tpm-recording');

async function readJson(text: string, context: Context): Promise<Found[]> {
  let value: unknown;
  try {
    value = parseJson('', text, (_, problem) => new TypeError(problem));
  } catch (error) {
    const problems = [sayError(error)];
    return [
      within({ format: 'json', title: 'JSON', confidence: 'damaged', problems, fields: [] }, text.length, context),
    ];
  }
  if (typeof value === 'string') {
    const isDeep = context.encodings.length >= MAX_LAYERS;
    return isDeep ? [] : await readText(value, { ...context, encodings: [...context.encodings, 'JSON text'] });
  }
  if (!isJsonObject(value)) return [];
  const input: JsonInput = { text, value, members: new Map(Object.entries(value)) };
  const found = await candidatesOf(JSON_FORMATS, input, { size: text.length, hint: context.hint });
  return found.map((candidate) => within(candidate, text.length, context));
}

/** The labels that say which format is inside. RFC 7468, and what OpenSSL writes. */
const LABELS: ReadonlyMap<string, string> = new Map([
  ['CERTIFICATE', 'certificate'],
  ['X509 CERTIFICATE', 'certificate'],
  ['TRUSTED CERTIFICATE', 'certificate'],
  ['CERTIFICATE REQUEST', 'certificate-request'],
  ['NEW CERTIFICATE REQUEST', 'certificate-request'],
  ['PUBLIC KEY', 'spki'],
  ['RSA PUBLIC KEY', 'pkcs1-public-key'],
  ['TSS2 PRIVATE KEY', 'tss2-private-key'],
  ['ENCRYPTED PRIVATE KEY', 'encrypted-private-key'],
  ['OPENSSH PRIVATE KEY', 'openssh-private-key'],
  ['CMS', 'cms'],
  ['PKCS7', 'cms'],
]);

async function readPem(blocks: readonly Decoded[], context: Context): Promise<Found> {
  const read: Found[] = [];
  for (const block of blocks) read.push(await readBlock(block, context));
  const [only, ...more] = read;
  if (only !== undefined && more.length === 0) return only;
  const { problems, fields } = gathered(read.map((one, i) => nested(`${i + 1}`, one)));
  const size = read.reduce((sum, one) => sum + one.size, 0);
  const confidences = new Set(read.map(({ confidence }) => confidence));
  const confidence = confidences.has('damaged')
    ? 'damaged'
    : confidences.has('certain') || confidences.has('likely')
      ? 'certain'
      : 'none';
  const title = `${read.length} PEM blocks`;
  return within({ format: 'pem', title, confidence, problems, fields }, size, {
    ...context,
    encodings: [...context.encodings, 'PEM'],
  });
}

async function readBlock({ encoding, bytes, problems, encryption }: Decoded, context: Context): Promise<Found> {
  const inner = {
    ...context,
    encodings: [...context.encodings, shortened(encoding)],
    problems: [...context.problems, ...problems],
  };
  const label = encoding.slice('PEM '.length);
  const wanted = LABELS.get(label);
  const content = label === 'TRUSTED CERTIFICATE' ? (readOr(undefined, () => firstCertificate(bytes)) ?? bytes) : bytes;
  if (encryption !== undefined) {
    const description = {
      title: 'encrypted private key in traditional PEM',
      ...gathered(describeEncrypted([encryption], bytes.length)),
    };
    return within({ format: 'encrypted-private-key', confidence: 'certain', ...description }, bytes.length, inner);
  }
  const binary = await candidatesOf([OPENSSH_PRIVATE_KEY], bytes, { size: bytes.length, hint: wanted });
  const [best] = byRank([...(await readDer(content, context.hint)), ...binary], wanted ?? context.hint);
  const isKnown = (found: Candidate) =>
    found.format !== 'der' && (wanted !== undefined || found.confidence !== 'likely');
  if (best !== undefined && isKnown(best)) {
    const found = within(best, content.length, inner);
    const isLabelled = wanted === undefined || wanted === best.format;
    return isLabelled ? found : { ...found, problems: [...found.problems, `the PEM block's label is ${label}`] };
  }
  const [inside] = context.encodings.length >= MAX_LAYERS ? [] : byRank(await readBytes(bytes, inner), context.hint);
  if (inside !== undefined && isKnown(inside) && RANK[inside.confidence] < RANK.damaged && !label.endsWith('KEY'))
    return { ...inside, problems: [...inside.problems, `the PEM block's label is ${label}`] };
  if (wanted === undefined && label.endsWith('PRIVATE KEY')) {
    const fields = [secretField('key', bytes.length)];
    const title = 'private key of an unknown kind';
    const unsure = ['keyprov cannot tell whether the key is encrypted'];
    return within(
      { format: 'private-key', title, confidence: 'certain', problems: unsure, fields },
      bytes.length,
      inner,
    );
  }
  const format = wanted ?? 'pem';
  const title = FORMATS.find((one) => one.format === format)?.title ?? `PEM block ${shortened(label)}`;
  if (best?.confidence === 'damaged' || (wanted !== undefined && (best !== undefined || problems.length > 0))) {
    const damaged = { format, title, confidence: 'damaged', problems: best?.problems ?? [], fields: [] } as const;
    return within(damaged, bytes.length, inner);
  }
  // Nothing says that it is damaged: programs write many kinds of blocks, and `certutil -encode` any content.
  const unread =
    wanted === undefined ? 'keyprov does not read blocks of this kind' : 'it does not contain what its label says';
  const other: Candidate = {
    ...{ format: 'pem', title: `PEM block ${shortened(label)}`, problems: [unread], fields: [] },
    confidence: 'none',
  };
  // The text of OpenPGP has headers, a checksum, and for a signed message no end.
  return within(other, bytes.length, label.startsWith('PGP ') ? { ...inner, problems: context.problems } : inner);
}
