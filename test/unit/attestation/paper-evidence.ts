import { TIERS, type Tier, type VerifyEvidenceOptions } from '../../../src/attestation/index.ts';
import type { AttestationStatement } from '../../../src/attestation/statement.ts';
import { encodeSpki } from '../../../src/crypto/public-key.ts';
import { type Certificate, parseCertificate } from '../../../src/crypto/x509.ts';
import { decode, encode } from '../../../src/tpm/codec/index.ts';
import { objectName } from '../../../src/tpm/names.ts';
import { publicKeyOf } from '../../../src/tpm/public-key.ts';
import { TPMT_PUBLIC, type TpmtPublic } from '../../../src/tpm/structures/object.ts';
import { ekTemplate } from '../../../src/tpm/templates.ts';
import {
  type CertificateSpec,
  issue,
  issueAuthority,
  type NameSpec,
  type TestCertificate,
} from '../../certificates.ts';
import { CHALLENGE, type Changes, type Kind, paperKey, paperStatement } from './paper-tpm.ts';

export const AK_PURPOSE = '2.23.133.8.3';
export const EK_PURPOSE = '2.23.133.8.1';

/** A TPM's name in certificates; by default, the maker is STMicroelectronics. */
export const tpmName = (manufacturer = 'id:53544D20', model = 'ST33'): { readonly directory: NameSpec } => ({
  directory: [[['2.23.133.2.1', manufacturer]], [['2.23.133.2.2', model]], [['2.23.133.2.3', 'id:00010257']]],
});

const spkiOf = (area: TpmtPublic): Uint8Array => encodeSpki(publicKeyOf(area));

/** The CAs of a test. */
export interface Authorities {
  readonly ak: TestCertificate;
  readonly akRoot: Certificate;
  readonly ek: TestCertificate;
  readonly ekRoot: Certificate;
}

export async function issueAuthorities(): Promise<Authorities> {
  const [ak, ek] = await Promise.all([issueAuthority('attestation CA'), issueAuthority('maker of TPMs')]);
  return { ak, akRoot: await parseCertificate(ak.der), ek, ekRoot: await parseCertificate(ek.der) };
}

/** Differences from genuine evidence. */
export interface EvidenceChanges extends Changes {
  readonly keyKind?: Kind;
  readonly akKind?: Kind;
  readonly akCertificate?: CertificateSpec;
  readonly akIssuer?: TestCertificate;
  readonly ek?: (area: TpmtPublic) => TpmtPublic;
  readonly ekCertificate?: CertificateSpec;
  readonly ekIssuer?: TestCertificate;
}

/** Evidence with every possible proof, genuine apart from `changes`. */
export async function paperEvidence(
  authorities: Authorities,
  changes: EvidenceChanges = {},
): Promise<AttestationStatement & Required<Pick<AttestationStatement, 'ek'>>> {
  const statement = paperStatement(changes.keyKind ?? 'p-256', changes.akKind ?? 'p-256', changes);
  const ek = paperKey(ekTemplate('L-2'), 'ek', changes.ek).area;
  const common = { subject: [], names: [tpmName()], namesCritical: true, ca: false };
  const [akCertificate, ekCertificate] = await Promise.all([
    issue(
      {
        ...{ ...common, purposes: [AK_PURPOSE], spki: spkiOf(decode(TPMT_PUBLIC, statement.ak.pubArea)) },
        ...changes.akCertificate,
      },
      changes.akIssuer ?? authorities.ak,
    ),
    issue(
      { ...common, purposes: [EK_PURPOSE], keyUsage: [4], spki: spkiOf(ek), ...changes.ekCertificate },
      changes.ekIssuer ?? authorities.ek,
    ),
  ]);
  return {
    ...statement,
    ak: { ...statement.ak, certificates: [akCertificate.der] },
    ek: { pubArea: encode(TPMT_PUBLIC, ek), certificates: [ekCertificate.der] },
  };
}

/** Options with which the evidence reaches the best tier. */
export function fullOptions(
  { akRoot, ekRoot }: Authorities,
  evidence: Pick<AttestationStatement, 'ak' | 'ek'>,
): VerifyEvidenceOptions {
  return {
    challenge: CHALLENGE,
    minTier: 'software',
    akRoots: [akRoot],
    ekRoots: [ekRoot],
    activation: { ak: { name: nameOf(evidence.ak.pubArea) }, ek: { pubArea: evidence.ek?.pubArea ?? CHALLENGE } },
  };
}

/** The Name of a key. */
export const nameOf = (pubArea: Uint8Array): Uint8Array => objectName(decode(TPMT_PUBLIC, pubArea));

/** The rank of a tier; -1 for none. */
export const rankOf = (tier: Tier | undefined): number => (tier === undefined ? -1 : TIERS.indexOf(tier));
