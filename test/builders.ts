import * as attestation from '../src/attestation/index.ts';
import { fromHex, view } from '../src/bytes.ts';
import { encodeSpkiPem } from '../src/crypto/public-key.ts';
import * as services from '../src/formats/services/index.ts';
import * as tcg from '../src/formats/tcg/index.ts';
import * as webauthn from '../src/formats/webauthn/index.ts';
import { encodeDotNetTime } from '../src/formats/windows/file-time.ts';
import * as windows from '../src/formats/windows/index.ts';
import * as x509 from '../src/formats/x509/index.ts';
import { encodeKeyFile, encodeKeyRecord } from '../src/keys/index.ts';
import { signingKeyOf } from '../src/testing/signing-key.ts';
import { TPM_ALG } from '../src/tpm/constants.ts';
import { decode, encode } from '../src/tpm/index.ts';
import { publicKeyOf } from '../src/tpm/public-key.ts';
import { TPMT_SIGNATURE } from '../src/tpm/structures/algorithm.ts';
import { TPMS_ATTEST } from '../src/tpm/structures/attest.ts';
import { TPMT_PUBLIC } from '../src/tpm/structures/object.ts';
import { userKeyTemplate } from '../src/tpm/templates.ts';
import { buildCommonName, issue } from './certificates.ts';
import type { EntranceWorld } from './entrances/world.ts';
import { keyRecord } from './key-record.ts';
import { ecKey, rsaKey } from './signing-key.ts';
import { paperKey, paperStatement } from './unit/attestation/paper-tpm.ts';

/** A public function that writes bytes, text or JSON, and arguments that it accepts. */
export interface Builder {
  readonly call: CallableFunction;
  readonly args: readonly unknown[];
}

const of = <Args extends readonly unknown[]>(call: (...args: Args) => unknown, ...args: Args): Builder => ({
  call,
  args,
});

/** Every public function that encodes, builds or computes; after a dot, another case of it. */
export async function builders(world: EntranceWorld): Promise<Readonly<Record<string, Builder>>> {
  const { evidence, credential, file, vectors } = world;
  const { publicKey } = rsaKey;
  const ec = ecKey('P-256');
  const [akCertificate = EMPTY] = evidence.ak.certificates ?? [];
  const akCreation = evidence.akCreation ?? { creationData: EMPTY, certInfo: EMPTY, signature: EMPTY };
  const { pubArea, certInfo, signature } = evidence;
  const spki = x509.encodeSpki(publicKey);
  const { p256 } = vectors('make-credential');
  const ek = attestation.decodePublicArea(fromHex(p256.ekPublic).subarray(2));
  const { der: exchangeCertificate } = await issue({ subject: buildCommonName('CA-Xchg'), spki });
  const authority = { key: rsaKey, certificate: exchangeCertificate };
  const tpm = { manufacturer: 0x53544d20, model: 'ST33', version: 1 };
  const certified = { publicKey, tpm, notBefore: new Date(1.7e12), notAfter: new Date(1.9e12), serialNumber: BYTES };
  const names = [
    { kind: 'dns', value: 'a.test' },
    { kind: 'ip', value: Uint8Array.of(127, 0, 0, 1) },
    { kind: 'directory', value: x509.buildCommonName('a') },
    { kind: 'permanent-identifier', value: '0123abcd', assigner: x509.EK_IDENTIFIER },
    { kind: 'hardware-module', type: x509.TPM_2_0_HARDWARE, serialNumber: BYTES },
    { kind: 'other-name', type: '1.2.3', value: fromHex('0500') },
  ] as const;
  const attribute = x509.buildLampsAttestation(evidence);
  const csr = tcg.parseTcgCsrIdevid(file('tcg-csr-idevid'));
  const userKey = paperKey(userKeyTemplate('p-256'), 'user');
  const userStatement = paperStatement('p-256', 'rsa-2048');
  const scheme = { scheme: TPM_ALG.ECDSA, details: { hashAlg: TPM_ALG.SHA256 } };
  const idevid = paperStatement('p-256', 'p-256', {
    key: (area) => ({ ...area, parameters: { ...area.parameters, scheme } }) as typeof area,
  });
  const authData = {
    rpIdHash: webauthn.computeRpIdHash('a.test'),
    ...{ userPresent: true, userVerified: true, backupEligible: false, backedUp: false, signCount: 0 },
    credential: {
      aaguid: new Uint8Array(16),
      credentialId: BYTES,
      key: { publicKey: publicKeyOf(decode(TPMT_PUBLIC, userStatement.pubArea)), algorithm: -7 },
    },
    extensions: new Map([['credProtect', 2]]),
  } as const;
  const clientData = {
    type: 'webauthn.create',
    challenge: BYTES,
    origin: 'https://a.test',
    crossOrigin: false,
  } as const;
  const context = {
    authData: webauthn.encodeAuthenticatorData(authData),
    clientDataJson: webauthn.buildWebauthnClientData(clientData),
  };
  const extraData = webauthn.computeWebauthnExtraData(context);
  const signed = paperStatement('p-256', 'rsa-2048', { certInfo: (attest) => ({ ...attest, extraData }) });
  const attested = { ...signed, ak: { ...signed.ak, certificates: [akCertificate] } };
  const object = webauthn.decodeWebauthnTpm(webauthn.buildWebauthnTpm(attested, context));
  const rsa = vectors('cng').rsa2048;
  const link = windows.parseKeyCredentialLink(fromHex(rsa.keyCredential.blobHex));
  const kast = windows.decodeKast(file('kast'));
  const keyBlob = windows.decodePcpKeyBlob(file('pcp-key-blob'));
  const { keyAttestation } = kast;
  if (keyAttestation === undefined) throw new TypeError('the sample attests a key');
  const statement = paperStatement('rsa-2048', 'rsa-2048');
  const bundle = { type: x509.TPM_CERTIFY_STATEMENT, statement: x509.encodeTpmCertify(evidence) };
  const registration = { agentId: 'agent-1', ek: { pubArea: evidence.ek.pubArea }, akPubArea: evidence.ak.pubArea };
  const vendor = {
    ...{ manufacturer: 'IBM', manufacturerId: 0x49424d00, vendorString: 'SW TPM' },
    ...{ firmwareVersion: 1n, revision: '1.64' },
  };
  const identity = {
    sid: 'S-1-5-21-1-2-3-1001',
    deviceId: '47f577e3-d2d0-4a0a-8aca-000000000001',
    tenantId: '383a3889-5bc9-47a3-846c-000000000001',
    upn: 'ada@contoso.example',
  };
  const claims = { issuer: 'ada@a.test', audience: 'common', issuedAt: 1, expires: 2, nonce: 'n', scope: 'openid' };
  const keyFile = {
    publicArea: fromHex(`${pubArea.length.toString(16).padStart(4, '0')}${Buffer.from(pubArea).toString('hex')}`),
    privateArea: fromHex(`0003${'aa'.repeat(3)}`),
    parent: 0x81000001,
    emptyAuth: false,
    description: 'of ada',
  };
  const wcce = {
    kast: file('kast'),
    keyInfo: { ek: { publicKey, manufacturerCertificate: akCertificate, otherCertificates: [akCertificate] } },
    exchangeCertificate,
    kspName: 'provider',
  };
  return {
    // keyprov, keyprov/attestation, keyprov/keys and keyprov/tpm
    buildActivationChallenge: of(attestation.buildActivationChallenge, {
      ek,
      ak: attestation.decodePublicArea(evidence.ak.pubArea),
    }),
    computeSoftwareKeyMessage: of(attestation.computeSoftwareKeyMessage, BYTES, spki),
    encodeActivationChallenge: of(attestation.encodeActivationChallenge, { version: 1, ...credential }),
    encodeActivationResponse: of(attestation.encodeActivationResponse, { version: 1, secret: BYTES }),
    encodeBareSignature: of(attestation.encodeBareSignature, decode(TPMT_SIGNATURE, signature)),
    encodeStatement: of(attestation.encodeStatement, evidence),
    makeCredential: of(attestation.makeCredential, { ek, objectName: fromHex(p256.ekName), secret: BYTES }),
    encodeKeyFile: of(encodeKeyFile, keyFile),
    encodeKeyRecord: of(encodeKeyRecord, keyRecord('ada')),
    'encode.TPMT_PUBLIC': of(
      (value: ReturnType<typeof attestation.decodePublicArea>) => encode(TPMT_PUBLIC, value),
      ek,
    ),
    'encode.TPMT_SIGNATURE': of(
      (value: Parameters<typeof attestation.encodeBareSignature>[0]) => encode(TPMT_SIGNATURE, value),
      decode(TPMT_SIGNATURE, signature),
    ),
    'encode.TPMS_ATTEST': of((value) => encode(TPMS_ATTEST, value), decode(TPMS_ATTEST, certInfo)),
    // keyprov/formats/services
    buildAcmeDeviceAttest: of(services.buildAcmeDeviceAttest, evidence),
    buildGoAttestationParameters: of(services.buildGoAttestationParameters, { pubArea, ...akCreation }),
    buildGoCertificationParameters: of(services.buildGoCertificationParameters, { pubArea, certInfo, signature }),
    buildGoQuote: of(services.buildGoQuote, { certInfo, signature }),
    buildJws: of(services.buildJws, { key: rsaKey, algorithm: 'RS256', payload: BYTES, header: { kid: 'k' } }),
    buildKeylimeActivation: of(services.buildKeylimeActivation, 'agent-1', BYTES, '3.0'),
    buildKeylimeRegistration: of(
      services.buildKeylimeRegistration,
      {
        ...registration,
        ...{ mtlsCertificate: 'disabled', ip: '127.0.0.1', port: 9002 },
        iak: { pubArea: evidence.ak.pubArea, certificate: akCertificate, certInfo, signature },
        idevid: { pubArea, certificate: akCertificate },
      },
      '3.0',
    ),
    'buildKeylimeRegistration.2': of(services.buildKeylimeRegistration, registration, '2.2'),
    buildSmallstepAttest: of(services.buildSmallstepAttest, { vendor, ek: evidence.ek, ak: evidence.ak, akCreation }),
    buildSmallstepChain: of(services.buildSmallstepChain, [akCertificate]),
    buildSmallstepSecret: of(services.buildSmallstepSecret, BYTES),
    computeAcmeExtraData: of(services.computeAcmeExtraData, 'token', publicKey),
    computeAcmeKeyAuthorization: of(services.computeAcmeKeyAuthorization, 'token', ec.publicKey),
    computeEkDeviceName: of(services.computeEkDeviceName, akCertificate),
    computeJwkThumbprint: of(services.computeJwkThumbprint, publicKey),
    computeKeylimeAuthTag: of(services.computeKeylimeAuthTag, BYTES, 'agent-1'),
    computeKeylimeIakChallenge: of(services.computeKeylimeIakChallenge, 'agent-1'),
    computeSshFingerprint: of(services.computeSshFingerprint, publicKey),
    encodeAcmeDeviceAttest: of(services.encodeAcmeDeviceAttest, object),
    encodeAcmeIdentifier: of(services.encodeAcmeIdentifier, names[3]),
    'encodeAcmeIdentifier.hardware': of(services.encodeAcmeIdentifier, names[4]),
    encodeGoAttestationCredential: of(services.encodeGoAttestationCredential, credential),
    encodeJwk: of(services.encodeJwk, publicKey),
    'encodeJwk.EC': of(services.encodeJwk, ec.publicKey),
    encodeKeylimeBlob: of(services.encodeKeylimeBlob, credential),
    encodeSizedCredential: of(services.encodeSizedCredential, credential),
    encodeSmallstepCredential: of(services.encodeSmallstepCredential, credential),
    encodeSshPublicKey: of(services.encodeSshPublicKey, publicKey),
    'encodeSshPublicKey.EC': of(services.encodeSshPublicKey, ec.publicKey),
    encodeSshPublicKeyLine: of(services.encodeSshPublicKeyLine, { publicKey, comment: 'ada@tpm' }),
    encodeTpm2ToolsCredential: of(services.encodeTpm2ToolsCredential, credential),
    // keyprov/formats/tcg
    buildAkCertificate: of(
      tcg.buildAkCertificate,
      { ...certified, aaguid: new Uint8Array(16), alternativeNames: names, hash: 'sha256' },
      authority,
    ),
    buildAkPublicArea: of(tcg.buildAkPublicArea, publicKey),
    'buildAkPublicArea.EC': of(tcg.buildAkPublicArea, ec.publicKey),
    buildEkCertificate: of(tcg.buildEkCertificate, { ...certified, revision: 159, hash: 'sha256' }, authority),
    buildEkPublicArea: of(tcg.buildEkPublicArea, publicKey),
    buildTcgCsrIdevid: of(tcg.buildTcgCsrIdevid, {
      ...{ statement: idevid, key: signingKeyOf(userKey.privateKey), prodModel: 'm', prodSerial: 's' },
      ...{ prodCaData: BYTES, bootEvntLog: BYTES, ekCert: BYTES, hashAlgoId: csr.content.hashAlgoId },
    }),
    encodeIdevidContent: of(tcg.encodeIdevidContent, csr.content),
    encodeTcgCsrIdevid: of(tcg.encodeTcgCsrIdevid, csr),
    // keyprov/formats/webauthn
    buildWebauthnClientData: of(webauthn.buildWebauthnClientData, clientData),
    buildWebauthnTpm: of(webauthn.buildWebauthnTpm, attested, context),
    computeRpIdHash: of(webauthn.computeRpIdHash, 'a.test'),
    computeWebauthnExtraData: of(webauthn.computeWebauthnExtraData, context),
    encodeAaguid: of(webauthn.encodeAaguid, webauthn.WINDOWS_HELLO_AAGUID),
    encodeAuthenticatorData: of(webauthn.encodeAuthenticatorData, authData),
    encodeCoseKey: of(webauthn.encodeCoseKey, { publicKey, algorithm: -257 }),
    'encodeCoseKey.EC': of(webauthn.encodeCoseKey, { publicKey: ec.publicKey, algorithm: -7 }),
    encodeTpmAttestationObject: of(webauthn.encodeTpmAttestationObject, object),
    encodeWebauthnTpm: of(webauthn.encodeWebauthnTpm, object),
    // keyprov/formats/windows
    buildKast: of(windows.buildKast, statement, {
      ...{ claim: 'authority-and-subject', privateArea: BYTES, authRequired: true },
    }),
    buildKeyCredentialLink: of(windows.buildKeyCredentialLink, {
      ...{ keyMaterial: link.keyMaterial, keyId: link.keyId, usage: 1, source: 0, lastLogon: 1n, created: 1n },
      ...{ deviceId: identity.deviceId, customKeyInformation: { version: 1, flags: 2, rest: EMPTY } },
      otherEntries: [{ id: 77, value: BYTES }],
    }),
    buildKeyRegistration: of(windows.buildKeyRegistration, {
      ...{ profile: 'attested', publicKey, attestation: view(file('kast')), aikCertificate: view(akCertificate) },
    }),
    buildNgcAssertion: of(windows.buildNgcAssertion, claims, { key: rsaKey }),
    buildPkinitCertificate: of(windows.buildPkinitCertificate, identity, rsaKey, {
      ...{ now: new Date(1.7e12), strings: 'bmp', serialNumber: BYTES, hash: 'sha256' },
    }),
    buildWcceAttributes: of(windows.buildWcceAttributes, wcce),
    'buildWcceAttributes.aik': of(windows.buildWcceAttributes, {
      ...wcce,
      keyInfo: { aik: { publicKey, certificate: akCertificate } },
    }),
    buildWcceChallenge: of(windows.buildWcceChallenge, {
      ...{ exchangeCertificateHash: BYTES, challenge: BYTES, encryptionAlgorithm: '2.16.840.1.101.3.4.1.42' },
    }),
    computeExchangeCertificateHash: of(windows.computeExchangeCertificateHash, akCertificate),
    computeKeyId: of(windows.computeKeyId, BYTES),
    computeKeyIdText: of(windows.computeKeyIdText, BYTES),
    encodeAttestationKeyInfo: of(windows.encodeAttestationKeyInfo, { publicKey, certificate: akCertificate }),
    encodeCngBlob: of(windows.encodeCngBlob, windows.decodeCngBlob(file('RSA3'))),
    'encodeCngBlob.EC': of(windows.encodeCngBlob, windows.decodeCngBlob(file('ECS4'))),
    encodeCustomKeyInformation: of(windows.encodeCustomKeyInformation, {
      ...{
        version: 1,
        flags: 2,
        volumeType: 0,
        supportsNotification: 1,
        fekKeyVersion: 1,
        keyStrength: 1,
        rest: BYTES,
      },
    }),
    encodeDnBinary: of(windows.encodeDnBinary, { binary: BYTES, dn: 'CN=Ada' }),
    encodeEndorsementKeyInfo: of(windows.encodeEndorsementKeyInfo, wcce.keyInfo.ek),
    encodeFileTime: of(windows.encodeFileTime, new Date(1.7e12)),
    encodeDotNetTime: of(encodeDotNetTime, 1n),
    encodeGuid: of(windows.encodeGuid, identity.deviceId),
    encodeKads: of(windows.encodeKads, keyAttestation),
    encodeKast: of(windows.encodeKast, kast),
    encodeKeyCredentialLink: of(windows.encodeKeyCredentialLink, link.entries),
    encodeKeyMaterial: of(windows.encodeKeyMaterial, windows.decodeKeyMaterial(spki) ?? fail()),
    'encodeKeyMaterial.fido': of(
      windows.encodeKeyMaterial,
      windows.decodeKeyMaterial(file('fido-key-material')) ?? fail(),
    ),
    encodePcpKeyBlob: of(windows.encodePcpKeyBlob, keyBlob),
    encodePublicBlob: of(windows.encodePublicBlob, publicKey),
    'encodePublicBlob.EC': of(windows.encodePublicBlob, ec.publicKey),
    encodeTachChallenge: of(windows.encodeTachChallenge, { ...credential, aikOpaque: BYTES }),
    // keyprov/formats/x509
    buildCertificateRequest: of(
      x509.buildCertificateRequest,
      {
        ...{ subject: x509.buildCommonName('a'), alternativeNames: names, attributes: [attribute], hash: 'sha256' },
        extensions: [{ oid: '2.5.29.15', critical: true, value: fromHex('03020780') }],
      },
      rsaKey,
    ),
    buildCommonName: of(x509.buildCommonName, 'a'),
    buildEnvelope: of(x509.buildEnvelope, BYTES, exchangeCertificate, {
      ...{ keyEncryption: 'rsaes-oaep-sha256', contentEncryption: 'aes-128-cbc' },
    }),
    buildLampsAttestation: of(x509.buildLampsAttestation, evidence, 'tpmt'),
    encodeAlternativeNames: of(x509.encodeAlternativeNames, names),
    encodeAttestationBundle: of(x509.encodeAttestationBundle, {
      ...{ attestations: [bundle], certificates: [akCertificate], otherCertificates: [fromHex('a3020500')] },
    }),
    encodeContentEncryption: of(x509.encodeContentEncryption, 'aes-256-cbc'),
    encodeSpki: of(x509.encodeSpki, publicKey),
    'encodeSpki.EC': of(x509.encodeSpki, ec.publicKey),
    encodeSpkiPem: of(encodeSpkiPem, publicKey),
    encodeTpmCertify: of(x509.encodeTpmCertify, { certInfo, signature, pubArea }),
  };
}

const EMPTY = new Uint8Array(0);
const BYTES = Uint8Array.of(1, 2, 3);

const fail = (): never => {
  throw new TypeError('the sample cannot be read');
};
