import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { concat, copy, fromHex, toHex, utf8 } from '../../src/bytes.ts';
import { decode, encode } from '../../src/tpm/codec/index.ts';
import { Quote } from '../../src/tpm/commands/attestation.ts';
import { GetCapability } from '../../src/tpm/commands/capability.ts';
import { EvictControl } from '../../src/tpm/commands/context.ts';
import { CreatePrimary } from '../../src/tpm/commands/hierarchy.ts';
import { PCR_Extend, PCR_Read } from '../../src/tpm/commands/integrity.ts';
import { Create, Load, ReadPublic } from '../../src/tpm/commands/object.ts';
import { Sign } from '../../src/tpm/commands/signing.ts';
import { Hash } from '../../src/tpm/commands/symmetric.ts';
import { TPM_ALG, TPM_CAP, TPM_CC, TPM_RH } from '../../src/tpm/constants.ts';
import { handleName, objectName, qualifiedName } from '../../src/tpm/names.ts';
import {
  ekPolicyA,
  ekPolicyB,
  ekPolicyC,
  policyCommandCode,
  policyDigest,
  windowsHelloBranches,
  windowsHelloPolicy,
} from '../../src/tpm/policy-digest.ts';
import { encodeBareSignature } from '../../src/tpm/signature.ts';
import { TPMT_SIGNATURE, type TpmtSignature, type TpmtSigScheme } from '../../src/tpm/structures/algorithm.ts';
import { NULL_HASHCHECK } from '../../src/tpm/structures/base.ts';
import type { TpmsCapabilityData } from '../../src/tpm/structures/capability.ts';
import { TPM2B_PRIVATE, TPM2B_PUBLIC, type TpmtPublic } from '../../src/tpm/structures/object.ts';
import { akTemplate, ekTemplate, srkTemplate, userKeyTemplate } from '../../src/tpm/templates.ts';
import type { Tpm } from '../../src/tpm/tpm.ts';
import { missingPrograms } from '../programs.ts';
import { startToolsTpm, type ToolsTpm } from './support/tpm2-tools.ts';

const EMPTY = new Uint8Array(0);
const NONE = { inSensitive: { userAuth: EMPTY, data: EMPTY }, outsideInfo: EMPTY, creationPCR: [] };
const MESSAGE = utf8('a message to sign');
const SRK = 0x81000001;
/** The TPM's answer to tpm2_verifysignature. */
const WRONG_SIGNATURE = 'the signature is not valid';
const missing = missingPrograms('swtpm', 'tpm2_readpublic');

describe.skipIf(missing !== undefined)('tpm2-tools', () => {
  let tools: ToolsTpm;
  const ours = <T>(work: (tpm: Tpm) => Promise<T>): Promise<T> => tools.ours(work);
  const tool = (name: string, ...args: readonly string[]): Promise<string> => tools.tool(name, ...args);

  beforeAll(async () => {
    tools = await startToolsTpm();
    await ours(async (tpm) => {
      const srk = await tpm.run(CreatePrimary, {
        primaryHandle: TPM_RH.OWNER,
        inPublic: srkTemplate('p-256'),
        ...NONE,
      });
      const evict = { auth: TPM_RH.OWNER, objectHandle: srk.objectHandle, persistentHandle: SRK };
      await tpm.run(EvictControl, evict);
    });
  });
  afterAll(() => tools?.[Symbol.asyncDispose]());

  const file = async (name: string, content: Uint8Array): Promise<string> => {
    await writeFile(join(tools.directory, name), content);
    return name;
  };
  const read = async (name: string): Promise<Uint8Array> => copy(await readFile(join(tools.directory, name)));
  const nameIn = (output: string): string => /^name: ([0-9a-f]+)/m.exec(output)?.[1] ?? output;

  const TEMPLATES: readonly [string, TpmtPublic][] = [
    ['storage key, RSA 2048', srkTemplate('rsa-2048')],
    ['storage key, P-256', srkTemplate('p-256')],
    ['storage key, P-256, empty unique', srkTemplate('p-256', 'empty')],
    ['attestation key, RSA 2048', akTemplate('rsa-2048')],
    ['attestation key, P-256', akTemplate('p-256')],
    ['user key, RSA 2048', userKeyTemplate('rsa-2048')],
    ['user key, RSA 2048 without dictionary attack protection', userKeyTemplate('rsa-2048', { noDA: true })],
    ['user key, P-256', userKeyTemplate('p-256')],
    ['user key, P-384', userKeyTemplate('p-384')],
    ['endorsement key, RSA 2048, low range', ekTemplate('L-1')],
    ['endorsement key, P-256, low range', ekTemplate('L-2')],
    ['endorsement key, RSA 2048, high range', ekTemplate('H-1')],
    ['endorsement key, P-384, high range', ekTemplate('H-3')],
    ['endorsement key, P-521, high range', ekTemplate('H-4')],
  ];

  it.each(TEMPLATES)('say the same Name of a persistent key as we do: %s', async (_, inPublic) => {
    const persistentHandle = 0x81000010;
    const made = await ours(async (tpm) => {
      const key = await tpm.run(CreatePrimary, { primaryHandle: TPM_RH.OWNER, inPublic, ...NONE });
      await tpm.run(EvictControl, { auth: TPM_RH.OWNER, objectHandle: key.objectHandle, persistentHandle });
      return key;
    });
    const output = await tool('readpublic', '-c', '0x81000010', '-o', 'read.pub');
    await ours((tpm) =>
      tpm.run(EvictControl, { auth: TPM_RH.OWNER, objectHandle: persistentHandle, persistentHandle }),
    );
    const name = objectName(made.outPublic);
    expect(nameIn(output)).toBe(toHex(name));
    expect(toHex(made.name)).toBe(toHex(name));
    expect(/^qualified name: ([0-9a-f]+)/m.exec(output)?.[1]).toBe(
      toHex(qualifiedName(handleName(TPM_RH.OWNER), name)),
    );
    expect(toHex(await read('read.pub'))).toBe(toHex(encode(TPM2B_PUBLIC, made.outPublic)));
    // And they load our public area.
    const area = await file('ours.pub', encode(TPM2B_PUBLIC, made.outPublic));
    expect(nameIn(await tool('loadexternal', '-C', 'n', '-u', area, '-c', 'external.ctx'))).toBe(toHex(name));
  });

  const SCHEMES: readonly [string, TpmtPublic, TpmtSigScheme, string, string][] = [
    [
      'RSASSA with SHA-256',
      userKeyTemplate('rsa-2048'),
      { scheme: TPM_ALG.RSASSA, details: { hashAlg: TPM_ALG.SHA256 } },
      'sha256',
      'rsassa',
    ],
    [
      'RSAPSS with SHA-256',
      userKeyTemplate('rsa-2048'),
      { scheme: TPM_ALG.RSAPSS, details: { hashAlg: TPM_ALG.SHA256 } },
      'sha256',
      'rsapss',
    ],
    [
      'ECDSA P-256 with SHA-256',
      userKeyTemplate('p-256'),
      { scheme: TPM_ALG.ECDSA, details: { hashAlg: TPM_ALG.SHA256 } },
      'sha256',
      'ecdsa',
    ],
    [
      'ECDSA P-384 with SHA-384',
      userKeyTemplate('p-384'),
      { scheme: TPM_ALG.ECDSA, details: { hashAlg: TPM_ALG.SHA384 } },
      'sha384',
      'ecdsa',
    ],
  ];

  it.each(SCHEMES)('verify our signature, and no other: %s', async (_, inPublic, inScheme, hash, format) => {
    const { publicArea, signature } = await ours(async (tpm) => {
      const key = await tpm.run(CreatePrimary, { primaryHandle: TPM_RH.OWNER, inPublic, ...NONE });
      const hashAlg = hash === 'sha384' ? TPM_ALG.SHA384 : TPM_ALG.SHA256;
      const { outHash } = await tpm.run(Hash, { data: MESSAGE, hashAlg, hierarchy: TPM_RH.NULL });
      const args = { keyHandle: key.objectHandle, digest: outHash, inScheme, validation: NULL_HASHCHECK };
      return { publicArea: key.outPublic, ...(await tpm.run(Sign, args)) };
    });
    await file('signer.pub', encode(TPM2B_PUBLIC, publicArea));
    await tool('loadexternal', '-C', 'n', '-u', 'signer.pub', '-c', 'signer.ctx');
    const verify = (message: string, ...args: string[]) =>
      tool('verifysignature', '-c', 'signer.ctx', '-g', hash, '-m', message, ...args);
    await file('message', MESSAGE);
    await file('other', utf8('another message'));
    await file('tpmt.sig', encode(TPMT_SIGNATURE, signature));
    await file('bare.sig', encodeBareSignature(signature));
    await verify('message', '-s', 'tpmt.sig');
    await verify('message', '-s', 'bare.sig', '-f', format);
    await expect(verify('other', '-s', 'tpmt.sig')).rejects.toThrow(WRONG_SIGNATURE);
    await expect(verify('other', '-s', 'bare.sig', '-f', format)).rejects.toThrow(WRONG_SIGNATURE);
  });

  it.each([
    ['RSA 2048', akTemplate('rsa-2048')],
    ['P-256', akTemplate('p-256')],
  ])('check our quote of PCRs: attestation key %s', async (_, inPublic) => {
    const selection = [{ hash: TPM_ALG.SHA256, pcrSelect: fromHex('030081') }];
    const nonce = fromHex('c0ffee');
    const quote = await ours(async (tpm) => {
      const digest = new Uint8Array(32).fill(9);
      await tpm.run(PCR_Extend, { pcrHandle: 16, digests: [{ hashAlg: TPM_ALG.SHA256, digest }] });
      const key = await tpm.run(CreatePrimary, { primaryHandle: TPM_RH.ENDORSEMENT, inPublic, ...NONE });
      const args = { signHandle: key.objectHandle, qualifyingData: nonce, inScheme: { scheme: TPM_ALG.NULL } } as const;
      const quoted = await tpm.run(Quote, { ...args, PCRselect: selection });
      const { pcrValues } = await tpm.run(PCR_Read, { pcrSelectionIn: selection });
      expect(pcrValues.length).toBe(4);
      return { publicArea: key.outPublic, pcrValues, ...quoted };
    });
    await file('ak.pub', encode(TPM2B_PUBLIC, quote.publicArea));
    await file('quote', quote.quoted);
    await file('quote.sig', encode(TPMT_SIGNATURE, quote.signature));
    await file('pcrs', concat(...quote.pcrValues));
    const check = (qualification: string, pcrs = 'pcrs') => {
      const evidence = ['-u', 'ak.pub', '-m', 'quote', '-s', 'quote.sig', '-g', 'sha256'];
      return tool('checkquote', ...evidence, '-f', pcrs, '-l', 'sha256:0,1,16,23', '-q', qualification);
    };
    const output = await check('c0ffee');
    for (const value of quote.pcrValues) expect(output.toLowerCase()).toContain(toHex(value));
    await expect(check('c0ffef')).rejects.toThrow('Error validating nonce from quote');
    const [first, ...others] = quote.pcrValues;
    await file('other.pcrs', concat(...others, first ?? EMPTY));
    await expect(check('c0ffee', 'other.pcrs')).rejects.toThrow('Error validating PCR');
  });

  describe('compute the same policy digest as we do without a TPM', () => {
    const trial = async (hash: string, ...steps: readonly (readonly [string, ...string[]])[]) => {
      await tool('startauthsession', '-S', 'trial.ctx', '-g', hash);
      let output = '';
      try {
        for (const [name, ...args] of steps) output = await tool(name, '-S', 'trial.ctx', '-L', 'policy', ...args);
      } finally {
        await tool('flushcontext', 'trial.ctx');
      }
      expect(output.trim()).toBe(toHex(await read('policy')));
      return toHex(await read('policy'));
    };
    const HASHES = [
      ['sha256', TPM_ALG.SHA256],
      ['sha384', TPM_ALG.SHA384],
      ['sha512', TPM_ALG.SHA512],
    ] as const;

    it.each(HASHES)('PolicyCommandCode, %s', async (hash, alg) => {
      expect(await trial(hash, ['policycommandcode', 'TPM2_CC_Certify'])).toBe(
        toHex(policyDigest(alg, policyCommandCode(TPM_CC.Certify))),
      );
    });

    it.each(HASHES)('PolicySecret, %s', async (hash, alg) => {
      expect(await trial(hash, ['policysecret', '-c', 'e'])).toBe(toHex(ekPolicyA(alg)));
    });

    it.each(HASHES)('PolicyOR, %s', async (hash, alg) => {
      await file('a', ekPolicyA(alg));
      await file('c', ekPolicyC(alg));
      expect(await trial(hash, ['policyor', `${hash}:a,c`])).toBe(toHex(ekPolicyB(alg)));
    });

    it('PolicyAuthValue after PolicyCommandCode', async () => {
      const certify = ['policycommandcode', 'TPM2_CC_Certify'] as const;
      expect(await trial('sha256', certify, ['policyauthvalue'])).toBe(toHex(windowsHelloBranches()[2] ?? EMPTY));
    });

    it('PolicyOR of the branches of Windows Hello that are not empty', async () => {
      const files = windowsHelloBranches().filter(({ length }) => length > 0);
      const names = await Promise.all(files.map((digest, i) => file(`branch-${i}`, digest)));
      expect(await trial('sha256', ['policyor', `sha256:${names.join(',')}`])).toBe(toHex(windowsHelloPolicy()));
    });
  });

  it.each([
    ['ecc256:ecdsa-sha256', { scheme: TPM_ALG.NULL }],
    ['ecc256', { scheme: TPM_ALG.ECDSA, details: { hashAlg: TPM_ALG.SHA256 } }],
    ['rsa2048', { scheme: TPM_ALG.RSAPSS, details: { hashAlg: TPM_ALG.SHA256 } }],
  ] as const)('make keys that load and sign in ours: %s', async (algorithm, inScheme) => {
    await tool('create', '-C', '0x81000001', '-G', algorithm, '-p', 'secret', '-u', 'made.pub', '-r', 'made.priv');
    const loadedName = nameIn(
      await tool('load', '-C', '0x81000001', '-u', 'made.pub', '-r', 'made.priv', '-c', 'made.ctx'),
    );
    const inPublic = decode(TPM2B_PUBLIC, await read('made.pub'));
    const inPrivate = decode(TPM2B_PRIVATE, await read('made.priv'));
    expect(toHex(objectName(inPublic))).toBe(loadedName);
    const signature = await ours(async (tpm) => {
      const { objectHandle, name } = await tpm.run(Load, { parentHandle: SRK, inPrivate, inPublic });
      expect(toHex(name)).toBe(loadedName);
      const { outHash } = await tpm.run(Hash, { data: MESSAGE, hashAlg: TPM_ALG.SHA256, hierarchy: TPM_RH.NULL });
      const keyHandle = { handle: objectHandle, auth: utf8('secret') };
      return (await tpm.run(Sign, { keyHandle, digest: outHash, inScheme, validation: NULL_HASHCHECK })).signature;
    });
    await file('message', MESSAGE);
    await file('made.sig', encode(TPMT_SIGNATURE, signature));
    await tool('verifysignature', '-c', 'made.ctx', '-g', 'sha256', '-m', 'message', '-s', 'made.sig');
  });

  it('load and use a key that we have made, and we read its signature', async () => {
    const made = await ours((tpm) =>
      tpm.run(Create, {
        ...NONE,
        parentHandle: SRK,
        inPublic: userKeyTemplate('p-256'),
        inSensitive: { userAuth: utf8('secret'), data: EMPTY },
      }),
    );
    await file('ours.pub', encode(TPM2B_PUBLIC, made.outPublic));
    await file('ours.priv', encode(TPM2B_PRIVATE, made.outPrivate));
    const output = await tool('load', '-C', '0x81000001', '-u', 'ours.pub', '-r', 'ours.priv', '-c', 'ours.ctx');
    expect(nameIn(output)).toBe(toHex(objectName(made.outPublic)));
    await file('message', MESSAGE);
    await tool('sign', '-c', 'ours.ctx', '-p', 'secret', '-g', 'sha256', '-s', 'ecdsa', '-o', 'theirs.sig', 'message');
    const theirs: TpmtSignature = decode(TPMT_SIGNATURE, await read('theirs.sig'));
    expect(theirs.sigAlg).toBe(TPM_ALG.ECDSA);
    expect(toHex(encode(TPMT_SIGNATURE, theirs))).toBe(toHex(await read('theirs.sig')));
  });

  describe('report the same capabilities as we do', () => {
    const capability = (group: keyof typeof TPM_CAP, property = 0): Promise<TpmsCapabilityData> =>
      ours(async (tpm) => {
        const args = { capability: TPM_CAP[group], property, propertyCount: 254 };
        const { capabilityData, moreData } = await tpm.run(GetCapability, args);
        expect(moreData).toBe(0);
        return capabilityData;
      });
    const numbers = (output: string, pattern: RegExp) => [...output.matchAll(pattern)].map(([, hex]) => Number(hex));

    it('properties-fixed', async () => {
      const { data } = await capability('TPM_PROPERTIES', 0x100);
      // tpm2-tools 5.4 do not show the ones above TPM_PT_MODES (0x12d).
      const fixed = (data as { property: number; value: number }[]).filter(({ property }) => property <= 0x12d);
      const theirs = numbers(await tool('getcap', 'properties-fixed'), /raw:\s+(0x[0-9A-Fa-f]+|\d+)/g);
      expect(fixed.length).toBeGreaterThan(40);
      expect(theirs).toEqual(fixed.map(({ value }) => value));
    });

    it('algorithms', async () => {
      const { data } = await capability('ALGS');
      const ours = (data as { alg: number }[]).map(({ alg }) => alg);
      expect(numbers(await tool('getcap', 'algorithms'), /value:\s+(0x[0-9A-Fa-f]+)/g)).toEqual(ours);
    });

    it('commands', async () => {
      const { data } = await capability('COMMANDS', 0x11f);
      const ours = data as { commandIndex: number; cHandles?: number; nv?: boolean; rHandle?: boolean }[];
      const output = await tool('getcap', 'commands');
      expect(ours.length).toBeGreaterThan(100);
      expect(numbers(output, /commandIndex:\s+(0x[0-9a-f]+)/g)).toEqual(ours.map(({ commandIndex }) => commandIndex));
      expect(numbers(output, /cHandles:\s+(0x[0-9a-f]+)/g)).toEqual(ours.map(({ cHandles }) => cHandles ?? 0));
      expect(numbers(output, /rHandle:\s+(\d)/g)).toEqual(ours.map(({ rHandle }) => Number(rHandle ?? false)));
      expect(numbers(output, /nv:\s+(\d)/g)).toEqual(ours.map(({ nv }) => Number(nv ?? false)));
    });

    it('ecc-curves', async () => {
      const { data } = await capability('ECC_CURVES');
      expect(numbers(await tool('getcap', 'ecc-curves'), /: (0x[0-9a-f]+)/gi)).toEqual(data);
    });

    it('handles-persistent', async () => {
      const { data } = await capability('HANDLES', 0x81000000);
      expect(data).toEqual([SRK]);
      expect(numbers(await tool('getcap', 'handles-persistent'), /- (0x[0-9a-f]+)/gi)).toEqual(data);
    });

    it('pcrs', async () => {
      const { data } = await capability('PCRS');
      const banks = (data as { pcrSelect: Uint8Array }[]).map(({ pcrSelect }) => toHex(pcrSelect));
      const theirs = [...(await tool('getcap', 'pcrs')).matchAll(/- \w+: \[([^\]]*)\]/g)].map(([, list = '']) => {
        const bitmap = new Uint8Array(3);
        for (const pcr of list
          .split(',')
          .filter((text) => text.trim() !== '')
          .map(Number)) {
          bitmap[pcr >> 3] = (bitmap[pcr >> 3] as number) | (1 << (pcr & 7));
        }
        return toHex(bitmap);
      });
      expect(banks).toEqual(theirs);
    });
  });

  it('find nothing left of ours in the TPM', async () => {
    expect(await tool('getcap', 'handles-transient')).toBe('');
    expect(await tool('getcap', 'handles-loaded-session')).toBe('');
    expect(await tool('getcap', 'handles-saved-session')).toBe('');
    const { name } = await ours((tpm) => tpm.run(ReadPublic, { objectHandle: SRK }));
    expect(nameIn(await tool('readpublic', '-c', '0x81000001'))).toBe(toHex(name));
  });
});
