import type { Credential } from '../../attestation/credential.ts';
import { type Bytes, checkObject, concat, equal, fromBase64, fromHex, toBase64, toHex, utf8 } from '../../bytes.ts';
import { hmac } from '../../crypto/kdf.ts';
import { causedBy, KeyprovError, rethrowAs } from '../../errors.ts';
import { JsonMembers } from '../../json.ts';
import { checkSize, checkTextSize, LIMIT } from '../../limits.ts';

import { type Codec, decode, encode, struct } from '../../tpm/codec/index.ts';
import { TPM2B_ENCRYPTED_SECRET } from '../../tpm/structures/algorithm.ts';
import { TPM2B_ID_OBJECT } from '../../tpm/structures/object.ts';

const SIZED: Codec<Credential> = struct<Credential>('credential', {
  credentialBlob: TPM2B_ID_OBJECT,
  encryptedSecret: TPM2B_ENCRYPTED_SECRET,
});

/**
 * Writes the credential as TPM2B_ID_OBJECT, then TPM2B_ENCRYPTED_SECRET, as Windows' Platform Crypto Provider takes it.
 * Layout: microsoft/TSS.MSR, PCPTool, GenerateActivation20.
 * @throws CodecError if a part is missing.
 *
 * @example
 * ```ts
 * import type { Credential } from 'keyprov/attestation';
 * import { decodeSizedCredential, encodeSizedCredential } from 'keyprov/formats/services';
 *
 * declare const credential: Credential; // from makeCredential
 * console.log(decodeSizedCredential(encodeSizedCredential(credential)).credentialBlob.length);
 * ```
 */
export function encodeSizedCredential(credential: Credential): Bytes {
  return encode(SIZED, credential);
}

/** The inverse of {@link encodeSizedCredential}. @throws KeyprovError `credential-invalid` for anything else. */
export function decodeSizedCredential(bytes: Uint8Array): Credential {
  return reading('credential', () => decode(SIZED, bytes));
}

/** Magic number and version, UINT32 each, big endian. */
const TPM2_TOOLS_HEADER = fromHex('badcc0de00000001');

/**
 * Writes the credential as the file of tpm2_makecredential and tpm2_activatecredential (tpm2-tools 5.4).
 * @throws CodecError if a part is missing.
 *
 * @example
 * ```ts
 * import { type CredentialInput, makeCredential } from 'keyprov/attestation';
 * import { decodeTpm2ToolsCredential, encodeTpm2ToolsCredential } from 'keyprov/formats/services';
 *
 * declare const input: CredentialInput;
 * const file = encodeTpm2ToolsCredential(makeCredential(input)); // tpm2_activatecredential reads it
 * console.log(decodeTpm2ToolsCredential(file).credentialBlob.length);
 * ```
 */
export function encodeTpm2ToolsCredential(credential: Credential): Bytes {
  return concat(TPM2_TOOLS_HEADER, encodeSizedCredential(credential));
}

/** Reads the file of tpm2_makecredential. @throws KeyprovError `credential-invalid` for anything else. */
export function decodeTpm2ToolsCredential(file: Uint8Array): Credential {
  checkSize(file, LIMIT.structure, (problem) => invalid('tpm2-tools credential file', problem));
  const { length } = TPM2_TOOLS_HEADER;
  if (!equal(file.subarray(0, length), TPM2_TOOLS_HEADER)) {
    throw invalid('tpm2-tools credential file', `it does not begin with ${toHex(TPM2_TOOLS_HEADER)}`);
  }
  return reading('tpm2-tools credential file', () => decode(SIZED, file.subarray(length)));
}

/**
 * Writes the credential as the `blob` that keylime's registrar sends: the file of tpm2-tools in base64.
 * @throws CodecError if a part is missing.
 *
 * @example
 * ```ts
 * import type { Credential } from 'keyprov/attestation';
 * import { decodeKeylimeBlob, encodeKeylimeBlob } from 'keyprov/formats/services';
 *
 * declare const credential: Credential; // from makeCredential
 * console.log(decodeKeylimeBlob(encodeKeylimeBlob(credential)).credentialBlob.length);
 * ```
 */
export function encodeKeylimeBlob(credential: Credential): string {
  return toBase64(encodeTpm2ToolsCredential(credential));
}

/** Reads the `blob` of keylime's registrar. @throws KeyprovError `credential-invalid` for anything else. */
export function decodeKeylimeBlob(blob: string): Credential {
  checkTextSize(blob, LIMIT.structure, (problem) => invalid('keylime blob', problem));
  return decodeTpm2ToolsCredential(reading('keylime blob', () => fromBase64(blob)));
}

/**
 * The `auth_tag` that proves to keylime's registrar that an agent has activated its credential: in hexadecimal, the
 * HMAC-SHA384 of the agent's id, with the base64 text of the secret as key.
 * @throws TypeError for a secret that is not bytes.
 */
export function computeKeylimeAuthTag(secret: Uint8Array, agentId: string): string {
  return toHex(hmac('sha384', utf8(toBase64(secret)), utf8(agentId)));
}

/** An EncryptedCredential of go-attestation as its JSON: base64 of both parts, each with its two length bytes. */
export interface GoAttestationCredential {
  readonly Credential: string;
  readonly Secret: string;
}

/**
 * Writes the credential as go-attestation's EncryptedCredential.
 * @throws TypeError if a part is missing.
 *
 * @example
 * ```ts
 * import type { Credential } from 'keyprov/attestation';
 * import { decodeGoAttestationCredential, encodeGoAttestationCredential } from 'keyprov/formats/services';
 *
 * declare const credential: Credential; // from makeCredential
 * const json = JSON.stringify(encodeGoAttestationCredential(credential)); // {"Credential":"…","Secret":"…"}
 * console.log(decodeGoAttestationCredential(json).credentialBlob.length);
 * ```
 */
export function encodeGoAttestationCredential(credential: Credential): GoAttestationCredential {
  const { credential: Credential, secret: Secret } = encodeSmallstepCredential(credential);
  return { Credential, Secret };
}

/** Reads go-attestation's EncryptedCredential. @throws KeyprovError `credential-invalid` for anything else. */
export function decodeGoAttestationCredential(json: unknown): Credential {
  return decodeJson('go-attestation credential', json, 'Credential', 'Secret');
}

/** The response of smallstep's attestation CA to `attest`: base64 of both parts, each with its two length bytes. */
export interface SmallstepCredential {
  readonly credential: string;
  readonly secret: string;
}

/**
 * Writes the credential as smallstep's attestation CA sends it.
 * @throws TypeError if a part is missing.
 *
 * @example
 * ```ts
 * import type { Credential } from 'keyprov/attestation';
 * import { decodeSmallstepCredential, encodeSmallstepCredential } from 'keyprov/formats/services';
 *
 * declare const credential: Credential; // from makeCredential
 * const json = JSON.stringify(encodeSmallstepCredential(credential)); // {"credential":"…","secret":"…"}
 * console.log(decodeSmallstepCredential(json).credentialBlob.length);
 * ```
 */
export function encodeSmallstepCredential(credential: Credential): SmallstepCredential {
  checkObject(credential, 'a credential', 'credentialBlob', 'encryptedSecret');
  return {
    credential: toBase64(encode(TPM2B_ID_OBJECT, credential.credentialBlob)),
    secret: toBase64(encode(TPM2B_ENCRYPTED_SECRET, credential.encryptedSecret)),
  };
}

/** Reads the response of smallstep's attestation CA. @throws KeyprovError `credential-invalid` for anything else. */
export function decodeSmallstepCredential(json: unknown): Credential {
  return decodeJson('smallstep credential', json, 'credential', 'secret');
}

function decodeJson(what: string, json: unknown, credential: string, secret: string): Credential {
  const members = JsonMembers.parse(what, json, invalid);
  const [blob, encrypted] = [members.base64(credential), members.base64(secret)];
  return reading(what, () => ({
    credentialBlob: decode(TPM2B_ID_OBJECT, blob),
    encryptedSecret: decode(TPM2B_ENCRYPTED_SECRET, encrypted),
  }));
}

/** Runs `read`, and turns its errors into `credential-invalid`. */
function reading<T>(what: string, read: () => T): T {
  return rethrowAs(read, (cause) =>
    cause instanceof KeyprovError || cause instanceof TypeError ? invalid(what, cause.message, cause) : undefined,
  );
}

const invalid = (what: string, problem: string, cause?: unknown): KeyprovError =>
  new KeyprovError('credential-invalid', `${what}: ${problem}`, causedBy(cause));
