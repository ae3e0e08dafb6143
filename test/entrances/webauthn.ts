import { fromHex, toBase64Url, utf8 } from '../../src/bytes.ts';
import { encodeSpki } from '../../src/crypto/public-key.ts';
import * as webauthn from '../../src/formats/webauthn/index.ts';
import { decode } from '../../src/tpm/codec/index.ts';
import { publicKeyOf } from '../../src/tpm/public-key.ts';
import { TPMT_PUBLIC } from '../../src/tpm/structures/object.ts';
import { AK_CERTIFICATE, issue } from '../certificates.ts';
import { paperStatement } from '../unit/attestation/paper-tpm.ts';
import { bytes, counted, type Entrance, members, onlySample, same, text } from './entrance.ts';
import type { EntranceWorld } from './world.ts';

const RULES = 'it says which rule a certificate breaks';

/** The entrances of `keyprov/formats/webauthn`. */
export async function webauthnEntrances(world: EntranceWorld): Promise<Readonly<Record<string, Entrance>>> {
  const { authorities, options } = world;
  const [rpId, origin, challenge] = ['a.test', 'https://a.test', fromHex('c0ffee')];
  const { pubArea, ak } = paperStatement('p-256', 'rsa-2048');
  const publicKey = publicKeyOf(decode(TPMT_PUBLIC, pubArea));
  const aaguid = webauthn.encodeAaguid(webauthn.WINDOWS_HELLO_AAGUID);
  const authData = webauthn.encodeAuthenticatorData({
    rpIdHash: webauthn.computeRpIdHash(rpId),
    ...{ userPresent: true, userVerified: true, backupEligible: false, backedUp: false, signCount: 0 },
    credential: { aaguid, credentialId: fromHex('0102'), key: { publicKey, algorithm: -7 } },
  });
  const parts = { type: 'webauthn.create', challenge, origin, crossOrigin: false } as const;
  const clientDataJson = webauthn.buildWebauthnClientData(parts);
  const context = { authData, clientDataJson };
  const extraData = webauthn.computeWebauthnExtraData(context);
  const statement = paperStatement('p-256', 'rsa-2048', { certInfo: (attest) => ({ ...attest, extraData }) });
  const spki = encodeSpki(publicKeyOf(decode(TPMT_PUBLIC, ak.pubArea)));
  const { der } = await issue({ ...AK_CERTIFICATE, spki }, authorities.ak);
  const object = webauthn.buildWebauthnTpm({ ...statement, ak: { ...statement.ak, certificates: [der] } }, context);
  const { authData: _, ...plain } = webauthn.decodeWebauthnTpm(object);
  const expected = { ...options, challenge, rpId, origins: [origin] };
  return {
    decodeAaguid: bytes(webauthn.decodeAaguid, utf8('0123456789abcdef'), same(webauthn.encodeAaguid)),
    decodeAuthenticatorData: bytes(webauthn.decodeAuthenticatorData, authData, same(webauthn.encodeAuthenticatorData)),
    decodeCoseKey: bytes(
      webauthn.decodeCoseKey,
      webauthn.encodeCoseKey({ publicKey, algorithm: webauthn.COSE_ALG.ES256 }),
      same(webauthn.encodeCoseKey),
    ),
    decodeTpmAttestationObject: bytes(
      webauthn.decodeTpmAttestationObject,
      webauthn.encodeTpmAttestationObject(plain),
      same(webauthn.encodeTpmAttestationObject),
    ),
    decodeWebauthnTpm: bytes(webauthn.decodeWebauthnTpm, object, same(webauthn.encodeWebauthnTpm)),
    'findAaguidProblem.certificate': bytes(
      (input: Uint8Array) => webauthn.findAaguidProblem(input, new Uint8Array(16)),
      der,
      counted(RULES),
    ),
    findAkCertificateProblem: bytes(webauthn.findAkCertificateProblem, der, counted(RULES)),
    parseWebauthnClientData: bytes(
      webauthn.parseWebauthnClientData,
      clientDataJson,
      members((found, input) => {
        const built: object = JSON.parse(new TextDecoder().decode(webauthn.buildWebauthnClientData(found)));
        // A missing one is false.
        const { crossOrigin: _, ...others } = { crossOrigin: false, ...built };
        return isCrossOriginNamed(input) ? built : others;
      }),
    ),
    parseWebauthnRegistration: text(
      webauthn.parseWebauthnRegistration,
      registrationOf({ credentialId: fromHex('0102'), attestationObject: object, clientDataJson }),
      members(registrationOf),
    ),
    'verifyWebauthnTpm.attestationObject': bytes(
      (input: Uint8Array) => webauthn.verifyWebauthnTpm({ attestationObject: input, clientDataJson }, expected),
      object,
      onlySample(object, ({ ok }) => ok),
    ),
  };
}

const registrationOf = (found: ReturnType<typeof webauthn.parseWebauthnRegistration>): string => {
  const id = toBase64Url(found.credentialId);
  const attestationObject = toBase64Url(found.attestationObject);
  const clientDataJSON = toBase64Url(found.clientDataJson);
  return JSON.stringify({ id, rawId: id, type: 'public-key', response: { attestationObject, clientDataJSON } });
};

const isCrossOriginNamed = (json: Uint8Array): boolean =>
  Object(JSON.parse(new TextDecoder().decode(json))).crossOrigin != null;
