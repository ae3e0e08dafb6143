import { checkList, checkObject, checkText } from '../../bytes.ts';
import { checkMembers } from '../../known-members.ts';
import { LIMIT } from '../../limits.ts';

/** One line of a section: `NgcSet : NO`. Any other line has an empty name, and its text as value. */
export interface DsregLine {
  readonly name: string;
  readonly value: string;
}

/** A title in its box, and all lines up to the next title. */
export interface DsregSection {
  readonly title: string;
  readonly lines: readonly DsregLine[];
}

/** The text of `dsregcmd /status`: all sections, known or not, in order. */
export type DsregStatus = readonly DsregSection[];

/** Validity period of a certificate. */
export interface DsregValidity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** The fields that hold more than text, by section and name as Windows writes them. */
export interface DsregValues {
  readonly 'Device State': DsregFlags<'AzureAdJoined' | 'EnterpriseJoined' | 'DomainJoined'>;
  readonly 'Device Details': DsregFlags<'TpmProtected'> & { readonly DeviceCertificateValidity: DsregValidity };
  readonly 'User State': DsregFlags<'NgcSet' | 'WorkplaceJoined' | 'WamDefaultSet'>;
  readonly 'SSO State': DsregFlags<'AzureAdPrt' | 'EnterprisePrt' | 'OnPremTgt' | 'CloudTgt'> & {
    readonly AzureAdPrtUpdateTime: Date;
    readonly AzureAdPrtExpiryTime: Date;
    readonly EnterprisePrtUpdateTime: Date;
    readonly EnterprisePrtExpiryTime: Date;
    readonly 'Previous Prt Attempt': Date;
  };
  readonly 'Diagnostic Data': DsregFlags<'AadRecoveryEnabled'> & {
    readonly 'Client Time': Date;
    readonly 'Previous Registration': Date;
  };
  readonly 'Ngc Prerequisite Check': DsregFlags<
    | 'IsDeviceJoined'
    | 'IsUserAzureAD'
    | 'PolicyEnabled'
    | 'PostLogonEnabled'
    | 'DeviceEligible'
    | 'SessionIsNotRemote'
    | 'AdfsRefreshToken'
    | 'AdfsRaIsReady'
    | 'OnPremTGT'
    | 'CloudTGT'
    | 'X509CertRequired'
  >;
}

/** Fields that are `YES` or `NO`. */
export type DsregFlags<Names extends string> = Readonly<Record<Names, boolean>>;

/** How a device is joined. */
export type JoinState = 'none' | 'entra' | 'domain' | 'entra-hybrid' | 'on-premises-drs';

const yesNo = (value: string): boolean | undefined => (value === 'YES' ? true : value === 'NO' ? false : undefined);

function time(value: string): Date | undefined {
  const [, day, clock] = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d{1,3})?) UTC$/.exec(value) ?? [];
  const date = new Date(`${day}T${clock}Z`);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

function validity(value: string): DsregValidity | undefined {
  if (!value.startsWith('[ ') || !value.endsWith(' ]')) return undefined;
  const [notBefore, notAfter, ...more] = value.slice(2, -2).split(' -- ', 3).map(time);
  if (more.length > 0) return undefined;
  return notBefore && notAfter && { notBefore, notAfter };
}

type Readers<Fields> = { readonly [F in keyof Fields]: (value: string) => Fields[F] | undefined };

const READERS: { readonly [S in keyof DsregValues]: Readers<DsregValues[S]> } = {
  'Device State': { AzureAdJoined: yesNo, EnterpriseJoined: yesNo, DomainJoined: yesNo },
  'Device Details': { TpmProtected: yesNo, DeviceCertificateValidity: validity },
  'User State': { NgcSet: yesNo, WorkplaceJoined: yesNo, WamDefaultSet: yesNo },
  'SSO State': {
    AzureAdPrt: yesNo,
    AzureAdPrtUpdateTime: time,
    AzureAdPrtExpiryTime: time,
    EnterprisePrt: yesNo,
    EnterprisePrtUpdateTime: time,
    EnterprisePrtExpiryTime: time,
    'Previous Prt Attempt': time,
    OnPremTgt: yesNo,
    CloudTgt: yesNo,
  },
  'Diagnostic Data': { AadRecoveryEnabled: yesNo, 'Client Time': time, 'Previous Registration': time },
  'Ngc Prerequisite Check': {
    IsDeviceJoined: yesNo,
    IsUserAzureAD: yesNo,
    PolicyEnabled: yesNo,
    PostLogonEnabled: yesNo,
    DeviceEligible: yesNo,
    SessionIsNotRemote: yesNo,
    AdfsRefreshToken: yesNo,
    AdfsRaIsReady: yesNo,
    OnPremTGT: yesNo,
    CloudTGT: yesNo,
    X509CertRequired: yesNo,
  },
};

const BOX = `+${'-'.repeat(70)}+`;
/** The only field that Windows writes without a blank before the colon. */
const NO_BLANK = 'AadRecoveryEnabled';

/**
 * Reads the text of `dsregcmd /status`, at most its first 1,048,576 characters. Ignores text before the first title.
 * @throws TypeError for a `text` that is not a string.
 */
export function parseDsregStatus(text: string): DsregStatus {
  checkText(text, 'the output of dsregcmd');
  const sections: { title: string; lines: DsregLine[] }[] = [];
  let isBelowTitle = false;
  // A text copied from a page or an editor may have no-break spaces and other line ends.
  const plain = text.slice(0, LIMIT.document).replaceAll('\u00a0', ' ').replaceAll('\r\n', '\n').replaceAll('\r', '\n');
  for (const raw of plain.split('\n')) {
    const line = raw.trim().replace(/^>[> ]*/, ''); // quoted in a mail reply
    const isBox = /^\+[-=+]*$/.test(line);
    const lines = sections.at(-1)?.lines;
    if (line.startsWith('|')) {
      if (lines?.at(-1)?.value === BOX) lines.pop(); // the upper edge of this title's box
      sections.push({ title: line.slice(1, line.endsWith('|') ? -1 : undefined).trim(), lines: [] });
    } else if (!(isBox && isBelowTitle)) {
      lines?.push(isBox ? { name: '', value: BOX } : readLine(line));
    }
    isBelowTitle = line.startsWith('|');
  }
  return sections;
}

/**
 * Why a text is not the output of one `dsregcmd /status`: it has no known section, or the reports of several runs,
 * which puts every fact in doubt. Undefined if there is no problem.
 * @throws TypeError for anything but a text.
 */
export function describeDsregProblem(text: string): string | undefined {
  const titles = parseDsregStatus(text).map(({ title }) => title);
  const reports = titles.filter((title) => title === 'Device State').length;
  if (reports > 1) return `it contains the output of ${reports} runs of dsregcmd /status; keep one`;
  if (titles.some((title) => Object.hasOwn(READERS, title))) return undefined;
  return 'it has no section of dsregcmd /status, such as "Device State"; give the complete output of the command';
}

/**
 * Splits a line at its first colon, since values hold colons too. The colon of an address (`https://`) does not count.
 */
function readLine(line: string): DsregLine {
  const colon = line.indexOf(':');
  const name = line.slice(0, Math.max(colon, 0)).trimEnd();
  if (name === '' || line.startsWith('//', colon + 1)) return { name: '', value: line };
  return { name, value: line.slice(colon + 1).trimStart() };
}

/**
 * Writes the text as Windows does: names flush right, lines without a name as they are.
 * @throws TypeError for a title, name or value that would not be read back.
 */
export function formatDsregStatus(status: DsregStatus, options: { readonly lineEnd?: '\n' | '\r\n' } = {}): string {
  checkList(status, 'the dsregcmd status');
  const { lineEnd = '\n' } = checkMembers('formatDsregStatus', options, 'lineEnd:=\n|\r\n?');
  const text = status
    .flatMap(({ title, lines }) => [BOX, `| ${title.padEnd(69)}|`, BOX, ...lines.map(formatLine)])
    .join(lineEnd);
  if (JSON.stringify(parseDsregStatus(text)) !== JSON.stringify(status)) {
    throw new TypeError(
      'a title, name or value has a line break, starts or ends with a space, or looks like another part of the output',
    );
  }
  return text;
}

function formatLine({ name, value }: DsregLine): string {
  if (name === '') return value;
  const label = name === NO_BLANK ? `${name.padStart(27)}:` : `${name.padStart(26)} :`;
  return value === '' ? label : `${label} ${value}`;
}

/**
 * A section as Windows writes it, with an empty line above and below its fields.
 * @throws TypeError for an argument of another kind.
 */
export function dsregSection(title: string, fields: Readonly<Record<string, string>>): DsregSection {
  checkText(title, 'the title');
  checkObject(fields, 'the fields');
  const empty = { name: '', value: '' };
  return { title, lines: [empty, ...Object.entries(fields).map(([name, value]) => ({ name, value })), empty] };
}

/**
 * The text of a field. Undefined if it is missing, or several differ: a message of another program may look like a
 * field.
 * @throws TypeError for an argument of another kind.
 */
export function dsregText(status: DsregStatus, title: string, name: string): string | undefined {
  checkList(status, 'the dsregcmd status');
  const lines = status.filter((section) => section.title === title).flatMap((section) => section.lines);
  const [value, ...others] = new Set(lines.filter((line) => line.name === name).map((line) => line.value));
  return others.length === 0 ? value : undefined;
}

/**
 * The value of a field. Undefined as with {@link dsregText}, and for invalid text, such as `UNKNOWN` for yes or no.
 * @throws TypeError for an argument of another kind.
 */
export function dsregValue<S extends keyof DsregValues, F extends keyof DsregValues[S]>(
  status: DsregStatus,
  title: S,
  name: F,
): DsregValues[S][F] | undefined {
  const text = dsregText(status, title, String(name));
  const readers: Readers<DsregValues[S]> = READERS[title];
  return text === undefined ? undefined : readers[name](text);
}

/**
 * How the device is joined; undefined if one of the three fields is missing, or Windows never writes this combination.
 */
export function joinStateOf(status: DsregStatus): JoinState | undefined {
  const isJoined = (name: keyof DsregValues['Device State']) => dsregValue(status, 'Device State', name);
  const joined = [isJoined('AzureAdJoined'), isJoined('EnterpriseJoined'), isJoined('DomainJoined')];
  return JOIN_STATES.get(joined.join());
}

const JOIN_STATES: ReadonlyMap<string, JoinState> = new Map([
  ['false,false,false', 'none'],
  ['true,false,false', 'entra'],
  ['false,false,true', 'domain'],
  ['true,false,true', 'entra-hybrid'],
  ['false,true,true', 'on-premises-drs'],
]);
