import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** The pages that there are. */
export type PageName = 'dashboard' | 'provision';

/** A file of a page, as it is served. */
export interface PageFile {
  readonly type: string;
  readonly content: Uint8Array;
}

/** What each page is made of, besides its HTML, in the folder `web` of the package. */
const FILES: Readonly<Record<PageName, readonly string[]>> = {
  provision: ['provision.js', 'pin-rules.js', 'texts.js', 'session.js', 'page.css', 'icon.svg'],
  dashboard: ['dashboard.js', 'session.js', 'page.css', 'icon.svg'],
};

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
};

/** All files of a page, by the paths that requests name. No other path is served, so none is used as a file name. */
export async function readPageFiles(page: PageName): Promise<ReadonlyMap<string, PageFile>> {
  const folder = join(dirname(createRequire(import.meta.url).resolve('keyprov/package.json')), 'web');
  const read = async (name: string): Promise<PageFile> => ({
    type: TYPES[name.slice(name.lastIndexOf('.') + 1)] ?? '',
    content: await readFile(join(folder, name)),
  });
  const files = FILES[page].map(async (name) => [`/${name}`, await read(name)] as const);
  return new Map([['/', await read(`${page}.html`)] as const, ...(await Promise.all(files))]);
}
