import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** A relay in front of a swtpm that can be told to accept a command and never answer it. */
export interface HoldingRelay extends AsyncDisposable {
  /** Holds the next command with that code. Resolves when it has arrived. */
  hold(code: number): Promise<void>;
  /** Ends all connections. */
  cut(): Promise<void>;
  /** Calls `work` at the next cut. */
  onCut(work: () => void): void;
}

/** Listens at `path` and forwards to the swtpm at `target`, and does the same for their control channels. */
export async function startHoldingRelay(path: string, target: string): Promise<HoldingRelay> {
  const sockets = new Set<Socket>();
  const atCut: (() => void)[] = [];
  const cut = async (): Promise<void> => {
    for (const work of atCut.splice(0)) work();
    await Promise.all(
      [...sockets].map((socket) => {
        if (socket.closed) return undefined;
        const closed = once(socket, 'close');
        socket.destroy();
        return closed;
      }),
    );
    sockets.clear();
  };
  let held: { readonly code: number; readonly seen: () => void } | undefined;
  const serve = (to: string, onCommand: (data: Buffer) => boolean): Server =>
    createServer((client) => {
      const tpm = connect(to);
      for (const socket of [client, tpm]) {
        sockets.add(socket);
        socket.on('error', () => undefined);
      }
      client.on('data', (data) => onCommand(data) && tpm.write(data)).on('close', () => tpm.destroy());
      tpm.pipe(client);
    });
  const servers = [
    serve(target, (data) => {
      // keyprov writes each command in one piece.
      if (data.length < 10 || data.readUInt32BE(6) !== held?.code) return true;
      held.seen();
      return false;
    }),
    serve(`${target}.ctrl`, () => true),
  ];
  for (const [index, server] of servers.entries()) {
    await new Promise<void>((resolve) => server.listen(index === 0 ? path : `${path}.ctrl`, resolve));
  }
  return {
    hold: (code) =>
      new Promise<void>((resolve) => {
        held = { code, seen: resolve };
      }).finally(() => {
        held = undefined;
      }),
    cut,
    onCut: (work) => void atCut.push(work),
    async [Symbol.asyncDispose]() {
      await cut();
      for (const server of servers) await new Promise((resolve) => server.close(resolve));
      rmSync(path, { force: true });
    },
  };
}
