const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** A time that a peer names. */
export type PeerTime =
  | 'device-code-interval'
  | 'device-code-lifetime'
  | 'token-lifetime'
  | 'retry-after'
  | 'sync-interval';

/** Bounds of every time that a peer names, in milliseconds. */
export const PEER_TIMES: Readonly<Record<PeerTime, { readonly least: number; readonly most: number }>> = {
  /** From one poll for the token to the next. RFC 8628, 3.2: 5 seconds if the service does not say. */
  'device-code-interval': { least: SECOND_MS, most: 5 * MINUTE_MS },
  /** How long a user may sign in with a code. */
  'device-code-lifetime': { least: 0, most: HOUR_MS },
  /** How long a token is valid. */
  'token-lifetime': { least: 0, most: 366 * DAY_MS },
  /** How long to wait before the next request to a service. RFC 9110, 10.2.3. */
  'retry-after': { least: 0, most: DAY_MS },
  /** From one synchronization of directories to the next. */
  'sync-interval': { least: MINUTE_MS, most: 31 * DAY_MS },
};

/** Limits a peer's time to its bounds, none of which is too long for a timer or a date. */
export function peerTime(kind: PeerTime, milliseconds: number): number {
  const { least, most } = PEER_TIMES[kind];
  return Number.isNaN(milliseconds) ? least : Math.min(Math.max(milliseconds, least), most);
}
