import { KeyprovError } from '../errors.ts';
import { checkTextSize, LIMIT } from '../limits.ts';
import { nearest } from '../nearest.ts';

/** Where a TPM is. {@link parseTpmAddress} reads the text forms. */
export type TpmAddress =
  | { readonly kind: 'auto' }
  | { readonly kind: 'libtpms'; readonly directory?: string }
  | {
      readonly kind: 'swtpm';
      readonly host: string;
      readonly port: number;
      /** The control channel: `default` is where tpm2-tss expects it (port + 1, or the path followed by `.ctrl`). */
      readonly control?: 'default' | { readonly port: number } | { readonly path: string };
    }
  | {
      readonly kind: 'swtpm';
      readonly path: string;
      readonly control?: 'default' | { readonly port: number } | { readonly path: string };
    }
  | { readonly kind: 'mssim'; readonly host: string; readonly port: number }
  | { readonly kind: 'device'; readonly path?: string }
  | { readonly kind: 'tbs' }
  | { readonly kind: 'tcti'; readonly conf: string };

const FORMS =
  'auto, libtpms[:DIRECTORY], swtpm:HOST:PORT[,control[=PORT]], swtpm:unix:PATH[,control[=PATH]], mssim:HOST:PORT, device[:PATH], tbs, tcti:CONF';
const KINDS = ['auto', 'libtpms', 'swtpm', 'mssim', 'device', 'tbs', 'tcti', 'none'];

/**
 * Parses the text form of a TPM address: `auto` (the platform's own TPM), `libtpms` (in process, memory only),
 * `libtpms:DIRECTORY`, `swtpm:HOST:PORT`, `swtpm:unix:PATH`, `mssim:HOST:PORT`, `device`, `device:PATH`, `tbs`,
 * `tcti:CONF`. Put an IPv6 host in brackets. Append `,control` to a swtpm address to use its control channel too, which
 * can cancel commands: at port + 1, or at the path followed by `.ctrl`. `,control=PORT` or `,control=PATH` gives
 * another place.
 * @throws KeyprovError `address-invalid`.
 */
export function parseTpmAddress(text: string): TpmAddress {
  checkTextSize(text, LIMIT.line, (problem) => new KeyprovError('address-invalid', `address of a TPM: ${problem}`));
  const colon = text.indexOf(':');
  const kind = colon < 0 ? text : text.slice(0, colon);
  const rest = colon < 0 ? undefined : text.slice(colon + 1);
  switch (kind) {
    case 'auto':
    case 'tbs':
      if (rest === undefined) return { kind };
      break;
    case 'libtpms':
      if (rest === undefined || rest === ':memory:') return { kind };
      if (rest !== '' && !rest.startsWith(':')) return { kind, directory: rest };
      break;
    case 'device':
      if (rest === undefined) return { kind };
      if (rest !== '') return { kind, path: rest };
      break;
    case 'swtpm':
      return swtpmAddress(text, rest ?? '');
    case 'mssim':
      return { kind, ...hostAndPort(text, rest) };
    case 'tcti':
      if (rest !== undefined && rest !== '') return { kind, conf: rest };
      break;
  }
  throw invalid(text);
}

/** swtpm cannot use a path with a comma, where its own options begin. */
function swtpmAddress(text: string, rest: string): TpmAddress {
  const [, data = '', named, at] = /^([^,]*)(,control(?:=(.+))?)?$/s.exec(rest) ?? [];
  const isUnix = data.startsWith('unix:') && data.length > 5;
  const controlAt = (path: string) => (isUnix ? { path } : { port: hostAndPort(text, `control:${path}`).port });
  const control = named === undefined ? {} : { control: at === undefined ? ('default' as const) : controlAt(at) };
  if (isUnix) return { kind: 'swtpm', path: data.slice(5), ...control };
  return { kind: 'swtpm', ...hostAndPort(text, data.startsWith('tcp:') ? data.slice(4) : data), ...control };
}

function hostAndPort(text: string, rest: string | undefined): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(rest ?? '');
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port < 1 || port > 65535) throw invalid(text);
  return { host, port };
}

function invalid(text: string): KeyprovError {
  const none =
    text === 'none' ? "; only keySources and --tpm accept 'none' (no TPM)" : ', none (where no TPM is needed)';
  const [kind = ''] = text.split(':', 1);
  const near = nearest(kind, KINDS);
  const corrected = near && near !== kind && near + text.slice(kind.length);
  const inMemory = text.startsWith('libtpms::') && 'libtpms';
  const meant = text.startsWith('/dev/') ? `device:${text}` : inMemory || corrected;
  const remedy = `write one of: ${FORMS}${none}${meant ? `; did you mean ${meant}?` : ''}`;
  return new KeyprovError('address-invalid', `'${text}' is not the address of a TPM`, { remedy });
}
