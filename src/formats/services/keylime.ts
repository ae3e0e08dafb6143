import type { Certification } from '../../attestation/statement.ts';
import { type Bytes, checkBytes, checkObject, checkText, toBase64, utf8 } from '../../bytes.ts';
import { digest } from '../../crypto/kdf.ts';
import { JsonMembers } from '../../json.ts';
import { checkTextSize, LIMIT } from '../../limits.ts';
import { bytes16, decode, encode } from '../../tpm/codec/index.ts';
import { TPMT_SIGNATURE } from '../../tpm/structures/algorithm.ts';
import { TPMS_ATTEST } from '../../tpm/structures/attest.ts';
import { TPMT_PUBLIC } from '../../tpm/structures/object.ts';
import { inRequest, requestInvalid } from '../x509/in-request.ts';
import { computeKeylimeAuthTag } from './credential-encodings.ts';

/** A version of the API of keylime's registrar. */
export type KeylimeVersion = `2.${number}` | `3.${number}`;

/** A request to keylime's registrar. */
export interface KeylimeRequest {
  readonly method: 'POST' | 'PUT';
  /** Begins with `/v`. */
  readonly path: string;
  /** JSON. */
  readonly body: string;
}

/** A TPM key as keylime registers it. */
export interface KeylimeKey {
  /** TPMT_PUBLIC. */
  readonly pubArea: Uint8Array;
  /** X.509 in DER. */
  readonly certificate?: Uint8Array;
}

/** The registration of an agent. */
export interface KeylimeRegistration {
  /** Letters, digits, `-`, `_` and `.`, such as a UUID. */
  readonly agentId: string;
  readonly ek: KeylimeKey;
  /** TPMT_PUBLIC of the attestation key. */
  readonly akPubArea: Uint8Array;
  /** Certificate in PEM with which verifiers reach the agent. */
  readonly mtlsCertificate?: string;
  readonly ip?: string;
  readonly port?: number;
  /**
   * The initial attestation key, and its TPM2_Certify of the attestation key over {@link computeKeylimeIakChallenge}.
   */
  readonly iak?: KeylimeKey & Certification;
  readonly idevid?: KeylimeKey;
}

const WHAT = 'keylime registration';
const SIZED_PUBLIC = bytes16('TPM2B_PUBLIC', 0xffff);
const MEMBERS = [
  ...['agent_id', 'ekcert', 'ek_tpm', 'aik_tpm', 'mtls_cert', 'ip', 'port'],
  ...['iak_tpm', 'iak_cert', 'iak_attest', 'iak_sign', 'idevid_tpm', 'idevid_cert'],
];

/**
 * The challenge (extraData) with which the initial attestation key certifies the attestation key: SHA-256 of the id.
 * @throws TypeError for anything but text.
 *
 * @example
 * ```ts
 * import type { Tpm } from 'keyprov';
 * import { type CertifyKeyOptions, certifyKey } from 'keyprov/attestation';
 * import { computeKeylimeIakChallenge } from 'keyprov/formats/services';
 *
 * declare const [tpm, keys]: [Tpm, CertifyKeyOptions]; // `key`: attestation key; `ak`: initial attestation key
 * const challenge = computeKeylimeIakChallenge('agent-1');
 * console.log((await certifyKey(tpm, { ...keys, challenge })).certInfo.length); // part of the registration's `iak`
 * ```
 */
export function computeKeylimeIakChallenge(agentId: string): Bytes {
  checkText(agentId, 'the agent id');
  return digest('sha256', utf8(agentId));
}

/**
 * Builds the request that registers an agent at keylime's `agents` resource, `/v2.x/agents/ID` or `/v3.x/agents/`. The
 * answer has a `blob` for `decodeKeylimeBlob`.
 *
 * @throws TypeError for an id that a path cannot hold.
 *
 * @example
 * ```ts
 * import { buildKeylimeRegistration, type KeylimeKey, parseKeylimeRegistration } from 'keyprov/formats/services';
 *
 * declare const [ek, akPubArea]: [KeylimeKey, Uint8Array];
 * const { method, path, body } = buildKeylimeRegistration({ agentId: 'agent-1', ek, akPubArea }, '3.0');
 * console.log(method, path, parseKeylimeRegistration({ method, path, body }).agentId); // POST /v3.0/agents/ agent-1
 * ```
 */
export function buildKeylimeRegistration(registration: KeylimeRegistration, version: KeylimeVersion): KeylimeRequest {
  checkObject(registration, 'a registration', 'agentId', 'ek:object', 'akPubArea:bytes');
  checkText(version, 'the version');
  const { agentId, ek, akPubArea, mtlsCertificate, ip, port, iak, idevid } = registration;
  checkAgentId(agentId);
  const isV3 = version.startsWith('3.');
  const body = {
    ...(isV3 && { agent_id: agentId }),
    ...(ek.certificate && { ekcert: toBase64(ek.certificate) }),
    ek_tpm: sizedPublic(ek.pubArea),
    aik_tpm: sizedPublic(akPubArea),
    ...(mtlsCertificate !== undefined && { mtls_cert: mtlsCertificate }),
    ...(ip !== undefined && { ip }),
    ...(port !== undefined && { port }),
    ...(iak && {
      iak_tpm: sizedPublic(iak.pubArea),
      ...(iak.certificate && { iak_cert: toBase64(iak.certificate) }),
      iak_attest: toBase64(iak.certInfo),
      iak_sign: toBase64(iak.signature),
    }),
    ...(idevid && {
      idevid_tpm: sizedPublic(idevid.pubArea),
      ...(idevid.certificate && { idevid_cert: toBase64(idevid.certificate) }),
    }),
  };
  return { method: 'POST', path: `/v${version}/agents/${isV3 ? '' : agentId}`, body: JSON.stringify(body) };
}

/**
 * Reads a registration, as the registrar does. A member that is null counts as missing. Nothing is verified.
 * @throws KeyprovError `request-invalid` for anything else.
 */
export function parseKeylimeRegistration(request: KeylimeRequest): KeylimeRegistration {
  checkObject(request, WHAT, 'method', 'path', 'body');
  const { method, path, body } = request;
  checkTextSize(path, LIMIT.line, (problem) => requestInvalid(`${WHAT}: path`, problem));
  const [, version = '', pathId = ''] = /^\/v([23]\.\d+)\/agents\/([\w.-]*)$/.exec(path) ?? [];
  const isV3 = version.startsWith('3.');
  if (method !== 'POST' || version === '' || isV3 !== (pathId === '')) {
    throw requestInvalid(WHAT, `${method} ${JSON.stringify(path)}: wrong method or path`);
  }
  const object = JsonMembers.parse(WHAT, body, requestInvalid, isV3 ? MEMBERS : MEMBERS.slice(1));
  const agentId = isV3 ? object.text('agent_id') : pathId;
  inRequest(WHAT, () => checkAgentId(agentId));
  return {
    agentId,
    ek: key(object, 'ek_tpm', 'ekcert'),
    akPubArea: publicArea(object, 'aik_tpm'),
    ...(object.has('mtls_cert') && { mtlsCertificate: object.text('mtls_cert') }),
    ...(object.has('ip') && { ip: object.text('ip') }),
    ...(object.has('port') && { port: object.integer('port') }),
    ...(object.has('iak_tpm') && { iak: { ...key(object, 'iak_tpm', 'iak_cert'), ...certification(object) } }),
    ...(object.has('idevid_tpm') && { idevid: key(object, 'idevid_tpm', 'idevid_cert') }),
  };
}

/**
 * Builds the request with which an agent proves to the registrar that it has activated its credential.
 *
 * @throws TypeError for an id that cannot be part of the request's path.
 *
 * @example
 * ```ts
 * import { buildKeylimeActivation, computeKeylimeAuthTag, parseKeylimeActivation } from 'keyprov/formats/services';
 *
 * declare const secret: Uint8Array; // activateCredential decrypted it from the registrar's blob
 * const { authTag } = parseKeylimeActivation(buildKeylimeActivation('agent-1', secret, '3.0'));
 * console.log(authTag === computeKeylimeAuthTag(secret, 'agent-1')); // true
 * ```
 */
export function buildKeylimeActivation(agentId: string, secret: Uint8Array, version: KeylimeVersion): KeylimeRequest {
  checkAgentId(agentId);
  checkBytes(secret, 'the secret');
  checkText(version, 'the version');
  const body = JSON.stringify({ auth_tag: computeKeylimeAuthTag(secret, agentId) });
  return { method: version.startsWith('3.') ? 'POST' : 'PUT', path: `/v${version}/agents/${agentId}/activate`, body };
}

/**
 * Reads an activation: the agent's id, and the hexadecimal tag to compare with `computeKeylimeAuthTag`.
 * @throws KeyprovError `request-invalid` for anything else.
 */
export function parseKeylimeActivation(request: KeylimeRequest): { agentId: string; authTag: string } {
  const what = 'keylime activation';
  checkObject(request, what, 'method', 'path', 'body');
  const { method, path, body } = request;
  checkTextSize(path, LIMIT.line, (problem) => requestInvalid(`${what}: path`, problem));
  const [, major, agentId] = /^\/v([23])\.\d+\/agents\/([\w.-]+)\/activate$/.exec(path) ?? [];
  if (agentId === undefined || method !== (major === '3' ? 'POST' : 'PUT')) {
    throw requestInvalid(what, `${method} ${JSON.stringify(path)}: wrong method or path`);
  }
  inRequest(what, () => checkAgentId(agentId));
  const object = JsonMembers.parse(what, body, requestInvalid, ['auth_tag']);
  const authTag = object.text('auth_tag');
  if (!/^[0-9a-f]{96}$/.test(authTag)) throw object.wrong('auth_tag', 'not an HMAC-SHA384 in hexadecimal');
  return { agentId, authTag };
}

function checkAgentId(agentId: string): void {
  if (!/^(?!\.\.?$)[\w.-]{1,16000}$/.test(agentId))
    throw new TypeError(`${JSON.stringify(agentId)} is not an agent id`);
}

const sizedPublic = (pubArea: Uint8Array): string => toBase64(encode(SIZED_PUBLIC, pubArea));

function publicArea(object: JsonMembers, name: string): Bytes {
  const bytes = object.base64(name);
  return inRequest(`${WHAT}: ${name}`, () => {
    const pubArea = decode(SIZED_PUBLIC, bytes);
    decode(TPMT_PUBLIC, pubArea);
    return new Uint8Array(pubArea);
  });
}

const key = (object: JsonMembers, publicName: string, certificateName: string): KeylimeKey => ({
  pubArea: publicArea(object, publicName),
  ...(object.has(certificateName) && { certificate: object.base64(certificateName) }),
});

function certification(object: JsonMembers): Certification {
  const [certInfo, signature] = [object.base64('iak_attest'), object.base64('iak_sign')];
  inRequest(`${WHAT}: iak_attest`, () => decode(TPMS_ATTEST, certInfo));
  inRequest(`${WHAT}: iak_sign`, () => decode(TPMT_SIGNATURE, signature));
  return { certInfo, signature };
}
