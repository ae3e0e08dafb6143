/**
 * Makes scrypt next to free in the process that imports it first, or is started with `--import`: for tests of what is done
 * with PINs, not of how they are derived. Work that is asked for is in the salt, so that other work gives another value.
 */
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';

const { scrypt } = crypto;
crypto.scrypt = (secret, salt, size, { N, r, p }, done) =>
  scrypt(secret, Buffer.concat([salt, Buffer.from(`${N} ${r} ${p}`)]), size, { N: 2, r: 1, p: 1 }, done);
syncBuiltinESMExports();
