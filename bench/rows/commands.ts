import { createDecipheriv, createHash, createHmac, randomBytes } from 'node:crypto';
import { copy, fromHex, toHex } from '../../src/bytes.ts';
import { kdfa } from '../../src/crypto/kdf.ts';
import { decode, encode } from '../../src/tpm/codec/index.ts';
import { CreatePrimary } from '../../src/tpm/commands/hierarchy.ts';
import { ReadPublic } from '../../src/tpm/commands/object.ts';
import { GetRandom } from '../../src/tpm/commands/random.ts';
import { Sign } from '../../src/tpm/commands/signing.ts';
import { TPM_ALG, TPM_RH } from '../../src/tpm/constants.ts';
import { startSession } from '../../src/tpm/start-session.ts';
import { TPMS_ATTEST } from '../../src/tpm/structures/attest.ts';
import { NULL_HASHCHECK } from '../../src/tpm/structures/base.ts';
import { TPM2B_PUBLIC, type TpmtPublic } from '../../src/tpm/structures/object.ts';
import { srkTemplate, userKeyTemplate } from '../../src/tpm/templates.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import { openLibtpms } from '../../src/tpm/transports/libtpms.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { lastLine } from '../child.ts';
import { Race } from '../figures.ts';
import { cpuTime, perCall, perSyncCall, wallTime } from '../measure.ts';
import { GO_TPM, type Peer } from '../peers.ts';
import type { Row } from '../row.ts';

const EMPTY = new Uint8Array(0);
const GET_RANDOM = fromHex('80010000000c0000017b0008');
const random = { bytesRequested: 8 };

/** Remembers the bytes of the last command that a TPM received, to be sent repeatedly. */
async function lastCommand(tpm: Tpm, run: (tpm: Tpm) => Promise<unknown>): Promise<Uint8Array> {
  let last: Uint8Array = EMPTY;
  const { kind, address, emulator } = tpm.transport;
  const listening = await Tpm.open({
    ...{ kind: kind === 'libtpms' ? 'swtpm' : kind, address, emulator, managed: true },
    send(command, options) {
      last = copy(command);
      return tpm.transport.send(command, options);
    },
    close: async () => {},
  });
  await run(listening);
  return last;
}

/** Compares our way to run a command with sending its bytes over the same transport. */
async function besideBytes(tpm: Tpm, run: (tpm: Tpm) => Promise<unknown>, clock = cpuTime) {
  const bytes = await lastCommand(tpm, run);
  return { ours: perCall(clock, () => run(tpm)), floor: perCall(clock, () => tpm.transport.send(bytes)) };
}

const makePrimary = async (tpm: Tpm, inPublic: TpmtPublic) =>
  await tpm.run(CreatePrimary, {
    ...{ primaryHandle: TPM_RH.NULL, inSensitive: { userAuth: EMPTY, data: EMPTY }, inPublic },
    ...{ outsideInfo: EMPTY, creationPCR: [] },
  });

const G9: Row = {
  id: 'G9',
  what: 'GetRandom and ReadPublic without a session over a Unix socket',
  async measure({ rounds }) {
    await using swtpm = await startSwtpm();
    await using transport = await swtpm.open();
    const tpm = await Tpm.open(transport);
    const { objectHandle } = await makePrimary(tpm, userKeyTemplate('p-256'));
    const goal = { most: 1.3 };
    const getRandom = await Race.run(rounds, await besideBytes(tpm, (client) => client.run(GetRandom, random)));
    const { handle: number = 0 } = objectHandle;
    const readPublic = await Race.run(
      rounds,
      await besideBytes(tpm, (client) => client.run(ReadPublic, { objectHandle: number })),
    );
    return {
      figures: [
        getRandom.times('GetRandom: client CPU vs. the floor', ['ours', 'floor'], goal),
        readPublic.times('ReadPublic: client CPU vs. the floor', ['ours', 'floor'], goal),
      ],
    };
  },
  why: 'the floor parses nothing and waits forever. keyprov adds a queue, a time limit and an abort signal for each command, and decodes the response field by field',
};

const SIZE = 32;

/** The cryptography that the standard requires of a client for one command: nonce, cpHash, HMAC, rpHash, HMAC, KDFa, CFB. */
function cryptoAlone(sessionKey: Uint8Array, nonceTPM: Uint8Array): void {
  const nonceCaller = randomBytes(SIZE);
  const cpHash = createHash('sha256').update(GET_RANDOM).digest();
  createHmac('sha256', sessionKey).update(cpHash).update(nonceCaller).update(nonceTPM).update('\x41').digest();
  const rpHash = createHash('sha256').update(GET_RANDOM).update(nonceTPM).digest();
  createHmac('sha256', sessionKey).update(rpHash).update(nonceTPM).update(nonceCaller).update('\x41').digest();
  const key = kdfa('sha256', sessionKey, 'CFB', nonceTPM, nonceCaller, 256);
  createDecipheriv('aes-128-cfb', key.subarray(0, 16), key.subarray(16)).update(rpHash);
}

const G10: Row = {
  id: 'G10',
  what: 'GetRandom in an existing salted session with an encrypted response',
  async measure({ rounds, peers: { esys, pytss } }) {
    // A swtpm serves one client at a time, so the peers have a second one.
    await using theirs = await startSwtpm({ listen: 'tcp' });
    const tcti = `swtpm:host=127.0.0.1,port=${'port' in theirs.data ? theirs.data.port : ''}`;
    await using swtpm = await startSwtpm({ listen: 'tcp' });
    const tpm = await Tpm.open(await swtpm.open());
    const { objectHandle: handle, outPublic: publicArea } = await makePrimary(tpm, srkTemplate('p-256'));
    const session = await startSession(tpm, { salt: { handle, publicArea }, use: { encrypt: true } });
    const peer = (one: Peer, ...args: string[]) => {
      if ('missing' in one) return undefined;
      const [program, ...first] = one.command;
      return async (): Promise<number> => await lastLine(program, [...first, tcti, ...args]);
    };
    const [key, nonce] = [randomBytes(SIZE), randomBytes(SIZE)];
    const race = await Race.run(rounds, {
      ours: perCall(cpuTime, () => tpm.run(GetRandom, random, { sessions: [session] })),
      crypto: perCall(cpuTime, () => cryptoAlone(key, nonce)),
      ESYS: peer(esys, 'random', 'session', '50'),
      pytss: peer(pytss, '50'),
    });
    await tpm.close();
    return {
      figures: [
        race.cheaper('times less CPU than ESYS (C)', ['ours', 'ESYS'], { least: 60 }, esys),
        race.cheaper('times less CPU than tpm2-pytss', ['ours', 'pytss'], undefined, pytss),
        { what: 'vs. go-tpm', unit: '×', goal: { most: 0.65 }, measured: GO_TPM },
        race.times('CPU vs. the same cryptography with node:crypto', ['ours', 'crypto']),
      ],
    };
  },
  why: 'the figure includes the socket round trip and everything listed for G9',
};

const G11: Row = {
  id: 'G11',
  what: 'Sign with a P-256 key and a password over a Unix socket',
  async measure({ rounds }) {
    await using swtpm = await startSwtpm();
    await using transport = await swtpm.open();
    const tpm = await Tpm.open(transport);
    const { objectHandle } = await makePrimary(tpm, userKeyTemplate('p-256'));
    const { handle: keyHandle = 0 } = objectHandle;
    const digest = new Uint8Array(32).fill(1);
    const inScheme = { scheme: TPM_ALG.ECDSA, details: { hashAlg: TPM_ALG.SHA256 } } as const;
    const sign = (client: Tpm) => client.run(Sign, { keyHandle, digest, inScheme, validation: NULL_HASHCHECK });
    const race = await Race.run(rounds, await besideBytes(tpm, sign, wallTime));
    const what = 'signatures per second vs. the floor';
    return { figures: [race.cheaper(what, ['ours', 'floor'], { least: 0.95 })] };
  },
  why: 'the TPM is idle while the client reads the answer and writes the next command',
};

const G12: Row = {
  id: 'G12',
  what: 'GetRandom in process',
  async measure({ rounds }) {
    const transport = await openLibtpms();
    await using tpm = await Tpm.open(transport);
    // The minimum: sendSync runs the command in this thread, send in another thread.
    const race = await Race.run(rounds, {
      ...(await besideBytes(tpm, (client) => client.run(GetRandom, random))),
      sync: perCall(cpuTime, () => transport.sendSync(GET_RANDOM)),
    });
    return {
      figures: [
        race.times('Tpm.run vs. transport.send', ['ours', 'floor'], { most: 1.2 }),
        race.times('vs. transport.sendSync', ['ours', 'sync']),
      ],
    };
  },
  why: 'the reasons are those of G9, and the command is even shorter',
};

const rsa = encode(TPM2B_PUBLIC, {
  ...userKeyTemplate('rsa-2048'),
  unique: new Uint8Array(256).fill(0xaa),
} as TpmtPublic);
const rsaValue = decode(TPM2B_PUBLIC, rsa);
const attest = fromHex(
  `ff54434780170022000b${'11'.repeat(32)}0004deadbeef${'00'.repeat(24)}010022000b${'22'.repeat(32)}0022000b${'33'.repeat(32)}`,
);

const G13: Row = {
  id: 'G13',
  what: 'decoding and encoding structures vs. libtss2-mu (C)',
  async measure({ rounds, peers: { mu } }) {
    let theirs: Record<'readPublic' | 'readAttest' | 'writePublic', number> | undefined;
    const peer = (name: keyof NonNullable<typeof theirs>) => {
      if ('missing' in mu) return undefined;
      const [program] = mu.command;
      return async (): Promise<number> => {
        if (name === 'readPublic') theirs = await lastLine(program, [toHex(rsa), toHex(attest)]);
        return (theirs?.[name] ?? Number.NaN) / 1000;
      };
    };
    const race = await Race.run(rounds, {
      'C, public': peer('readPublic'),
      'C, attest': peer('readAttest'),
      'C, encode': peer('writePublic'),
      'ours, public': perSyncCall(() => decode(TPM2B_PUBLIC, rsa)),
      'ours, attest': perSyncCall(() => decode(TPMS_ATTEST, attest)),
      'ours, encode': perSyncCall(() => encode(TPM2B_PUBLIC, rsaValue)),
    });
    return {
      figures: [
        race.times('decode TPM2B_PUBLIC of an RSA-2048 key', ['ours, public', 'C, public'], { most: 1.5 }, mu),
        race.times('decode TPMS_ATTEST', ['ours, attest', 'C, attest'], { most: 2 }, mu),
        race.times('encode TPM2B_PUBLIC', ['ours, encode', 'C, encode'], { most: 2 }, mu),
      ],
    };
  },
  why: 'C fills an existing structure. keyprov makes a new object, field by field, and also checks reserved bits and unknown tags',
};

export const COMMAND_ROWS: readonly Row[] = [G9, G10, G11, G12, G13];
