/**
 * Makes it cheap to start an identity service, to join a device and to connect to the service, in a process that imports this
 * module first or is started with `--import`. It is for tests that need a service but do not test these steps:
 * - 2048-bit RSA keys come from two of the primes in test/vectors/rsa-primes.json, each used once per process. Only calls without
 *   further options are answered so: keys of the software provider and of WebCrypto are made as always.
 * - TLS clients that trust Node's roots and others trust only one of Node's, and none that the machine adds: to read all takes
 *   longer than a connection.
 * - V8 does not optimize WebAssembly: to optimize SQLite takes longer than its queries.
 */
import crypto from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import tls from 'node:tls';
import { promisify } from 'node:util';
import { setFlagsFromString } from 'node:v8';

setFlagsFromString('--no-wasm-tier-up');
setFlagsFromString('--no-wasm-dynamic-tiering');

const { generateKeyPair, generateKeyPairSync } = crypto;
const { primes } = JSON.parse(readFileSync(new URL('vectors/rsa-primes.json', import.meta.url), 'utf8'));
const EXPONENT = 65537n;

/** Takes one of the primes at random. */
function takePrime() {
  const [prime] = primes.splice(crypto.randomInt(primes.length), 1);
  return BigInt(`0x${Buffer.from(prime, 'base64url').toString('hex')}`);
}

/** The inverse of `value` modulo `modulus`, by the extended Euclidean algorithm. */
function inverse(value, modulus) {
  let [r, next, s, nextS] = [modulus, value % modulus, 0n, 1n];
  while (next > 0n) {
    const quotient = r / next;
    [r, next, s, nextS] = [next, r - quotient * next, nextS, s - quotient * nextS];
  }
  return s < 0n ? s + modulus : s;
}

function encoded(value) {
  const hex = value.toString(16);
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex').toString('base64url');
}

/** A key pair from two of the primes. */
function readyPair() {
  const [p, q] = [takePrime(), takePrime()];
  const d = inverse(EXPONENT, (p - 1n) * (q - 1n));
  const numbers = { n: p * q, e: EXPONENT, d, p, q, dp: d % (p - 1n), dq: d % (q - 1n), qi: inverse(q, p) };
  const jwk = Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, encoded(value)]));
  const privateKey = crypto.createPrivateKey({ key: { kty: 'RSA', ...jwk }, format: 'jwk' });
  return { publicKey: crypto.createPublicKey(privateKey), privateKey };
}

const isReady = (type, options) =>
  type === 'rsa' && options?.modulusLength === 2048 && Object.keys(options).length === 1 && primes.length > 1;

crypto.generateKeyPairSync = (type, options) =>
  isReady(type, options) ? readyPair() : generateKeyPairSync(type, options);
crypto.generateKeyPair = (type, options, done) => {
  if (!isReady(type, options)) return generateKeyPair(type, options, done);
  const { publicKey, privateKey } = readyPair();
  setImmediate(done, null, publicKey, privateKey);
};
crypto.generateKeyPair[promisify.custom] = async (type, options) =>
  isReady(type, options) ? readyPair() : await promisify(generateKeyPair)(type, options);

const { createSecureContext } = tls;
const unread = new Set(tls.rootCertificates.slice(1));
const { NODE_EXTRA_CA_CERTS: further = '' } = process.env;
if (existsSync(further)) unread.add(readFileSync(further, 'utf8'));
tls.createSecureContext = ({ ca, ...options }) =>
  createSecureContext({ ...options, ca: Array.isArray(ca) ? ca.filter((root) => !unread.has(root)) : ca });

syncBuiltinESMExports();
