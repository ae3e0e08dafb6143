import type { ServiceAuthority } from './authority.ts';
import type { MfaSimulation } from './mfa.ts';
import type { IdentityServiceOptions } from './service-options.ts';
import type { ServiceState } from './state.ts';
import type { TokenIssuer } from './tokens.ts';
import type { ServiceUsers } from './users.ts';

/** What the handlers of the service share. */
export interface ServiceContext {
  readonly options: IdentityServiceOptions;
  readonly now: () => Date;
  /** `https://localhost:PORT` */
  readonly origin: () => string;
  readonly tenantId: string;
  readonly state: ServiceState;
  readonly authority: ServiceAuthority;
  readonly tokens: TokenIssuer;
  readonly users: ServiceUsers;
  readonly mfa: MfaSimulation;
  /** How the Graph look-alike is throttled now. */
  readonly throttle: { requests: number; retryAfterS: number };
}

/** The identifier by which tokens name the registration service. */
export const REGISTRATION_RESOURCE = 'urn:ms-drs:localhost';
/** The same for Microsoft Graph. */
export const GRAPH_RESOURCE = 'https://graph.microsoft.com';
