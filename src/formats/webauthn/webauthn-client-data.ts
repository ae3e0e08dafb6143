import { type Bytes, checkObject, toBase64Url, utf8 } from '../../bytes.ts';
import { JsonMembers } from '../../json.ts';
import { requestInvalid } from '../x509/in-request.ts';

/** The client data in `clientDataJSON`. WebAuthn Level 3, 5.8.1. */
export interface WebauthnClientData {
  readonly type: 'webauthn.create' | 'webauthn.get';
  /** The challenge of the relying party. */
  readonly challenge: Uint8Array;
  /** The origin of the caller: `https://login.example`. */
  readonly origin: string;
  readonly crossOrigin: boolean;
}

const TYPES = ['webauthn.create', 'webauthn.get'] as const;
/** Control characters, and halves of surrogate pairs. */
const NOT_IN_ORIGIN = /\p{Cc}|\p{Cs}/u;

/**
 * The bytes of a `clientDataJSON` in the serialization of WebAuthn Level 3, 5.8.1.1.
 * @throws TypeError for another type, and for an origin with control characters.
 *
 * @example
 * ```ts
 * import { buildWebauthnClientData, parseWebauthnClientData } from 'keyprov/formats/webauthn';
 *
 * declare const challenge: Uint8Array;
 * const parts = { type: 'webauthn.create', challenge, origin: 'https://login.example', crossOrigin: false } as const;
 * console.log(parseWebauthnClientData(buildWebauthnClientData(parts)).origin);
 * ```
 */
export function buildWebauthnClientData(data: WebauthnClientData): Bytes {
  const { type, challenge, origin, crossOrigin } = checkObject(
    data,
    'client data',
    'type:string',
    'challenge:bytes',
    'origin:string',
  );
  if (!TYPES.includes(type)) throw new TypeError(`the type must be ${TYPES.join(' or ')}`);
  // Only for these does JSON.stringify escape differently from that serialization.
  if (NOT_IN_ORIGIN.test(origin)) throw new TypeError('the origin has control characters');
  return utf8(JSON.stringify({ type, challenge: toBase64Url(challenge), origin, crossOrigin }));
}

/**
 * Reads a `clientDataJSON`. Ignores unknown members; a missing `crossOrigin` is false (5.8.1).
 * @throws KeyprovError `request-invalid` for anything else.
 */
export function parseWebauthnClientData(json: Uint8Array): WebauthnClientData {
  const members = JsonMembers.parse('clientDataJSON', json, requestInvalid);
  const type = members.oneOf('type', TYPES);
  const crossOrigin = members.has('crossOrigin') && members.boolean('crossOrigin');
  const origin = members.text('origin');
  if (NOT_IN_ORIGIN.test(origin)) throw members.wrong('origin', 'it has control characters');
  return { type, challenge: members.base64Url('challenge'), origin, crossOrigin };
}
