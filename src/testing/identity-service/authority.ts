import { createPrivateKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { type Bytes, toBase64, utf8, view } from '../../bytes.ts';
import { DER_TRUE, derSequence, derValue, TAG } from '../../crypto/der-write.ts';
import { encodePem } from '../../crypto/pem.ts';
import { EXTENSION } from '../../crypto/x509.ts';
import { extendedKeyUsage, noAuthority, subjectAltName } from '../../formats/x509/extensions.ts';
import {
  type CertificateAuthority,
  issueCertificate,
  issueUnder,
  subjectKeyId,
} from '../../formats/x509/issue-certificate.ts';
import { buildCommonName, encodeName } from '../../formats/x509/names.ts';
import { signingKeyOf } from '../signing-key.ts';
import { signCms } from './cms.ts';
import type { ServiceState } from './state.ts';

/** The keys of the service and their uses. All keys are in its state. */
export interface ServiceAuthority {
  /** Issues certificates of devices, attestation keys and the service itself; signs `pctx`. */
  readonly ca: CertificateAuthority;
  /** Signs tokens: RSA. */
  readonly tokenKey: KeyObject;
  /** The listener's key and certificate, as PEM. */
  readonly tls: { readonly key: string; readonly cert: string };
  /** The `pctx` of a response. MS-KPP 3.1.5.1.1.2. */
  providerContext(domainController: string): Promise<string>;
}

/** The part of the state that keeps keys and certificates. */
export type KeptSettings = Pick<ServiceState, 'setting' | 'setSetting'>;

const YEAR_MS = 365 * 86_400_000;
const SERVER_AUTHENTICATION = '1.3.6.1.5.5.7.3.1';

/** A validity from a day ago to `years` from now, by the clock of the machine, which is the only clock of TLS. */
export const validFor = (years: number): { notBefore: Date; notAfter: Date } => ({
  notBefore: new Date(Date.now() - 86_400_000),
  notAfter: new Date(Date.now() + years * YEAR_MS),
});

/** Reads the keys of the service from its state, and makes missing ones. */
export async function openAuthority(state: KeptSettings): Promise<ServiceAuthority> {
  const [caKey, tokenKey, tlsKey] = await Promise.all([
    keptKey(state, 'ca', 'rsa'),
    keptKey(state, 'token', 'rsa'),
    keptKey(state, 'tls', 'ec'),
  ]);
  const key = signingKeyOf(caKey);
  const certificate = await kept(state, 'ca-certificate', async () => {
    const subject = encodeName(buildCommonName('keyprov identity service'));
    const { notBefore, notAfter } = validFor(10);
    const extensions = [
      { oid: EXTENSION.BASIC_CONSTRAINTS, critical: true, value: derSequence(DER_TRUE) },
      // digitalSignature, keyCertSign and cRLSign: the CA signs pctx too.
      { oid: EXTENSION.KEY_USAGE, critical: true, value: derValue(TAG.BIT_STRING, new Uint8Array([1, 0x86])) },
      subjectKeyId(key.publicKey),
    ];
    return await issueCertificate(
      { issuer: subject, subject, publicKey: key.publicKey, notBefore, notAfter, extensions },
      key,
    );
  });
  const ca: CertificateAuthority = { key, certificate };
  const tlsCertificate = await kept(state, 'tls-certificate', () => issueServerCertificate(tlsKey, ca));
  return {
    ca,
    tokenKey,
    tls: {
      key: encodePem('PRIVATE KEY', view(tlsKey.export({ type: 'pkcs8', format: 'der' }))),
      cert: encodePem('CERTIFICATE', tlsCertificate),
    },
    providerContext: async (domainController) =>
      toBase64(await signCms(utf8(JSON.stringify({ DomainControllerFqdn: domainController })), ca)),
  };
}

async function issueServerCertificate(privateKey: KeyObject, ca: CertificateAuthority): Promise<Bytes> {
  const names = subjectAltName(
    [
      { kind: 'dns', value: 'localhost' },
      { kind: 'ip', value: new Uint8Array([127, 0, 0, 1]) },
    ],
    false,
  );
  return await issueUnder(ca, {
    subject: encodeName(buildCommonName('localhost')),
    publicKey: signingKeyOf(privateKey).publicKey,
    ...validFor(2),
    extensions: [noAuthority(), extendedKeyUsage(SERVER_AUTHENTICATION), names],
  });
}

async function keptKey(state: KeptSettings, name: string, type: 'rsa' | 'ec'): Promise<KeyObject> {
  const pkcs8 = await kept(state, `${name}-key`, async () => view((await makeKey(type)).export(PKCS8)));
  return createPrivateKey({ key: Buffer.from(pkcs8), ...PKCS8 });
}

const PKCS8 = { type: 'pkcs8', format: 'der' } as const;
const generate = promisify(generateKeyPair);

async function makeKey(type: 'rsa' | 'ec'): Promise<KeyObject> {
  const { privateKey } =
    type === 'rsa' ? await generate('rsa', { modulusLength: 2048 }) : await generate('ec', { namedCurve: 'P-256' });
  return privateKey;
}

async function kept(state: KeptSettings, name: string, make: () => Promise<Bytes>): Promise<Bytes> {
  const found = state.setting(name);
  if (found !== undefined) return found;
  const made = await make();
  state.setSetting(name, made);
  return made;
}
