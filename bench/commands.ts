// What a command costs through the library, beside the same bytes sent over the same transport without parsing.
import { copy, fromHex } from '../src/bytes.ts';
import { CreatePrimary } from '../src/tpm/commands/hierarchy.ts';
import { ReadPublic } from '../src/tpm/commands/object.ts';
import { GetRandom } from '../src/tpm/commands/random.ts';
import { Sign } from '../src/tpm/commands/signing.ts';
import { TPM_ALG, TPM_RH } from '../src/tpm/constants.ts';
import { openTpm } from '../src/tpm/open-tpm.ts';
import { NULL_HASHCHECK } from '../src/tpm/structures/base.ts';
import { userKeyTemplate } from '../src/tpm/templates.ts';
import type { Tpm } from '../src/tpm/tpm.ts';
import { startSwtpm } from '../src/tpm/transports/swtpm-process.ts';
import { measure } from './measure.ts';

const EMPTY = new Uint8Array(0);
const RAW_GET_RANDOM = fromHex('80010000000c0000017b0008');

async function measureCommands(title: string, tpm: Tpm): Promise<void> {
  const { objectHandle } = await tpm.run(CreatePrimary, {
    primaryHandle: TPM_RH.NULL,
    inSensitive: { userAuth: EMPTY, data: EMPTY },
    inPublic: userKeyTemplate('p-256'),
    outsideInfo: EMPTY,
    creationPCR: [],
  });
  const digest = new Uint8Array(32).fill(1);
  const sign = {
    keyHandle: objectHandle,
    digest,
    inScheme: { scheme: TPM_ALG.ECDSA, details: { hashAlg: TPM_ALG.SHA256 } },
    validation: NULL_HASHCHECK,
  } as const;
  await measure(title, {
    'GetRandom, raw bytes': () => tpm.transport.send(copy(RAW_GET_RANDOM)),
    GetRandom: () => tpm.run(GetRandom, { bytesRequested: 8 }),
    ReadPublic: () => tpm.run(ReadPublic, { objectHandle }),
    'Sign, P-256': () => tpm.run(Sign, sign),
  });
  await objectHandle.flush();
}

{
  await using tpm = await openTpm('libtpms');
  await measureCommands('libtpms in process', tpm);
}
{
  await using swtpm = await startSwtpm();
  await using tpm = await openTpm(swtpm.address);
  await measureCommands('swtpm over a unix socket', tpm);
}
