import { type Bytes, checkBytes, checkObject, equal, toHex } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';
import { JsonMembers, type JsonRefusal, showJson } from '../json.ts';
import { checkMembers } from '../known-members.ts';
import { randomBytes } from '../primitives.ts';
import { HASHES } from '../tpm/constants.ts';
import { isHashAlg, objectName } from '../tpm/names.ts';
import type { TpmtPublic } from '../tpm/structures/object.ts';
import type { Tpm } from '../tpm/tpm.ts';
import { type ActivateCredentialOptions, activateCredential } from './activate.ts';
import { type Credential, makeCredential } from './credential.ts';

/** A verifier's challenge that only a TPM with both keys can answer. */
export interface ActivationChallenge extends Credential {
  readonly version: 1;
}

/** The response to an {@link ActivationChallenge}. */
export interface ActivationResponse {
  readonly version: 1;
  /** The secret of the challenge. */
  readonly secret: Uint8Array;
}

/** An {@link ActivationChallenge} as JSON: hexadecimal. */
export interface ActivationChallengeJson {
  readonly version: 1;
  readonly credentialBlob: string;
  readonly encryptedSecret: string;
}

/** An {@link ActivationResponse} as JSON: hexadecimal. */
export interface ActivationResponseJson {
  readonly version: 1;
  readonly secret: string;
}

/** The two keys of a challenge. */
export interface ActivationChallengeInput {
  /** The trusted endorsement key, from its certificate or a list. */
  readonly ek: TpmtPublic;
  /** The key that claims to be in the same TPM. Its attributes are not checked here. */
  readonly ak: TpmtPublic;
}

/**
 * Makes a challenge that only the TPM with both keys can answer. Keep `secret`, send `challenge`, and compare the
 * response with the secret once, with {@link isActivated}. Needs no TPM.
 *
 * @throws KeyprovError `key-invalid` for a key that cannot be the endorsement key of a credential.
 */
export function buildActivationChallenge(input: ActivationChallengeInput): {
  readonly challenge: ActivationChallenge;
  readonly secret: Bytes;
} {
  const { ek, ak } = checkObject(input, 'input of buildActivationChallenge', 'ek:object', 'ak:object');
  const secret = randomBytes(isHashAlg(ek.nameAlg) ? HASHES[ek.nameAlg].size : 0);
  return { challenge: { version: 1, ...makeCredential({ ek, objectName: objectName(ak), secret }) }, secret };
}

/** Answers a challenge with the TPM. @throws like {@link activateCredential}. */
export async function answerActivationChallenge(
  tpm: Tpm,
  challenge: ActivationChallenge,
  options: Omit<ActivateCredentialOptions, 'credential'>,
): Promise<ActivationResponse> {
  checkObject(challenge, 'the challenge');
  options = checkMembers('answerActivationChallenge', options, 'ek ak signal');
  checkBytes(challenge.credentialBlob, 'credentialBlob');
  checkBytes(challenge.encryptedSecret, 'encryptedSecret');
  return { version: 1, secret: await activateCredential(tpm, { ...options, credential: challenge }) };
}

/**
 * Tells whether the response has the challenge's secret. Compares in constant time.
 * @throws TypeError for anything but a decoded response and bytes.
 */
export function isActivated(response: ActivationResponse, expected: Uint8Array): boolean {
  checkObject(response, 'a response', 'secret');
  checkBytes(expected, 'the expected secret');
  const { secret } = response;
  return expected.length > 0 && equal(secret, expected);
}

/** Returns the challenge as JSON. @throws TypeError if its members are not bytes */
export function encodeActivationChallenge(challenge: ActivationChallenge): ActivationChallengeJson {
  const { credentialBlob, encryptedSecret } = checkObject(
    challenge,
    'a challenge',
    'credentialBlob',
    'encryptedSecret',
  );
  checkBytes(credentialBlob, 'credentialBlob');
  checkBytes(encryptedSecret, 'encryptedSecret');
  return { version: 1, credentialBlob: toHex(credentialBlob), encryptedSecret: toHex(encryptedSecret) };
}

/** Reads what {@link encodeActivationChallenge} wrote. @throws KeyprovError `credential-invalid` for anything else. */
export function decodeActivationChallenge(json: unknown): ActivationChallenge {
  const { credentialBlob, encryptedSecret } = readMembers(json, ['credentialBlob', 'encryptedSecret']);
  return { version: 1, credentialBlob, encryptedSecret };
}

/** Returns the response as JSON. It contains the secret, so send it only to the verifier. @throws TypeError if it is not bytes */
export function encodeActivationResponse(response: ActivationResponse): ActivationResponseJson {
  const { secret } = checkObject(response, 'a response', 'secret');
  checkBytes(secret, 'the secret of a response');
  return { version: 1, secret: toHex(secret) };
}

/** Reads what {@link encodeActivationResponse} wrote. @throws KeyprovError `credential-invalid` for anything else. */
export function decodeActivationResponse(json: unknown): ActivationResponse {
  return { version: 1, ...readMembers(json, ['secret']) };
}

/** Version 1 and exactly these members, each hexadecimal. */
function readMembers<K extends string>(json: unknown, names: readonly K[]): Record<K, Bytes> {
  const members = JsonMembers.parse('activation', json, refuse, ['version', ...names]);
  if (members.value('version') !== 1) throw members.wrong('version', `${showJson(members.value('version'))}, not 1`);
  // Object.fromEntries loses the type of the keys: they are `names`.
  return Object.fromEntries(names.map((name) => [name, members.hex(name)])) as Record<K, Bytes>;
}

const refuse: JsonRefusal = (where, problem, cause) =>
  new KeyprovError('credential-invalid', `${where}: ${problem}`, { cause });
