import { pathToFileURL } from 'node:url';

/** A Node.js option that makes it cheap to start an identity service, as in `test/cheap-service.mjs`. */
export const CHEAP_SERVICE: string = `--import=${pathToFileURL('test/cheap-service.mjs')}`;
