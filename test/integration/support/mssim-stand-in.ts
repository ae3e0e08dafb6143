import { connect, type Socket } from 'node:net';
import type { SocketTarget } from '../../../src/tpm/transports/socket-connection.ts';
import { startSwtpm } from '../../../src/tpm/transports/swtpm-process.ts';
import { ByteReader } from './byte-reader.ts';
import { startFakePair } from './fake-server.ts';

/** A simulator with the reference implementation's protocol and a real TPM. */
export interface MssimStandIn extends AsyncDisposable {
  /** The command port; the platform port is the next one. */
  readonly port: number;
  /** The process id of its TPM. */
  readonly pid: number;
  /** Every message that the platform port received, in order. */
  readonly platformMessages: number[];
  /** Number of commands that the command port received. */
  commands: number;
  /** Number of clients that ended their session, on both ports. */
  farewells: number;
  /** Whether it has exited because it answered a client that was gone. */
  died: boolean;
}

const CANCELED = Buffer.from('0000000a80010000000a0000090900000000', 'hex');
const NO_ANSWER = Buffer.alloc(8);
const ZERO = Buffer.alloc(4);
const SWTPM_INIT = Buffer.from('0000000200000000', 'hex');
const SWTPM_STOP = Buffer.from('0000000e', 'hex');
const MESSAGE = { SEND: 8, HANDSHAKE: 15, SESSION_END: 20, STOP: 21 };
const PLATFORM = { POWER_ON: 1, POWER_OFF: 2, CANCEL_ON: 9, CANCEL_OFF: 10, NV_ON: 11 };

/**
 * Starts the simulator, switched off. It forwards commands to a swtpm in the simulators' framing; the platform port switches
 * that swtpm on and off. As in the reference simulators, there is one client at a time on each port, and answers are empty while
 * the power is off. A command that arrives while the cancel switch is on is canceled (the reference simulators cancel only long
 * commands). The simulator is equally fragile: it writes an answer in three pieces, and SIGPIPE from a client that is gone ends it.
 */
export async function startMssimStandIn(): Promise<MssimStandIn> {
  const swtpm = await startSwtpm();
  const data = connect(addressOf(swtpm.data));
  const answers = new ByteReader(data);
  const state = { platformMessages: [] as number[], commands: 0, farewells: 0, died: false };
  let powered = false;
  let canceling = false;

  const command = async (request: Buffer): Promise<Buffer> => {
    state.commands++;
    if (!powered) return NO_ANSWER;
    if (canceling) return CANCELED;
    data.write(request);
    const size = await answers.take(4);
    const rest = size && (await answers.take(size.readUInt32BE() + 4));
    if (size === undefined || rest === undefined) throw new Error('swtpm has ended');
    return Buffer.concat([size, rest]);
  };

  const serveCommands = async (socket: Socket): Promise<void> => {
    const reader = new ByteReader(socket);
    for (;;) {
      const message = await reader.uint32();
      if (message === MESSAGE.SEND) {
        const head = await reader.take(5);
        const body = head && (await reader.take(head.readUInt32BE(1)));
        if (head === undefined || body === undefined) return;
        await answer(socket, await command(Buffer.concat([Buffer.of(0, 0, 0, MESSAGE.SEND), head, body])));
      } else if (message === MESSAGE.HANDSHAKE) {
        await reader.uint32();
        await answer(socket, Buffer.from('000000010000000d00000000', 'hex'));
      } else {
        if (message === MESSAGE.SESSION_END) state.farewells++;
        return;
      }
    }
  };

  const servePlatform = async (socket: Socket): Promise<void> => {
    const reader = new ByteReader(socket);
    for (;;) {
      const message = await reader.uint32();
      if (message === MESSAGE.SESSION_END) state.farewells++;
      if (message === undefined || message === MESSAGE.SESSION_END || message === MESSAGE.STOP) return;
      state.platformMessages.push(message);
      if (message === PLATFORM.POWER_ON && !powered) {
        await tellSwtpm(swtpm.control, SWTPM_INIT);
        powered = true;
      } else if (message === PLATFORM.POWER_OFF) {
        await tellSwtpm(swtpm.control, SWTPM_STOP);
        powered = false;
      } else if (message === PLATFORM.CANCEL_ON || message === PLATFORM.CANCEL_OFF) {
        canceling = message === PLATFORM.CANCEL_ON;
      }
      await answer(socket, ZERO);
    }
  };

  const answer = async (socket: Socket, bytes: Buffer): Promise<void> => {
    const pieces = bytes.length < 12 ? [bytes] : [bytes.subarray(0, 4), bytes.subarray(4, -4), bytes.subarray(-4)];
    for (const piece of pieces) {
      await new Promise<void>((resolve) => socket.write(piece, () => setImmediate(resolve)));
      // The client has closed the connection, or the system has reported that it is gone.
      if (socket.destroyed || socket.readableEnded || !socket.writable) return await die();
    }
  };

  const die = async (): Promise<void> => {
    state.died = true;
    data.destroy();
    await Promise.all([servers[Symbol.asyncDispose](), swtpm.stop()]);
  };

  const servers = await startFakePair(oneAtATime(serveCommands), oneAtATime(servePlatform));
  return Object.assign(state, {
    port: servers.port,
    pid: swtpm.pid,
    async [Symbol.asyncDispose]() {
      await servers[Symbol.asyncDispose]();
      data.destroy();
      await swtpm.stop();
    },
  });
}

const addressOf = (target: SocketTarget) => ('path' in target ? { path: target.path } : { ...target });

async function tellSwtpm(control: SocketTarget, command: Buffer): Promise<void> {
  const socket = connect(addressOf(control));
  socket.write(command);
  const result = await new ByteReader(socket).uint32();
  socket.destroy();
  if (result !== 0) throw new Error(`swtpm answered ${result} over its control channel`);
}

/** Makes the next client wait until the previous one has gone. */
function oneAtATime(serve: (socket: Socket) => Promise<void>): (socket: Socket) => void {
  let turn: Promise<void> = Promise.resolve();
  return (socket) => {
    turn = turn
      .then(() => serve(socket))
      // Its TPM has ended with the test.
      .catch(() => undefined)
      .finally(() => socket.end());
  };
}
