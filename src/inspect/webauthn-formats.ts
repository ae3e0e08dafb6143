import { encodeBareSignature } from '../attestation/signature.ts';
import { decodeCbor, decodeIndefiniteCbor, encodeCbor, isMap } from '../crypto/cbor.ts';
import { COSE_ALG, type CoseKey, decodeCoseKey } from '../formats/webauthn/cose-key.ts';
import { decodeTpmAttestationObject, type TpmAttestationObject } from '../formats/webauthn/tpm-attestation-object.ts';
import { type AuthenticatorData, decodeAuthenticatorData } from '../formats/webauthn/webauthn-authenticator-data.ts';
import { decode } from '../tpm/codec/index.ts';
import { TPMT_SIGNATURE } from '../tpm/structures/algorithm.ts';
import { certificatesField } from './certificate-parts.ts';
import { describePublicKey } from './describe-key.ts';
import { bytesField, field, group, nested, optional, orNothing } from './fields.ts';
import type { Format } from './format.ts';
import type { Description, Part } from './inspection.ts';
import { certificationFields, publicAreaField } from './tpm-formats.ts';

const isCborMap = (bytes: Uint8Array): boolean => (bytes[0] ?? 0) >>> 5 === 5;
const ATTESTED_CREDENTIAL = 0x40;

/** Objects of WebAuthn and COSE. */
export const WEBAUTHN_FORMATS: readonly Format<Uint8Array>[] = [
  {
    format: 'attestation-object',
    title: 'WebAuthn or ACME attestation object',
    // With its members in any order, and even if the rest of it is damaged.
    claims: (bytes) => isCborMap(bytes) && Buffer.from(bytes).includes('attStmt'),
    read: (bytes) => inDefiniteForm(bytes, describeObject),
  },
  {
    format: 'cose-key',
    title: 'COSE key',
    unmarked: true,
    claims: isCborMap,
    read: (bytes) => inDefiniteForm(bytes, (definite) => describeCoseKey(decodeCoseKey(definite))),
  },
  {
    format: 'authenticator-data',
    title: 'WebAuthn authenticator data',
    unmarked: true,
    // Without a credential, any 37 bytes would qualify.
    claims: (bytes) => bytes.length > 55 && ((bytes[32] ?? 0) & ATTESTED_CREDENTIAL) !== 0,
    read: (bytes) => authenticatorDataFields(decodeAuthenticatorData(bytes)),
  },
];

/** Describes CBOR. If it has indefinite lengths, says so and describes the same value with definite ones. */
function inDefiniteForm(bytes: Uint8Array, describe: (bytes: Uint8Array) => Description): Description {
  const definite = definiteForm(bytes);
  if (definite === undefined) return describe(bytes);
  const { problems = [], ...rest } = describe(definite);
  return { ...rest, problems: ['it is CBOR with indefinite lengths, which readers reject', ...problems] };
}

/** The same value with definite lengths; `undefined` if it has them already, or is not CBOR. */
function definiteForm(bytes: Uint8Array): Uint8Array | undefined {
  if (orNothing(() => decodeCbor(bytes)) !== undefined) return undefined;
  const value = orNothing(() => decodeIndefiniteCbor(bytes));
  return value && isMap(value) ? encodeCbor(value) : undefined;
}

/** An attestation object, of the format tpm or another one. */
export function describeObject(bytes: Uint8Array): Description {
  const outer = decodeCbor(bytes);
  const format = isMap(outer) ? outer.get('fmt') : undefined;
  if (typeof format === 'string' && format !== 'tpm') {
    return {
      problems: [`its format is ${JSON.stringify(format)}; keyprov reads only tpm`],
      fields: [field('fmt', format)],
    };
  }
  return describeAttestationObject(decodeTpmAttestationObject(bytes));
}

/** An attestation object of the format tpm. */
export function describeAttestationObject(object: TpmAttestationObject): Description {
  const { algorithm, certificates, signature, certInfo, pubArea, authData } = object;
  const fields = [
    field('alg', algorithmName(algorithm)),
    ...certificationFields({ certInfo }, pubArea),
    field('signature form', isTpmtSignature(signature) ? 'TPMT_SIGNATURE, as ACME servers expect it' : 'bare'),
    bytesField('signature', signature),
    publicAreaField('key', pubArea),
    certificatesField('certificates', certificates),
    ...optional(authData, (data) =>
      nested('authenticator data', authenticatorDataFields(decodeAuthenticatorData(data))),
    ),
  ];
  const title = `attestation object of a TPM, for ${authData === undefined ? 'ACME' : 'WebAuthn'}`;
  return { title, fields };
}

/** The length of a bare signature never fits. */
const isTpmtSignature = (bytes: Uint8Array): boolean =>
  orNothing(() => encodeBareSignature(decode(TPMT_SIGNATURE, bytes)).length > 0) ?? false;

const algorithmName = (number: number): string =>
  Object.entries(COSE_ALG).find(([, value]) => value === number)?.[0] ?? `${number}`;

function describeCoseKey({ publicKey, algorithm }: CoseKey): Description {
  const { title, fields, ...rest } = describePublicKey(publicKey);
  const algorithmField = optional(algorithm, (number) => field('alg', algorithmName(number)));
  return { ...rest, title: `COSE key, ${title}`, fields: [...algorithmField, ...fields] };
}

function authenticatorDataFields(data: AuthenticatorData): Part[] {
  const { credential, extensions, rpIdHash, signCount, ...flags } = data;
  const set = Object.entries(flags).flatMap(([name, value]) => (value ? [name] : []));
  return [
    bytesField('rpIdHash', rpIdHash),
    field('flags', set.join(', ') || '(none)'),
    field('signCount', signCount),
    ...optional(credential, ({ aaguid, credentialId, key }) =>
      group('credential', [
        bytesField('AAGUID', aaguid),
        bytesField('credential id', credentialId),
        nested('key', describeCoseKey(key)),
      ]),
    ),
    ...optional(extensions, (map) => field('extensions', [...map.keys()].join(', '))),
  ];
}
