import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { encodeActivationChallenge, encodeActivationResponse, encodeStatement } from '../src/attestation/index.ts';
import { type Bytes, concat, fromBase64, fromHex, toBase64, toBase64Url, toHex, utf8, view } from '../src/bytes.ts';
import { DerNode } from '../src/crypto/der-read.ts';
import { derInteger, derOid, derSequence, derValue, TAG } from '../src/crypto/der-write.ts';
import { ecdsaRawToDer } from '../src/crypto/ecdsa-signature.ts';
import { encodeJwk } from '../src/crypto/jwk.ts';
import { encodePem } from '../src/crypto/pem.ts';
import { encodePkcs1, encodeSpki, encodeSpkiPem } from '../src/crypto/public-key.ts';
import { buildAcmeDeviceAttest } from '../src/formats/services/acme-device-attest.ts';
import {
  encodeGoAttestationCredential,
  encodeKeylimeBlob,
  encodeSizedCredential,
  encodeSmallstepCredential,
  encodeTpm2ToolsCredential,
} from '../src/formats/services/credential-encodings.ts';
import {
  buildGoAttestationParameters,
  buildGoCertificationParameters,
  buildGoQuote,
} from '../src/formats/services/go-attestation.ts';
import { buildJws } from '../src/formats/services/jws.ts';
import { buildKeylimeActivation, buildKeylimeRegistration } from '../src/formats/services/keylime.ts';
import { buildSmallstepAttest, buildSmallstepSecret } from '../src/formats/services/smallstep.ts';
import { encodeSshPublicKey, encodeSshPublicKeyLine } from '../src/formats/services/ssh-public-key.ts';
import { buildAkCertificate } from '../src/formats/tcg/ak-certificate.ts';
import { encodeIdevidContent } from '../src/formats/tcg/idevid-content.ts';
import { encodeTcgCsrIdevid } from '../src/formats/tcg/tcg-csr-idevid.ts';
import { COSE_ALG, encodeCoseKey } from '../src/formats/webauthn/cose-key.ts';
import { decodeWebauthnTpm } from '../src/formats/webauthn/webauthn-tpm.ts';
import { encodeKads } from '../src/formats/windows/kads.ts';
import { decodeKast } from '../src/formats/windows/kast.ts';
import { buildKeyRegistration } from '../src/formats/windows/key-registration.ts';
import { buildWcceAttributes } from '../src/formats/windows/ms-wcce.ts';
import { buildPkinitCertificate } from '../src/formats/windows/pkinit-certificate.ts';
import { encodeTachChallenge } from '../src/formats/windows/tach-challenge.ts';
import { buildCertificateRequest } from '../src/formats/x509/certificate-request.ts';
import { findDerQuirks } from '../src/formats/x509/der-quirks.ts';
import { buildEnvelope } from '../src/formats/x509/enveloped-data.ts';
import { buildLampsAttestation, encodeTpmCertify } from '../src/formats/x509/lamps-attestation.ts';
import { buildCommonName } from '../src/formats/x509/names.ts';
import { countFolder, PIN_TRY_FOLDER } from '../src/keys/count-files.ts';
import { encryptPkcs8 } from '../src/keys/encrypted-pkcs8.ts';
import { encodeKeyFile } from '../src/keys/key-file.ts';
import { encodeKeyRecord } from '../src/keys/key-record.ts';
import { openKeyStore } from '../src/keys/key-store.ts';
import { noteLastBackend } from '../src/keys/last-backend.ts';
import { openPinTryLog } from '../src/keys/pin-try-log.ts';
import { claimRun } from '../src/provisioning/run-journal.ts';
import { encode } from '../src/tpm/codec/index.ts';
import { TPM_ALG, TPM_ST } from '../src/tpm/constants.ts';
import { encodeStateFile } from '../src/tpm/state-file.ts';
import { TPMT_TK_CREATION } from '../src/tpm/structures/base.ts';
import { TPMS_NV_PUBLIC } from '../src/tpm/structures/nv.ts';
import { exportSwtpmState } from '../src/tpm/swtpm-state.ts';
import { userKeyTemplate } from '../src/tpm/templates.ts';
import { makeRecording } from '../src/tpm/transports/recording.ts';
import { AK_CERTIFICATE, issue, buildCommonName as nameSpec } from './certificates.ts';
import { keyRecord } from './key-record.ts';
import { ecKey, rsaKey } from './signing-key.ts';
import { paperKey, paperStatement, signAs } from './unit/attestation/paper-tpm.ts';

const NOT_VERIFIED = 'keyprov shows only its main fields, and verifies nothing';

const NOT_USED = ['keyprov does not support Ed25519 keys'];

/** TCG_PCCLIENT_STORED_CERT around a TCG_FULL_CERT. */
export function storedCertificate(der: Uint8Array): Bytes {
  const [high, low] = [(der.length + 2) >> 8, (der.length + 2) & 0xff];
  return concat(new Uint8Array([0x10, 0x01, 0x00, high, low, 0x10, 0x02]), der);
}

/** A file in a format that `inspect` recognizes. */
export interface Sample {
  readonly name: string;
  readonly format: string;
  readonly bytes: Uint8Array;
  /** Its oddities. */
  readonly problems: readonly string[];
}

const vectors = (name: string) => JSON.parse(readFileSync(`test/vectors/${name}.json`, 'utf8'));
const EMPTY = new Uint8Array(0);
const sized = (bytes: Uint8Array) => concat(new Uint8Array([bytes.length >>> 8, bytes.length & 0xff]), bytes);

/** Problems in published key credentials. */
const KEY_CREDENTIAL_PROBLEMS: Readonly<Record<string, readonly string[]>> = {
  Parse_NonMFAKey: ['the key material of an NGC key is not RSA1 with 2048 bits'],
  Parse_Impacket: ['the KeyHash is not the SHA-256 of the entries after it'],
};

/** At least one file of every format. Elliptic-curve keys are new each time. */
export async function inspectSamples(): Promise<Sample[]> {
  const samples: Sample[] = [];
  const add = (
    format: string,
    content: Uint8Array | string | object,
    name = format,
    problems: readonly string[] = [],
  ) => {
    const isText = typeof content === 'string';
    const text = isText ? content : content instanceof Uint8Array ? undefined : JSON.stringify(content);
    samples.push({ name, format, bytes: text === undefined ? view(content as Uint8Array) : utf8(text), problems });
  };
  const p256 = ecKey('P-256');
  const statement = paperStatement('rsa-2048', 'rsa-2048');
  const akCreation = statement.akCreation ?? unreachable();
  const [cng, pcp, kast] = [vectors('cng'), vectors('pcp'), vectors('kast').composed];
  const { tpm: w3c, coseKeys } = vectors('webauthn');
  const { lamps, pkinit } = vectors('certificate-requests');
  const { p256: made } = vectors('make-credential');
  const credential = {
    credentialBlob: fromHex(made.credentialBlob).subarray(2),
    encryptedSecret: fromHex(made.encryptedSecret).subarray(2),
  };

  addTpm();
  addTraffic();
  await addDer();
  addWindows();
  await addWebauthn();
  await addText();
  addJson();
  await addStoreFiles();
  return samples;

  function addTpm(): void {
    const { pubArea, certInfo, signature } = statement;
    const { creationData } = akCreation;
    for (const [format, bytes] of [
      ['public', pubArea],
      ['attest', certInfo],
      ['creation-data', creationData],
      [
        'nv-public',
        encode(TPMS_NV_PUBLIC, {
          nvIndex: 0x01c00002,
          nameAlg: TPM_ALG.SHA256,
          attributes: { authRead: true, ppWrite: true, written: true },
          authPolicy: new Uint8Array(0),
          dataSize: 1000,
        }),
      ],
    ] as const) {
      add(`tpm${format === 'public' ? 't' : 's'}-${format}`, bytes);
      add(`tpm2b-${format}`, sized(bytes));
    }
    add('tpmt-public', paperStatement('p-256', 'p-256').pubArea, 'tpmt-public of P-256');
    add('tpmt-signature', signature);
    add('tpmt-signature', paperStatement('p-256', 'p-256').signature, 'tpmt-signature of ECDSA');
    const ticket = { tag: TPM_ST.CREATION, hierarchy: 0x40000001, digest: new Uint8Array(32).fill(7) } as const;
    add('tpmt-tk-creation', encode(TPMT_TK_CREATION, ticket));
    add('tpm2b-id-object', sized(credential.credentialBlob));
    add('tpm2b-private', sized(concat(sized(new Uint8Array(32).fill(9)), new Uint8Array(190).fill(8))));
    add('tpm2b-encrypted-secret', sized(new Uint8Array(256).fill(3)));
    add('tpm-state', encodeStateFile(new Uint8Array(500).fill(5)));
    add('swtpm-state', exportSwtpmState(new Uint8Array(500).fill(5)));
    add('tpm2-tools-credential', encodeTpm2ToolsCredential(credential));
    const context = fromHex(`badcc0de00000001${'40000001'}${'80000000'}${'0000000000000001'}${'0004'}01020304`);
    add('tpm2-tools-context', context);
    add('tpm2-tools-context', concat(fromHex('badcc0de0000000200000b'), context), 'tpm2-tools-context of a session');
    add('sized-credential', encodeSizedCredential(credential));
    const contentBytes = encodeIdevidContent({
      ...{ hashAlgoId: TPM_ALG.SHA256, prodModel: 'model', prodSerial: 'serial', pad: new Uint8Array(0) },
      ...{ prodCaData: EMPTY, bootEvntLog: EMPTY, ekCert: EMPTY, attestPub: statement.ak.pubArea, atCreateTkt: EMPTY },
      ...{ atCertifyInfo: EMPTY, atCertifyInfoSignature: EMPTY, signingPub: pubArea },
      ...{ sgnCertifyInfo: certInfo, sgnCertifyInfoSignature: signature },
    });
    const user = paperKey(userKeyTemplate('rsa-2048'), 'user');
    add('tcg-idevid-content', contentBytes);
    add('tcg-csr-idevid', encodeTcgCsrIdevid({ contentBytes, signature: signAs(user, contentBytes) }));
    add('tach-challenge', encodeTachChallenge({ ...credential, aikOpaque: new Uint8Array(0) }));
  }

  function addTraffic(): void {
    add('tpm-command', fromHex('80010000000c0000017b0010'), 'TPM2_GetRandom');
    // TPM2_NV_Read with a password.
    const read = '8002000000270000014e01c0000201c000020000000d4000000900000000043132333400100000';
    add('tpm-command', fromHex(read), 'TPM2_NV_Read');
    add('tpm-command', fromHex('80010000000a0000017c'), 'TPM2_GetTestResult');
    add('tpm-answer', fromHex('80010000001400000000000811223344556677aa'), 'an answer');
    const refused = ['the TPM refused: the TPM is locked after too many failed authorizations'];
    add('tpm-answer', fromHex('80010000000a00000921'), 'a TPM response in lockout', refused);
    const entries = [
      { command: '80010000000c0000017b0010', answer: '80010000000a00000922', milliseconds: 1 },
      { command: '80010000000a0000017c', milliseconds: 2 },
    ];
    add('tpm-recording', makeRecording({ kind: 'swtpm', emulator: true, managed: false }, entries));
  }

  async function addDer(): Promise<void> {
    const authority = await issue({ subject: nameSpec('CA'), ca: true });
    const tpm = { manufacturer: 0x49424d00, model: 'swtpm', version: 0x20191023 };
    const dates = { notBefore: new Date(1.7e12), notAfter: new Date(1.9e12) };
    const ca = { key: rsaKey, certificate: authority.der };
    const ak = await buildAkCertificate({ publicKey: p256.publicKey, tpm, ...dates }, ca);
    add('certificate', authority.der, 'an authority');
    add('certificate', ak, 'certificate of an attestation key');
    add('certificate', encodePem('CERTIFICATE', ak), 'certificate in PEM');
    const identity = {
      sid: 'S-1-5-21-1-2-3-1001',
      deviceId: '47f577e3-d2d0-4a0a-8aca-000000000001',
      tenantId: '383a3889-5bc9-47a3-846c-000000000001',
      upn: 'ada@contoso.example',
    };
    add('certificate', await buildPkinitCertificate(identity, p256), 'certificate for PKINIT');
    add('certificate', fromBase64(pkinit.input), 'certificate for PKINIT by Windows');
    const { der: long } = await issue({ subject: nameSpec('a'.repeat(65)) });
    const tooLong = findDerQuirks(long).map(
      ({ offset }) => `a common name of more than 64 characters at offset ${offset}`,
    );
    add('certificate', long, 'certificate with a long name', tooLong);
    add('certificate', concat(ak, new Uint8Array(99).fill(0xff)), 'certificate as it fills its place in a TPM');
    add('certificate', storedCertificate(ak), 'certificate in a structure of TCG');
    const { der: issuer } = DerNode.strict(authority.der, 'CA').children()[0]?.children()[3] ?? { der: EMPTY };
    const algorithm = derSequence(derOid('1.2.840.10045.4.3.2'));
    const time = (year: string) => derValue(TAG.UTC_TIME, utf8(`${year}0101000000Z`));
    const signed = (inner: Uint8Array) => derSequence(inner, algorithm, derValue(TAG.BIT_STRING, new Uint8Array(65)));
    const revoked = derSequence(derSequence(derInteger(7), time('26')));
    const list = derSequence(derInteger(1), algorithm, issuer, time('26'), time('27'), revoked);
    add('certificate-revocation-list', signed(list));
    add('certificate-revocation-list', signed(derSequence(algorithm, issuer, time('26'))), 'first revocation list');
    const names = derValue(0xa0, derSequence(derValue(0xa4, issuer)));
    const generalized = (year: string) => derValue(TAG.GENERALIZED_TIME, utf8(`20${year}0101000000Z`));
    const holder = derSequence(derValue(0xa0, derSequence(derValue(0xa4, issuer)), derInteger(5)));
    const attributes = derSequence(derSequence(derOid('2.23.133.2.17'), derValue(TAG.SET, derSequence(derInteger(1)))));
    const validity = derSequence(generalized('26'), generalized('36'));
    const platform = derSequence(derInteger(1), holder, names, algorithm, derInteger(9), validity, attributes);
    add('attribute-certificate', signed(platform), 'platform certificate', [NOT_VERIFIED]);
    add('pem', encodePem('CERTIFICATE', ak) + encodePem('CERTIFICATE', authority.der), 'two certificates');

    const request = (attributes: Parameters<typeof buildCertificateRequest>[0]['attributes']) =>
      buildCertificateRequest({ subject: buildCommonName('ada'), ...(attributes && { attributes }) }, p256);
    add('certificate-request', await request(undefined));
    add('certificate-request', encodePem('CERTIFICATE REQUEST', await request(undefined)), 'request in PEM');
    const certified = { ...statement, ak: { ...statement.ak, certificates: [ak] } };
    const bundle = buildLampsAttestation(certified);
    add('certificate-request', await request([bundle]), 'request with an attestation bundle');
    const exchange = await issue({ subject: nameSpec('CA-Xchg'), spki: encodeSpki(rsaKey.publicKey) });
    const wcce = buildWcceAttributes({
      kast: fromHex(kast.kastHex),
      keyInfo: { ek: { publicKey: p256.publicKey } },
      exchangeCertificate: exchange.der,
    });
    add('certificate-request', await request(wcce), 'request with attestation of Windows');
    const published = [
      [
        'the signature does not verify, or its algorithm is unknown',
        'attestation bundle: statement 1: it has members that later drafts removed',
      ],
      [],
    ];
    for (const [i, { input }] of lamps.entries()) {
      add('certificate-request', fromBase64(input), `published request ${i + 1}`, published[i]);
    }
    const encryption = { type: 'pkcs1', format: 'pem', cipher: 'aes-128-cbc', passphrase: 'secret12' } as const;
    add('encrypted-private-key', String(rsaKey.privateKey.export(encryption)), 'encrypted RSA PRIVATE KEY');
    add('attestation-bundle', view(bundle.values[0] ?? new Uint8Array(0)));
    add('tpm-certify', encodeTpmCertify(statement));
    add('cms', buildEnvelope(utf8('secret'), exchange.der));

    add('spki', encodeSpki(rsaKey.publicKey), 'RSA SPKI');
    add('spki', encodeSpkiPem(p256.publicKey), 'P-256 PUBLIC KEY');
    if (rsaKey.publicKey.kty === 'RSA') {
      add('pkcs1-public-key', encodePem('RSA PUBLIC KEY', encodePkcs1(rsaKey.publicKey)));
    }
    add('ecdsa-signature', ecdsaRawToDer('P-256', new Uint8Array(64).fill(0x77)));
    const open = ['it is not encrypted: anyone who has the file has the key'];
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' });
    add('private-key', pkcs8, 'PKCS#8', open);
    add('private-key', privateKey.export({ type: 'sec1', format: 'pem' }).toString(), 'EC PRIVATE KEY', open);
    add('private-key', rsaKey.privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(), 'RSA PRIVATE KEY', open);
    const unknown = ['keyprov cannot tell whether the key is encrypted'];
    add('private-key', encodePem('VENDOR PRIVATE KEY', utf8('vendor-key')), 'VENDOR PRIVATE KEY', unknown);
    add('encrypted-private-key', await encryptPkcs8(pkcs8, utf8('pin'), 2 ** 10));
    const keyFile = {
      publicArea: sized(statement.pubArea),
      privateArea: sized(new Uint8Array(222).fill(0xaa)),
      parent: 0x81000001,
    };
    add('tss2-private-key', await encodeKeyFile({ ...keyFile, emptyAuth: false, description: 'of ada' }));
  }

  function addWindows(): void {
    add('cng-blob', fromHex(cng.rsa2048.rsa1Hex), 'RSA1');
    add('cng-blob', fromHex(cng.rsa2048.rsa2Hex), 'RSA2');
    add('cng-blob', fromHex(cng.rsa2048.rsa3Hex), 'RSA3');
    add('cng-blob', fromHex(cng.ecc.curves['P-256'].ecdsaPublicHex), 'ECS1');
    add('cng-blob', fromHex(cng.ecc.curves['P-384'].ecdsaPrivateHex), 'ECS4');
    add('kast', fromHex(kast.kastHex));
    add('kads', fromHex(kast.kadsHex));
    add('pcp-key-blob', fromHex(pcp.vectors[0].blobHex));
    const { keyAttestation } = decodeKast(fromHex(kast.kastHex));
    if (keyAttestation !== undefined) {
      const keyBlob = { ...keyAttestation.keyBlob, policyDigests: [] };
      const wrong = ["key: the list of policies does not match the key's authPolicy"];
      add('kads', encodeKads({ ...keyAttestation, keyBlob }), 'KADS without policies', wrong);
    }
    for (const { name, blobHex } of vectors('keycredential').blobs) {
      add('key-credential-link', fromHex(blobHex), name, KEY_CREDENTIAL_PROBLEMS[name]);
    }
    const { blobHex, dnWithBinary } = cng.rsa2048.keyCredential;
    add('key-credential-link', fromHex(blobHex), 'key credential');
    add('dn-binary', dnWithBinary);
  }

  async function addWebauthn(): Promise<void> {
    add('attestation-object', fromHex(w3c.attestationObjectHex), 'WebAuthn object of the specification');
    add('authenticator-data', decodeWebauthnTpm(fromHex(w3c.attestationObjectHex)).authData);
    const ak = { ...statement.ak, certificates: [(await issue(AK_CERTIFICATE)).der] };
    add('acme-device-attest', buildAcmeDeviceAttest({ ...statement, ak }));
    add('webauthn-client-data', w3c.clientDataJSON);
    const attestationObject = toBase64Url(fromHex(w3c.attestationObjectHex));
    const response = { attestationObject, clientDataJSON: toBase64Url(utf8(w3c.clientDataJSON)) };
    add('webauthn-registration', { id: 'c0de', rawId: 'c0de', type: 'public-key', response });
    add('cose-key', encodeCoseKey({ publicKey: rsaKey.publicKey, algorithm: COSE_ALG.RS256 }), 'COSE key of RSA');
    for (const { crv, hex } of coseKeys) add('cose-key', fromHex(hex), `COSE key of ${crv}`);
  }

  async function addText(): Promise<void> {
    add('ssh-public-key', `${encodeSshPublicKeyLine({ publicKey: rsaKey.publicKey, comment: 'ada@tpm' })}\n`);
    add('ssh-public-key-blob', encodeSshPublicKey(p256.publicKey));
    for (const { description, input, problems } of vectors('openssh-keys').privateKeys) {
      add('openssh-private-key', input, `OpenSSH private key: ${description}`, problems);
    }
    add('ssh-public-key', vectors('openssh-keys').ed25519Line, 'SSH line of Ed25519', NOT_USED);
    add('jws', cng.rsa2048.ngcAssertion.jwt, 'NGC assertion');
    add('jws', await buildJws({ key: p256, algorithm: 'ES256', payload: utf8('payload') }));
  }

  async function addStoreFiles(): Promise<void> {
    const store = await openKeyStore(mkdtempSync(join(tmpdir(), 'keyprov-samples-')));
    const addFile = (format: string, ...path: readonly string[]) =>
      add(format, readFileSync(join(store.directory, ...path), 'utf8'));
    try {
      const [user, deviceId] = ['ada@contoso.test', '47f577e3-d2d0-4a0a-8aca-e0501098bde4'];
      const { journal: run } = await claimRun(store, {
        user,
        deviceId,
        service: 'https://kpp.contoso.test/',
        now: new Date(0),
      });
      await run.write({ progress: { step: 'made', key: keyRecord('ada') } });
      addFile('keyprov-run', basename(run.path));
      await run.remove();
      await noteLastBackend(store.directory, user, 'tpm');
      addFile('keyprov-last-key', readdirSync(store.directory).find((name) => name.startsWith('last-')) ?? '');
      const log = await openPinTryLog(store.directory);
      await log.attempt(p256.publicKey, async () => true);
      addFile('keyprov-pin-attempts', PIN_TRY_FOLDER, countFolder(p256.publicKey), 'count.json');
    } finally {
      rmSync(store.directory, { recursive: true });
    }
  }

  function addJson(): void {
    add('attestation-statement', encodeStatement(statement));
    add('activation-challenge', encodeActivationChallenge({ version: 1, ...credential }));
    add('activation-response', encodeActivationResponse({ version: 1, secret: new Uint8Array(32).fill(6) }));
    add('smallstep-secret', buildSmallstepSecret(new Uint8Array(32).fill(6)));
    const record = {
      format: 'keyprov-record',
      version: 1,
      user: 'ada',
      backend: 'tpm',
      parent: { handle: '0x81000001' },
    };
    add('keyprov-record', record);
    add('keyprov-key', encodeKeyRecord(keyRecord('ada')));
    add('key-registration', buildKeyRegistration({ profile: 'strict', publicKey: rsaKey.publicKey }), 'strict');
    const attestation = fromHex(kast.kastHex);
    add(
      'key-registration',
      buildKeyRegistration({ profile: 'attested', publicKey: rsaKey.publicKey, attestation }),
      'attested',
    );
    add('jwk', encodeJwk(p256.publicKey));
    const ed25519 = generateKeyPairSync('ed25519').publicKey;
    add('spki', view(ed25519.export({ format: 'der', type: 'spki' })), 'SPKI of Ed25519', NOT_USED);
    add('jwk', ed25519.export({ format: 'jwk' }), 'JWK of Ed25519', NOT_USED);
    add('jwk', p256.privateKey.export({ format: 'jwk' }), 'private JWK', ['it is an unencrypted private key']);
    const ak = { pubArea: statement.ak.pubArea, ...akCreation };
    add('go-attestation-parameters', buildGoAttestationParameters(ak));
    add('go-certification-parameters', buildGoCertificationParameters(statement));
    add('go-quote', buildGoQuote(statement));
    add('go-credential', encodeGoAttestationCredential(credential));
    add('smallstep-credential', encodeSmallstepCredential(credential));
    const vendor = {
      ...{ manufacturer: 'IBM', manufacturerId: 0x49424d00, vendorString: 'SW TPM' },
      ...{ firmwareVersion: 0x20191023_00163636n, revision: '1.64' },
    };
    const ek = { pubArea: fromHex(made.ekPublic).subarray(2), certificates: [fromBase64(pkinit.input)] };
    add('smallstep-attest', buildSmallstepAttest({ vendor, ek, ak: statement.ak, akCreation }));
    add('smallstep-chain', { chain: [pkinit.input] });
    const registration = { agentId: 'd432fbb3', ek, akPubArea: statement.ak.pubArea };
    add('keylime-registration', buildKeylimeRegistration(registration, '3.0').body);
    add('keylime-registration', buildKeylimeRegistration(registration, '2.2').body, 'keylime-registration, version 2');
    add('keylime-activation', buildKeylimeActivation('d432fbb3', utf8('secret'), '3.0').body);
    add('keylime-credential', { results: { blob: encodeKeylimeBlob(credential) } });
    const authData = toBase64(decodeWebauthnTpm(fromHex(w3c.attestationObjectHex)).authData);
    add('fido-key-material', { version: 1, authData, x5c: [pkinit.input], displayName: 'a key' });
  }
}

function unreachable(): never {
  throw new TypeError('a paper statement has every proof');
}

/** The same bytes as text, by the name of each encoding. */
export const asText = (bytes: Uint8Array): readonly (readonly [encoding: string, text: string])[] => [
  ['hex', toHex(bytes)],
  ['base64', toBase64(bytes)],
  ['base64url', Buffer.from(bytes).toString('base64url')],
];
