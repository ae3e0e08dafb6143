import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compactVerify, importJWK, jwtVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AttestationKey, createAttestationKey } from '../../src/attestation/attestation-key.ts';
import { attestKey, certifyKey, certifyOwnCreation } from '../../src/attestation/certify.ts';
import type { AttestationStatement } from '../../src/attestation/index.ts';
import { type Bytes, fromHex, toBase64, toHex, utf8 } from '../../src/bytes.ts';
import { encodeJwk } from '../../src/crypto/jwk.ts';
import { encodeSpki, encodeSpkiPem } from '../../src/crypto/public-key.ts';
import { buildAcmeDeviceAttest, computeAcmeExtraData } from '../../src/formats/services/acme-device-attest.ts';
import {
  buildGoAttestationParameters,
  buildGoCertificationParameters,
  buildGoQuote,
} from '../../src/formats/services/go-attestation.ts';
import { buildJws, type SigningKey } from '../../src/formats/services/jws.ts';
import { buildKeylimeRegistration, computeKeylimeIakChallenge } from '../../src/formats/services/keylime.ts';
import {
  computeSshFingerprint,
  decodeSshPublicKeyLine,
  encodeSshPublicKeyLine,
} from '../../src/formats/services/ssh-public-key.ts';
import { COSE_ALG, encodeCoseKey } from '../../src/formats/webauthn/cose-key.ts';
import { computeKeyIdText } from '../../src/formats/windows/cng-blob.ts';
import { encodePublicBlob } from '../../src/formats/windows/key-registration.ts';
import { buildNgcAssertion, findNgcAssertionProblem } from '../../src/formats/windows/ngc-assertion.ts';
import type { ProvidedKey } from '../../src/keys/provider.ts';
import { openTpmKeyProvider, type TpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { encode } from '../../src/tpm/codec/index.ts';
import { Quote } from '../../src/tpm/commands/attestation.ts';
import { CreatePrimary } from '../../src/tpm/commands/hierarchy.ts';
import { TPM_ALG, TPM_RH } from '../../src/tpm/constants.ts';
import { TPMT_SIGNATURE } from '../../src/tpm/structures/algorithm.ts';
import { TPMT_PUBLIC } from '../../src/tpm/structures/object.ts';
import { ekTemplate, userKeyTemplate } from '../../src/tpm/templates.ts';
import type { Tpm } from '../../src/tpm/tpm.ts';
import { AK_CERTIFICATE, issue } from '../certificates.ts';
import { missingPrograms, PYTHON, pythonLacks } from '../programs.ts';
import { LineChild } from './support/line-child.ts';
import { newTpm, tpmMissing } from './support/new-tpm.ts';

const PIN = utf8('147258');
const ALGORITHMS = ['rsa-2048', 'p-256', 'p-384'] as const;
const missing = await tpmMissing();

describe.skipIf(missing !== undefined)('keys of a TPM', () => {
  let tpm: Tpm;
  let provider: TpmKeyProvider;
  const keys = new Map<string, ProvidedKey>();
  const keyOf = (algorithm: string) => keys.get(algorithm) ?? expect.unreachable(algorithm);
  const signing = (algorithm: string): SigningKey => {
    const key = keyOf(algorithm);
    return { publicKey: key.publicKey, sign: (options) => provider.sign(key, { ...options, pin: PIN }) };
  };

  beforeAll(async () => {
    tpm = await newTpm();
    provider = await openTpmKeyProvider(tpm);
    for (const algorithm of ALGORITHMS) keys.set(algorithm, await provider.create({ algorithm, pin: PIN }));
  });
  afterAll(() => tpm?.close());

  describe('and jose', () => {
    it.each([
      ['RS256', 'rsa-2048'],
      // The salts of libtpms 0.9.2 are as long as the digest, as RFC 7518, 3.5 wants them.
      ['PS256', 'rsa-2048'],
      ['ES256', 'p-256'],
      ['ES384', 'p-384'],
    ] as const)('agree on a JWS with %s, and on a changed one', async (algorithm, kind) => {
      const key = signing(kind);
      const jws = await buildJws({ key, algorithm, header: { kid: 'k' }, payload: utf8('to be signed') });
      const imported = await importJWK(encodeJwk(key.publicKey), algorithm);
      const { payload, protectedHeader } = await compactVerify(jws, imported, { algorithms: [algorithm] });
      expect(new TextDecoder().decode(payload)).toBe('to be signed');
      expect(protectedHeader).toEqual({ alg: algorithm, kid: 'k' });
      const [header, , signature] = jws.split('.');
      await expect(compactVerify(`${header}.eA.${signature}`, imported)).rejects.toMatchObject({
        code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED',
      });
    });

    it('agree on the assertion with which a key signs in', async () => {
      const key = signing('rsa-2048');
      const assertion = {
        ...{ issuer: 'ada@contoso.example', audience: 'common', nonce: 'AwABAAEAAAACAOz_example' },
        ...{ issuedAt: 1_735_685_999, expires: 1_735_693_199 },
      };
      const jwt = await buildNgcAssertion(assertion, { key });
      const imported = await importJWK(encodeJwk(key.publicKey), 'RS256');
      const currentDate = new Date(assertion.issuedAt * 1000);
      const options = { issuer: assertion.issuer, audience: 'common', typ: 'JWT', currentDate };
      const { payload, protectedHeader } = await jwtVerify(jwt, imported, options);
      expect(payload).toEqual({
        ...{ iss: assertion.issuer, aud: 'common', iat: assertion.issuedAt, exp: assertion.expires },
        ...{ request_nonce: assertion.nonce, scope: 'openid aza ugs' },
      });
      const kid = computeKeyIdText(encodePublicBlob(key.publicKey));
      expect(protectedHeader).toEqual({ typ: 'JWT', alg: 'RS256', kid, use: 'ngc' });
      const expectations = { publicKey: key.publicKey, nonce: assertion.nonce, now: assertion.issuedAt };
      expect(findNgcAssertionProblem(jwt, expectations)).toBe(undefined);
    });
  });

  const sshMissing = missingPrograms('ssh-keygen');
  describe.skipIf(sshMissing !== undefined)('and ssh-keygen', () => {
    let directory: string;
    beforeAll(() => {
      directory = mkdtempSync(join(tmpdir(), 'keyprov-ssh-'));
    });
    afterAll(() => rmSync(directory, { recursive: true }));

    /** Its output for a file with that content. */
    function sshKeygen(content: string, ...args: string[]): string {
      const path = join(directory, 'key.pub');
      writeFileSync(path, content);
      const { status, stdout, stderr } = spawnSync('ssh-keygen', [...args, '-f', path], { encoding: 'utf8' });
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      return stdout.trim();
    }

    it.each([
      ['rsa-2048', '2048', 'RSA'],
      ['p-256', '256', 'ECDSA'],
      ['p-384', '384', 'ECDSA'],
    ])('agree on the public key and the fingerprint of a %s key', (algorithm, bits, type) => {
      const { publicKey } = keyOf(algorithm);
      const line = encodeSshPublicKeyLine({ publicKey, comment: 'ada@tpm' });
      expect(sshKeygen(encodeSpkiPem(publicKey), '-i', '-m', 'PKCS8')).toBe(encodeSshPublicKeyLine({ publicKey }));
      expect(sshKeygen(`${line}\n`, '-e', '-m', 'PKCS8')).toBe(encodeSpkiPem(publicKey).trim());
      expect(sshKeygen(`${line}\n`, '-l')).toBe(`${bits} ${computeSshFingerprint(publicKey)} ada@tpm (${type})`);
      expect(decodeSshPublicKeyLine(line)).toEqual({ publicKey, comment: 'ada@tpm' });
    });
  });
});

const { der: certificate } = await issue(AK_CERTIFICATE);

describe.skipIf(missing ?? pythonLacks('tpm2_pytss', 'fido2'))('requests of a TPM, read by tpm2-pytss', () => {
  let tpm: Tpm;
  let child: LineChild;
  const statements = new Map<string, AttestationStatement>();
  const aks = new Map<string, AttestationKey>();
  const TOKEN = 'evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA';
  const AGENT = 'd432fbb3-d2f1-4a97-9ef7-75bd81c00000';
  const ACCOUNT = { kty: 'RSA', n: new Uint8Array(256).fill(0xff), e: fromHex('010001') } as const;
  const none = { inSensitive: { userAuth: new Uint8Array(0), data: new Uint8Array(0) }, creationPCR: [] };
  const kinds = ['rsa-2048', 'p-256'] as const;
  const akOf = (kind: string) => aks.get(kind) ?? expect.unreachable(kind);
  const statementOf = (key: string, ak: string) => statements.get(`${key} ${ak}`) ?? expect.unreachable(key + ak);
  let ekPubArea: Bytes;

  beforeAll(async () => {
    tpm = await newTpm();
    child = new LineChild(PYTHON, ['test/integration/children/pytss_requests.py']);
    const challenge = computeAcmeExtraData(TOKEN, ACCOUNT);
    const primary = { ...none, outsideInfo: new Uint8Array(0) };
    for (const akKind of kinds) {
      const ak = await createAttestationKey(tpm, { algorithm: akKind });
      aks.set(akKind, ak);
      for (const kind of kinds) {
        const inPublic = userKeyTemplate(kind);
        const { objectHandle } = await tpm.run(CreatePrimary, { primaryHandle: TPM_RH.OWNER, inPublic, ...primary });
        const akCertificates = [certificate];
        const statement = await attestKey(tpm, { key: objectHandle, ak, challenge, akCreation: true, akCertificates });
        statements.set(`${kind} ${akKind}`, statement);
        await objectHandle.flush();
      }
    }
    const ek = { primaryHandle: TPM_RH.ENDORSEMENT, inPublic: ekTemplate('L-2'), ...primary };
    const { objectHandle, outPublic } = await tpm.run(CreatePrimary, ek);
    ekPubArea = encode(TPMT_PUBLIC, outPublic);
    await objectHandle.flush();
  });
  afterAll(async () => {
    await child?.[Symbol.asyncDispose]();
    await tpm?.close();
  });

  async function read(format: string, text: string, signer?: Uint8Array): Promise<unknown> {
    const [answer] = await child.ask([{ format, text, ...(signer && { signer: toBase64(signer) }) }]);
    return answer;
  }
  const cases = kinds.flatMap((key) => kinds.map((ak) => [key, ak] as const));

  it.each(cases)(
    "go-attestation's JSON for a %s key and a %s attestation key contains what the TPM signed",
    async (key, ak) => {
      const statement = statementOf(key, ak);
      const { pubArea } = statement.ak;
      const certification = JSON.stringify(buildGoCertificationParameters(statement));
      const value = toHex(computeAcmeExtraData(TOKEN, ACCOUNT));
      expect(await read('go-attestation', certification, pubArea)).toEqual({ value });
      const proof = await certifyOwnCreation(tpm, akOf(ak));
      const attestation = JSON.stringify(buildGoAttestationParameters({ pubArea, ...proof }));
      expect(await read('go-attestation', attestation, pubArea)).toEqual({ value: '' });
      const other = akOf(kinds.find((kind) => kind !== ak) ?? '').pubArea;
      expect(await read('go-attestation', certification, other)).toMatchObject({ refused: expect.any(String) });
    },
  );

  it.each(kinds)("go-attestation's Quote of a %s attestation key contains what the TPM signed", async (kind) => {
    const { quoted, signature } = await tpm.run(Quote, {
      signHandle: akOf(kind).object,
      qualifyingData: fromHex('c0ffee'),
      inScheme: { scheme: TPM_ALG.NULL },
      PCRselect: [],
    });
    const quote = buildGoQuote({ certInfo: quoted, signature: encode(TPMT_SIGNATURE, signature) });
    expect(await read('go-quote', JSON.stringify(quote), akOf(kind).pubArea)).toEqual({ value: 'c0ffee' });
  });

  it("keylime's registration has an attestation key that the initial one certified for the agent", async () => {
    const [ak, iak] = [akOf('rsa-2048'), akOf('p-256')];
    const certification = await certifyKey(tpm, {
      key: ak.object,
      ak: iak,
      challenge: computeKeylimeIakChallenge(AGENT),
    });
    const registration = {
      agentId: AGENT,
      ek: { pubArea: ekPubArea },
      akPubArea: ak.pubArea,
      iak: { pubArea: iak.pubArea, certificate, ...certification },
    };
    const value = toHex(computeKeylimeIakChallenge(AGENT));
    for (const version of ['2.2', '3.0'] as const) {
      expect(await read('keylime', buildKeylimeRegistration(registration, version).body)).toEqual({ value });
    }
  });

  it.each(cases)('the ACME answer for a %s key certified with %s contains what the TPM signed', async (key, ak) => {
    const statement = statementOf(key, ak);
    const payload = buildAcmeDeviceAttest(statement);
    const value = toHex(computeAcmeExtraData(TOKEN, ACCOUNT));
    expect(await read('acme', payload, statement.ak.pubArea)).toEqual({ value });
  });

  it.each([
    ['rsa-2048', COSE_ALG.RS256],
    ['p-256', COSE_ALG.ES256],
  ] as const)("the COSE key of a %s key equals python3-fido2's", async (kind, algorithm) => {
    await using provided = await newTpm();
    const { publicKey } = await (await openTpmKeyProvider(provided)).create({ algorithm: kind });
    const value = toHex(encodeCoseKey({ publicKey, algorithm }));
    expect(await read('cose', toBase64(encodeSpki(publicKey)))).toEqual({ value });
  });
});
