import { encodeStatement } from '../../../attestation/index.ts';
import { type Bytes, toBase64Url } from '../../../bytes.ts';
import { encodeJwk } from '../../../crypto/jwk.ts';
import { encodePem } from '../../../crypto/pem.ts';
import { encodeSpkiPem } from '../../../crypto/public-key.ts';
import { buildAcmeDeviceAttest, computeAcmeExtraData } from '../../../formats/services/acme-device-attest.ts';
import {
  buildGoAttestationParameters,
  buildGoCertificationParameters,
} from '../../../formats/services/go-attestation.ts';
import { encodeSshPublicKeyLine } from '../../../formats/services/ssh-public-key.ts';
import { encodeCoseKey } from '../../../formats/webauthn/cose-key.ts';
import { buildWebauthnTpm, computeWebauthnExtraData } from '../../../formats/webauthn/webauthn-tpm.ts';
import { encodeDnBinary } from '../../../formats/windows/dn-binary.ts';
import { encodeFileTime } from '../../../formats/windows/file-time.ts';
import { buildKeyCredentialLink, KEY_CREDENTIAL_SOURCE } from '../../../formats/windows/key-credential-link.ts';
import { buildKeyRegistration, encodePublicBlob } from '../../../formats/windows/key-registration.ts';
import { buildNgcAssertion } from '../../../formats/windows/ngc-assertion.ts';
import { buildPkinitCertificate } from '../../../formats/windows/pkinit-certificate.ts';
import { buildLampsAttestation } from '../../../formats/x509/lamps-attestation.ts';
import { UsageError } from '../../options/arguments.ts';
import type { FormatOption } from '../../options/format-options.ts';
import type { MADE_FORMATS } from './made-formats.ts';
import {
  coseKey,
  csrOf,
  idOf,
  json,
  kastOf,
  line,
  type RequestInput,
  statementOf,
  textOf,
  wcceAttributes,
  webauthnContext,
} from './request-parts.ts';

/** A form in which a service may ask for a key. */
export interface RequestFormat {
  readonly title: string;
  /** Options that it needs. */
  readonly needs?: readonly FormatOption[];
  /** Options that it uses if they are given, besides those of every format that attests. */
  readonly uses?: readonly FormatOption[];
  /** Options of {@link ATTESTING} that do not change it. */
  readonly ignores?: readonly FormatOption[];
  /** Set if it contains a statement; `keyprov attest` makes a new one. */
  readonly attests?: true;
  /** The data over which the key is certified. Default: the challenge itself. */
  readonly extraData?: (input: Omit<RequestInput, 'statement'>) => Bytes;
  /** Text, or bytes. */
  readonly build: (input: RequestInput) => string | Bytes | Promise<string | Bytes>;
}

const CSR_OPTIONS = ['name', 'for-user'] as const;
/** The options of formats that attest. */
const ATTESTING: readonly FormatOption[] = ['challenge', 'ak-certificate', 'statement'];

/** The options that a format needs or uses. */
export function usedBy({ needs = [], uses = [], ignores = [], attests }: RequestFormat): ReadonlySet<FormatOption> {
  const attesting = attests ? ATTESTING.filter((option) => !ignores.includes(option)) : [];
  return new Set([...needs, ...uses, ...attesting]);
}

/** The values of `--format`. */
export const REQUEST_FORMATS: Readonly<Record<string, RequestFormat>> = {
  strict: {
    title: 'key registration as MS-KPP defines it, JSON',
    build: ({ key }) => line(buildKeyRegistration({ profile: 'strict', publicKey: key.publicKey })),
  },
  attested: {
    title: "key registration with attestation, in keyprov's own profile, JSON",
    attests: true,
    build: async (input) => {
      const { key, statement, options } = input;
      const [aikCertificate] = options.akCertificates;
      return line(
        buildKeyRegistration({
          ...{ profile: 'attested', publicKey: key.publicKey },
          ...(statement && { attestation: await kastOf(input, 'authority-and-subject') }),
          ...(aikCertificate && { aikCertificate }),
        }),
      );
    },
  },
  csr: { title: 'certificate request (PKCS#10), PEM', uses: CSR_OPTIONS, build: (input) => csrOf(input, []) },
  'csr-lamps': {
    title: 'csr with an attestation bundle (LAMPS)',
    uses: CSR_OPTIONS,
    attests: true,
    build: (input) => csrOf(input, [buildLampsAttestation(statementOf(input))]),
  },
  'csr-wcce': {
    title: "csr for AD CS (MS-WCCE); the proof is --ak-certificate or, without it, the TPM's endorsement key",
    needs: ['exchange-certificate'],
    uses: [...CSR_OPTIONS, 'ek-certificate'],
    attests: true,
    build: async (input) => csrOf(input, await wcceAttributes(input)),
  },
  pkinit: {
    title: 'self-signed certificate for key trust (PKINIT), PEM',
    needs: ['sid', 'tenant-id'],
    uses: ['for-user', 'for-device'],
    build: async ({ key, signing, options }) => {
      const [sid, tenantId] = [textOf(options, 'sid'), textOf(options, 'tenant-id')];
      const deviceId = textOf(options, 'for-device', key.deviceId);
      const identity = { sid, tenantId, deviceId, upn: textOf(options, 'for-user', key.user) };
      return encodePem('CERTIFICATE', await buildPkinitCertificate(identity, signing));
    },
  },
  webauthn: {
    title: 'WebAuthn registration with a tpm attestation object, JSON',
    needs: ['rp-id', 'origin', 'challenge', 'ak-certificate'],
    attests: true,
    extraData: (input) => computeWebauthnExtraData(webauthnContext(input)),
    build: (input) => {
      const context = webauthnContext(input);
      const id = toBase64Url(idOf(input));
      const attestationObject = toBase64Url(buildWebauthnTpm(statementOf(input), context));
      const response = { clientDataJSON: toBase64Url(context.clientDataJson), attestationObject };
      return json({ id, rawId: id, type: 'public-key', response, clientExtensionResults: {} });
    },
  },
  acme: {
    title: 'answer to the ACME challenge device-attest-01, JSON',
    needs: ['ak-certificate'],
    uses: ['token', 'account-key'],
    attests: true,
    extraData: ({ options: { accountKey, challenge, texts } }) => {
      if (challenge !== undefined) return challenge;
      const token = texts.get('token');
      if (token !== undefined && accountKey !== undefined) return computeAcmeExtraData(token, accountKey);
      throw new UsageError(['--format acme needs --token and --account-key, or --challenge with the digest of both']);
    },
    build: (input) => line(buildAcmeDeviceAttest(statementOf(input))),
  },
  kast: {
    title: 'key attestation statement of Windows',
    attests: true,
    ignores: ['ak-certificate'],
    build: (input) => kastOf(input, 'authority-and-subject'),
  },
  'go-attestation': {
    title: 'CertificationParameters of go-attestation, JSON',
    attests: true,
    ignores: ['ak-certificate'],
    build: (input) => json(buildGoCertificationParameters(statementOf(input))),
  },
  'go-attestation-ak': {
    title: 'AttestationParameters of the attestation key, JSON',
    attests: true,
    ignores: ['ak-certificate', 'challenge'],
    build: (input) => {
      const { ak, akCreation } = statementOf(input);
      if (akCreation === undefined)
        throw new UsageError(['the statement does not say how its attestation key was made']);
      return json(buildGoAttestationParameters({ pubArea: ak.pubArea, ...akCreation }));
    },
  },
  statement: {
    title: 'statement as in attestation.json, JSON',
    attests: true,
    build: (input) => json(encodeStatement(statementOf(input))),
  },
  'key-credential-link': {
    title: 'value of msDS-KeyCredentialLink: a blob, or DN-Binary with --dn',
    uses: ['for-device', 'dn'],
    build: ({ key, options }) => {
      const [deviceId, now] = [options.texts.get('for-device') ?? key.deviceId, encodeFileTime(new Date())];
      const blob = buildKeyCredentialLink({
        ...{
          keyMaterial: encodePublicBlob(key.publicKey),
          source: KEY_CREDENTIAL_SOURCE.AD,
          lastLogon: now,
          created: now,
        },
        ...(deviceId !== undefined && { deviceId }),
        customKeyInformation: { version: 1, flags: 0 },
      });
      const dn = options.texts.get('dn');
      return dn === undefined ? blob : line(encodeDnBinary({ binary: blob, dn }));
    },
  },
  'ngc-assertion': {
    title: 'sign-in assertion of a registered RSA key, valid for ten minutes',
    needs: ['nonce'],
    uses: ['for-user', 'audience'],
    build: async ({ key, signing, options }) => {
      const issuedAt = Math.floor(Date.now() / 1000);
      const assertion = {
        ...{ issuer: textOf(options, 'for-user', key.user), audience: options.texts.get('audience') ?? 'common' },
        ...{ nonce: textOf(options, 'nonce'), issuedAt, expires: issuedAt + 600 },
      };
      return line(await buildNgcAssertion(assertion, { key: signing }));
    },
  },
  ssh: {
    title: 'SSH public key',
    build: ({ key }) => line(encodeSshPublicKeyLine({ publicKey: key.publicKey, comment: key.user })),
  },
  jwk: { title: 'JSON Web Key', build: ({ key }) => json(encodeJwk(key.publicKey)) },
  spki: { title: 'SubjectPublicKeyInfo, PEM', build: ({ key }) => encodeSpkiPem(key.publicKey) },
  cose: { title: 'COSE key, CBOR', build: ({ key }) => encodeCoseKey(coseKey(key)) },
  cng: { title: 'CNG public key blob', build: ({ key }) => encodePublicBlob(key.publicKey) },
} satisfies Record<keyof typeof MADE_FORMATS, RequestFormat>;
