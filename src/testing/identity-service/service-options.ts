import type { Tier } from '../../attestation/evidence.ts';
import type { KeyIdentity } from '../../attestation/key-checks.ts';
import type { DirectoryConnection } from '../directory/directory-connection.ts';
import type { Intercept } from './intercept.ts';

/** How the service answers when it asks a user for a second factor. */
export interface MfaBehaviour {
  /** `ignore`: as a user who does not look at the phone. */
  readonly answer: 'approve' | 'deny' | 'ignore';
  /** How long the user takes, in milliseconds of the service's clock. Default 0. */
  readonly afterMs?: number | undefined;
}

/** A user whom the service knows. */
export interface ServiceUser {
  /** User principal name. */
  readonly upn: string;
  /** Of the first factor. */
  readonly password: string;
  /** Default: approves at once. */
  readonly mfa?: MfaBehaviour | undefined;
  /** Whether the Graph look-alike shows this user the keys of others too. Default false. */
  readonly administrator?: boolean | undefined;
}

/** What the service makes of the attestation of a key that is registered. */
export interface AttestationPolicy {
  /**
   * `ignore`: it is not looked at. `verify`: a key without is software, and what comes must be good. `require`: it must
   * come. Default `verify`.
   */
  readonly attestation?: 'ignore' | 'verify' | 'require' | undefined;
  /** The least tier that is taken. Default `software`, with `require` `virtual`. */
  readonly minTier?: Tier | undefined;
  /** Roots of other authorities that certify attestation keys, in DER. Those that the service itself certifies, it knows. */
  readonly akRoots?: readonly Uint8Array[] | undefined;
  /** Roots of the makers of TPMs, in DER, for its own attestation CA. */
  readonly ekRoots?: readonly Uint8Array[] | undefined;
  /** Endorsement keys that its attestation CA takes without a certificate. */
  readonly ekAllowList?: readonly KeyIdentity[] | undefined;
  /** Makers of TPMs that are taken, as for `verifyEkCertificate`. */
  readonly allowedManufacturers?: readonly string[] | undefined;
  /** Takes signatures with SHA-1 in attestations. Default false. */
  readonly acceptSha1?: boolean | undefined;
}

/** Options of `startIdentityService`. */
export interface IdentityServiceOptions extends AttestationPolicy {
  readonly users: readonly ServiceUser[];
  /** Where its state is kept, keys of the service among it. Default: a temporary directory, which goes with it. */
  readonly directory?: string | undefined;
  /** Port on 127.0.0.1. Default: one that the system chooses. */
  readonly port?: number | undefined;
  /** GUID of the tenant. Default: a new one for each state. */
  readonly tenantId?: string | undefined;
  /** Which bodies of key registrations it takes: MS-KPP as published, or also that with attestation. Default `attested`. */
  readonly profile?: 'strict' | 'attested' | undefined;
  /** What `amr` must hold for a key registration. Default: `ngcmfa` only. */
  readonly mfaClaims?: readonly ('ngcmfa' | 'mfa')[] | undefined;
  /** How old the second factor may be, in milliseconds. Default 600,000. */
  readonly mfaMaxAgeMs?: number | undefined;
  /** The directory that the synchronization writes to and sign-in reads from. Without, there is neither. */
  readonly onPremises?: DirectoryConnection | undefined;
  /** From the registration of a key to its way into the directory, in milliseconds. Default 1,800,000. */
  readonly syncIntervalMs?: number | undefined;
  /** Named in `pctx`. Default `dc1.contoso.test`. */
  readonly domainController?: string | undefined;
  /** Seconds that a client must leave between two looks with a device code. Default 5. */
  readonly pollIntervalS?: number | undefined;
  /** Seconds that a device code holds. Default 900. */
  readonly deviceCodeLifetimeS?: number | undefined;
  /** Most items on a page of the Graph look-alike. Default 100. */
  readonly pageSize?: number | undefined;
  /** Faults: asked before each request. */
  readonly intercept?: Intercept | undefined;
  /** The clock of everything but TLS. */
  readonly now?: (() => Date) | undefined;
  /** Ends the start. */
  readonly signal?: AbortSignal | undefined;
}
