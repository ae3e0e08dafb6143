import { pathToFileURL } from 'node:url';

/** A Node.js option that makes PIN derivation free. */
export const CHEAP_SCRYPT: string = `--import=${pathToFileURL('test/cheap-scrypt.mjs')}`;
