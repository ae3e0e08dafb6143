import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { activateCredential } from '../../src/attestation/activate.ts';
import {
  answerActivationChallenge,
  buildActivationChallenge,
  decodeActivationChallenge,
  encodeActivationChallenge,
  isActivated,
} from '../../src/attestation/activation-challenge.ts';
import { type AttestationKey, createAttestationKey } from '../../src/attestation/attestation-key.ts';
import { type Credential, makeCredential } from '../../src/attestation/credential.ts';
import { type EndorsementKey, openEndorsementKey } from '../../src/attestation/endorsement-key.ts';
import { fromHex, toHex, uint32At, utf8 } from '../../src/bytes.ts';
import {
  decodeTpm2ToolsCredential,
  encodeTpm2ToolsCredential,
} from '../../src/formats/services/credential-encodings.ts';
import { decode, encode } from '../../src/tpm/codec/index.ts';
import { CreatePrimary, HierarchyChangeAuth } from '../../src/tpm/commands/hierarchy.ts';
import { TPM_ALG, TPM_CC, TPM_RH } from '../../src/tpm/constants.ts';
import { TPM2B_ENCRYPTED_SECRET } from '../../src/tpm/structures/algorithm.ts';
import { TPM2B_ID_OBJECT, TPM2B_PUBLIC, type TpmtPublic } from '../../src/tpm/structures/object.ts';
import { akTemplate, type EkTemplateName, ekTemplate } from '../../src/tpm/templates.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import type { TpmTransport } from '../../src/tpm/transport.ts';
import { type SwtpmProcess, startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { missingPrograms, PYTHON, pythonLacks } from '../programs.ts';
import { libtpmsMissing } from './support/libtpms.ts';
import { LineChild } from './support/line-child.ts';
import { leftovers, newTpm, newTransport, tpmAbilities } from './support/new-tpm.ts';
import { tctiOf } from './support/swtpm-address.ts';
import { type ManufacturedTpm, manufactureTpm } from './support/swtpm-setup.ts';

const EMPTY = new Uint8Array(0);
const SECRET = fromHex('6b9a437f51eddcbc1d2f6600807067f220b1d0c48a435d116afa16d8cd0164c1');
const NO_TPM = await libtpmsMissing();
const EKS = ['L-1', 'L-2', 'H-3'] as const;

const credentialFor = (ek: EndorsementKey, ak: AttestationKey, secret: Uint8Array = SECRET): Credential =>
  makeCredential({ ek: ek.publicArea, objectName: ak.object.name, secret });

/** Which bytes to change: all, or in long ones every 15th, the first and the last. */
const positions = (bytes: Uint8Array): number[] =>
  [...bytes.keys()].filter((at) => bytes.length < 200 || at % 15 === 0 || at === bytes.length - 1);

function changed(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] = (copy[at] ?? 0) ^ (1 << (at % 8));
  return copy;
}

const { hasAlgorithm, hasCurve } = await tpmAbilities();
const isLacking = (template: EkTemplateName): boolean => {
  const area = ekTemplate(template);
  return !hasAlgorithm(area.nameAlg) || (area.type === TPM_ALG.ECC && !hasCurve(area.parameters.curveID));
};
const TEMPLATES = ['L-1', 'L-2', 'H-1', 'H-2', 'H-3', 'H-4', 'H-6'] as const;

for (const template of TEMPLATES) {
  describe.skipIf(NO_TPM || isLacking(template))(`with an endorsement key ${template}`, () => {
    let tpm: Tpm;
    let ek: EndorsementKey;
    let ak: AttestationKey;
    beforeAll(async () => {
      tpm = await newTpm();
      ek = await openEndorsementKey(tpm, { template });
      ak = await createAttestationKey(tpm, { algorithm: 'p-256' });
    });
    afterAll(() => tpm?.close());

    it('a challenge is answered, over JSON', async () => {
      const { challenge, secret } = buildActivationChallenge({ ek: ek.publicArea, ak: ak.publicArea });
      const received = decodeActivationChallenge(JSON.parse(JSON.stringify(encodeActivationChallenge(challenge))));
      const response = await answerActivationChallenge(tpm, received, { ek, ak: ak.object });
      expect(isActivated(response, secret)).toBe(true);
      expect(await leftovers(tpm)).toHaveLength(2);
    });

    it.each([1, 20, 32])('a secret of %i bytes comes back', async (length) => {
      const secret = SECRET.subarray(0, length);
      const credential = credentialFor(ek, ak, secret);
      expect(toHex(await activateCredential(tpm, { ek, ak: ak.object, credential }))).toBe(toHex(secret));
    });

    it('a credential for another object or another endorsement key is refused', async () => {
      await using other = await createAttestationKey(tpm, { algorithm: 'rsa-2048' });
      const credential = credentialFor(ek, ak);
      await expect(activateCredential(tpm, { ek, ak: other.object, credential })).rejects.toMatchObject({
        code: 'credential-invalid',
      });
      await using foreign = await newTpm();
      await using foreignEk = await openEndorsementKey(foreign, { template });
      await using foreignAk = await createAttestationKey(foreign, { algorithm: 'p-256' });
      await expect(
        activateCredential(foreign, { ek: foreignEk, ak: foreignAk.object, credential }),
      ).rejects.toMatchObject({ code: 'credential-invalid' });
    });

    it('a credential of a wrong size is refused', async () => {
      const { credentialBlob, encryptedSecret } = credentialFor(ek, ak);
      for (const wrong of [EMPTY, credentialBlob.subarray(1), new Uint8Array(133), new Uint8Array(600)]) {
        for (const credential of [
          { credentialBlob: wrong, encryptedSecret },
          { credentialBlob, encryptedSecret: wrong },
        ]) {
          await expect(activateCredential(tpm, { ek, ak: ak.object, credential })).rejects.toMatchObject({
            code: 'credential-invalid',
          });
        }
      }
    });
  });
}

describe.skipIf(NO_TPM).each(EKS)('a changed byte of a credential for %s', (template) => {
  it('is refused at every position, and the TPM keeps working', async () => {
    await using tpm = await newTpm();
    await using ek = await openEndorsementKey(tpm, { template });
    await using ak = await createAttestationKey(tpm, { algorithm: 'p-256' });
    const { credentialBlob, encryptedSecret } = credentialFor(ek, ak);
    const wrong: Credential[] = [
      ...positions(credentialBlob).map((at) => ({ credentialBlob: changed(credentialBlob, at), encryptedSecret })),
      ...positions(encryptedSecret).map((at) => ({ credentialBlob, encryptedSecret: changed(encryptedSecret, at) })),
    ];
    for (const [i, credential] of wrong.entries()) {
      const error: unknown = await activateCredential(tpm, { ek, ak: ak.object, credential }).catch((thrown) => thrown);
      expect([i, Object(error).code]).toEqual([i, 'credential-invalid']);
    }
    const credential = { credentialBlob, encryptedSecret };
    expect(toHex(await activateCredential(tpm, { ek, ak: ak.object, credential }))).toBe(toHex(SECRET));
    expect(await leftovers(tpm)).toHaveLength(2);
  });
});

describe.skipIf(NO_TPM)('activateCredential', () => {
  /** Keeps all bytes that pass. */
  async function watchedTpm(): Promise<{ tpm: Tpm; traffic: Uint8Array[] }> {
    const inner = await newTransport();
    const traffic: Uint8Array[] = [];
    const { kind, address, emulator, managed } = inner;
    const transport: TpmTransport = {
      ...{ kind, address, emulator, managed },
      send: async (command, options) => {
        traffic.push(command.slice());
        const answer = await inner.send(command, options);
        traffic.push(answer.slice());
        return answer;
      },
      close: () => inner.close(),
    };
    return { tpm: await Tpm.open(transport), traffic };
  }

  it("sends neither the secret nor the key's authorization value in the clear", async () => {
    const { tpm, traffic } = await watchedTpm();
    const userAuth = utf8('authorization of the key');
    const ek = await openEndorsementKey(tpm, { template: 'L-2' });
    const { objectHandle, outPublic } = await tpm.run(CreatePrimary, {
      primaryHandle: TPM_RH.ENDORSEMENT,
      inSensitive: { userAuth, data: EMPTY },
      inPublic: akTemplate('p-256'),
      outsideInfo: EMPTY,
      creationPCR: [],
    });
    const { challenge, secret } = buildActivationChallenge({ ek: ek.publicArea, ak: outPublic });
    traffic.length = 0;
    const ak = { handle: objectHandle, auth: userAuth };
    expect(isActivated(await answerActivationChallenge(tpm, challenge, { ek, ak }), secret)).toBe(true);
    expect(traffic.some((bytes) => uint32At(bytes, 6) === TPM_CC.ActivateCredential)).toBe(true);
    const all = traffic.map((bytes) => toHex(bytes)).join('\n');
    expect(all).not.toContain(toHex(secret));
    expect(all).not.toContain(toHex(userAuth));
    await tpm.close();
  });

  it('refuses a wrong authorization value with its own code', async () => {
    await using tpm = await newTpm();
    await using ek = await openEndorsementKey(tpm, { template: 'L-2' });
    await using ak = await createAttestationKey(tpm, { algorithm: 'p-256' });
    const options = { ek, ak: { handle: ak.object, auth: utf8('wrong') }, credential: credentialFor(ek, ak) };
    await expect(activateCredential(tpm, options)).rejects.toMatchObject({ code: 'tpm-auth-failed' });
    expect(await leftovers(tpm)).toHaveLength(2);
  });

  it('uses a key of the high range without the authorization of the hierarchy, if told so', async () => {
    await using tpm = await newTpm();
    await using ek = await openEndorsementKey(tpm, { template: 'H-3', authorization: 'auth-value' });
    await using ak = await createAttestationKey(tpm, { algorithm: 'p-256' });
    await tpm.run(HierarchyChangeAuth, { authHandle: TPM_RH.ENDORSEMENT, newAuth: utf8('endorsement') });
    expect(toHex(await activateCredential(tpm, { ek, ak: ak.object, credential: credentialFor(ek, ak) }))).toBe(
      toHex(SECRET),
    );
    expect(await leftovers(tpm)).toHaveLength(2);
  });

  it('ends with its signal, and leaves no session behind', async () => {
    await using tpm = await newTpm();
    await using ek = await openEndorsementKey(tpm, { template: 'L-2' });
    await using ak = await createAttestationKey(tpm, { algorithm: 'p-256' });
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(
      activateCredential(tpm, { ek, ak: ak.object, credential: credentialFor(ek, ak), signal }),
    ).rejects.toThrow('enough');
    expect(await leftovers(tpm)).toHaveLength(2);
  });
});

const noTools = missingPrograms('swtpm', 'swtpm_setup', 'tpm2_makecredential', 'tpm2_activatecredential') !== undefined;

describe.skipIf(NO_TPM || noTools)('tpm2-tools', () => {
  let directory: string;
  let made: ManufacturedTpm;
  let swtpm: SwtpmProcess;
  const path = (name: string) => join(directory, name);

  /** Runs a tool on the swtpm. Not spawnSync: swtpm waits until what it writes to standard error is read. */
  async function tool(name: string, ...args: string[]): Promise<void> {
    const TPM2TOOLS_TCTI = tctiOf(swtpm);
    await promisify(execFile)(name, args, { cwd: directory, env: { ...process.env, TPM2TOOLS_TCTI } });
  }

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'keyprov-tools-'));
    made = manufactureTpm();
    swtpm = await startSwtpm({ stateDirectory: made.stateDirectory });
    await tool('tpm2_createek', '-c', 'L-2.ctx', '-G', 'ecc', '-u', 'L-2.pub');
    await tool('tpm2_flushcontext', '-t');
    await tool('tpm2_readpublic', '-c', '0x81010001', '-o', 'L-1.pub');
    await tool('tpm2_readpublic', '-c', '0x81010016', '-o', 'H-3.pub');
    const attributes = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign';
    for (const [ak, algorithm] of [
      ['rsa', 'rsa:rsassa-sha256:null'],
      ['ecc', 'ecc:ecdsa-sha256:null'],
    ] as const) {
      await tool('tpm2_createprimary', '-C', 'e', '-g', 'sha256', '-G', algorithm, '-a', attributes, '-c', `${ak}.ctx`);
      await tool('tpm2_readpublic', '-c', `${ak}.ctx`, '-n', `${ak}.name`);
      await tool('tpm2_flushcontext', '-t');
    }
  });
  afterAll(async () => {
    await swtpm?.stop();
    made?.[Symbol.dispose]();
    if (directory) rmSync(directory, { recursive: true });
  });

  const HANDLES = { 'L-1': '0x81010001', 'L-2': 'L-2.ctx', 'H-3': '0x81010016' } as const;
  it.each(
    EKS.flatMap(
      (ek) =>
        [
          [ek, 'rsa'],
          [ek, 'ecc'],
        ] as const,
    ),
  )('activate our credential with %s and an %s key', async (template, ak) => {
    const ek = decode(TPM2B_PUBLIC, readFileSync(path(`${template}.pub`)));
    const credential = makeCredential({ ek, objectName: readFileSync(path(`${ak}.name`)), secret: SECRET });
    writeFileSync(path('credential'), encodeTpm2ToolsCredential(credential));
    const common = ['-c', `${ak}.ctx`, '-C', HANDLES[template], '-i', 'credential', '-o', 'secret'];
    if (template === 'H-3') {
      await tool('tpm2_activatecredential', ...common);
    } else {
      await tool('tpm2_startauthsession', '--policy-session', '-S', 'session.ctx');
      await tool('tpm2_policysecret', '-S', 'session.ctx', '-c', 'e');
      await tool('tpm2_activatecredential', ...common, '-P', 'session:session.ctx');
      await tool('tpm2_flushcontext', 'session.ctx');
    }
    expect(toHex(readFileSync(path('secret')))).toBe(toHex(SECRET));
    await tool('tpm2_flushcontext', '-t');
  });

  it.each(
    EKS.flatMap(
      (ek) =>
        [
          [ek, 'rsa-2048'],
          [ek, 'p-256'],
        ] as const,
    ),
  )('make a credential that we activate for %s and an %s key', async (template, algorithm) => {
    await using tpm = await newTpm();
    await using ek = await openEndorsementKey(tpm, { template });
    await using ak = await createAttestationKey(tpm, { algorithm });
    writeFileSync(path('ours.pub'), encode(TPM2B_PUBLIC, ek.publicArea));
    writeFileSync(path('ours.secret'), SECRET);
    await tool(
      'tpm2_makecredential',
      '-T',
      'none',
      '-u',
      'ours.pub',
      '-s',
      'ours.secret',
      '-n',
      toHex(ak.object.name),
      '-o',
      'theirs',
    );
    const credential = decodeTpm2ToolsCredential(readFileSync(path('theirs')));
    expect(toHex(encodeTpm2ToolsCredential(credential))).toBe(readFileSync(path('theirs')).toString('hex'));
    expect(toHex(await activateCredential(tpm, { ek, ak: ak.object, credential }))).toBe(toHex(SECRET));
  });
});

describe.skipIf(NO_TPM || (missingPrograms('swtpm') ?? pythonLacks('tpm2_pytss')))('tpm2-pytss', () => {
  let swtpm: SwtpmProcess;
  let child: LineChild;
  beforeAll(async () => {
    swtpm = await startSwtpm();
    const tcti = tctiOf(swtpm);
    child = new LineChild(PYTHON, ['test/integration/children/pytss_activation.py', tcti]);
  });
  afterAll(async () => {
    await child?.[Symbol.asyncDispose]();
    await swtpm?.stop();
  });

  const ask = async (request: object): Promise<Record<string, string>> =>
    (await child.ask([request]))[0] as Record<string, string>;
  const publicHex = (area: TpmtPublic): string => toHex(encode(TPM2B_PUBLIC, area));

  it.each(
    EKS.flatMap(
      (ek) =>
        [
          [ek, 'rsa-2048'],
          [ek, 'p-256'],
        ] as const,
    ),
  )('activates our credential with %s and an %s key', async (template, algorithm) => {
    const keys = await ask({ op: 'keys', ek: publicHex(ekTemplate(template)), ak: publicHex(akTemplate(algorithm)) });
    const ek = decode(TPM2B_PUBLIC, fromHex(keys.ek ?? ''));
    const { credentialBlob, encryptedSecret } = makeCredential({
      ek,
      objectName: fromHex(keys.ak ?? '').subarray(2),
      secret: SECRET,
    });
    const [blob, secret] = [encode(TPM2B_ID_OBJECT, credentialBlob), encode(TPM2B_ENCRYPTED_SECRET, encryptedSecret)];
    expect(await ask({ op: 'activate', blob: toHex(blob), secret: toHex(secret) })).toEqual({ secret: toHex(SECRET) });
    const wrong = changed(blob, blob.length - 1);
    expect(await ask({ op: 'activate', blob: toHex(wrong), secret: toHex(secret) })).toHaveProperty('error');
  });

  // Its own code fails for AES-256 (1.2.0): there only its TPM makes credentials.
  it.each([
    ['L-1', 'make'],
    ['L-2', 'make'],
    ['L-1', 'make-by-tpm'],
    ['L-2', 'make-by-tpm'],
    ['H-3', 'make-by-tpm'],
  ] as const)('makes a credential that we activate for %s (%s)', async (template, op) => {
    await using tpm = await newTpm();
    await using ek = await openEndorsementKey(tpm, { template });
    await using ak = await createAttestationKey(tpm, { algorithm: 'p-256' });
    const name = `0022${toHex(ak.object.name)}`;
    const { blob = '', secret = '' } = await ask({ op, ek: publicHex(ek.publicArea), name, secret: toHex(SECRET) });
    const credential = {
      credentialBlob: decode(TPM2B_ID_OBJECT, fromHex(blob)),
      encryptedSecret: decode(TPM2B_ENCRYPTED_SECRET, fromHex(secret)),
    };
    expect(toHex(await activateCredential(tpm, { ek, ak: ak.object, credential }))).toBe(toHex(SECRET));
  });
});
