import { KeyprovError } from '../errors.ts';
import { checkSize, LIMIT } from '../limits.ts';

/** Where a TPM is. The text forms are those of {@link parseTpmAddress}. */
export type TpmAddress =
  | { readonly kind: 'auto' }
  | { readonly kind: 'libtpms'; readonly directory?: string }
  | { readonly kind: 'swtpm'; readonly host: string; readonly port: number }
  | { readonly kind: 'swtpm'; readonly path: string }
  | { readonly kind: 'mssim'; readonly host: string; readonly port: number }
  | { readonly kind: 'device'; readonly path?: string }
  | { readonly kind: 'tbs' }
  | { readonly kind: 'tcti'; readonly conf: string };

const FORMS =
  'auto, libtpms[:DIRECTORY], swtpm:HOST:PORT, swtpm:unix:PATH, mssim:HOST:PORT, device[:PATH], tbs, tcti:CONF';

/**
 * Reads the text form of an address: `auto` (the platform's own TPM), `libtpms` (in process, memory only),
 * `libtpms:DIRECTORY`, `swtpm:HOST:PORT`, `swtpm:unix:PATH`, `mssim:HOST:PORT`, `device`, `device:PATH`, `tbs`,
 * `tcti:CONF`. An IPv6 host stands in brackets.
 * @throws KeyprovError `address-invalid`.
 */
export function parseTpmAddress(text: string): TpmAddress {
  checkSize(text, LIMIT.line, (problem) => new KeyprovError('address-invalid', `address of a TPM: ${problem}`));
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
      if (rest !== '') return { kind, directory: rest };
      break;
    case 'device':
      if (rest === undefined) return { kind };
      if (rest !== '') return { kind, path: rest };
      break;
    case 'swtpm':
      if (rest?.startsWith('unix:') && rest.length > 5) return { kind, path: rest.slice(5) };
      return { kind, ...hostAndPort(text, rest?.startsWith('tcp:') ? rest.slice(4) : rest) };
    case 'mssim':
      return { kind, ...hostAndPort(text, rest) };
    case 'tcti':
      if (rest !== undefined && rest !== '') return { kind, conf: rest };
      break;
  }
  throw invalid(text);
}

function hostAndPort(text: string, rest: string | undefined): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(rest ?? '');
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port < 1 || port > 65535) throw invalid(text);
  return { host, port };
}

const invalid = (text: string): KeyprovError =>
  new KeyprovError('address-invalid', `'${text}' is no address of a TPM`, { remedy: `write one of: ${FORMS}` });
