import type { Bytes } from '../../bytes.ts';
import { JsonMembers } from '../../json.ts';
import { requestInvalid } from '../x509/in-request.ts';

/** A registration from a browser, in bytes. */
export interface WebauthnRegistration {
  readonly attestationObject: Uint8Array;
  readonly clientDataJson: Uint8Array;
}

/**
 * Reads a `RegistrationResponseJSON`, the result of `PublicKeyCredential.toJSON` (WebAuthn Level 3, 5.1.8), parsed or
 * as text. Verifies nothing; members that only repeat what is in the attestation object, such as `publicKey`, are
 * ignored.
 * @throws KeyprovError `request-invalid` for anything else.
 */
export function parseWebauthnRegistration(json: unknown): WebauthnRegistration & { readonly credentialId: Bytes } {
  const members = JsonMembers.parse('WebAuthn registration', json, requestInvalid);
  members.oneOf('type', ['public-key']);
  if (members.text('id') !== members.text('rawId')) throw members.wrong('rawId', 'it differs from id');
  const response = new JsonMembers('response in a registration', members.value('response'), requestInvalid);
  return {
    credentialId: members.base64Url('rawId'),
    attestationObject: response.base64Url('attestationObject'),
    clientDataJson: response.base64Url('clientDataJSON'),
  };
}
