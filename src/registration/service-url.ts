import { checkText } from '../bytes.ts';

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/** Whether the host of a URL is this machine. */
export function isLoopback({ hostname }: URL): boolean {
  return LOOPBACK.test(hostname);
}

/** Whether a request may go there: https, or http to a loopback address. */
export function isSafeUrl(url: URL): boolean {
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url));
}

/** Whether a response of `asked` may lead to the address: its host is the asked one or trusted, and it has TLS. */
export function isTrustedAddress(url: URL, asked: URL, trustedHosts: readonly string[]): boolean {
  const isTrusted = url.hostname === asked.hostname || trustedHosts.some((host) => host.toLowerCase() === url.hostname);
  return isTrusted && isWellFormed(url);
}

const isWellFormed = (url: URL): boolean => isSafeUrl(url) && url.username === '' && url.password === '';

/** What to do about an address that is not trusted: only the host can be trusted, not an address without TLS. */
export function trustRemedy(url: URL): string {
  return isWellFormed(url)
    ? 'if you trust that host, add it to trustedHosts'
    : "have the service's administrator correct that address: it needs https, and no user name or password";
}

/** A URL that the caller gives as `name`. @throws TypeError if it has no scheme, or is not a URL for another reason. */
export function absoluteUrl(url: string | URL, name: string): URL {
  if (!URL.canParse(String(url)))
    throw new TypeError(`${name} must be a URL with its scheme, such as https://sts.contoso.test`);
  return new URL(url);
}

/** A URL to append paths to. Keeps its own path, with or without a slash at the end. @throws as {@link absoluteUrl} */
export function baseUrl(url: string | URL, name = 'url'): URL {
  const base = absoluteUrl(url, name);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  return base;
}

/** Encodes a segment of a path. @throws TypeError if it is empty or of dots only, which would change the URL. */
export function pathSegment(text: string): string {
  checkText(text, 'a path segment');
  if (isDots(text)) throw new TypeError(`not a path segment: ${JSON.stringify(text)}`);
  return encodeURIComponent(text);
}

/** Whether a text is empty or of dots only, and so not a segment of a path. */
export const isDots = (text: string): boolean => /^\.*$/.test(text);
