import type { Credential } from '../attestation/credential.ts';
import { toHex, uint32At, wipe } from '../bytes.ts';
import { sayError } from '../errors.ts';
import { decodeSizedCredential, decodeTpm2ToolsCredential } from '../formats/services/credential-encodings.ts';
import { type CngBlob, decodeCngBlob } from '../formats/windows/cng-blob.ts';
import { decodeFileTime } from '../formats/windows/file-time.ts';
import { decodeKads, type Kads } from '../formats/windows/kads.ts';
import { decodeKast, type Kast } from '../formats/windows/kast.ts';
import {
  KEY_CREDENTIAL_ENTRY,
  KEY_CREDENTIAL_SOURCE,
  KEY_CREDENTIAL_USAGE,
  parseKeyCredentialLink,
} from '../formats/windows/key-credential-link.ts';
import { findKeyCredentialProblems } from '../formats/windows/key-credential-problems.ts';
import { decodeKeyMaterial } from '../formats/windows/key-material.ts';
import { decodePcpKeyBlob, hasPcpPolicy, type PcpKeyBlob } from '../formats/windows/pcp-key-blob.ts';
import { decodeTachChallenge } from '../formats/windows/tach-challenge.ts';
import { TPMS_CREATION_DATA, TPMS_ID_OBJECT } from '../tpm/structures/object.ts';
import { describePublicKey } from './describe-key.ts';
import { bytesField, dateField, field, group, listOf, nested, optional, secretField, unreadable } from './fields.ts';
import type { Format } from './format.ts';
import type { Description, Field, Part } from './inspection.ts';
import { certificationFields, publicAreaField, structureField } from './tpm-formats.ts';
import { isOfTpm2Tools, TPM2_TOOLS_CONTEXT } from './tpm2-tools-context.ts';

const startsWith =
  (mark: string) =>
  (bytes: Uint8Array): boolean =>
    [...mark].every((character, i) => bytes[i] === character.charCodeAt(0));
const CNG_MARK = /^(?:RSA[123]|EC[SK][1-6]|EC[DK][PV])$/;
/** The longest blob is of an RSA-16384 key with all its private parts. */
const MAX_CNG = 16_384;

/** The key in a CNG blob. Shows only the lengths of private parts. */
function describeCngBlob(bytes: Uint8Array): Description {
  const blob = decodeCngBlob(bytes);
  const { publicKey, secrets } = partsOf(blob);
  const { title, fields, ...rest } = describePublicKey(publicKey);
  try {
    const isPrivate = secrets.length > 0;
    return {
      ...rest,
      title: `CNG blob ${blob.magic}, ${isPrivate ? 'private' : 'public'} ${title}`,
      fields: [...fields, ...secrets.map(([name, secret]) => secretField(name, secret.length))],
    };
  } finally {
    wipe(...secrets.map(([, secret]) => secret));
  }
}

function partsOf({ key }: CngBlob) {
  const secrets = Object.entries<string | Uint8Array>({ ...key }).flatMap(([name, part]) =>
    part instanceof Uint8Array && ['p', 'q', 'dp', 'dq', 'qi', 'd'].includes(name) ? [[name, part] as const] : [],
  );
  return { publicKey: key, secrets };
}

/** A credential for TPM2_ActivateCredential. */
export function credentialFields({ credentialBlob, encryptedSecret }: Credential): Field[] {
  return [
    structureField('credentialBlob', TPMS_ID_OBJECT, credentialBlob),
    bytesField('encryptedSecret', encryptedSecret),
  ];
}

function describePcpKey(blob: PcpKeyBlob): Description {
  const problems = hasPcpPolicy(blob) ? [] : ["the list of policies does not match the key's authPolicy"];
  const fields = [
    field('form', blob.form),
    field('flags', `0x${blob.flags.toString(16)}${(blob.flags & 1) === 1 ? ' (needs an authorization value)' : ''}`),
    publicAreaField('public area', blob.pubArea),
    secretField('private area, encrypted by its parent', blob.privateArea.length),
    listOf('policies', blob.policyDigests, bytesField),
    ...Object.entries(blob.otherParts).map(([name, part]) => secretField(name, part.length)),
  ];
  return { problems, fields };
}

const kadsFields = ({ certInfo, signature, keyBlob }: Kads): Part[] => [
  ...certificationFields({ certInfo }, keyBlob.pubArea),
  bytesField('signature', signature),
  nested('key', describePcpKey(keyBlob)),
];

/** A KeyAttestationStatement. */
export function kastFields(bytes: Uint8Array): Part[] {
  const { idBinding, keyAttestation, aikOpaque } = decodeKast(bytes);
  const claims = [...(idBinding ? ['authority'] : []), ...(keyAttestation ? ['subject'] : [])].join(' and ');
  return [
    field('claim', claims || 'nothing'),
    ...optional(idBinding, (binding) => nested('attestation key', idBindingFields(binding))),
    ...optional(keyAttestation, (kads) => nested('key attestation', kadsFields(kads))),
    secretField('aikOpaque', aikOpaque.length),
  ];
}

const idBindingFields = (binding: NonNullable<Kast['idBinding']>): Part[] => [
  publicAreaField('public area', binding.pubArea),
  structureField('creation data', TPMS_CREATION_DATA, binding.creationData),
  ...certificationFields(binding),
];

const nameIn = (names: Readonly<Record<string, number>>, value: number): string =>
  Object.entries(names).find(([, number]) => number === value)?.[0] ?? `unknown (${value})`;

/** A value of msDS-KeyCredentialLink. */
export function describeKeyCredential(bytes: Uint8Array): Description {
  const link = parseKeyCredentialLink(bytes);
  const problems = findKeyCredentialProblems(link).map(({ detail }) => detail);
  const custom = link.customKeyInformation;
  const known: readonly number[] = Object.values(KEY_CREDENTIAL_ENTRY);
  const others = link.entries.filter(({ id }) => !known.includes(id));
  const fields = [
    bytesField('KeyID', link.keyId),
    ...optional(link.keyHash, (hash) => bytesField('KeyHash', hash)),
    keyMaterialField(link.keyMaterial, problems),
    field('usage', nameIn(KEY_CREDENTIAL_USAGE, link.usage)),
    ...optional(link.source, (source) => field('source', nameIn(KEY_CREDENTIAL_SOURCE, source))),
    ...optional(link.deviceId, (id) => field('device', id)),
    ...optional(custom, ({ rest, ...numbers }) =>
      group('custom key information', [
        ...Object.entries(numbers).map(([name, value]) => field(name, value)),
        ...optional(rest, (more) => bytesField('rest', more)),
      ]),
    ),
    ...optional(link.lastLogon, (time) => dateField('last logon', decodeFileTime(time))),
    ...optional(link.created, (time) => dateField('created', decodeFileTime(time))),
    ...others.map(({ id, value }) => bytesField(`entry ${id}`, value)),
  ];
  return { problems, fields };
}

function keyMaterialField(bytes: Uint8Array, known: readonly string[]): Part {
  try {
    const material = decodeKeyMaterial(bytes);
    if (material === undefined) return bytesField('key material', bytes);
    const { fields, title = '' } = describePublicKey(material.publicKey);
    return { name: 'key material', value: `${material.form}, ${title}`, fields };
  } catch (error) {
    // `findKeyCredentialProblems` already reports a KeyprovError. Another error is new.
    const message = sayError(error);
    return known.includes(message) ? bytesField('key material', bytes) : unreadable('key material', bytes, message);
  }
}

/** Structures of Windows, and the credential files of tpm2-tools. */
export const WINDOWS_FORMATS: readonly Format<Uint8Array>[] = [
  {
    format: 'kast',
    title: 'Windows key attestation statement (KAST)',
    claims: startsWith('KAST'),
    read: kastFields,
  },
  {
    format: 'kads',
    title: 'Windows key attestation (KADS)',
    claims: startsWith('KADS'),
    read: (bytes) => kadsFields(decodeKads(bytes)),
  },
  {
    format: 'pcp-key-blob',
    title: 'Windows Platform Crypto Provider key blob (PCPM)',
    claims: startsWith('PCPM'),
    read: (bytes) => describePcpKey(decodePcpKeyBlob(bytes)),
  },
  {
    format: 'tach-challenge',
    title: 'attestation challenge from a CA (TACH)',
    claims: startsWith('TACH'),
    read: (bytes) => {
      const { aikOpaque, ...credential } = decodeTachChallenge(bytes);
      return [...credentialFields(credential), secretField('aikOpaque', aikOpaque.length)];
    },
  },
  {
    format: 'cng-blob',
    title: 'CNG key blob',
    claims: (bytes) => bytes.length <= MAX_CNG && CNG_MARK.test(String.fromCharCode(...bytes.subarray(0, 4))),
    read: describeCngBlob,
  },
  {
    format: 'key-credential-link',
    title: 'key credential from a directory (KEYCREDENTIALLINK_BLOB)',
    claims: (bytes) => toHex(bytes.subarray(0, 4)) === '00020000' && (bytes[6] ?? 0) <= 9,
    read: describeKeyCredential,
  },
  {
    format: 'tpm2-tools-credential',
    title: 'tpm2-tools credential file',
    claims: (bytes) => isOfTpm2Tools(bytes) && uint32At(bytes, 4) === 1 && !TPM2_TOOLS_CONTEXT.claims(bytes),
    read: (bytes) => credentialFields(decodeTpm2ToolsCredential(bytes)),
  },
  TPM2_TOOLS_CONTEXT,
  {
    format: 'sized-credential',
    title: 'credential (TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET)',
    unmarked: true,
    claims: (bytes) => bytes[0] === 0 && bytes.length < 1024,
    read: (bytes) => credentialFields(decodeSizedCredential(bytes)),
  },
];
