import { type Command, command, type HandleArg } from '../command.ts';
import { TPMT_SIG_SCHEME, TPMT_SIGNATURE, type TpmtSignature, type TpmtSigScheme } from '../structures/algorithm.ts';
import { TPM2B_ATTEST } from '../structures/attest.ts';
import {
  TPM2B_DATA,
  TPM2B_DIGEST,
  TPML_PCR_SELECTION,
  TPMT_TK_CREATION,
  type TpmsPcrSelection,
  type TpmtTkCreation,
} from '../structures/base.ts';

/** Arguments of {@link Certify}. */
export interface CertifyArgs {
  objectHandle: HandleArg;
  signHandle: HandleArg;
  qualifyingData: Uint8Array;
  inScheme: TpmtSigScheme;
}
/** Answer of {@link Certify}. */
export interface CertifyResult {
  /** The signed TPMS_ATTEST. */
  certifyInfo: Uint8Array;
  signature: TpmtSignature;
}
/** Proves that an object is loaded in the TPM. TPM2_Certify, Part 3, 18.2. */
export const Certify: Command<CertifyArgs, CertifyResult> = command('Certify', {
  handles: { objectHandle: 'admin', signHandle: 'user' },
  parameters: { qualifyingData: TPM2B_DATA, inScheme: TPMT_SIG_SCHEME },
  answer: { certifyInfo: TPM2B_ATTEST, signature: TPMT_SIGNATURE },
});

/** Arguments of {@link CertifyCreation}. */
export interface CertifyCreationArgs {
  signHandle: HandleArg;
  objectHandle: HandleArg;
  qualifyingData: Uint8Array;
  creationHash: Uint8Array;
  inScheme: TpmtSigScheme;
  creationTicket: TpmtTkCreation;
}
/** Proves that the TPM made an object, by its creation ticket. TPM2_CertifyCreation, Part 3, 18.3. */
export const CertifyCreation: Command<CertifyCreationArgs, CertifyResult> = command('CertifyCreation', {
  handles: { signHandle: 'user', objectHandle: 'none' },
  parameters: {
    qualifyingData: TPM2B_DATA,
    creationHash: TPM2B_DIGEST,
    inScheme: TPMT_SIG_SCHEME,
    creationTicket: TPMT_TK_CREATION,
  },
  answer: { certifyInfo: TPM2B_ATTEST, signature: TPMT_SIGNATURE },
});

/** Arguments of {@link Quote}. */
export interface QuoteArgs {
  signHandle: HandleArg;
  qualifyingData: Uint8Array;
  inScheme: TpmtSigScheme;
  PCRselect: readonly TpmsPcrSelection[];
}
/** Signs values of PCRs. TPM2_Quote, Part 3, 18.4. */
export const Quote: Command<QuoteArgs, { quoted: Uint8Array; signature: TpmtSignature }> = command('Quote', {
  handles: { signHandle: 'user' },
  parameters: { qualifyingData: TPM2B_DATA, inScheme: TPMT_SIG_SCHEME, PCRselect: TPML_PCR_SELECTION },
  answer: { quoted: TPM2B_ATTEST, signature: TPMT_SIGNATURE },
});
