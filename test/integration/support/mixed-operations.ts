import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'vitest';
import { copy, toHex, utf8 } from '../../../src/bytes.ts';
import { isTpmError } from '../../../src/errors/tpm-error.ts';
import { CreatePrimary } from '../../../src/tpm/commands/hierarchy.ts';
import { Create, Load, LoadExternal, ReadPublic } from '../../../src/tpm/commands/object.ts';
import { GetRandom } from '../../../src/tpm/commands/random.ts';
import { Sign, VerifySignature } from '../../../src/tpm/commands/signing.ts';
import { Hash } from '../../../src/tpm/commands/symmetric.ts';
import { TPM_ALG, TPM_RH, TPM_ST } from '../../../src/tpm/constants.ts';
import type { Authorization } from '../../../src/tpm/session.ts';
import { type StartSessionOptions, startSession } from '../../../src/tpm/start-session.ts';
import { NULL_HASHCHECK } from '../../../src/tpm/structures/base.ts';
import { srkTemplate, userKeyTemplate } from '../../../src/tpm/templates.ts';
import type { Tpm } from '../../../src/tpm/tpm.ts';
import type { TpmObject } from '../../../src/tpm/tpm-object.ts';
import { TPM_RC } from '../../../src/tpm/tpm-rc.ts';

const EMPTY = new Uint8Array(0);
const NOTHING = { outsideInfo: EMPTY, creationPCR: [] };
const PIN = utf8('1234');
const WRONG = utf8('4321');
const SCHEME = { scheme: TPM_ALG.ECDSA, details: { hashAlg: TPM_ALG.SHA256 } } as const;

const sha256 = (data: Uint8Array) => new Uint8Array(createHash('sha256').update(data).digest());

/** Lets at most three tasks run at a time, because a TPM keeps only three sessions loaded. */
class ThreeAtATime {
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  async run(task: () => Promise<void>): Promise<void> {
    if (this.#running < 3) this.#running++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      await task();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}

/** Starts `work` and aborts it after that many turns of the event loop. Returns its result if it was faster. */
async function aborted<T>(turns: number, work: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
  const controller = new AbortController();
  const reason = new Error('enough');
  const running = work(controller.signal).catch((error: unknown) => {
    expect(error).toBe(reason);
    return undefined;
  });
  for (let i = 0; i < turns; i++) await turn();
  controller.abort(reason);
  return running;
}

/**
 * Runs `count` operations of many types, `width` of them at a time: with temporary and lasting objects, sessions that are
 * closed, used once or fail, aborts at any time, and commands that fail. Each operation checks its result and cleans up.
 */
export async function mixedOperations(tpm: Tpm, count: number, width: number): Promise<void> {
  const srk = await tpm.run(CreatePrimary, {
    primaryHandle: TPM_RH.OWNER,
    inSensitive: { userAuth: EMPTY, data: EMPTY },
    inPublic: srkTemplate('p-256'),
    ...NOTHING,
  });
  const parentHandle = srk.objectHandle;
  const blob = await tpm.run(Create, {
    parentHandle,
    inSensitive: { userAuth: PIN, data: EMPTY },
    inPublic: userKeyTemplate('p-256', { noDA: true }),
    ...NOTHING,
  });
  const keyArgs = { parentHandle, inPrivate: blob.outPrivate, inPublic: blob.outPublic };
  const publicArgs = { inPrivate: null, inPublic: blob.outPublic, hierarchy: TPM_RH.NULL };
  // Kept over many operations, and therefore swapped out repeatedly.
  const kept = [await tpm.run(Load, keyArgs), await tpm.run(Load, keyArgs), await tpm.run(Load, keyArgs)] as const;
  const keyOf = (i: number): TpmObject => (kept[i % 3] ?? kept[0]).objectHandle;
  const sign = (key: TpmObject, auth: Authorization, signal?: AbortSignal) =>
    tpm.run(
      Sign,
      { keyHandle: { handle: key, auth }, digest: sha256(PIN), inScheme: SCHEME, validation: NULL_HASHCHECK },
      { signal },
    );
  const signWrongly = async (key: TpmObject, auth: Authorization) => {
    const error = await sign(key, auth).catch((reason: unknown) => reason);
    expect(isTpmError(error, TPM_RC.BAD_AUTH), String(error)).toBe(true);
  };

  const sessions = new ThreeAtATime();
  const inSession = (options: StartSessionOptions, use: (session: Session, i: number) => Promise<unknown>) => {
    type Operation = (i: number) => Promise<void>;
    const operation: Operation = (i) =>
      sessions.run(async () => {
        await using session = await startSession(tpm, options);
        await use(session, i);
      });
    return operation;
  };
  const once = { use: { continueSession: false } };

  const operations: readonly ((i: number) => Promise<void>)[] = [
    async (i) => {
      const data = utf8(`${i}`);
      const { outHash } = await tpm.run(Hash, { data, hashAlg: TPM_ALG.SHA256, hierarchy: TPM_RH.NULL });
      expect(toHex(outHash)).toBe(toHex(sha256(data)));
    },
    async (i) => {
      const { name } = await tpm.run(ReadPublic, { objectHandle: keyOf(i) });
      expect(toHex(name)).toBe(toHex(kept[0].name));
    },
    async () => {
      await using key = (await tpm.run(Load, keyArgs)).objectHandle;
      const { signature } = await sign(key, PIN);
      const { validation } = await tpm.run(VerifySignature, { keyHandle: key, digest: sha256(PIN), signature });
      expect(validation.tag).toBe(TPM_ST.VERIFIED);
    },
    (i) => signWrongly(keyOf(i), WRONG),
    async (i) => {
      const inPrivate = copy(blob.outPrivate);
      const at = i % inPrivate.length;
      inPrivate[at] = (inPrivate[at] as number) ^ 1;
      const error = await tpm.run(Load, { ...keyArgs, inPrivate }).catch((reason: unknown) => reason);
      expect(isTpmError(error), String(error)).toBe(true);
    },
    async (i) => {
      const loaded = await aborted(i % 7, (signal) => tpm.run(LoadExternal, publicArgs, { signal }));
      await loaded?.objectHandle.flush();
    },
    inSession(once, async (session, i) => {
      await sign(keyOf(i), { session, authValue: PIN });
      expect(session.ended).toBe(true);
    }),
    inSession(once, async (session, i) => {
      await signWrongly(keyOf(i), { session, authValue: WRONG });
      expect(session.ended).toBe(true);
    }),
    inSession(once, (session, i) => aborted(i % 7, (signal) => sign(keyOf(i), { session, authValue: PIN }, signal))),
    inSession({}, (session, i) => aborted(i % 7, (signal) => sign(keyOf(i), { session, authValue: PIN }, signal))),
    inSession(
      { salt: { handle: parentHandle, publicArea: srk.outPublic }, use: { encrypt: true } },
      async (session, i) => {
        const { randomBytes } = await tpm.run(GetRandom, { bytesRequested: 1 + (i % 32) }, { sessions: [session] });
        expect(randomBytes.length).toBe(1 + (i % 32));
      },
    ),
    inSession({ type: 'trial' }, async () => {}),
    (i) =>
      sessions.run(async () => {
        const session = await aborted(i % 7, (signal) => startSession(tpm, { signal }));
        await session?.close();
      }),
  ];
  let next = 0;
  await Promise.all(
    Array.from({ length: width }, async () => {
      // 13 types and a step of 5: runs every type, with waiting and non-waiting types alternating.
      for (let i = next++; i < count; i = next++) await operations[(i * 5) % operations.length]?.(i);
    }),
  );
  for (const { objectHandle } of [srk, ...kept]) await objectHandle.flush();
}

type Session = Awaited<ReturnType<typeof startSession>>;
