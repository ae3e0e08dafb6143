import { type AddressInfo, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { describe, expect, it } from 'vitest';
import { SocketConnection } from '../../src/tpm/transports/socket-connection.ts';
import { missingOutsideCi } from '../programs.ts';

describe('SocketConnection.connect', () => {
  const listenOn = async (host: string, port = 0) => {
    const server = createServer((socket) => socket.end());
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, resolve);
    });
    return { port: (server.address() as AddressInfo).port, close: () => new Promise((done) => server.close(done)) };
  };
  const connect = (port: number) => {
    const options = { address: `swtpm:localhost:${port}`, remedy: 'start it', limit: new AbortController().signal };
    return SocketConnection.connect({ host: 'localhost', port }, options);
  };
  const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'));

  it('finds localhost at 127.0.0.1, and says if nobody is there', async () => {
    const server = await listenOn('127.0.0.1');
    await (await connect(server.port)).close();
    await server.close();
    await expect(connect(server.port)).rejects.toMatchObject({
      code: 'transport-unreachable',
      message: expect.stringContaining(`swtpm:localhost:${server.port}: cannot connect`),
    });
  });

  it.skipIf(missingOutsideCi(hasIpv6 ? undefined : 'no IPv6'))(
    'finds localhost at ::1, however the system resolves it',
    async () => {
      const server = await listenOn('::1');
      await (await connect(server.port)).close();
      await server.close();
    },
  );
});
