import { pathToFileURL } from 'node:url';

/** An option of Node.js with which PINs are derived at no cost. */
export const CHEAP_SCRYPT: string = `--import=${pathToFileURL('test/cheap-scrypt.mjs')}`;
