import { connect, type Socket } from 'node:net';
import { uint32At } from '../src/bytes.ts';
import type { SwtpmProcess } from '../src/tpm/transports/swtpm-process.ts';
import { startFakePair } from '../test/integration/support/fake-server.ts';

/** A proxy between clients and a swtpm that counts commands and answers. */
export interface CountingProxy extends AsyncDisposable {
  readonly host: '127.0.0.1';
  /** The next port is the control channel. */
  readonly port: number;
  /** The codes of the commands that clients sent. */
  readonly commands: number[];
  /** The TPM's response codes. */
  readonly answers: number[];
  /** Number of connections so far. */
  connections: number;
}

/** Starts a proxy. */
export async function startCountingProxy({ data, control }: SwtpmProcess): Promise<CountingProxy> {
  const counts = { commands: [] as number[], answers: [] as number[], connections: 0 };
  const relay = (client: Socket, target: SwtpmProcess['data']): Socket => {
    const tpm = connect('path' in target ? { path: target.path } : { ...target, noDelay: true });
    for (const [from, to] of [[client, tpm] as const, [tpm, client] as const]) {
      from.on('data', (part) => to.write(part));
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
    return tpm;
  };
  const servers = await startFakePair(
    (client) => {
      counts.connections++;
      client.on('data', codesInto(counts.commands));
      relay(client, data).on('data', codesInto(counts.answers));
    },
    (client) => relay(client, control),
  );
  const { port } = servers;
  return Object.assign(counts, {
    host: '127.0.0.1',
    port,
    [Symbol.asyncDispose]: () => servers[Symbol.asyncDispose](),
  } as const);
}

/** Splits a stream into commands or answers: bytes 2 to 5 contain the length, bytes 6 to 9 the code. */
function codesInto(codes: number[]): (part: Buffer) => void {
  let rest = Buffer.alloc(0);
  return (part) => {
    rest = Buffer.concat([rest, part]);
    while (rest.length >= 10 && rest.length >= uint32At(rest, 2)) {
      codes.push(uint32At(rest, 6));
      rest = rest.subarray(uint32At(rest, 2));
    }
  };
}
