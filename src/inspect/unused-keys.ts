import { DerNode } from '../crypto/der-read.ts';
import { TAG } from '../crypto/der-write.ts';
import { decodeSpki, type PublicKey } from '../crypto/public-key.ts';
import { sayError } from '../errors.ts';
import { describePublicKey } from './describe-key.ts';
import { field, nested, unreadable } from './fields.ts';
import type { Description, Part } from './inspection.ts';

const EC_KEY = '1.2.840.10045.2.1';
/** What RSA keys (RFC 4055) and the curves of this library are called. */
const USED = new Set([
  ...['1.2.840.113549.1.1.1', '1.2.840.113549.1.1.7', '1.2.840.113549.1.1.10'],
  ...[EC_KEY, '1.2.840.10045.3.1.7', '1.3.132.0.34', '1.3.132.0.35'],
]);

/** Kinds of keys by their identifiers: RFC 8410, 3; RFC 3279, 2.3; SEC 2, 2.4.1; RFC 5639, 4.1. */
const KINDS: ReadonlyMap<string, string> = new Map([
  ['1.3.101.110', 'X25519'],
  ['1.3.101.111', 'X448'],
  ['1.3.101.112', 'Ed25519'],
  ['1.3.101.113', 'Ed448'],
  ['1.2.840.10040.4.1', 'DSA'],
  ['1.3.132.0.10', 'secp256k1'],
  ['1.3.36.3.3.2.8.1.1.7', 'brainpoolP256r1'],
  ['1.3.36.3.3.2.8.1.1.11', 'brainpoolP384r1'],
  ['1.3.36.3.3.2.8.1.1.13', 'brainpoolP512r1'],
]);

/** Names of kinds of keys that this library does not use. JWK has the same names. */
export const UNUSED_KINDS: ReadonlySet<string> = new Set(KINDS.values());

/** Types of SSH keys that this library does not use: RFC 4253, 6.6; RFC 8709, 4; OpenSSH's PROTOCOL.u2f. */
export const UNUSED_SSH_KEYS: ReadonlyMap<string, string> = new Map([
  ['ssh-ed25519', 'Ed25519'],
  ['ssh-ed448', 'Ed448'],
  ['ssh-dss', 'DSA'],
  ['sk-ssh-ed25519@openssh.com', 'Ed25519 in a security key'],
  ['sk-ecdsa-sha2-nistp256@openssh.com', 'P-256 in a security key'],
]);

/** A whole key of a kind that this library does not use. */
export const describeUnusedKey = (kind: string): Description => ({
  title: `${kind} key`,
  problems: [`keyprov does not support ${kind} keys`],
  fields: [field('kind', kind)],
});

/** A SubjectPublicKeyInfo. If this library does not use keys of its kind, says which kind it is. */
export function describeSpki(spki: Uint8Array, read: () => PublicKey = () => decodeSpki(spki)): Description {
  const kind = unusedKind(spki);
  if (kind !== undefined) return describeUnusedKey(kind);
  try {
    return describePublicKey(read());
  } catch (error) {
    const form = unusedForm(spki);
    if (form === undefined) throw error;
    return describeUnusedKey(form);
  }
}

/** The form of a key whose kind this library uses in other forms: RFC 4055, 1.2; RFC 3279, 2.3.5; SEC 1, 2.3.3. */
function unusedForm(spki: Uint8Array): string | undefined {
  const [algorithm, key] = DerNode.lenient(spki, 'SPKI').children();
  const [kind, parameters] = algorithm?.list(TAG.SEQUENCE) ?? [];
  if (kind?.tag !== TAG.OID) return undefined;
  if (kind.oid() !== EC_KEY) return FORMS.get(kind.oid());
  if (parameters?.tag === TAG.SEQUENCE) return 'elliptic-curve (explicit parameters)';
  return [2, 3].includes(key?.content[1] ?? 0) ? 'elliptic-curve (compressed point)' : undefined;
}

const FORMS: ReadonlyMap<string, string> = new Map([
  ['1.2.840.113549.1.1.7', 'RSAES-OAEP'],
  ['1.2.840.113549.1.1.10', 'RSASSA-PSS'],
]);

/** The key of a certificate or request. If it cannot be read, says why and shows its bytes. */
export function keyField(spki: Uint8Array, read?: () => PublicKey): Part {
  try {
    return nested('key', describeSpki(spki, read));
  } catch (error) {
    return unreadable('key', spki, `key: ${sayError(error)}`);
  }
}

function unusedKind(spki: Uint8Array): string | undefined {
  const [algorithm] = DerNode.lenient(spki, 'SPKI').children();
  const [kind, curve] = algorithm?.list(TAG.SEQUENCE) ?? [];
  if (kind?.tag !== TAG.OID) return undefined;
  const id = kind.oid() === EC_KEY && curve?.tag === TAG.OID ? curve.oid() : kind.oid();
  return USED.has(id) ? undefined : (KINDS.get(id) ?? id);
}
