import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/bytes.ts';
import { decodeKeyRecord, encodeKeyRecord, type KeyRecord } from '../../src/keys/key-record.ts';
import { definePolicy } from '../../src/policy/index.ts';
import { openKey } from '../../src/provisioning/open-key.ts';
import { provisionKey } from '../../src/provisioning/provision-key.ts';
import { EvictControl } from '../../src/tpm/commands/context.ts';
import { Clear, CreatePrimary } from '../../src/tpm/commands/hierarchy.ts';
import { TPM_RH } from '../../src/tpm/constants.ts';
import type { TpmtPublic } from '../../src/tpm/structures/object.ts';
import { srkTemplate } from '../../src/tpm/templates.ts';
import { missingPrograms } from '../programs.ts';
import { asyncRefusal } from '../refusal.ts';
import { leftovers } from './support/new-tpm.ts';
import { startToolsTpm, type ToolsTpm } from './support/tpm2-tools.ts';

const EMPTY = new Uint8Array(0);
const SRK = '0x81000001';
const [PIN, NEW_PIN] = [utf8('591834'), utf8('402968')];
const TCG = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt';
const missing = missingPrograms('swtpm', 'tpm2_evictcontrol');

describe.skipIf(missing !== undefined)('a key whose storage root key was evicted', () => {
  let tools: ToolsTpm;
  beforeEach(async () => {
    tools = await startToolsTpm();
  });
  afterEach(() => tools[Symbol.asyncDispose]());

  const persist = async (...template: readonly string[]): Promise<void> => {
    await tools.tool('createprimary', '-C', 'o', '-c', 'srk.ctx', ...template);
    await tools.tool('evictcontrol', '-C', 'o', '-c', 'srk.ctx', SRK);
  };
  const evict = () => tools.tool('evictcontrol', '-C', 'o', '-c', SRK);
  const provision = (pin?: Uint8Array): Promise<KeyRecord> =>
    tools.ours(async (tpm) => {
      const policy = definePolicy({ algorithm: 'p-256', hardware: 'required', attestation: 'required' });
      const { record } = await provisionKey({ policy, sources: { tpm }, challenge: utf8('challenge'), pin });
      // As a store keeps it.
      return decodeKeyRecord(encodeKeyRecord(record), 'record');
    });
  const sign = (record: KeyRecord, pin?: Uint8Array, of: ToolsTpm = tools): Promise<void> =>
    of.ours(async (tpm) => {
      await using key = await openKey({ record, sources: { tpm } });
      await key.sign({ data: utf8('data'), pin }); // which verifies it
      expect(await leftovers(tpm)).toEqual([]);
    });

  it.each([
    ['tpm2_createprimary, P-256', ['-G', 'ecc']],
    ['tpm2_createprimary, RSA 2048', ['-G', 'rsa']],
    ['TCG, P-256', ['-G', 'ecc', '-a', TCG]],
    ['P-384 with AES-256', ['-G', 'ecc384:aes256cfb', '-g', 'sha384', '-a', TCG]],
  ])('signs as before, with the template of %s', async (_, template) => {
    await persist(...template);
    const record = await provision();
    expect(record.parent?.handle).toBe(0x81000001);
    await evict();
    await sign(record);
    await persist(...template);
    await sign(record);
  });

  it('changes its PIN', async () => {
    await persist('-G', 'ecc');
    const record = await provision(PIN);
    await evict();
    const changed = await tools.ours(async (tpm) => {
      await using key = await openKey({ record, sources: { tpm } });
      return await key.changePin({ pin: PIN, newPin: async () => NEW_PIN.slice() });
    });
    await sign(changed, NEW_PIN);
  });

  it('signs even if another key has its handle now, or its record is in an older form', async () => {
    await persist('-G', 'ecc', '-a', TCG);
    const record = await provision();
    const { parent } = record;
    if (parent === undefined) throw new Error('no parent');
    await evict();
    await persist('-G', 'rsa');
    await sign(record);
    const { publicArea: _, ...older } = parent;
    await sign({ ...record, parent: older });
  });

  it('is told from one whose TPM was cleared, or is another one', async () => {
    const under = await provision();
    await tools.ours(async (tpm) => {
      const unique = { x: new Uint8Array(32).fill(7), y: new Uint8Array(32) };
      const srk = await tpm.run(CreatePrimary, {
        ...{ primaryHandle: TPM_RH.OWNER, inPublic: { ...srkTemplate('p-256'), unique } as TpmtPublic },
        ...{ inSensitive: { userAuth: EMPTY, data: EMPTY }, outsideInfo: EMPTY, creationPCR: [] },
      });
      const persistentHandle = 0x81000001;
      await tpm.run(EvictControl, { auth: TPM_RH.OWNER, objectHandle: srk.objectHandle, persistentHandle });
    });
    const unusual = await provision();
    await evict();
    expect(await asyncRefusal(() => sign(unusual))).toMatch(
      /^tpm-identity-changed: the TPM that made the key \S+ was cleared, or its storage root key, which has an unusual template, was evicted: .*the handle is empty.*; make that storage root key again if you know its template; otherwise, provision a new key$/,
    );
    await using other = await startToolsTpm();
    expect(await asyncRefusal(() => sign(under, undefined, other))).toContain('this is not the TPM that made the key');
    await tools.ours((tpm) => tpm.run(Clear, { authHandle: TPM_RH.LOCKOUT }));
    expect(await asyncRefusal(() => sign(under))).toMatch(
      /^tpm-identity-changed: the TPM that made the key \S+ was cleared: .*; provision a new key$/,
    );
  });
});
