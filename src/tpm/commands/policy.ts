import { type Codec, unsigned } from '../codec/index.ts';
import { type Command, command, type HandleArg } from '../command.ts';
import { TPMT_SIGNATURE, type TpmtSignature } from '../structures/algorithm.ts';
import {
  TPM_CC_CODE,
  TPM2B_DIGEST,
  TPM2B_NAME,
  TPM2B_NONCE,
  TPM2B_TIMEOUT,
  TPMA_LOCALITY,
  TPMI_YES_NO,
  TPML_DIGEST,
  TPML_PCR_SELECTION,
  TPMT_TK_AUTH,
  TPMT_TK_VERIFIED,
  type TpmaLocality,
  type TpmsPcrSelection,
  type TpmtTkAuth,
  type TpmtTkVerified,
  UINT16,
} from '../structures/base.ts';

/** Seconds as a signed integer, for the expiration of an authorization. INT32. */
const INT32: Codec<number> = (() => {
  const bits = unsigned('INT32', 4);
  return {
    ...bits,
    write: (out, value) => bits.write(out, value < 0 ? value + 2 ** 32 : value),
    read: (input) => bits.read(input) | 0,
  };
})();

/** The policy session that a policy command extends. */
export interface PolicySession {
  policySession: HandleArg;
}
const SESSION = { policySession: 'none' } as const;

/** The result of an authorization, with a ticket for it if one was requested. */
export interface PolicyTicketResult {
  timeout: Uint8Array;
  policyTicket: TpmtTkAuth;
}

/** Arguments of {@link PolicySigned}. */
export interface PolicySignedArgs extends PolicySession {
  authObject: HandleArg;
  nonceTPM: Uint8Array;
  cpHashA: Uint8Array;
  policyRef: Uint8Array;
  expiration: number;
  auth: TpmtSignature;
}
/** Requires a signature over the session's nonce. TPM2_PolicySigned, Part 3, 23.3. */
export const PolicySigned: Command<PolicySignedArgs, PolicyTicketResult> = command('PolicySigned', {
  handles: { authObject: 'none', policySession: 'none' },
  parameters: {
    nonceTPM: TPM2B_NONCE,
    cpHashA: TPM2B_DIGEST,
    policyRef: TPM2B_NONCE,
    expiration: INT32,
    auth: TPMT_SIGNATURE,
  },
  answer: { timeout: TPM2B_TIMEOUT, policyTicket: TPMT_TK_AUTH },
});

/** Arguments of {@link PolicySecret}. */
export interface PolicySecretArgs extends PolicySession {
  authHandle: HandleArg;
  nonceTPM: Uint8Array;
  cpHashA: Uint8Array;
  policyRef: Uint8Array;
  expiration: number;
}
/** Requires the authorization value of an entity. TPM2_PolicySecret, Part 3, 23.4. */
export const PolicySecret: Command<PolicySecretArgs, PolicyTicketResult> = command('PolicySecret', {
  handles: { authHandle: 'user', policySession: 'none' },
  parameters: { nonceTPM: TPM2B_NONCE, cpHashA: TPM2B_DIGEST, policyRef: TPM2B_NONCE, expiration: INT32 },
  answer: { timeout: TPM2B_TIMEOUT, policyTicket: TPMT_TK_AUTH },
});

/** Arguments of {@link PolicyTicket}. */
export interface PolicyTicketArgs extends PolicySession {
  timeout: Uint8Array;
  cpHashA: Uint8Array;
  policyRef: Uint8Array;
  /** The Name of the entity that gave the authorization. */
  authName: Uint8Array;
  ticket: TpmtTkAuth;
}
/** Repeats an authorization, using its ticket. TPM2_PolicyTicket, Part 3, 23.5. */
export const PolicyTicket: Command<PolicyTicketArgs, object> = command('PolicyTicket', {
  handles: SESSION,
  parameters: {
    timeout: TPM2B_TIMEOUT,
    cpHashA: TPM2B_DIGEST,
    policyRef: TPM2B_NONCE,
    authName: TPM2B_NAME,
    ticket: TPMT_TK_AUTH,
  },
});

/** Requires one of several policies. TPM2_PolicyOR, Part 3, 23.6. */
export const PolicyOR: Command<PolicySession & { pHashList: readonly Uint8Array[] }, object> = command('PolicyOR', {
  handles: SESSION,
  parameters: { pHashList: TPML_DIGEST },
});

/** Requires values of PCRs. TPM2_PolicyPCR, Part 3, 23.7. */
export const PolicyPCR: Command<PolicySession & { pcrDigest: Uint8Array; pcrs: readonly TpmsPcrSelection[] }, object> =
  command('PolicyPCR', {
    handles: SESSION,
    parameters: { pcrDigest: TPM2B_DIGEST, pcrs: TPML_PCR_SELECTION },
  });

/** Requires a locality. TPM2_PolicyLocality, Part 3, 23.8. */
export const PolicyLocality: Command<PolicySession & { locality: TpmaLocality }, object> = command('PolicyLocality', {
  handles: SESSION,
  parameters: { locality: TPMA_LOCALITY },
});

/** Arguments of {@link PolicyNV}. */
export interface PolicyNvArgs extends PolicySession {
  authHandle: HandleArg;
  nvIndex: HandleArg;
  operandB: Uint8Array;
  offset: number;
  operation: number;
}
/** Requires a comparison with the contents of an NV index. TPM2_PolicyNV, Part 3, 23.9. */
export const PolicyNV: Command<PolicyNvArgs, object> = command('PolicyNV', {
  handles: { authHandle: 'user', nvIndex: 'none', policySession: 'none' },
  parameters: { operandB: TPM2B_DIGEST, offset: UINT16, operation: UINT16 },
});

/** Arguments of {@link PolicyCounterTimer}. */
export interface PolicyCounterTimerArgs extends PolicySession {
  operandB: Uint8Array;
  /** Offset in the TPMS_TIME_INFO, in bytes. */
  offset: number;
  operation: number;
}
/** Requires a comparison with the TPM's time and clock. TPM2_PolicyCounterTimer, Part 3, 23.10. */
export const PolicyCounterTimer: Command<PolicyCounterTimerArgs, object> = command('PolicyCounterTimer', {
  handles: SESSION,
  parameters: { operandB: TPM2B_DIGEST, offset: UINT16, operation: UINT16 },
});

/** Requires one command. TPM2_PolicyCommandCode, Part 3, 23.11. */
export const PolicyCommandCode: Command<PolicySession & { code: number }, object> = command('PolicyCommandCode', {
  handles: SESSION,
  parameters: { code: TPM_CC_CODE },
});

/** Requires physical presence. TPM2_PolicyPhysicalPresence, Part 3, 23.12. */
export const PolicyPhysicalPresence: Command<PolicySession, object> = command('PolicyPhysicalPresence', {
  handles: SESSION,
});

/** Requires certain parameters. TPM2_PolicyCpHash, Part 3, 23.13. */
export const PolicyCpHash: Command<PolicySession & { cpHashA: Uint8Array }, object> = command('PolicyCpHash', {
  handles: SESSION,
  parameters: { cpHashA: TPM2B_DIGEST },
});

/** Requires certain handles. TPM2_PolicyNameHash, Part 3, 23.14. */
export const PolicyNameHash: Command<PolicySession & { nameHash: Uint8Array }, object> = command('PolicyNameHash', {
  handles: SESSION,
  parameters: { nameHash: TPM2B_DIGEST },
});

/** Arguments of {@link PolicyDuplicationSelect}. */
export interface PolicyDuplicationSelectArgs extends PolicySession {
  objectName: Uint8Array;
  newParentName: Uint8Array;
  includeObject: 0 | 1;
}
/** Requires one new parent for duplication. TPM2_PolicyDuplicationSelect, Part 3, 23.15. */
export const PolicyDuplicationSelect: Command<PolicyDuplicationSelectArgs, object> = command(
  'PolicyDuplicationSelect',
  {
    handles: SESSION,
    parameters: { objectName: TPM2B_NAME, newParentName: TPM2B_NAME, includeObject: TPMI_YES_NO },
  },
);

/** Arguments of {@link PolicyAuthorize}. */
export interface PolicyAuthorizeArgs extends PolicySession {
  approvedPolicy: Uint8Array;
  policyRef: Uint8Array;
  keySign: Uint8Array;
  checkTicket: TpmtTkVerified;
}
/** Requires that an authority has approved the policy so far. TPM2_PolicyAuthorize, Part 3, 23.16. */
export const PolicyAuthorize: Command<PolicyAuthorizeArgs, object> = command('PolicyAuthorize', {
  handles: SESSION,
  parameters: {
    approvedPolicy: TPM2B_DIGEST,
    policyRef: TPM2B_NONCE,
    keySign: TPM2B_NAME,
    checkTicket: TPMT_TK_VERIFIED,
  },
});

/** Requires the authorization value of the object, proved by HMAC. TPM2_PolicyAuthValue, Part 3, 23.17. */
export const PolicyAuthValue: Command<PolicySession, object> = command('PolicyAuthValue', { handles: SESSION });

/** Requires the authorization value of the object, sent in clear. TPM2_PolicyPassword, Part 3, 23.18. */
export const PolicyPassword: Command<PolicySession, object> = command('PolicyPassword', { handles: SESSION });

/** Reads the digest of the policy so far. TPM2_PolicyGetDigest, Part 3, 23.19. */
export const PolicyGetDigest: Command<PolicySession, { policyDigest: Uint8Array }> = command('PolicyGetDigest', {
  handles: SESSION,
  answer: { policyDigest: TPM2B_DIGEST },
});

/** Requires that an NV index was, or was not, written. TPM2_PolicyNvWritten, Part 3, 23.20. */
export const PolicyNvWritten: Command<PolicySession & { writtenSet: 0 | 1 }, object> = command('PolicyNvWritten', {
  handles: SESSION,
  parameters: { writtenSet: TPMI_YES_NO },
});

/** Requires a certain template for the new object. TPM2_PolicyTemplate, Part 3, 23.21. */
export const PolicyTemplate: Command<PolicySession & { templateHash: Uint8Array }, object> = command('PolicyTemplate', {
  handles: SESSION,
  parameters: { templateHash: TPM2B_DIGEST },
});

/** Requires the policy that an NV index holds. TPM2_PolicyAuthorizeNV, Part 3, 23.22. */
export const PolicyAuthorizeNV: Command<PolicySession & { authHandle: HandleArg; nvIndex: HandleArg }, object> =
  command('PolicyAuthorizeNV', {
    handles: { authHandle: 'user', nvIndex: 'none', policySession: 'none' },
  });
