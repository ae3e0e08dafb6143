import { createServer, type Server, type Socket } from 'node:net';

/** A server on 127.0.0.1 that a test made. */
export interface FakeServer extends AsyncDisposable {
  readonly port: number;
}

/** Listens at `port`, or at a port that the system chooses, and calls `serve` with every connection. */
export async function startFakeServer(serve: (socket: Socket) => unknown, port = 0): Promise<FakeServer> {
  const sockets = new Set<Socket>();
  const server: Server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    // A client may disconnect at any time.
    socket.on('error', () => undefined);
    serve(socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP server');
  return {
    port: address.port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A TCP port of 127.0.0.1 that was free a moment ago. */
export async function closedPort(): Promise<number> {
  await using server = await startFakeServer(() => undefined);
  return server.port;
}

/** Two servers, the second on the port after the first. */
export async function startFakePair(
  first: (socket: Socket) => unknown,
  second: (socket: Socket) => unknown,
): Promise<FakeServer> {
  for (;;) {
    const one = await startFakeServer(first);
    try {
      const two = await startFakeServer(second, one.port + 1);
      return {
        port: one.port,
        async [Symbol.asyncDispose]() {
          await one[Symbol.asyncDispose]();
          await two[Symbol.asyncDispose]();
        },
      };
    } catch {
      // The next port is taken: try another pair.
      await one[Symbol.asyncDispose]();
    }
  }
}
