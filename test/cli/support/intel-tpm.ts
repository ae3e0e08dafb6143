import { once } from 'node:events';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { openEndorsementKey } from '../../../src/attestation/endorsement-key.ts';
import { type Bytes, concat, toBase64, toBase64Url } from '../../../src/bytes.ts';
import { digest } from '../../../src/crypto/kdf.ts';
import { openTpm } from '../../../src/tpm/open-tpm.ts';
import { publicKeyOf } from '../../../src/tpm/public-key.ts';
import type { TpmtPublic } from '../../../src/tpm/structures/object.ts';
import type { EkTemplateName } from '../../../src/tpm/templates.ts';
import { startSwtpm } from '../../../src/tpm/transports/swtpm-process.ts';
import { TestProxy, TestRoots } from '../../integration/support/key-service.ts';
import { socketOf } from '../../integration/support/swtpm-address.ts';
import { temporaryDirectory } from '../../temporary-directory.ts';

/** A swtpm that claims Intel as its maker, and Intel's endorsement key certificate service behind a proxy. */
export interface IntelTpm extends AsyncDisposable {
  readonly tpm: string;
  readonly proxy: string;
  /** The root of the service's TLS certificate. */
  readonly ca: string;
  /** Requests to the service. */
  readonly asked: readonly string[];
  /** The public area of an endorsement key. */
  readonly ek: (template: EkTemplateName) => Promise<TpmtPublic>;
  /** Gives the service a certificate for this key. */
  readonly publish: (ek: TpmtPublic, certificate: Uint8Array) => void;
}

const MANUFACTURER = { before: Buffer.from('0000010549424d00', 'hex'), after: Buffer.from('00000105494e5443', 'hex') };

/** Starts all of it. */
export async function startIntelTpm(): Promise<IntelTpm> {
  const directory = temporaryDirectory();
  const swtpm = await startSwtpm();
  const path = join(directory.path, 's');
  const relay = createServer((client) => {
    const tpm = connect(socketOf(swtpm));
    // swtpm sends each answer in one piece.
    tpm.on('data', (answer) => client.write(renamed(answer)));
    client.on('data', (command) => tpm.write(command)).on('close', () => tpm.destroy());
    for (const socket of [client, tpm]) socket.on('error', () => client.destroy());
  });
  await listening(relay.listen(path));
  const roots = await TestRoots.create();
  const { certificate: cert, privateKey: key } = await roots.forHost('ekop.intel.com');
  const known = new Map<string, Uint8Array>();
  const asked: string[] = [];
  const service = createTlsServer({ cert, key }, (request, response) => {
    const { url = '' } = request;
    asked.push(url);
    const found = known.get(url);
    if (found === undefined) return response.writeHead(404).end();
    response.end(
      JSON.stringify({ pubhash: '', certificate: toBase64(found).replaceAll('+', '-').replaceAll('/', '_') }),
    );
  });
  await listening(service.listen(0, '127.0.0.1'));
  const proxy = await TestProxy.start(undefined, (service.address() as AddressInfo).port);
  return {
    ...{ tpm: `swtpm:unix:${path}`, proxy: `http://127.0.0.1:${proxy.port}`, ca: roots.pem, asked },
    ek: async (template) => {
      await using tpm = await openTpm(swtpm.address);
      await using ek = await openEndorsementKey(tpm, { template });
      return ek.publicArea;
    },
    publish: (ek, certificate) => void known.set(pathOf(ek), certificate),
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      for (const server of [service, relay]) await closed(server);
      await swtpm[Symbol.asyncDispose]();
      directory[Symbol.dispose]();
    },
  };
}

function renamed(answer: Buffer): Buffer {
  const at = answer.indexOf(MANUFACTURER.before);
  if (at >= 0) MANUFACTURER.after.copy(answer, at);
  return answer;
}

/** Intel's identifier for a key: see ek-certificate-service.json in test/vectors. */
function pathOf(ek: TpmtPublic): string {
  const key = publicKeyOf(ek);
  const parts: readonly Bytes[] = key.kty === 'RSA' ? [key.n, key.e] : [key.x, key.y];
  return `/ekcertservice/${toBase64Url(digest('sha256', concat(...parts)))}%3D`;
}

const listening = (server: Server) => once(server, 'listening');

async function closed(server: Server | TlsServer): Promise<void> {
  const end = once(server, 'close');
  server.close();
  if ('closeAllConnections' in server) server.closeAllConnections();
  await end;
}
