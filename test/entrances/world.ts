import { readFileSync } from 'node:fs';
import { fromHex } from '../../src/bytes.ts';
import { inspectSamples, type Sample } from '../inspect-samples.ts';
import { fullOptions, issueAuthorities, paperEvidence } from '../unit/attestation/paper-evidence.ts';

/** The material for the entrances' samples. */
export type EntranceWorld = Awaited<ReturnType<typeof entranceWorld>>;

const vectors = (name: string) => JSON.parse(readFileSync(`test/vectors/${name}.json`, 'utf8'));

/** CAs, evidence that they certify, and files of every format. */
export async function entranceWorld() {
  const authorities = await issueAuthorities();
  const evidence = await paperEvidence(authorities);
  const { p256 } = vectors('make-credential');
  const samples = await inspectSamples();
  return {
    authorities,
    evidence,
    options: fullOptions(authorities, evidence),
    credential: {
      credentialBlob: fromHex(p256.credentialBlob).subarray(2),
      encryptedSecret: fromHex(p256.encryptedSecret).subarray(2),
    },
    vectors,
    samples,
    /** The bytes of the file of that name. */
    file: (name: string): Uint8Array => found(samples, name).bytes,
    /** The text of the file of that name. */
    textFile: (name: string): string => new TextDecoder().decode(found(samples, name).bytes),
  };
}

function found(samples: readonly Sample[], wanted: string): Sample {
  const sample = samples.find(({ name }) => name === wanted);
  if (sample === undefined) throw new RangeError(`no sample has the name ${wanted}`);
  return sample;
}
