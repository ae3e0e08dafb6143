import { generateKeyPairSync, privateDecrypt, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type EndorsementKey, openEndorsementKey } from '../../src/attestation/endorsement.ts';
import {
  type AttestationKey,
  type AttestationStatement,
  activateCredential,
  answerActivationChallenge,
  attestKey,
  type Credential,
  certifyKey,
  createAttestationKey,
  decodePublicArea,
  makeCredential,
  verifyAttestationKey,
  verifyEvidence,
  verifyStatement,
} from '../../src/attestation/index.ts';
import {
  buildAcmeDeviceAttest,
  buildGoAttestationParameters,
  buildGoCertificationParameters,
  buildKeylimeActivation,
  buildKeylimeRegistration,
  buildSmallstepAttest,
  buildSmallstepChain,
  buildSmallstepSecret,
  computeAcmeExtraData,
  computeKeylimeAuthTag,
  computeKeylimeIakChallenge,
  decodeGoAttestationCredential,
  decodeKeylimeBlob,
  decodeSmallstepCredential,
  decodeTpm2ToolsCredential,
  encodeGoAttestationCredential,
  encodeKeylimeBlob,
  encodeSmallstepCredential,
  encodeTpm2ToolsCredential,
  parseAcmeDeviceAttest,
  parseGoAttestationParameters,
  parseGoCertificationParameters,
  parseKeylimeActivation,
  parseKeylimeRegistration,
  parseSmallstepAttest,
  parseSmallstepChain,
  parseSmallstepSecret,
  statementFromAcmeDeviceAttest,
  statementFromGoCertification,
} from '../../src/formats/services/index.ts';
import { buildAkPublicArea, buildEkPublicArea, findCertifiedAk } from '../../src/formats/tcg/index.ts';
import {
  buildWebauthnClientData,
  buildWebauthnTpm,
  COSE_ALG,
  computeRpIdHash,
  computeWebauthnExtraData,
  decodeWebauthnTpm,
  encodeAuthenticatorData,
  statementFromWebauthnTpm,
} from '../../src/formats/webauthn/index.ts';
import {
  buildKast,
  buildKeyRegistration,
  buildWcceAttributes,
  buildWcceChallenge,
  computeExchangeCertificateHash,
  decodeAttestationKeyInfo,
  decodeEndorsementKeyInfo,
  decodeKast,
  decodeTachChallenge,
  encodeTachChallenge,
  parseKeyRegistration,
  parseWcceAttributes,
  statementFromKast,
  statementFromKeyRegistration,
} from '../../src/formats/windows/index.ts';
import {
  buildCertificateRequest,
  buildLampsAttestation,
  decodeTpmCertify,
  decryptEnvelope,
  type Envelope,
  encodeContentEncryption,
  encodeSpki,
  NAME_OID,
  type PublicKey,
  parseCertificateRequest,
  parseLampsAttestation,
  statementFromTpmCertify,
  verifyCertificateRequest,
} from '../../src/formats/x509/index.ts';
import {
  createTestAuthority,
  missingSimulator,
  openTestTpm,
  signingKeyOf,
  type TestAuthority,
} from '../../src/testing/index.ts';
import {
  commands,
  encode,
  objectName,
  readVendor,
  structures,
  TPM_RH,
  type Tpm,
  type TpmObject,
} from '../../src/tpm/index.ts';
import { publicKeyOf, srkTemplate, userKeyTemplate } from '../../src/tpm/public-areas.ts';
import { missingOutsideCi } from '../programs.ts';
import { importsOf } from '../unit/source-files.ts';

const EMPTY = new Uint8Array(0);
const missing = missingOutsideCi(await missingSimulator());

/** A client: a TPM with a user's key, and an attestation key of RSA, since a KAST has no place for another. */
interface Client {
  readonly tpm: Tpm;
  readonly ek: EndorsementKey;
  readonly ak: AttestationKey;
  readonly key: TpmObject;
  readonly privateArea: Uint8Array;
  readonly publicKey: PublicKey;
}

async function openClient(): Promise<Client> {
  const { tpm } = await openTestTpm();
  const inSensitive = { userAuth: EMPTY, data: EMPTY };
  const making = { inSensitive, outsideInfo: EMPTY, creationPCR: [] };
  const parent = await tpm.run(commands.CreatePrimary, {
    ...making,
    primaryHandle: TPM_RH.OWNER,
    inPublic: srkTemplate('p-256'),
  });
  const parentHandle = parent.objectHandle;
  const made = await tpm.run(commands.Create, { ...making, parentHandle, inPublic: userKeyTemplate('rsa-2048') });
  const loaded = await tpm.run(commands.Load, { parentHandle, inPrivate: made.outPrivate, inPublic: made.outPublic });
  await parentHandle.flush();
  const ak = await createAttestationKey(tpm, { algorithm: 'rsa-2048' });
  const ek = await openEndorsementKey(tpm, { template: 'L-1' });
  const publicKey = publicKeyOf(made.outPublic);
  return { tpm, ek, ak, key: loaded.objectHandle, privateArea: made.outPrivate, publicKey };
}

describe('this file', () => {
  it('imports only what users can import', () => {
    const { exports } = JSON.parse(readFileSync('package.json', 'utf8'));
    const entries = Object.values<{ default?: string }>(exports).map((target) => target.default);
    const ours = importsOf('test/integration/service-side.test.ts').filter(({ target }) => target.startsWith('src/'));
    const built = ours.map(({ target }) => `./dist/${target.replace(/\.ts$/, '.js')}`);
    expect(built.length).toBeGreaterThan(8);
    expect(built.filter((path) => !entries.includes(path))).toEqual([]);
  });
});

describe.skipIf(missing !== undefined)('a service that has only the request and the public API', () => {
  let client: Client;
  let authority: TestAuthority;
  let akCertificates: Uint8Array[];
  const exchange = generateKeyPairSync('rsa', { modulusLength: 2048 });
  beforeAll(async () => {
    client = await openClient();
    authority = await createTestAuthority();
    akCertificates = [await authority.issueAkCertificate(client.ak.publicArea)];
  });
  afterAll(() => client?.tpm.close());

  const attest = (challenge: Uint8Array): Promise<AttestationStatement> => {
    const { tpm, key, ak } = client;
    return attestKey(tpm, { key, ak, challenge, akCreation: true, akCertificates });
  };
  const activate = (credential: Credential): Promise<Uint8Array> => {
    const { tpm, ek, ak } = client;
    return activateCredential(tpm, { ek, ak: ak.object, credential });
  };
  /** A service's credential for the TPM, and the secret in it. */
  const challengeFor = (ekArea: Uint8Array, akArea: Uint8Array): { credential: Credential; secret: Uint8Array } => {
    const secret = new Uint8Array(randomBytes(32));
    const name = objectName(decodePublicArea(akArea));
    return { credential: makeCredential({ ek: decodePublicArea(ekArea), objectName: name, secret }), secret };
  };
  const akArea = () => client.ak.pubArea;
  const ekArea = () => encode(structures.TPMT_PUBLIC, client.ek.publicArea);
  const trustedByCertificate = (statement: AttestationStatement, challenge: Uint8Array) =>
    verifyEvidence(statement, {
      ...{ challenge, akRoots: [authority.root], minTier: 'virtual' },
      expectedKey: { spki: encodeSpki(client.publicKey) },
    });

  it('verifies a key registration, with the endorsement key of the TPM', async () => {
    const challenge = new Uint8Array(randomBytes(32));
    const { tpm, ek, ak, privateArea } = client;
    const kast = buildKast(await attest(challenge), {
      claim: 'authority-and-subject',
      privateArea,
      authRequired: false,
    });
    const [aikCertificate] = akCertificates.map((der) => new Uint8Array(der));
    const made = { profile: 'attested', publicKey: client.publicKey, attestation: kast } as const;
    const body = buildKeyRegistration({ ...made, ...(aikCertificate && { aikCertificate }) });

    const registration = parseKeyRegistration(body, 'attested');
    const statement = statementFromKeyRegistration(registration);
    if (statement === undefined) throw new Error('no attestation');
    const answer = { ek, ak: ak.object };
    const activation = await authority.activate({
      ...{ ek: ek.publicArea, ak: decodePublicArea(statement.ak.pubArea) },
      answer: (sent) => answerActivationChallenge(tpm, sent, answer),
    });
    const wanted = { challenge, expectedKey: { spki: encodeSpki(registration.publicKey) } };
    const trust = { activation, ekAllowList: [activation.ek], minTier: 'tpm-no-ek-certificate' } as const;
    const withEk = { ...statement, ek: { pubArea: ekArea() } };
    expect(await verifyEvidence(withEk, { ...wanted, ...trust })).toMatchObject({
      ok: true,
      tier: 'tpm-no-ek-certificate',
    });
    expect(await trustedByCertificate(statement, challenge)).toMatchObject({ ok: true });
    const other = { ...wanted, ...trust, challenge: new Uint8Array(randomBytes(32)) };
    expect(await verifyEvidence(withEk, other)).toMatchObject({ ok: false });
  });

  describe('of AD CS', () => {
    const requestWith = async (
      keyInfo: Parameters<typeof buildWcceAttributes>[0]['keyInfo'],
      claim: 'authority-and-subject' | 'subject-only',
    ) => {
      const signing = signingKeyOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
      const kast = buildKast(await attest(new Uint8Array([1])), {
        ...{ claim, privateArea: client.privateArea, authRequired: false },
      });
      const attributes = buildWcceAttributes({
        ...{ kast, keyInfo, exchangeCertificate: await exchangeCertificate() },
        keyEncryption: 'rsaes-oaep-sha256',
      });
      const subject = [[{ type: NAME_OID.COMMON_NAME, value: 'ada' }]];
      const request = parseCertificateRequest(await buildCertificateRequest({ subject, attributes }, signing));
      expect(verifyCertificateRequest(request)).toBe(true);
      return parseWcceAttributes(request.attributes);
    };
    const exchangeCertificate = (): Promise<Uint8Array> => {
      const { publicKey } = signingKeyOf(exchange.privateKey);
      return authority.issueEkCertificate(decodePublicArea(buildEkPublicArea(publicKey)));
    };
    const decrypted = (envelope: Envelope | undefined): Uint8Array => {
      const [recipient] = envelope?.recipients ?? [];
      if (envelope === undefined || recipient === undefined) throw new Error('no envelope');
      // Node 20 does not decrypt with PKCS#1 padding.
      const options = { key: exchange.privateKey, oaepHash: 'sha256' };
      return decryptEnvelope(envelope, privateDecrypt(options, recipient.encryptedKey));
    };

    it('challenges the endorsement key and verifies the statement', async () => {
      const publicKey = publicKeyOf(client.ek.publicArea);
      const sent = await requestWith({ ek: { publicKey } }, 'authority-and-subject');
      const statement = statementFromKast(decodeKast(sent.kast ?? EMPTY));
      const info = decodeEndorsementKeyInfo(decrypted(sent.ekInfo));
      const { credential, secret } = challengeFor(buildEkPublicArea(info.publicKey), statement.ak.pubArea);
      const answer = buildWcceChallenge({
        exchangeCertificateHash: computeExchangeCertificateHash(await exchangeCertificate()),
        challenge: encodeTachChallenge({ ...credential, aikOpaque: EMPTY }),
        encryptionAlgorithm: encodeContentEncryption('aes-256-cbc'),
      });
      const challenge = decodeTachChallenge(parseWcceAttributes(answer).challenge ?? EMPTY);
      expect(Buffer.from(await activate(challenge))).toEqual(Buffer.from(secret));
      const wanted = { challenge: new Uint8Array([1]), attestationKey: { pubArea: statement.ak.pubArea } };
      expect(verifyStatement(statement, wanted)).toMatchObject({ ok: true, publicKey: client.publicKey });
    });

    it('accepts a certified attestation key, and verifies the statement', async () => {
      const [certificate] = akCertificates;
      const publicKey = publicKeyOf(client.ak.publicArea);
      const sent = await requestWith({ aik: { publicKey, ...(certificate && { certificate }) } }, 'subject-only');
      const info = decodeAttestationKeyInfo(decrypted(sent.aikInfo));
      const statement = statementFromKast(decodeKast(sent.kast ?? EMPTY), buildAkPublicArea(info.publicKey));
      const withCertificate = { ...statement, ak: { ...statement.ak, certificates: [info.certificate ?? EMPTY] } };
      expect(await trustedByCertificate(withCertificate, new Uint8Array([1]))).toMatchObject({ ok: true });
    });
  });

  it('enrols an attestation key as smallstep does, and verifies what it certifies for ACME', async () => {
    const { tpm, ak } = client;
    const { akCreation } = await attest(new Uint8Array([2]));
    if (akCreation === undefined) throw new Error('no proof of creation');
    const vendor = await readVendor(tpm);
    const body = JSON.stringify(buildSmallstepAttest({ vendor, ek: { pubArea: ekArea() }, ak, akCreation }));

    const asked = parseSmallstepAttest(JSON.parse(body));
    expect(verifyAttestationKey(asked.ak.pubArea, asked.akCreation).ok).toBe(true);
    const { credential, secret } = challengeFor(buildEkPublicArea(asked.ek), asked.ak.pubArea);
    const answer = buildSmallstepSecret(
      await activate(decodeSmallstepCredential(encodeSmallstepCredential(credential))),
    );
    expect(Buffer.from(parseSmallstepSecret(answer))).toEqual(Buffer.from(secret));
    const chain = [await authority.issueAkCertificate(decodePublicArea(asked.ak.pubArea))];
    const certificates = parseSmallstepChain(buildSmallstepChain(chain));

    const challenge = computeAcmeExtraData('token', client.publicKey);
    const payload = buildAcmeDeviceAttest({ ...(await attest(challenge)), ak: { pubArea: ak.pubArea, certificates } });
    const object = parseAcmeDeviceAttest(payload);
    const found = findCertifiedAk(object, object.certificates);
    const statement = statementFromAcmeDeviceAttest(object, found?.pubArea ?? EMPTY);
    expect(await trustedByCertificate(statement, challenge)).toMatchObject({ ok: true });
  });

  it('verifies WebAuthn objects and certificate requests', async () => {
    const credential = {
      ...{ aaguid: new Uint8Array(16), credentialId: new Uint8Array([1]) },
      key: { publicKey: client.publicKey, algorithm: COSE_ALG.RS256 },
    };
    const flags = { userPresent: true, userVerified: true, backupEligible: false, backedUp: false };
    const authData = encodeAuthenticatorData({ rpIdHash: computeRpIdHash('rp'), ...flags, signCount: 0, credential });
    const client_ = { type: 'webauthn.create', challenge: EMPTY, origin: 'https://rp', crossOrigin: false } as const;
    const context = { authData, clientDataJson: buildWebauthnClientData(client_) };
    const challenge = computeWebauthnExtraData(context);
    const statement = await attest(challenge);
    const object = decodeWebauthnTpm(buildWebauthnTpm(statement, context));
    const fromWebauthn = statementFromWebauthnTpm(
      object,
      findCertifiedAk(object, object.certificates)?.pubArea ?? EMPTY,
    );
    expect(await trustedByCertificate(fromWebauthn, challenge)).toMatchObject({ ok: true });

    const [bundle] = parseLampsAttestation([buildLampsAttestation(statement)]);
    const [bundled] = bundle?.attestations ?? [];
    const certify = decodeTpmCertify(bundled?.statement ?? EMPTY);
    const found = findCertifiedAk(certify, bundle?.certificates ?? []);
    if (found === undefined) throw new Error('no attestation key');
    expect(await trustedByCertificate(statementFromTpmCertify(certify, found), challenge)).toMatchObject({ ok: true });
  });

  it('registers an agent of keylime', async () => {
    const agentId = 'd432fbb3-d2f1-4a97-9ef7-75bd81c00000';
    const { tpm, ak } = client;
    const challenge = computeKeylimeIakChallenge(agentId);
    const iak = { pubArea: ak.pubArea, ...(await certifyKey(tpm, { key: ak.object, ak, challenge })) };
    const ek = { pubArea: ekArea() };
    const request = buildKeylimeRegistration({ agentId, ek, akPubArea: ak.pubArea, iak }, '3.0');

    const registered = parseKeylimeRegistration(request);
    const { credential, secret } = challengeFor(registered.ek.pubArea, registered.akPubArea);
    const answered = await activate(decodeKeylimeBlob(encodeKeylimeBlob(credential)));
    const { authTag } = parseKeylimeActivation(buildKeylimeActivation(agentId, answered, '3.0'));
    expect(authTag).toBe(computeKeylimeAuthTag(secret, agentId));
    expect(registered.iak?.certInfo).toEqual(iak.certInfo);
  });

  it('enrols as go-attestation does, and verifies a certified key', async () => {
    const { ak } = client;
    const challenge = new Uint8Array([3]);
    const statement = await attest(challenge);
    if (statement.akCreation === undefined) throw new Error('no proof of creation');
    const parameters = buildGoAttestationParameters({ pubArea: ak.pubArea, ...statement.akCreation });
    const created = parseGoAttestationParameters(JSON.parse(JSON.stringify(parameters)));
    expect(verifyAttestationKey(created.pubArea, created).ok).toBe(true);
    const { credential, secret } = challengeFor(ekArea(), created.pubArea);
    const json = JSON.parse(JSON.stringify(encodeGoAttestationCredential(credential)));
    expect(Buffer.from(await activate(decodeGoAttestationCredential(json)))).toEqual(Buffer.from(secret));

    const certified = JSON.parse(JSON.stringify(buildGoCertificationParameters(statement)));
    const received = statementFromGoCertification(parseGoCertificationParameters(certified), created);
    const wanted = { challenge, attestationKey: { pubArea: created.pubArea } };
    expect(verifyStatement(received, wanted)).toMatchObject({ ok: true, publicKey: client.publicKey });
  });

  it('makes the tpm2-tools credential file', async () => {
    const { credential, secret } = challengeFor(ekArea(), akArea());
    const file = encodeTpm2ToolsCredential(credential);
    expect(Buffer.from(await activate(decodeTpm2ToolsCredential(file)))).toEqual(Buffer.from(secret));
  });
});
