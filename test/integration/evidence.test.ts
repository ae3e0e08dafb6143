import { readFileSync } from 'node:fs';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answerActivationChallenge } from '../../src/attestation/activation-challenge.ts';
import { createAttestationKey } from '../../src/attestation/attestation-key.ts';
import { attestKey, certifyOwnCreation } from '../../src/attestation/certify.ts';
import { type EndorsementKey, openEndorsementKey } from '../../src/attestation/endorsement-key.ts';
import {
  type Activation,
  type AttestationStatement,
  buildActivationChallenge,
  decodeActivationChallenge,
  decodeActivationResponse,
  decodeStatement,
  type EvidenceResult,
  encodeActivationChallenge,
  encodeActivationResponse,
  encodeStatement,
  isActivated,
  type VerifyEvidenceOptions,
  verifyAttestationKey,
  verifyEvidence,
} from '../../src/attestation/index.ts';
import { readEkCertificates } from '../../src/attestation/read-ek-certificates.ts';
import { fromHex, toHex } from '../../src/bytes.ts';
import { splitCertificates } from '../../src/crypto/certificate-bytes.ts';
import { encodeSpki } from '../../src/crypto/public-key.ts';
import { createTestAuthority, type TestAuthority } from '../../src/testing/test-authority.ts';
import { decode, encode } from '../../src/tpm/codec/index.ts';
import { CreatePrimary } from '../../src/tpm/commands/hierarchy.ts';
import { TPM_RH } from '../../src/tpm/constants.ts';
import { publicKeyOf } from '../../src/tpm/public-key.ts';
import { TPMT_PUBLIC } from '../../src/tpm/structures/object.ts';
import { userKeyTemplate } from '../../src/tpm/templates.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import { openLibtpms } from '../../src/tpm/transports/libtpms.ts';
import { missingPrograms } from '../programs.ts';
import { bundle } from './support/bundle.ts';
import { ENGINES } from './support/engines.ts';
import { libtpmsMissing } from './support/libtpms.ts';
import { LineChild } from './support/line-child.ts';
import { manufacturedTpm } from './support/new-tpm.ts';
import { type ManufacturedTpm, manufactureTpm } from './support/swtpm-setup.ts';

const EMPTY = new Uint8Array(0);
const CHALLENGE = fromHex('c0ffee'.repeat(10));
const STM = { manufacturer: 0x53544d20, model: 'ST33', version: 0x00010257 };
const IBM = { manufacturer: 0x49424d00, model: 'swtpm', version: 0x20191023 };

const failures = ({ findings }: EvidenceResult): string[] =>
  findings.filter(({ status }) => status === 'fail').map(({ id }) => id);

/** A client's evidence, and the service's records about it. */
interface Enrolled {
  readonly evidence: AttestationStatement;
  readonly activation: Activation;
}

/** A client with this TPM proves a new user key to a service. They exchange JSON. */
async function enrol(tpm: Tpm, ek: EndorsementKey, algorithm: 'rsa-2048' | 'p-256'): Promise<Enrolled> {
  await using ak = await createAttestationKey(tpm, { algorithm });

  // The service: is it an attestation key, and in the TPM of that endorsement key?
  expect(verifyAttestationKey(ak.pubArea, await certifyOwnCreation(tpm, ak)).ok).toBe(true);
  const { challenge, secret } = buildActivationChallenge({ ek: ek.publicArea, ak: decode(TPMT_PUBLIC, ak.pubArea) });
  const received = decodeActivationChallenge(JSON.parse(JSON.stringify(encodeActivationChallenge(challenge))));
  const answer = await answerActivationChallenge(tpm, received, { ek, ak: ak.object });
  expect(isActivated(decodeActivationResponse(encodeActivationResponse(answer)), secret)).toBe(true);
  const ekPubArea = encode(TPMT_PUBLIC, ek.publicArea);
  const activation: Activation = { ak: { pubArea: ak.pubArea }, ek: { pubArea: ekPubArea } };

  const made = await tpm.run(CreatePrimary, {
    primaryHandle: TPM_RH.OWNER,
    inSensitive: { userAuth: EMPTY, data: EMPTY },
    inPublic: userKeyTemplate(algorithm),
    outsideInfo: EMPTY,
    creationPCR: [],
  });
  try {
    const statement = await attestKey(tpm, {
      ...{ key: made.objectHandle, ak, challenge: CHALLENGE, akCreation: true },
      authorization: 'windows-hello-policy',
    });
    const evidence = { ...statement, ek: { pubArea: ekPubArea } };
    return { evidence: decodeStatement(encodeStatement(evidence)), activation };
  } finally {
    await made.objectHandle.flush();
  }
}

for (const [engine, missing] of ENGINES) {
  describe.skipIf(missing).each(['rsa-2048', 'p-256'] as const)(`evidence of a %s key in ${engine}`, (algorithm) => {
    let maker: TestAuthority;
    let attestation: TestAuthority;
    let enrolled: Enrolled;

    beforeAll(async () => {
      maker = await createTestAuthority({ name: 'maker of TPMs' });
      attestation = await createTestAuthority({ name: 'attestation CA' });
      await using tpm = await manufacturedTpm({ engine });
      await using ek = await openEndorsementKey(tpm, { template: algorithm === 'rsa-2048' ? 'L-1' : 'L-2' });
      enrolled = await enrol(tpm, ek, algorithm);
    });

    /** With certificates of both keys for a TPM of that maker. */
    async function certified(tpm: typeof STM): Promise<AttestationStatement> {
      const { ak, ek = ak } = enrolled.evidence;
      const akCertificate = await attestation.issueAkCertificate(decode(TPMT_PUBLIC, ak.pubArea), { tpm });
      const ekCertificate = await maker.issueEkCertificate(decode(TPMT_PUBLIC, ek.pubArea), { tpm });
      return {
        ...enrolled.evidence,
        ak: { ...ak, certificates: [akCertificate] },
        ek: { ...ek, certificates: [ekCertificate] },
      };
    }
    const verify = (evidence: AttestationStatement, options: Partial<VerifyEvidenceOptions>) =>
      verifyEvidence(evidence, { challenge: CHALLENGE, minTier: 'virtual', ...options });

    it('reaches each tier with the matching proof, and none without', async () => {
      const { activation } = enrolled;
      const evidence = await certified(STM);
      const akRoots = [attestation.root];
      const ekRoots = [maker.root];
      const ekAllowList = [{ spki: encodeSpki(publicKeyOf(decode(TPMT_PUBLIC, evidence.ek?.pubArea ?? EMPTY))) }];
      for (const [tier, options] of [
        ['activated', { akRoots, ekRoots, activation }],
        ['activated', { ekRoots, activation }],
        ['ek-certificate', { akRoots }],
        ['tpm-no-ek-certificate', { ekAllowList, activation }],
        ['virtual', { akRoots, ekRoots, activation, virtual: true }],
      ] as const) {
        const result = await verify(evidence, options);
        expect([result.ok, result.tier, failures(result)]).toEqual([true, tier, []]);
        const first = await verify(evidence, { ...options, challenge: EMPTY });
        expect([first.ok, failures(first)]).toEqual([false, ['challenge', 'tier']]);
      }
      for (const options of [{}, { ekRoots }, { ekAllowList }, { activation }, { ekRoots: akRoots, activation }]) {
        expect((await verify(evidence, options)).tier).toBeUndefined();
      }
    });

    it("is virtual if the certificates name an emulator's maker", async () => {
      const evidence = await certified(IBM);
      const { activation } = enrolled;
      const options = { akRoots: [attestation.root], ekRoots: [maker.root], activation };
      const result = await verify(evidence, options);
      expect([result.tier, failures(result)]).toEqual(['virtual', []]);
      const wanted = await verify(evidence, { ...options, minTier: 'tpm-no-ek-certificate' });
      expect([wanted.ok, failures(wanted)]).toEqual([false, ['tier']]);
    });

    it('is verified by a process that has no way to a TPM', async () => {
      const evidence = await certified(STM);
      using script = await bundle('test/integration/children/verify-evidence.ts');
      await using child = new LineChild(process.execPath, [script.path]);
      const common = { statement: encodeStatement(evidence), akRoot: toHex(attestation.root) };
      const [good, bad] = (await child.ask([
        { ...common, challenge: toHex(CHALLENGE) },
        { ...common, challenge: '00' },
      ])) as { ok: boolean; tier?: string; failed: { id: string }[]; loaded: string[] }[];
      expect(good).toMatchObject({ ok: true, tier: 'ek-certificate', failed: [] });
      expect(bad?.failed.map(({ id }) => id)).toEqual(['challenge', 'tier']);
      expect(good?.loaded.filter((library) => /\.node$|koffi|tpm|tss|tcti/i.test(library))).toEqual([]);
      expect(good?.loaded.filter((library) => /^libc\b/.test(library))).toHaveLength(
        process.platform === 'linux' ? 1 : 0,
      );
    });
  });
}

describe('the verifier as a bundle', () => {
  it('contains neither a transport nor native code, and imports no package', async () => {
    const { metafile } = await build({
      ...{ entryPoints: ['src/attestation/index.ts'], bundle: true, write: false, metafile: true, outdir: 'unused' },
      ...{ packages: 'external', platform: 'node', format: 'esm', target: 'node20', logLevel: 'error' },
    } as const);
    const files = Object.keys(metafile.inputs);
    expect(files).toContain('src/attestation/verify-evidence.ts');
    expect(files.filter((path) => /^native\/|^src\/tpm\/(transports\/|tpm\.ts)|node_modules/.test(path))).toEqual([]);
    const packages = Object.values(metafile.inputs).flatMap(({ imports }) =>
      imports.filter(({ external, path }) => external && !path.startsWith('node:')),
    );
    expect(packages.map(({ path }) => path)).toEqual([]);
  });
});

const isSetupMissing =
  (await libtpmsMissing()) || missingPrograms('swtpm_setup', 'swtpm_localca', 'openssl') !== undefined;

describe.skipIf(isSetupMissing)('evidence of a TPM that swtpm_setup has made', () => {
  let made: ManufacturedTpm;
  let enrolled: Enrolled;
  beforeAll(async () => {
    made = manufactureTpm();
    await using tpm = await Tpm.open(await openLibtpms({ state: made.state }));
    const { certificates } = await readEkCertificates(tpm);
    await using ek = await openEndorsementKey(tpm, { template: 'L-1' });
    const { evidence, activation } = await enrol(tpm, ek, 'p-256');
    const own = certificates.filter(({ nv }) => nv?.template === 'L-1').map(({ der }) => der);
    enrolled = {
      evidence: { ...evidence, ek: { pubArea: evidence.ek?.pubArea ?? EMPTY, certificates: own } },
      activation,
    };
  });
  afterAll(() => made?.[Symbol.dispose]());

  it('is virtual if its maker is explicitly allowed, and refused if not', async () => {
    const { evidence, activation } = enrolled;
    const options: VerifyEvidenceOptions = {
      ...{ challenge: CHALLENGE, minTier: 'virtual', activation },
      ekRoots: splitCertificates(readFileSync(made.root)),
      intermediates: splitCertificates(readFileSync(made.issuer)),
    };
    const allowed = await verifyEvidence(evidence, { ...options, allowedManufacturers: ['id:00001014'] });
    expect([allowed.ok, allowed.tier, failures(allowed)]).toEqual([true, 'virtual', []]);
    const refused = await verifyEvidence(evidence, options);
    expect([refused.ok, refused.tier, failures(refused)]).toEqual([
      ...[false, undefined, ['ek-manufacturer', 'ak-trusted', 'tier']],
    ]);
  });
});
