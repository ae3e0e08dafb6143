import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { verifyEvidence, verifyStatement } from '../../src/attestation/index.ts';
import { toBase64 } from '../../src/bytes.ts';
import { parseCertificate } from '../../src/crypto/x509.ts';
import { decodeWebauthnTpm, statementFromWebauthnTpm } from '../../src/formats/webauthn/webauthn-tpm.ts';
import { type Attestations, makeAttestations } from '../attestations.ts';
import { child, lastLine } from '../child.ts';
import { amount, Race } from '../figures.ts';
import { cpuTime, perCall, ratio } from '../measure.ts';
import type { Peers } from '../peers.ts';
import type { Kit, Row } from '../row.ts';

/** Writes the attestations to a file for the Go peer. */
function writeForGo(path: string, { list, root }: Attestations): void {
  const attestations = list.map(({ statement: { pubArea, certInfo, signature, ak }, extraData }) => ({
    ...{ PubArea: toBase64(pubArea), CertInfo: toBase64(certInfo), Signature: toBase64(signature) },
    ...{ ExtraData: toBase64(extraData), AkPubArea: toBase64(ak.pubArea) },
    Certificates: ak.certificates?.map(toBase64),
  }));
  writeFileSync(path, JSON.stringify({ Root: toBase64(root.der), List: attestations }));
}

/** Runs keyprov and the peers on the same attestations, and keyprov without certificates. */
async function race(rounds: number, { simpleWebAuthn: peer, go }: Peers) {
  const attestations = await makeAttestations(8);
  const { list, pubArea, root } = attestations;
  const directory = mkdtempSync(join(tmpdir(), 'keyprov-bench-'));
  const file = join(directory, 'attestations.json');
  writeForGo(file, attestations);
  const akRoots = [await parseCertificate(root.der)];
  let turn = 0;
  const next = () => list[turn++ % list.length] ?? Promise.reject(new Error('no attestations'));
  const fail = (): never => {
    throw new Error('a genuine attestation is refused');
  };
  const ours = (keepAuthorities: boolean) =>
    perCall(cpuTime, async () => {
      const { object, extraData } = await next();
      const read = statementFromWebauthnTpm(decodeWebauthnTpm(object), pubArea);
      const options = { challenge: extraData, minTier: 'ek-certificate', akRoots, keepAuthorities } as const;
      const { ok } = await verifyEvidence(read, options);
      if (!ok) fail();
    });
  const raced = await Race.run(rounds, {
    ours: ours(false),
    'ours, cached': ours(true),
    'without certificates': perCall(cpuTime, async () => {
      const { statement, extraData } = await next();
      const { ok } = verifyStatement(statement, { challenge: extraData, attestationKey: { pubArea } });
      if (!ok) fail();
    }),
    SimpleWebAuthn: 'missing' in peer ? undefined : await simpleWebAuthn(root.pem, next, fail),
    Go: 'missing' in go ? undefined : () => lastLine(go.command[0], [file, '500']),
  });
  rmSync(directory, { recursive: true });
  return raced;
}

async function simpleWebAuthn(
  pem: string,
  next: () => Promise<never> | Awaited<ReturnType<typeof makeAttestations>>['list'][number],
  fail: () => never,
) {
  const { SettingsService, verifyRegistrationResponse } = await import('@simplewebauthn/server');
  SettingsService.setRootCertificates({ identifier: 'tpm', certificates: [pem] });
  return perCall(cpuTime, async () => {
    const { verified } = await verifyRegistrationResponse((await next()).registration);
    if (!verified) fail();
  });
}

let raced: ReturnType<typeof race> | undefined;
const racedOnce = ({ rounds, peers }: Kit) => {
  raced ??= race(rounds, peers);
  return raced;
};

const G14: Row = {
  id: 'G14',
  what: 'verifying an RSA attestation with three RSA certificates, without cached CA certificates',
  async measure(kit) {
    const one = await racedOnce(kit);
    const { simpleWebAuthn: peer, go } = kit.peers;
    return {
      figures: [
        one.cheaper(
          'times less CPU than @simplewebauthn/server 14.0.3',
          ['ours', 'SimpleWebAuthn'],
          { least: 40 },
          peer,
        ),
        one.times('CPU vs. the same attestation without certificates', ['ours', 'without certificates']),
        one.times('CPU vs. Go with its standard library', ['ours', 'Go'], { most: 1.2 }, go),
      ],
    };
  },
  why: 'about half is cryptography. The rest parses three certificates strictly and checks the path, in JavaScript',
};

const G15: Row = {
  id: 'G15',
  what: 'verifying an RSA attestation with three RSA certificates, with cached CA certificates',
  async measure(kit) {
    const one = await racedOnce(kit);
    const { simpleWebAuthn: peer, go } = kit.peers;
    const what = 'times less CPU than @simplewebauthn/server';
    return {
      figures: [
        one.cheaper(what, ['ours, cached', 'SimpleWebAuthn'], { least: 100 }, peer),
        one.times('CPU vs. Go with its standard library', ['ours, cached', 'Go'], { most: 1 }, go),
      ],
    };
  },
  why: 'half is cryptography, because two signatures are new each time. The rest parses the attestation key certificate and checks the path',
};

/** The output of a long verification: for each tenth, CPU time per verification in microseconds, and memory in MiB. */
interface LongRun {
  readonly cpu: readonly number[];
  readonly memory: readonly number[];
}

const G23: Row = {
  id: 'G23',
  what: 'verifying on two workers, and verifying very many attestations',
  async measure({ rounds, attestations }) {
    const walls: Record<'one' | 'two', number[]> = { one: [], two: [] };
    for (let round = 0; round < rounds; round++) {
      walls.one.push(await child('verify', ['workers', '1', '6000'], { everywhere: true }));
      walls.two.push(await child('verify', ['workers', '2', '6000'], { everywhere: true }));
    }
    const { cpu, memory }: LongRun = await child('verify', ['long', `${attestations}`]);
    const points = (values: readonly number[]) =>
      values.map((value, tenth) => [((tenth + 1) * attestations) / values.length, value] as const);
    // The first tenth includes compiling the code.
    const [second = Number.NaN, last = Number.NaN] = [cpu[1], cpu.at(-1)];
    const [before = Number.NaN, after = Number.NaN] = [memory[1], memory.at(-1)];
    return {
      figures: [
        {
          ...{ what: 'speed of two workers vs. one', unit: '×', goal: { least: 1.9 } },
          measured: ratio(walls.one, walls.two),
        },
        amount(
          `CPU per verification: last tenth of ${attestations.toLocaleString('en')} vs. second tenth`,
          '×',
          last / second,
          { most: 1.1 },
        ),
        amount('growth of memory in use after the second tenth', 'MiB', after - before, { most: 1 }),
      ],
      curves: [
        { what: 'CPU of one verification', unit: 'µs', points: points(cpu) },
        { what: 'memory in use', unit: 'MiB', points: points(memory) },
      ],
    };
  },
  why: 'two workers need two idle CPUs, and other work on the machine slows them down',
};

export const VERIFY_ROWS: readonly Row[] = [G14, G15, G23];
