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
import { encode } from '../tpm/codec/index.ts';
import { publicKeyOf } from '../tpm/public-key.ts';
import { TPMT_PUBLIC, type TpmtPublic } from '../tpm/structures/object.ts';
import { signingKeyOf } from './signing-key.ts';

/** Options of {@link createTestAuthority}. */
export interface TestAuthorityOptions {
  /** Its common name. */
  readonly name?: string | undefined;
  /** When it is made. Default: now. */
  readonly now?: Date | undefined;
}

/** An authority for tests: the maker of TPMs and the attestation CA in one. Its key is gone with it. */
export interface TestAuthority {
  /** Its own certificate in DER: the root to trust, as `akRoots` and `ekRoots` of the verifier. */
  readonly root: Bytes;
  /**
   * Certifies an attestation key: see `buildAkCertificate` of `keyprov/formats/tcg`. Whose key it is, it does not ask: for
   * that there is `activate`.
   */
  issueAkCertificate(ak: TpmtPublic, options?: Partial<Omit<AkCertificateOptions, 'publicKey'>>): Promise<Bytes>;
  /** Certifies an endorsement key, as the maker of a TPM does. */
  issueEkCertificate(ek: TpmtPublic, options?: Partial<Omit<EkCertificateOptions, 'publicKey'>>): Promise<Bytes>;
  /**
   * Has it proved that both keys are in one TPM: makes a challenge, gives it to `answer` and checks what that returns.
   * @returns what `verifyEvidence` takes as `activation`.
   * @throws KeyprovError `credential-invalid` for a wrong answer, and what `answer` throws.
   */
  activate(keys: TestActivation): Promise<Activation>;
}

/** Two keys, and the client that has them: `answerActivationChallenge` of `keyprov` is made for it. */
export interface TestActivation {
  readonly ek: TpmtPublic;
  readonly ak: TpmtPublic;
  readonly answer: (challenge: ActivationChallenge) => Promise<ActivationResponse>;
}

const DAY_MS = 86_400_000;

/** What libtpms and swtpm say of themselves. WebAuthn verifiers know that maker, and ours that its TPMs are virtual. */
const SIMULATOR: TpmDescription = { manufacturer: 0x49424d00, model: 'swtpm', version: 0x20191023 };

/**
 * Makes an authority with a P-256 key in memory. Its certificates hold for 30 days before and after `now`, and name the
 * TPM as libtpms does, unless the options say otherwise: with the name of a maker of chips they stand for a chip's.
 */
export async function createTestAuthority(options: TestAuthorityOptions = {}): Promise<TestAuthority> {
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
        throw new KeyprovError('credential-invalid', 'the answer to the activation challenge is not its secret');
      }
      return { ak: { pubArea: encode(TPMT_PUBLIC, ak) }, ek: { pubArea: encode(TPMT_PUBLIC, ek) } };
    },
  };
}
