import { decodeActivationChallenge, decodeActivationResponse } from '../attestation/activation-challenge.ts';
import { type AttestationStatement, decodeStatement, type PublicPart } from '../attestation/statement.ts';
import { fromBase64, fromBase64Url, toBase64Url, utf8, wipe } from '../bytes.ts';
import { computeJwkThumbprint, decodeJwk, PRIVATE_JWK_MEMBERS } from '../crypto/jwk.ts';
import { decodeSpki, type PublicKey } from '../crypto/public-key.ts';
import { sayError } from '../errors.ts';
import { parseAcmeDeviceAttest } from '../formats/services/acme-device-attest.ts';
import {
  decodeGoAttestationCredential,
  decodeKeylimeBlob,
  decodeSmallstepCredential,
} from '../formats/services/credential-encodings.ts';
import {
  parseGoAttestationParameters,
  parseGoCertificationParameters,
  parseGoQuote,
} from '../formats/services/go-attestation.ts';
import { parseKeylimeActivation, parseKeylimeRegistration } from '../formats/services/keylime.ts';
import { parseSmallstepChain, parseSmallstepSecret } from '../formats/services/smallstep.ts';
import { parseWebauthnClientData } from '../formats/webauthn/webauthn-client-data.ts';
import { parseWebauthnRegistration } from '../formats/webauthn/webauthn-registration.ts';
import { decodeCngBlob } from '../formats/windows/cng-blob.ts';
import { decodeKeyMaterial } from '../formats/windows/key-material.ts';
import { parseKeyRegistration } from '../formats/windows/key-registration.ts';
import { requestInvalid } from '../formats/x509/in-request.ts';
import { isJsonObject, JsonMembers } from '../json.ts';
import { TPMS_CREATION_DATA } from '../tpm/structures/object.ts';
import { certificateField, certificatesField } from './certificate-parts.ts';
import { describePublicKey } from './describe-key.ts';
import { bytesField, field, gathered, group, joined, nested, optional, orNothing, secretField } from './fields.ts';
import type { Format } from './format.ts';
import type { Content, Description, Field, Part } from './inspection.ts';
import type { JsonInput } from './json-input.ts';
import { jsonField, OWN_JSON_FORMATS } from './own-formats.ts';
import { certificationFields, publicAreaField, structureField } from './tpm-formats.ts';
import { describeUnusedKey, UNUSED_KINDS } from './unused-keys.ts';
import { describeAttestationObject, describeObject } from './webauthn-formats.ts';
import { credentialFields, kastFields } from './windows-formats.ts';

const has =
  (...names: readonly string[]) =>
  ({ members }: JsonInput): boolean =>
    names.every((name) => members.has(name));

function clientDataFields(json: Uint8Array): Part[] {
  const { challenge, ...rest } = parseWebauthnClientData(json);
  const fields = Object.entries(rest).map(([name, value]) => field(name, value));
  return [...fields, bytesField('challenge', challenge)];
}

/** JSON objects, recognized by their members. */
export const JSON_FORMATS: readonly Format<JsonInput>[] = [
  ...OWN_JSON_FORMATS,
  {
    format: 'attestation-statement',
    title: 'attestation statement (attestation.json)',
    claims: has('pubArea', 'certInfo', 'signature', 'ak'),
    read: ({ value }) => statementFields(decodeStatement(value)),
  },
  {
    format: 'activation-challenge',
    title: 'credential activation challenge',
    claims: has('version', 'credentialBlob', 'encryptedSecret'),
    read: ({ value }) => credentialFields(decodeActivationChallenge(value)),
  },
  {
    format: 'activation-response',
    title: 'response to the credential activation challenge',
    claims: ({ members }) => members.size === 2 && members.has('version') && members.has('secret'),
    read: ({ value }) => secretFields(decodeActivationResponse(value).secret),
  },
  {
    format: 'key-registration',
    title: 'key registration request',
    claims: has('kngc'),
    read: describeRegistration,
  },
  { format: 'jwk', title: 'JSON Web Key', claims: has('kty'), read: describeJwk },
  {
    format: 'acme-device-attest',
    title: 'response to the ACME challenge device-attest-01',
    claims: has('attObj'),
    read: ({ text }) => describeAttestationObject(parseAcmeDeviceAttest(text)),
  },
  {
    format: 'webauthn-registration',
    title: 'WebAuthn registration (RegistrationResponseJSON)',
    claims: has('rawId', 'response'),
    read: ({ value }) => {
      const { credentialId, clientDataJson, attestationObject } = parseWebauthnRegistration(value);
      return [
        bytesField('credential id', credentialId),
        nested('client data', clientDataFields(clientDataJson)),
        nested('attestation object', describeObject(attestationObject)),
      ];
    },
  },
  {
    format: 'webauthn-client-data',
    title: 'WebAuthn clientDataJSON',
    claims: ({ members }) => /^webauthn\.(?:create|get)$/.test(textOf(members.get('type'))),
    read: ({ text }) => clientDataFields(utf8(text)),
  },
  {
    format: 'go-attestation-parameters',
    title: 'go-attestation AttestationParameters',
    claims: has('Public', 'CreateAttestation', 'UseTCSDActivationFormat'),
    read: ({ value }) => {
      const { pubArea, creationData, ...proof } = parseGoAttestationParameters(value);
      return [
        publicAreaField('attestation key', pubArea),
        structureField('creation data', TPMS_CREATION_DATA, creationData),
        ...certificationFields(proof, pubArea),
      ];
    },
  },
  {
    format: 'go-certification-parameters',
    title: 'go-attestation CertificationParameters',
    claims: has('Public', 'CreateAttestation'),
    read: ({ value }) => {
      const { pubArea, ...certification } = parseGoCertificationParameters(value);
      return [publicAreaField('key', pubArea), ...certificationFields(certification, pubArea)];
    },
  },
  {
    format: 'go-quote',
    title: 'go-attestation Quote',
    claims: has('Quote', 'Signature'),
    read: ({ value }) => certificationFields(parseGoQuote(value)),
  },
  {
    format: 'go-credential',
    title: 'go-attestation EncryptedCredential',
    claims: has('Credential', 'Secret'),
    read: ({ value }) => credentialFields(decodeGoAttestationCredential(value)),
  },
  {
    format: 'smallstep-credential',
    title: "credential from smallstep's attestation CA",
    claims: has('credential', 'secret'),
    read: ({ value }) => credentialFields(decodeSmallstepCredential(value)),
  },
  {
    format: 'smallstep-secret',
    title: "the secret of a credential, for smallstep's attestation CA",
    unmarked: true,
    claims: ({ members }) => members.size === 1 && members.has('secret'),
    read: ({ value }) => secretFields(parseSmallstepSecret(value)),
  },
  {
    format: 'smallstep-attest',
    title: "request to smallstep's attestation CA",
    claims: has('tpmInfo', 'params'),
    read: ({ value }) => smallstepFields(value),
  },
  {
    format: 'smallstep-chain',
    title: "certificates of smallstep's attestation CA",
    claims: has('chain'),
    read: ({ value }) => [certificatesField('certificates', parseSmallstepChain(value))],
  },
  {
    format: 'keylime-registration',
    title: "registration at keylime's registrar",
    claims: has('ek_tpm', 'aik_tpm'),
    read: ({ text, members }) => keylimeFields(text, members.has('agent_id')),
  },
  {
    format: 'keylime-activation',
    title: "activation at keylime's registrar",
    claims: has('auth_tag'),
    read: ({ text }) => {
      const { authTag } = parseKeylimeActivation({ method: 'POST', path: '/v3.0/agents/any/activate', body: text });
      return [secretField('auth_tag', authTag.length)];
    },
  },
  {
    format: 'keylime-credential',
    title: "credential of keylime's registrar",
    claims: ({ members }) => typeof blobIn(members) === 'string',
    read: ({ members }) => credentialFields(decodeKeylimeBlob(textOf(blobIn(members)))),
  },
  {
    format: 'fido-key-material',
    title: 'FIDO key material from a directory',
    claims: has('authData', 'x5c'),
    read: ({ text }) => {
      const material = decodeKeyMaterial(utf8(text));
      if (material?.form !== 'fido') throw new TypeError('it is not a FIDO key');
      return [
        field('display name', material.displayName),
        nested('key', describePublicKey(material.publicKey)),
        certificatesField('certificates', material.certificates),
      ];
    },
  },
];

function secretFields(secret: Uint8Array): Field[] {
  const { length } = secret;
  wipe(secret);
  return [secretField('secret', length)];
}

/** The registrar wraps it in `results`. */
function blobIn(members: ReadonlyMap<string, unknown>): unknown {
  const results = members.get('results');
  return members.get('blob') ?? (isJsonObject(results) ? results.blob : undefined);
}

function statementFields(statement: AttestationStatement): Part[] {
  const { pubArea, ak, creation, akCreation, ek } = statement;
  return [
    publicAreaField('key', pubArea),
    ...certificationFields(statement, pubArea),
    publicPartField('attestation key', ak),
    ...optional(creation, (proof) => group('creation', certificationFields(proof))),
    ...optional(akCreation, (proof) => group('creation of the attestation key', certificationFields(proof))),
    ...optional(ek, (part) => publicPartField('endorsement key', part)),
  ];
}

function publicPartField(name: string, { pubArea, certificates = [] }: PublicPart): Part {
  const list = certificates.length > 0 ? [certificatesField('certificates', certificates)] : [];
  return group(name, [publicAreaField('public area', pubArea), ...list]);
}

function describeRegistration({ text, members }: JsonInput): Content {
  const profile = members.has('AttestationData') || members.has('AikCertificate') ? 'attested' : 'strict';
  const kngc = fromBase64(textOf(members.get('kngc')));
  const fields = [field('profile', profile), nested('key', describePublicKey(decodeCngBlob(kngc).key))];
  const attested: Part[] = [];
  try {
    const registration = parseKeyRegistration(text, profile);
    if (registration.profile === 'strict') return fields;
    const { attestation, aikCertificate } = registration;
    attested.push(...optional(attestation, (kast) => nested('attestation', kastFields(kast))));
    attested.push(...optional(aikCertificate, (der) => certificateField('certificate of the attestation key', der)));
    return [...fields, ...attested];
  } catch (error) {
    return joined(fields, { problems: [...gathered(attested).problems, sayError(error)], fields: [] });
  }
}

/** The value if it is text; empty for anything else. */
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

function describeJwk({ members }: JsonInput): Description {
  const isPrivate = ([name]: readonly [string, unknown]) => PRIVATE_JWK_MEMBERS.includes(name);
  const secrets = [...members].filter(isPrivate);
  const kind = textOf(members.get('crv'));
  const {
    title,
    problems = [],
    fields,
  } = UNUSED_KINDS.has(kind)
    ? describeUnusedKey(kind)
    : describeJwkKey(decodeJwk(Object.fromEntries([...members].filter((member) => !isPrivate(member)))));
  const known = ['kty', 'crv', 'n', 'e', 'x', 'y', ...PRIVATE_JWK_MEMBERS];
  const others = [...members].filter(([name]) => !known.includes(name));
  const isOpen = secrets.length > 0;
  return {
    title: `JSON Web Key, ${isOpen ? 'private' : 'public'} ${title}`,
    problems: [...problems, ...(isOpen ? ['it is an unencrypted private key'] : [])],
    fields: [
      ...others.map(([name, value]) => field(name, JSON.stringify(value) ?? '')),
      ...fields,
      ...secrets.map(([name, value]) => secretField(name, sizeOf(value))),
    ],
  };
}

function describeJwkKey(key: PublicKey): Description {
  const { fields, ...rest } = describePublicKey(key);
  return { ...rest, fields: [...fields, field('JWK thumbprint', toBase64Url(computeJwkThumbprint(key)))] };
}

function sizeOf(value: unknown): number {
  const text = textOf(value);
  return (orNothing(() => fromBase64Url(text)) ?? text).length; // if not base64url: counts its characters
}

function smallstepFields(value: object): Part[] {
  const object = new JsonMembers('smallstep request', value, requestInvalid);
  const params = object.members('params');
  const certInfo = params.base64('createAttestation');
  return [
    group(
      'TPM',
      Object.entries(object.object('tpmInfo')).map(([name, member]) => jsonField(name, member)),
    ),
    nested('endorsement key', describePublicKey(decodeSpki(object.base64('ek')))),
    publicAreaField('attestation key', params.base64('public')),
    structureField('creation data', TPMS_CREATION_DATA, params.base64('createData')),
    ...certificationFields({ certInfo, signature: params.base64('createSignature') }),
    certificatesField('certificates of the endorsement key', object.has('ekCerts') ? object.base64List('ekCerts') : []),
  ];
}

function keylimeFields(body: string, isV3: boolean): Part[] {
  // Before version 3 the id is in the path, which the file does not have.
  const path = isV3 ? '/v3.0/agents/' : '/v2.0/agents/unknown';
  const { agentId, ek, akPubArea, iak, idevid, ip, port } = parseKeylimeRegistration({ method: 'POST', path, body });
  return [
    ...(isV3 ? [field('agent', agentId)] : []),
    ...optional(ip, (address) => field('ip', address)),
    ...optional(port, (number) => field('port', number)),
    publicAreaField('endorsement key', ek.pubArea),
    ...optional(ek.certificate, (der) => certificateField('certificate of the endorsement key', der)),
    publicAreaField('attestation key', akPubArea),
    ...optional(iak, (key) =>
      group('initial attestation key', [
        publicAreaField('public area', key.pubArea),
        ...certificationFields(key, akPubArea),
      ]),
    ),
    ...optional(idevid, (key) => publicAreaField('initial device id', key.pubArea)),
  ];
}
