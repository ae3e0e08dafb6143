const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/** Whether the host of a URL is this machine itself. */
export function isLoopback({ hostname }: URL): boolean {
  return LOOPBACK.test(hostname);
}

/** Whether a request may go there: https, or http to a loopback address. */
export function isSafeUrl(url: URL): boolean {
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url));
}

/** A URL that paths are joined to: its own path is kept, whether it ends with a slash or not. */
export function baseUrl(url: string | URL): URL {
  const base = new URL(url);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  return base;
}

/** A part of a path, encoded. @throws TypeError for an empty one, and one of dots: its URL would be another one. */
export function pathSegment(text: string): string {
  if (isDots(text)) throw new TypeError(`no part of a path: ${JSON.stringify(text)}`);
  return encodeURIComponent(text);
}

/** Whether a text is empty, or of dots only: no part of a path is. */
export const isDots = (text: string): boolean => /^\.*$/.test(text);
