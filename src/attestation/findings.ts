import type { ChainCheck } from '../crypto/verify-chain.ts';
import { sayError } from '../errors.ts';
import type { Finding } from '../finding.ts';
import { printable } from '../printable.ts';

/** The checks of every TPMS_ATTEST and its signature. */
export type CertificationCheck = 'structures' | 'magic' | 'type' | 'challenge' | 'name' | 'signature' | 'hashes';

/** The checks of a TPM2_CertifyCreation: the same, and the creation data. */
export type CreationCheck = CertificationCheck | 'creation-hash' | 'parent';

/** The other checks of a statement. */
export type StatementCheck =
  | 'ak-trusted'
  | 'ak-attributes'
  | 'ak-strength'
  | 'ak-parent'
  | 'public-key'
  | 'key-attributes'
  | 'key-strength'
  | 'key-parent';

/** The checks of the certificate of an attestation key. */
export type AkCertificateCheck = `ak-chain/${ChainCheck}` | 'ak-key' | 'ak-key-usage' | 'ak-manufacturer' | 'ak-ek';

/** The name of a check of `verifyEkCertificate`, for programs. */
export type EkCertificateCheck =
  | `chain/${ChainCheck}`
  | 'ek-certificate'
  | 'ek-key'
  | 'ek-key-usage'
  | 'ek-strength'
  | 'ek-manufacturer'
  | 'ek-specification';

/** The checks of evidence besides its statement. */
export type EvidenceCheck =
  | AkCertificateCheck
  | `ek-chain/${ChainCheck}`
  | Exclude<EkCertificateCheck, `chain/${ChainCheck}`>
  | 'trust'
  | 'certificates'
  | 'activation'
  | 'ek-attributes'
  | 'ek-listed'
  | 'possession'
  | 'tier';

/**
 * The id of a check, for programs. Without a prefix, the check is about the certified key; with `creation/`, about that
 * key's creation; with `ak-creation/`, about the attestation key's creation; with `ak-chain/` and `ek-chain/`, about
 * the certificates of the attestation key and the endorsement key.
 */
export type CheckId =
  | CertificationCheck
  | StatementCheck
  | `${'creation' | 'ak-creation'}/${CreationCheck}`
  | EvidenceCheck;

/** The default detail of each check that passes. */
const HOLDS: Readonly<Partial<Record<CheckId | CreationCheck, string>>> = {
  structures: 'every structure can be read, and has no bytes left over',
  magic: 'the signed data begins with TPM_GENERATED_VALUE',
  type: 'the signed data has the expected type',
  challenge: 'extraData is the challenge',
  name: 'the signed Name matches the public area',
  signature: 'the attestation key made the signature',
  hashes: 'the signature and the Names use SHA-256 or a longer hash',
  'creation-hash': 'the signed digest matches the creation data',
  parent: 'the creation data and the qualified name agree on the parent',
  'ak-trusted': 'the attestation key is trusted',
  'ak-attributes': 'the attestation key signs only data that the TPM attests, and cannot leave the TPM',
  'ak-strength': 'the attestation key is strong enough',
  'ak-parent': 'the attestation key has the expected parent',
  'public-key': 'the key is the expected one',
  'key-attributes': 'the certified key was made in the TPM, cannot leave it, and is not restricted',
  'key-strength': 'the key is strong enough',
  'key-parent': 'the certified key has the expected parent',
  trust: 'roots, endorsement keys or attestation keys to trust were given',
  certificates: 'the certificates are within the limits',
  activation: 'the attestation key and the endorsement key are in the same TPM',
  'ek-attributes': 'the endorsement key is a restricted decryption key, and cannot leave the TPM',
  'ek-strength': 'the endorsement key is strong enough',
  'ek-listed': 'the endorsement key is on the allow list',
  'ak-key': 'the certificate is for the attestation key',
  'ak-key-usage': "the certificate's key usage allows signatures",
  'ak-manufacturer': "the certificate's TPM manufacturer is allowed",
  'ak-ek': 'the certificate is not for another endorsement key',
  possession: 'the key signed the challenge',
};

/** Collects findings, of evidence or of a format that holds it. */
export class Findings<Id extends string = CheckId> {
  readonly list: Finding<Id>[] = [];

  /** Runs one check. `test` returns or throws the problem; `holds` is the detail if there is none. */
  check(id: Id, test: () => string | undefined, holds?: string): void {
    let problem: string | undefined;
    try {
      problem = test();
    } catch (error) {
      // A check that cannot be made has not passed.
      problem = sayError(error);
    }
    const base = id.slice(id.indexOf('/') + 1) as keyof typeof HOLDS;
    this.list.push({
      id,
      status: problem === undefined ? 'pass' : 'fail',
      detail: printable(problem ?? holds ?? HOLDS[base] ?? ''),
    });
  }

  /** Returns the result of `work`; `undefined` if it throws, which is a finding. */
  make<T>(id: Id, work: () => T): T | undefined {
    let made: T | undefined;
    this.check(id, () => {
      made = work();
      return undefined;
    });
    return made;
  }

  /** Appends findings. */
  add(found: readonly Finding<Id>[]): void {
    this.list.push(...found);
  }
}

/** Returns the result of `make`, which is called until it has succeeded once. */
export function lazy<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
