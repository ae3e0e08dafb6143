import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer, type TLSSocket } from 'node:tls';
import { expect, it } from 'vitest';
import 'reflect-metadata';
import { utf8 } from '../../src/bytes.ts';
import { encodePem } from '../../src/crypto/pem.ts';
import { deriveAuthValue } from '../../src/keys/pin-derivation.ts';
import { openTpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { EvictControl } from '../../src/tpm/commands/context.ts';
import { CreatePrimary } from '../../src/tpm/commands/hierarchy.ts';
import { TPM_RH } from '../../src/tpm/constants.ts';
import { srkTemplate } from '../../src/tpm/templates.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import { type SwtpmProcess, startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { createCrypto, type KeyprovCrypto, keyprovKey } from '../../src/webcrypto/index.ts';
import { missingOutsideCi } from '../programs.ts';
import { tctiOf } from './support/swtpm-address.ts';

// @peculiar/x509 2.2.0 must find reflect-metadata loaded.
const x509 = await import('@peculiar/x509');

/** The paths of OpenSSL's provider for TPM keys on Debian and Fedora. */
const PROVIDER = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib64']
  .map((directory) => `${directory}/ossl-modules/tpm2.so`)
  .find((path) => existsSync(path));
const missing = missingOutsideCi(PROVIDER === undefined ? 'tpm2-openssl not installed' : undefined);

/** Loads the provider into Node, and has it sign; all else is done by OpenSSL itself. */
const OPENSSL_CONF = `nodejs_conf = init
[init]
providers = providers
alg_section = algorithms
[providers]
default = default_section
tpm2 = tpm2_section
[default_section]
activate = 1
[tpm2_section]
module = ${PROVIDER}
activate = 1
[algorithms]
default_properties = ?tpm2.signature
`;

/** Runs a TLS client in a separate Node without keyprov. Returns the answer, or the code of its error. */
const CLIENT = `
  import { connect } from 'node:tls';
  const { port, key, passphrase, cert, ca } = JSON.parse(process.env.CLIENT);
  const options = { host: '127.0.0.1', port, key, passphrase, cert, ca: [ca], minVersion: 'TLSv1.3' };
  connect({ ...options, checkServerIdentity: () => undefined })
    .on('data', (data) => console.log(String(data)))
    .on('error', ({ code }) => console.log(code));`;

async function selfSigned(crypto: KeyprovCrypto, name: string, algorithm: object) {
  const keys = await Reflect.apply(crypto.subtle.generateKey, crypto.subtle, [
    algorithm,
    name === 'server',
    ['sign', 'verify'],
  ]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: '01',
      name: `CN=${name}`,
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + 3_600_000),
      keys,
      signingAlgorithm: { ...algorithm, hash: 'SHA-256' },
    },
    crypto,
  );
  return { keys, cert: certificate.toString('pem') };
}

/** A persistent storage root key, so that a key in use needs one of the three object slots, not two. */
async function persistStorageKey(tpm: Tpm): Promise<void> {
  const none = new Uint8Array(0);
  const { objectHandle } = await tpm.run(CreatePrimary, {
    primaryHandle: TPM_RH.OWNER,
    inSensitive: { userAuth: none, data: none },
    inPublic: srkTemplate('p-256'),
    outsideInfo: none,
    creationPCR: [],
  });
  await tpm.run(EvictControl, { auth: TPM_RH.OWNER, objectHandle, persistentHandle: 0x81000001 });
  await objectHandle.flush();
}

const PIN = '271828';
/** Makes the key and the certificate of a client, and leaves the TPM to others. */
async function makeClient(swtpm: SwtpmProcess, algorithm: object, newKeysHavePin: boolean) {
  await using tpm = await Tpm.open(await swtpm.open());
  await persistStorageKey(tpm);
  const provider = await openTpmKeyProvider(tpm);
  await using crypto = createCrypto({ provider, newKeysHavePin, pin: async () => utf8(PIN) });
  const { keys, cert } = await selfSigned(crypto, 'client', algorithm);
  const key = keyprovKey(keys.privateKey)?.key;
  const passphrase = key?.pinDerivation && Buffer.from(await deriveAuthValue(utf8(PIN), key.pinDerivation)).toString();
  return { key: key?.privateKey, passphrase, cert };
}

const RSA = { hash: 'SHA-256', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) };
it.skipIf(missing).each([
  ['P-256', { name: 'ECDSA', namedCurve: 'P-256' }, false],
  ['RSA-2048', { name: 'RSASSA-PKCS1-v1_5', ...RSA }, false],
  ['P-256 and a PIN', { name: 'ECDSA', namedCurve: 'P-256' }, true],
] as const)(
  "Node's TLS 1.3 client shows a certificate with a TPM key by OpenSSL's tpm2 provider: %s",
  async (_, algorithm, hasPin) => {
    const directory = await mkdtemp(join(tmpdir(), 'keyprov-tls-'));
    await using swtpm = await startSwtpm();
    const client = await makeClient(swtpm, algorithm, hasPin);
    // With Ed25519, so that the client does not verify the server's signature in the TPM, which has no room for that.
    const software = createCrypto();
    const server = await selfSigned(software, 'server', { name: 'Ed25519' });
    const pkcs8 = new Uint8Array(await software.subtle.exportKey('pkcs8', server.keys.privateKey));
    const seen: unknown[] = [];
    const listening = createServer(
      {
        key: encodePem('PRIVATE KEY', pkcs8),
        cert: server.cert,
        ca: [client.cert],
        requestCert: true,
        rejectUnauthorized: true,
        minVersion: 'TLSv1.3',
      },
      (socket: TLSSocket) => {
        seen.push([socket.authorized, socket.getProtocol(), socket.getPeerCertificate().subject.CN]);
        socket.end('welcome');
      },
    );
    try {
      listening.listen(0, '127.0.0.1');
      await once(listening, 'listening');
      const { port } = listening.address() as AddressInfo;
      await writeFile(join(directory, 'openssl.cnf'), OPENSSL_CONF);
      const child = spawn(process.execPath, ['--input-type=module', '-e', CLIENT], {
        env: {
          ...process.env,
          OPENSSL_CONF: join(directory, 'openssl.cnf'),
          TPM2OPENSSL_TCTI: tctiOf(swtpm),
          CLIENT: JSON.stringify({ port, ca: server.cert, ...client }),
        },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const output: string[] = [];
      child.stdout.on('data', (data) => output.push(String(data)));
      await once(child, 'close');
      expect(output.join('')).toBe('welcome\n');
      expect(seen).toEqual([[true, 'TLSv1.3', 'client']]);
    } finally {
      listening.close();
      await rm(directory, { recursive: true });
    }
  },
);
