import type { ServiceAuthority } from './authority.ts';
import type { MfaSimulation } from './mfa.ts';
import type { IdentityServiceOptions } from './service-options.ts';
import type { ServiceState } from './state.ts';
import type { TokenIssuer } from './tokens.ts';
import type { ServiceUsers } from './users.ts';

/** Context shared by the handlers of the service. */
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
  /** Present throttling of the Graph look-alike. */
  readonly throttle: { requests: number; retryAfterS: number };
}

/** The registration service's identifier in tokens. */
export const REGISTRATION_RESOURCE = 'urn:ms-drs:localhost';
/** Microsoft Graph's identifier in tokens. */
export const GRAPH_RESOURCE = 'https://graph.microsoft.com';
