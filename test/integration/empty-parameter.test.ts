import { describe, expect, it } from 'vitest';
import { fromHex, uint16At, uint32At, utf8 } from '../../src/bytes.ts';
import { CreatePrimary, HierarchyChangeAuth } from '../../src/tpm/commands/hierarchy.ts';
import { StirRandom } from '../../src/tpm/commands/random.ts';
import { TPM_CC, TPM_RH } from '../../src/tpm/constants.ts';
import type { Session } from '../../src/tpm/session.ts';
import { startSession } from '../../src/tpm/start-session.ts';
import { srkTemplate } from '../../src/tpm/templates.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import type { TpmTransport } from '../../src/tpm/transport.ts';
import { newTransport, tpmMissing } from './support/new-tpm.ts';

const EMPTY = new Uint8Array(0);
const DECRYPT = 0x20;

/** As the reference code of version 184 does: TPM_RC_SIZE for a last parameter that is empty and to be decrypted. */
function version184(inner: TpmTransport): TpmTransport {
  const { kind, address, emulator, managed } = inner;
  return {
    ...{ kind, address, emulator, managed },
    send: async (command, options) => {
      const isIt = uint32At(command, 6) === TPM_CC.HierarchyChangeAuth;
      const nonce = 22; // behind header, handle, size of the authorizations, and handle of the session
      const attributes = isIt ? (command[nonce + 2 + uint16At(command, nonce)] ?? 0) : 0;
      const isEmpty = uint16At(command, command.length - 2) === 0;
      if (isIt && isEmpty && (attributes & DECRYPT) !== 0) return fromHex('80010000000a000001d5');
      return await inner.send(command, options);
    },
    close: () => inner.close(),
  };
}

/** A session that encrypts parameters of commands. */
async function saltedSession(tpm: Tpm): Promise<Session> {
  const making = { inSensitive: { userAuth: EMPTY, data: EMPTY }, outsideInfo: EMPTY, creationPCR: [] };
  const args = { primaryHandle: TPM_RH.NULL, inPublic: srkTemplate('p-256'), ...making };
  const { objectHandle: handle, outPublic: publicArea } = await tpm.run(CreatePrimary, args);
  return await startSession(tpm, { salt: { handle, publicArea }, use: { decrypt: true } });
}

describe.skipIf(await tpmMissing())('an empty parameter in a session that encrypts', () => {
  it('is not encrypted, and the session continues', async () => {
    await using tpm = await Tpm.open(version184(await newTransport()));
    await using session = await saltedSession(tpm);
    const password = utf8('the owner of it');
    const change = (newAuth: Uint8Array, authValue: Uint8Array) =>
      tpm.run(HierarchyChangeAuth, { authHandle: { handle: TPM_RH.OWNER, auth: { session, authValue } }, newAuth });
    await change(password, EMPTY);
    await change(EMPTY, password);
    await change(password, EMPTY);
    await expect(change(EMPTY, EMPTY)).rejects.toMatchObject({ code: 'tpm-auth-failed' });
  });

  it('is encrypted by a session that does nothing else, as every other TPM wants it', async () => {
    await using tpm = await Tpm.open(await newTransport());
    await using session = await saltedSession(tpm);
    const args = { authHandle: { handle: TPM_RH.OWNER, auth: EMPTY }, newAuth: EMPTY };
    await tpm.run(HierarchyChangeAuth, args, { sessions: [session] });
    await tpm.run(StirRandom, { inData: EMPTY }, { sessions: [session] });
  });
});
