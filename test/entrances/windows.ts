import { fromHex, toBase64Url, utf8 } from '../../src/bytes.ts';
import { encodeSpki } from '../../src/crypto/public-key.ts';
import * as windows from '../../src/formats/windows/index.ts';
import { ecKey, rsaKey } from '../signing-key.ts';
import {
  alike,
  bytes,
  counted,
  EITHER_CASE,
  type Entrance,
  LONG_LENGTHS,
  members,
  onlySample,
  same,
  text,
} from './entrance.ts';
import type { EntranceWorld } from './world.ts';

/** The entrances of `keyprov/formats/windows`. */
export async function windowsEntrances(world: EntranceWorld): Promise<Readonly<Record<string, Entrance>>> {
  const { file, textFile, credential } = world;
  const { rsa2048 } = world.vectors('cng');
  const times = { issuedAt: 100, expires: 200 };
  const claims = { issuer: 'ada@example.org', audience: 'common', nonce: 'nonce', ...times };
  const assertion = await windows.buildNgcAssertion(claims, { key: rsaKey });
  const spki = encodeSpki(rsaKey.publicKey);
  const ek = { publicKey: ecKey('P-256').publicKey };
  return {
    decodeAttestationKeyInfo: bytes(
      windows.decodeAttestationKeyInfo,
      windows.encodeAttestationKeyInfo({ publicKey: rsaKey.publicKey }),
      same(windows.encodeAttestationKeyInfo, LONG_LENGTHS),
    ),
    decodeCngBlob: bytes(windows.decodeCngBlob, file('RSA3'), same(windows.encodeCngBlob)),
    decodeCustomKeyInformation: bytes(
      windows.decodeCustomKeyInformation,
      windows.encodeCustomKeyInformation({ version: 1, flags: 2, volumeType: 0 }),
      same(windows.encodeCustomKeyInformation),
    ),
    decodeDnBinary: text(
      windows.decodeDnBinary,
      rsa2048.keyCredential.dnWithBinary,
      same(windows.encodeDnBinary, EITHER_CASE),
    ),
    decodeEndorsementKeyInfo: bytes(
      windows.decodeEndorsementKeyInfo,
      windows.encodeEndorsementKeyInfo(ek),
      same(windows.encodeEndorsementKeyInfo, LONG_LENGTHS),
    ),
    decodeGuid: bytes(windows.decodeGuid, utf8('0123456789abcdef'), same(windows.encodeGuid)),
    decodeKads: bytes(windows.decodeKads, file('kads'), same(windows.encodeKads)),
    decodeKast: bytes(windows.decodeKast, file('kast'), same(windows.encodeKast)),
    decodeKeyMaterial: bytes(
      windows.decodeKeyMaterial,
      spki,
      same((found) => found && windows.encodeKeyMaterial(found), {
        reason: 'the JSON of a FIDO key may have white space and members that are ignored',
        normal: (input) => {
          const found = windows.decodeKeyMaterial(input);
          return found?.form === 'fido' ? windows.encodeKeyMaterial(found) : input;
        },
      }),
    ),
    decodePcpKeyBlob: bytes(windows.decodePcpKeyBlob, file('pcp-key-blob'), same(windows.encodePcpKeyBlob)),
    decodeTachChallenge: bytes(
      windows.decodeTachChallenge,
      windows.encodeTachChallenge({ ...credential, aikOpaque: fromHex('0102') }),
      same(windows.encodeTachChallenge),
    ),
    findNgcAssertionProblem: text(
      (input: string) =>
        windows.findNgcAssertionProblem(input, { publicKey: rsaKey.publicKey, nonce: 'nonce', now: 150 }),
      assertion,
      onlySample(assertion, (problem) => problem === undefined),
    ),
    parseKeyCredentialLink: bytes(
      windows.parseKeyCredentialLink,
      fromHex(rsa2048.keyCredential.blobHex),
      same(({ entries }) => windows.encodeKeyCredentialLink(entries)),
    ),
    parseKeyRegistration: text(
      (input: string) => windows.parseKeyRegistration(input, 'attested'),
      textFile('attested'),
      members(windows.buildKeyRegistration),
    ),
    parseNgcAssertion: text(
      windows.parseNgcAssertion,
      assertion,
      alike('its JSON may have other members, and the signature is not in what is read', unsigned),
    ),
    parsePkinitCertificate: bytes(
      windows.parsePkinitCertificate,
      file('certificate for PKINIT'),
      counted('what is signed is written by who signs'),
    ),
  };
}

/** The assertion with the claims that were read, and another signature. */
function unsigned(found: ReturnType<typeof windows.parseNgcAssertion>): string {
  const { keyId, issuer, audience, issuedAt, expires, nonce, scope } = found;
  const header = { alg: 'RS256', kid: keyId, use: 'ngc' };
  const claims = { iss: issuer, aud: audience, iat: issuedAt, exp: expires, request_nonce: nonce, scope };
  return `${[header, claims].map((part) => toBase64Url(utf8(JSON.stringify(part)))).join('.')}.AA`;
}
