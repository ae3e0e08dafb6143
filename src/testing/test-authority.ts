import { generateKeyPairSync } from 'node:crypto';
import {
  type ActivationChallenge,
  type ActivationResponse,
  buildActivationChallenge,
  isActivated,
} from '../attestation/activation-challenge.ts';
import type { Activation } from '../attestation/trust-attestation-key.ts';
import type { Bytes } from '../bytes.ts';
import { DER_TRUE, derSequence } from '../crypto/der-write.ts';
import { EXTENSION, KEY_USAGE } from '../crypto/x509.ts';
import { KeyprovError } from '../errors.ts';
import { type AkCertificateOptions, buildAkCertificate } from '../formats/tcg/ak-certificate.ts';
import { buildEkCertificate, type EkCertificateOptions } from '../formats/tcg/ek-certificate.ts';
import { keyUsage } from '../formats/x509/extensions.ts';
import { issueCertificate, subjectKeyId } from '../formats/x509/issue-certificate.ts';
import { buildCommonName, encodeName } from '../formats/x509/names.ts';
import type { TpmDescription } from '../formats/x509/tpm-description.ts';
import { checkMembers } from '../known-members.ts';
import { encode } from '../tpm/codec/index.ts';
import { publicKeyOf } from '../tpm/public-key.ts';
import { TPMT_PUBLIC, type TpmtPublic } from '../tpm/structures/object.ts';
import { signingKeyOf } from './signing-key.ts';

/** Options of {@link createTestAuthority}. */
export interface TestAuthorityOptions {
  /** Its common name. */
  readonly name?: string | undefined;
  /** Time of its creation. Default: now. */
  readonly now?: Date | undefined;
}

/** A CA for tests that is both TPM manufacturer and attestation CA. Its key exists only in memory. */
export interface TestAuthority {
  /** Its certificate in DER: the root to pass to the verifier as `akRoots` and `ekRoots`. */
  readonly root: Bytes;
  /**
   * Certifies an attestation key: see `buildAkCertificate` in `keyprov/formats/tcg`. Does not check that the key is in
   * a TPM: `activate` does.
   */
  issueAkCertificate(ak: TpmtPublic, options?: Partial<Omit<AkCertificateOptions, 'publicKey'>>): Promise<Bytes>;
  /** Certifies an endorsement key, as a TPM manufacturer does. */
  issueEkCertificate(ek: TpmtPublic, options?: Partial<Omit<EkCertificateOptions, 'publicKey'>>): Promise<Bytes>;
  /**
   * Has the client prove that both keys are in the same TPM: makes a challenge, passes it to `answer` and checks the
   * response.
   * @returns the `activation` for `verifyEvidence`.
   * @throws KeyprovError `credential-invalid` for a wrong response; errors of `answer`.
   */
  activate(keys: TestActivation): Promise<Activation>;
}

/** Two keys, and the client that holds them, such as `answerActivationChallenge` from `keyprov/attestation`. */
export interface TestActivation {
  readonly ek: TpmtPublic;
  readonly ak: TpmtPublic;
  readonly answer: (challenge: ActivationChallenge) => Promise<ActivationResponse>;
}

const DAY_MS = 86_400_000;

/**
 * The TPM description of libtpms and swtpm. WebAuthn verifiers accept that manufacturer, and keyprov's knows that its
 * TPMs are virtual.
 */
const SIMULATOR: TpmDescription = { manufacturer: 0x49424d00, model: 'swtpm', version: 0x20191023 };

/**
 * Makes a CA with a P-256 key in memory. Its certificates are valid from 30 days before `now` until 30 days after. They
 * describe the TPM as libtpms does, unless the options say otherwise: with a chip manufacturer's name, verifiers take
 * the TPM for a chip.
 */
export async function createTestAuthority(options: TestAuthorityOptions = {}): Promise<TestAuthority> {
  options = checkMembers('createTestAuthority', options, 'name:text? now:date?');
  const { name = 'keyprov test authority', now = new Date() } = options;
  const notBefore = new Date(now.getTime() - 30 * DAY_MS);
  const notAfter = new Date(now.getTime() + 30 * DAY_MS);
  const defaults = { tpm: SIMULATOR, notBefore, notAfter };
  const key = signingKeyOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
  const subject = encodeName(buildCommonName(name));
  const certificate = await issueCertificate(
    {
      ...{ issuer: subject, subject, publicKey: key.publicKey, notBefore, notAfter },
      extensions: [
        { oid: EXTENSION.BASIC_CONSTRAINTS, critical: true, value: derSequence(DER_TRUE) },
        keyUsage(KEY_USAGE.keyCertSign),
        subjectKeyId(key.publicKey),
      ],
    },
    key,
  );
  const authority = { key, certificate };
  return {
    root: certificate,
    issueAkCertificate: (ak, given) =>
      buildAkCertificate({ ...defaults, ...given, publicKey: publicKeyOf(ak) }, authority),
    issueEkCertificate: (ek, given) =>
      buildEkCertificate({ ...defaults, ...given, publicKey: publicKeyOf(ek) }, authority),
    activate: async ({ ek, ak, answer }) => {
      const { challenge, secret } = buildActivationChallenge({ ek, ak });
      if (!isActivated(await answer(challenge), secret)) {
        throw new KeyprovError('credential-invalid', 'the response to the activation challenge is wrong');
      }
      return { ak: { pubArea: encode(TPMT_PUBLIC, ak) }, ek: { pubArea: encode(TPMT_PUBLIC, ek) } };
    },
  };
}
