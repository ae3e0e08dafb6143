import type { Tier } from '../../attestation/evidence.ts';
import type { KeyIdentity } from '../../attestation/key-checks.ts';
import type { DirectoryConnection } from '../directory/directory-connection.ts';
import type { Intercept } from './intercept.ts';

/** How a user answers a request for a second factor. */
export interface MfaBehaviour {
  /** `ignore`: the user never answers. */
  readonly answer: 'approve' | 'deny' | 'ignore';
  /** How long the user takes, in milliseconds of the service's clock. Default 0. */
  readonly afterMs?: number | undefined;
}

/** A user of the service. */
export interface ServiceUser {
  /** User principal name. */
  readonly upn: string;
  /** Password, the first factor. */
  readonly password: string;
  /** Default: approves at once. */
  readonly mfa?: MfaBehaviour | undefined;
  /** Whether the simulated Microsoft Graph lets this user read and remove other users' keys. Default false. */
  readonly administrator?: boolean | undefined;
}

/** How the service checks the attestation of a key. */
export interface AttestationPolicy {
  /**
   * `ignore`: does not check attestation. `verify`: checks it; a key without attestation counts as software. `require`:
   * refuses keys without attestation. Default `verify`.
   */
  readonly attestation?: 'ignore' | 'verify' | 'require' | undefined;
  /** The lowest accepted tier. Default `software`; with `require`, `virtual`. */
  readonly minTier?: Tier | undefined;
  /**
   * Roots of other CAs that certify attestation keys, in DER. The service always accepts keys that it certified itself.
   */
  readonly akRoots?: readonly Uint8Array[] | undefined;
  /** Roots of TPM manufacturers, in DER, for the service's attestation CA. */
  readonly ekRoots?: readonly Uint8Array[] | undefined;
  /** Endorsement keys that the service's attestation CA accepts without a certificate. */
  readonly ekAllowList?: readonly KeyIdentity[] | undefined;
  /** Accepted TPM manufacturers, as for `verifyEkCertificate`. */
  readonly allowedManufacturers?: readonly string[] | undefined;
  /** Accepts SHA-1 signatures in attestations. Default false. */
  readonly acceptSha1?: boolean | undefined;
}

/** Options of `startIdentityService`. */
export interface IdentityServiceOptions extends AttestationPolicy {
  readonly users: readonly ServiceUser[];
  /**
   * The directory for the service's state, including its keys. Default: a temporary directory, removed when the service
   * closes.
   */
  readonly directory?: string | undefined;
  /** Port on 127.0.0.1. Default: chosen by the system. */
  readonly port?: number | undefined;
  /** GUID of the tenant. Default: a new one for each state. */
  readonly tenantId?: string | undefined;
  /**
   * Accepted bodies of key registrations. `strict`: MS-KPP as published. `attested`: also with attestation. Default
   * `attested`.
   */
  readonly profile?: 'strict' | 'attested' | undefined;
  /** Values of `amr` that count as MFA for a key registration. Default: `ngcmfa` only. */
  readonly mfaClaims?: readonly ('ngcmfa' | 'mfa')[] | undefined;
  /** The maximum age of the MFA, in milliseconds. Default 600,000. */
  readonly mfaMaxAgeMs?: number | undefined;
  /** The directory that synchronization writes to and sign-in reads from. Absent: neither is available. */
  readonly onPremises?: DirectoryConnection | undefined;
  /** Delay from the registration of a key to its synchronization, in milliseconds. Default 1,800,000. */
  readonly syncIntervalMs?: number | undefined;
  /** The domain controller in `pctx`. Default `dc1.contoso.test`. */
  readonly domainController?: string | undefined;
  /** Minimum seconds between two polls with a device code. Default 5. */
  readonly pollIntervalS?: number | undefined;
  /** Lifetime of a device code in seconds. Default 900. */
  readonly deviceCodeLifetimeS?: number | undefined;
  /** Maximum number of items per page of the simulated Microsoft Graph. Default 100. */
  readonly pageSize?: number | undefined;
  /** Called before each request, to inject faults. */
  readonly intercept?: Intercept | undefined;
  /** The clock, except for TLS. */
  readonly now?: (() => Date) | undefined;
  /** Aborts the start. */
  readonly signal?: AbortSignal | undefined;
}
