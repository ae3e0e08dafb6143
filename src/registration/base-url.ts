/** A URL that paths are joined to: its own path is kept, whether it ends with a slash or not. */
export function baseUrl(url: string | URL): URL {
  const base = new URL(url);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  return base;
}
