import { printable } from '../printable.ts';
import { isDots } from './service-url.ts';

/** Whether a text can be a registration number (`kid`): 1 to 256 printable ASCII characters. */
export function isRegistrationId(id: unknown): id is string {
  return typeof id === 'string' && /^[!-~]{1,256}$/.test(id) && !isDots(id);
}

/** Whether a text can be the `pctx` of a registration: up to 64 KiB of printable ASCII. */
export function isContext(pctx: unknown): pctx is string {
  return typeof pctx === 'string' && pctx.length <= 65_536 && /^[ -~]*$/.test(pctx);
}

/** The beginning of a peer's text, in one printable line. */
export function peerLine(text: string, length = 1000): string {
  return printable(text.slice(0, length)).trim();
}
