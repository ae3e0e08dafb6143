import { randomBytes } from 'node:crypto';
import { makeCredential } from '../../attestation/credential.ts';
import type { EkCertificate } from '../../attestation/ek-certificate.ts';
import type { KeyIdentity } from '../../attestation/key-checks.ts';
import { decodePublicArea } from '../../attestation/statement.ts';
import { verifyAttestationKey } from '../../attestation/verify.ts';
import { verifyEkCertificate } from '../../attestation/verify-ek-certificate.ts';
import { equal, toBase64, withSecret } from '../../bytes.ts';
import { digest } from '../../crypto/kdf.ts';
import { weaknessOf } from '../../crypto/key-strength.ts';
import { encodeSpki } from '../../crypto/public-key.ts';
import { KeyprovError } from '../../errors.ts';
import type { Finding } from '../../finding.ts';
import { encodeSmallstepCredential } from '../../formats/services/credential-encodings.ts';
import { buildSmallstepChain, parseSmallstepAttest, parseSmallstepSecret } from '../../formats/services/smallstep.ts';
import { buildAkCertificate } from '../../formats/tcg/ak-certificate.ts';
import { buildEkPublicArea } from '../../formats/tcg/ek-public-area.ts';
import type { TpmDescription } from '../../formats/x509/tpm-description.ts';
import { decode } from '../../tpm/codec/index.ts';
import { objectName } from '../../tpm/names.ts';
import { publicKeyOf } from '../../tpm/public-key.ts';
import { TPMT_PUBLIC, type TpmtPublic } from '../../tpm/structures/object.ts';
import { isVirtualByCertificate } from '../../tpm/virtual.ts';
import type { AkTier } from './attestation-key-table.ts';
import { validFor } from './authority.ts';
import type { RouteAnswer, RouteRequest } from './http.ts';
import type { ServiceContext } from './service-context.ts';

const CHALLENGE_MS = 300_000;
const SECRET_BYTES = 32;

/**
 * `POST /attestation/attest`: a challenge that only the TPM with both keys can answer. smallstep/crypto,
 * tpm/attestation.
 */
export function attest(context: ServiceContext, { body }: RouteRequest): Promise<RouteAnswer> {
  return answering(async () => {
    const { ek: ekKey, ekCertificates, ak, akCreation } = parseSmallstepAttest(body);
    const { pubArea } = ak;
    const proof = verifyAttestationKey(pubArea, akCreation);
    if (!proof.ok) return refuse(403, describe(proof.findings));
    const ekSpki = encodeSpki(ekKey);
    const ek = decodePublicArea(buildEkPublicArea(ekKey));
    const trust = await trustEk(context, { ek, spki: ekSpki, certificates: ekCertificates });
    if ('problem' in trust) return refuse(403, trust.problem);
    return await withSecret(new Uint8Array(randomBytes(SECRET_BYTES)), async (secret) => {
      const name = objectName(decode(TPMT_PUBLIC, pubArea));
      const credential = makeCredential({ ek, objectName: name, secret });
      const expires = new Date(context.now().getTime() + CHALLENGE_MS);
      const ekSha256 = toBase64(digest('sha256', ekSpki));
      context.state.attestationKeys.challenge(secret, { pubArea, ...trust, ekSha256 }, expires);
      return { status: 200, body: encodeSmallstepCredential(credential) };
    });
  });
}

/** `POST /attestation/secret`: the certificate for the client that met the challenge. */
export function certify(context: ServiceContext, { body }: RouteRequest): Promise<RouteAnswer> {
  return answering(async () => {
    const secret = parseSmallstepSecret(body);
    const activated = context.state.attestationKeys.activate(secret, context.now());
    if (activated === undefined) return refuse(403, 'the secret does not answer an open challenge');
    const { ca } = context.authority;
    const certificate = await buildAkCertificate(
      {
        publicKey: publicKeyOf(decode(TPMT_PUBLIC, activated.pubArea)),
        tpm: activated.tpm,
        ...validFor(2),
        alternativeNames: [{ kind: 'uri', value: `urn:ek:sha256:${activated.ekSha256}` }],
      },
      ca,
    );
    context.state.attestationKeys.certified(certificate, activated);
    return { status: 200, body: buildSmallstepChain([certificate, ca.certificate]) };
  });
}

interface EndorsementKey {
  readonly ek: TpmtPublic;
  readonly spki: Uint8Array;
  readonly certificates: readonly Uint8Array[];
}

type EkTrust = { readonly tier: AkTier; readonly tpm: TpmDescription } | { readonly problem: string };

/** Trusts an endorsement key because of its manufacturer's certificate, or because it is on the list. */
async function trustEk({ options, now }: ServiceContext, key: EndorsementKey): Promise<EkTrust> {
  const { ekRoots = [], ekAllowList = [], allowedManufacturers, acceptSha1 = false } = options;
  const { ek, spki, certificates } = key;
  const [own, ...intermediates] = certificates;
  let problem = 'the endorsement key has no certificate, and is not on the allow list';
  if (own !== undefined && ekRoots.length > 0) {
    const result = await verifyEkCertificate(own, {
      ...{ ek, roots: ekRoots, intermediates, time: now(), acceptSha1 },
      ...(allowedManufacturers && { allowedManufacturers }),
    });
    if (result.ok && result.certificate !== undefined) {
      const tier = isVirtualByCertificate(result.certificate) ? 'virtual' : 'activated';
      return { tier, tpm: identityOf(result.certificate) };
    }
    problem = describe(result.findings);
  }
  if (!ekAllowList.some((one) => isListed(spki, one))) return { problem };
  const weakness = weaknessOf(publicKeyOf(ek));
  if (weakness !== undefined) return { problem: `the endorsement key: ${weakness}` };
  return { tier: 'tpm-no-ek-certificate', tpm: UNKNOWN_TPM };
}

/**
 * The TPM description for a certificate if nothing confirms the client's claims. If the CA certified unconfirmed
 * claims, relying parties would trust them.
 */
const UNKNOWN_TPM: TpmDescription = { manufacturer: 0, model: 'unknown', version: 0 };

function identityOf(certificate: EkCertificate): TpmDescription {
  const number = (id = '') => Number.parseInt(id.replace(/^id:/i, ''), 16) || 0;
  const { manufacturer, model = 'unknown', version } = certificate;
  return { manufacturer: number(manufacturer), model, version: number(version) % 2 ** 32 };
}

/**
 * Whether the key is on the list. The list names endorsement keys by public key, as the protocol does, without
 * attributes.
 */
function isListed(spki: Uint8Array, identity: KeyIdentity): boolean {
  if ('spki' in identity) return equal(identity.spki, spki);
  if ('spkiSha256' in identity) return equal(identity.spkiSha256, digest('sha256', spki));
  return 'pubArea' in identity && equal(encodeSpki(publicKeyOf(decode(TPMT_PUBLIC, identity.pubArea))), spki);
}

const refuse = (status: number, error: string): RouteAnswer => ({ status, body: { error } });

const describe = (findings: readonly Finding[]): string =>
  findings
    .filter(({ status }) => status === 'fail')
    .map(({ id, detail }) => `${id}: ${detail}`)
    .join('; ');

/** Runs `work`, and responds with 400 if the request is unusable. */
async function answering(work: () => Promise<RouteAnswer>): Promise<RouteAnswer> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof KeyprovError)) throw error;
    return refuse(400, error.message);
  }
}
