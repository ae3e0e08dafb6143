import { type Bytes, concat, equal, toHex } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { KeyprovError } from '../errors.ts';
import { decode } from '../tpm/codec/index.ts';
import { HASHES, TPM_ALG, TPM_GENERATED_VALUE, TPM_ST } from '../tpm/constants.ts';
import { handleName, isHashAlg, qualifiedName } from '../tpm/names.ts';
import { TPMT_SIGNATURE, type TpmtSignature } from '../tpm/structures/algorithm.ts';
import { TPMS_ATTEST, type TpmsAttest } from '../tpm/structures/attest.ts';
import { TPMS_CREATION_DATA, TPMT_PUBLIC, type TpmsCreationData, type TpmtPublic } from '../tpm/structures/object.ts';
import { type Findings, lazy } from './findings.ts';
import { findSignatureProblem } from './signature.ts';
import type { Certification, CreationProof } from './statement.ts';

/** A key of a statement. Each part is read on demand, and throws if it cannot be read. */
export interface Subject {
  readonly pubArea: () => Uint8Array;
  readonly area: () => TpmtPublic;
  readonly name: () => Bytes;
}

/** The key whose TPMT_PUBLIC `pubArea` returns. */
export function subjectOf(pubArea: () => Uint8Array): Subject {
  const area = lazy(() => decode(TPMT_PUBLIC, pubArea()));
  // From the bytes as received, not as this library would encode them.
  const name = lazy(() => concat(pubArea().subarray(2, 4), digestBy(area().nameAlg, pubArea())));
  return { pubArea, area, name };
}

/** The expectations of a certification. */
export interface Expectations {
  readonly findings: Findings;
  readonly signer: Subject;
  readonly subject: Subject;
  readonly acceptSha1: boolean;
}

const MAGIC = handleName(TPM_GENERATED_VALUE);

/** Checks a signed TPMS_ATTEST. @returns a function that returns the signed structure, or throws if it cannot be read. */
export function verifyCertification(
  { certInfo, signature }: Certification,
  expected: Expectations & {
    readonly prefix: '' | 'creation/' | 'ak-creation/';
    readonly type: typeof TPM_ST.ATTEST_CERTIFY | typeof TPM_ST.ATTEST_CREATION;
    readonly challenge: () => Uint8Array;
  },
): () => TpmsAttest {
  const { findings, prefix, type, signer, subject } = expected;
  // Read without its magic, so that a wrong magic is one finding and does not hide the others.
  const attest = lazy(() => decode(TPMS_ATTEST, concat(MAGIC, certInfo.subarray(MAGIC.length))));
  const signed = lazy(() => decode(TPMT_SIGNATURE, signature));

  findings.check(`${prefix}structures`, () => {
    for (const read of [attest, signed, signer.area, subject.area]) read();
    return undefined;
  });
  findings.check(`${prefix}magic`, () => {
    const magic = certInfo.subarray(0, MAGIC.length);
    return equal(magic, MAGIC) ? undefined : `the signed data begins with ${toHex(magic)}, not ${toHex(MAGIC)}`;
  });
  findings.check(`${prefix}type`, () =>
    attest().type === type
      ? undefined
      : `the signed data is of type 0x${attest().type.toString(16)}, not 0x${type.toString(16)}`,
  );
  findings.check(`${prefix}challenge`, () => {
    const { extraData } = attest();
    const challenge = expected.challenge();
    if (equal(extraData, challenge)) return undefined;
    return `extraData is ${toHex(extraData) || 'empty'}, but the challenge is ${toHex(challenge) || 'empty'}`;
  });
  findings.check(`${prefix}name`, () => {
    const name = attestedName(attest());
    return name !== undefined && equal(name, subject.name()) ? undefined : 'the signed Name belongs to another object';
  });
  findings.check(`${prefix}signature`, () => findSignatureProblem(signer.area(), signed(), certInfo));
  findings.check(`${prefix}hashes`, () => {
    const used = [hashOf(signed()), signer.area().nameAlg, subject.area().nameAlg];
    return used.includes(TPM_ALG.SHA1) && !expected.acceptSha1 ? 'the signature or a Name uses SHA-1' : undefined;
  });
  return attest;
}

/** Checks a certified creation and its creation data. */
export function verifyCreation(
  proof: CreationProof,
  expected: Expectations & {
    readonly prefix: 'creation/' | 'ak-creation/';
    /** The expected extraData for that creation data. */
    readonly challenge: (creationData: TpmsCreationData) => Uint8Array;
    /** The qualified name of the subject, from elsewhere or from the certified creation. */
    readonly qualifiedName: (attest: TpmsAttest) => Uint8Array;
  },
): void {
  const { findings, prefix, subject } = expected;
  const data = lazy(() => decode(TPMS_CREATION_DATA, proof.creationData));
  const challenge = () => expected.challenge(data());
  const attest = verifyCertification(proof, { ...expected, type: TPM_ST.ATTEST_CREATION, challenge });
  findings.check(`${prefix}creation-hash`, () => {
    const { attested } = attest();
    const made = digestBy(subject.area().nameAlg, proof.creationData);
    const isIt = 'creationHash' in attested && equal(attested.creationHash, made);
    return isIt ? undefined : 'the signed digest belongs to other creation data';
  });
  findings.check(`${prefix}parent`, () =>
    equal(qualifiedName(data().parentQualifiedName, subject.name()), expected.qualifiedName(attest()))
      ? undefined
      : 'the creation data and the qualified name disagree on the parent',
  );
}

/** The Name that was certified, by either command. */
function attestedName({ attested }: TpmsAttest): Uint8Array | undefined {
  if ('name' in attested) return attested.name;
  return 'objectName' in attested ? attested.objectName : undefined;
}

const hashOf = (signature: TpmtSignature): number | undefined =>
  'signature' in signature && 'hash' in signature.signature ? signature.signature.hash : undefined;

function digestBy(alg: number, bytes: Uint8Array): Bytes {
  if (isHashAlg(alg)) return digest(HASHES[alg].name, bytes);
  throw new KeyprovError('statement-invalid', `the hash algorithm 0x${alg.toString(16)} is not supported`);
}
