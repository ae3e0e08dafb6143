/**
 * Makes scrypt almost free in a process that imports this module first or is started with `--import`. It is for tests that use
 * PINs but do not test PIN derivation. The cost parameters are mixed into the salt, so that different costs give different values.
 */
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';

const { scrypt } = crypto;
crypto.scrypt = (secret, salt, size, { N, r, p }, done) =>
  scrypt(secret, Buffer.concat([salt, Buffer.from(`${N} ${r} ${p}`)]), size, { N: 2, r: 1, p: 1 }, done);
syncBuiltinESMExports();
