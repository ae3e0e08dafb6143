import { utf8 } from '../../src/bytes.ts';
import { encodeSpki } from '../../src/crypto/public-key.ts';
import * as services from '../../src/formats/services/index.ts';
import { EK_IDENTIFIER } from '../../src/formats/x509/index.ts';
import { encode } from '../../src/tpm/codec/index.ts';
import { publicKeyOf } from '../../src/tpm/public-key.ts';
import { TPMT_PUBLIC } from '../../src/tpm/structures/object.ts';
import { akTemplate } from '../../src/tpm/templates.ts';
import { AK_CERTIFICATE, issue } from '../certificates.ts';
import { ecKey, rsaKey } from '../signing-key.ts';
import { paperKey, paperStatement } from '../unit/attestation/paper-tpm.ts';
import { alike, bytes, counted, type Entrance, memberOnly, members, onlySample, same, text } from './entrance.ts';
import type { EntranceWorld } from './world.ts';

const keylime = (path: string, body: string) => ({ method: 'POST', path, body }) as const;
const bodyOf = ({ body }: { readonly body: string }): string => body;
const pathOf = ({ path }: { readonly path: string }): string => path;

/** The entrances of `keyprov/formats/services`. */
export async function servicesEntrances(world: EntranceWorld): Promise<Readonly<Record<string, Entrance>>> {
  const { authorities, evidence, credential, textFile } = world;
  const { challenge: _, ...trust } = world.options;
  const [token, accountKey] = ['token', rsaKey.publicKey];
  const extraData = services.computeAcmeExtraData(token, accountKey);
  const paper = paperStatement('p-256', 'rsa-2048', { certInfo: (attest) => ({ ...attest, extraData }) });
  const ak = paperKey(akTemplate('rsa-2048'), 'ak').area;
  const { der } = await issue({ ...AK_CERTIFICATE, spki: encodeSpki(publicKeyOf(ak)) }, authorities.ak);
  const acme = services.buildAcmeDeviceAttest({
    ...paper,
    ak: { pubArea: encode(TPMT_PUBLIC, ak), certificates: [der] },
  });
  const { pubArea: akPubArea } = evidence.ak;
  const registration = { agentId: 'agent-1', ek: evidence.ek, akPubArea };
  const registered = services.buildKeylimeRegistration(registration, '2.2');
  const activated = services.buildKeylimeActivation('agent-1', utf8('secret'), '3.0');
  const jws = await services.buildJws({ key: rsaKey, algorithm: 'RS256', payload: utf8('payload') });
  return {
    'decodeAcmeIdentifier.value': text(
      (value: string) => services.decodeAcmeIdentifier({ type: 'permanent-identifier', value }),
      `0123abcd/${EK_IDENTIFIER}`,
      same((found) => services.encodeAcmeIdentifier(found).value),
    ),
    decodeGoAttestationCredential: text(
      services.decodeGoAttestationCredential,
      services.encodeGoAttestationCredential(credential),
      members(services.encodeGoAttestationCredential),
    ),
    decodeJwk: text(services.decodeJwk, services.encodeJwk(ecKey('P-256').publicKey), members(services.encodeJwk)),
    decodeKeylimeBlob: text(
      services.decodeKeylimeBlob,
      services.encodeKeylimeBlob(credential),
      same(services.encodeKeylimeBlob),
    ),
    decodeSizedCredential: bytes(
      services.decodeSizedCredential,
      services.encodeSizedCredential(credential),
      same(services.encodeSizedCredential),
    ),
    decodeSmallstepCredential: text(
      services.decodeSmallstepCredential,
      services.encodeSmallstepCredential(credential),
      members(services.encodeSmallstepCredential),
    ),
    decodeSshPublicKey: bytes(
      services.decodeSshPublicKey,
      services.encodeSshPublicKey(rsaKey.publicKey),
      same(services.encodeSshPublicKey),
    ),
    decodeSshPublicKeyLine: text(
      services.decodeSshPublicKeyLine,
      services.encodeSshPublicKeyLine({ publicKey: rsaKey.publicKey, comment: 'ada@tpm' }),
      alike('ssh-keygen writes a blank before a comment that is empty', services.encodeSshPublicKeyLine),
    ),
    decodeTpm2ToolsCredential: bytes(
      services.decodeTpm2ToolsCredential,
      services.encodeTpm2ToolsCredential(credential),
      same(services.encodeTpm2ToolsCredential),
    ),
    parseAcmeDeviceAttest: text(services.parseAcmeDeviceAttest, acme, members(services.encodeAcmeDeviceAttest)),
    parseGoAttestationParameters: text(
      services.parseGoAttestationParameters,
      textFile('go-attestation-parameters'),
      members(services.buildGoAttestationParameters),
    ),
    parseGoCertificationParameters: text(
      services.parseGoCertificationParameters,
      textFile('go-certification-parameters'),
      members(services.buildGoCertificationParameters),
    ),
    parseGoQuote: text(
      services.parseGoQuote,
      textFile('go-quote'),
      members(({ certInfo, signature }) => {
        // The version may be missing.
        const { Version: _, ...others } = services.buildGoQuote({ certInfo, signature });
        return others;
      }),
    ),
    parseJws: text(
      services.parseJws,
      jws,
      same(({ signingInput, signature }) =>
        [new TextDecoder().decode(signingInput), Buffer.from(signature).toString('base64url')].join('.'),
      ),
    ),
    'parseKeylimeActivation.body': text(
      (body: string) => services.parseKeylimeActivation(keylime('/v3.0/agents/agent-1/activate', body)),
      bodyOf(activated),
      members(({ authTag }) => ({ auth_tag: authTag })),
    ),
    'parseKeylimeActivation.path': text(
      (path: string) => services.parseKeylimeActivation(keylime(path, activated.body)),
      pathOf(activated),
      counted('the version in it is not in what is read'),
    ),
    'parseKeylimeRegistration.body': text(
      (body: string) => services.parseKeylimeRegistration(keylime('/v3.0/agents/', body)),
      bodyOf(services.buildKeylimeRegistration(registration, '3.0')),
      members((found) => bodyOf(services.buildKeylimeRegistration(found, '3.0'))),
    ),
    'parseKeylimeRegistration.path': text(
      (path: string) => services.parseKeylimeRegistration(keylime(path, registered.body)),
      pathOf(registered),
      counted('the version in it is not in what is read'),
    ),
    parseSmallstepAttest: text(
      services.parseSmallstepAttest,
      textFile('smallstep-attest'),
      counted('it is built from what only a TPM says'),
    ),
    parseSmallstepChain: text(
      services.parseSmallstepChain,
      textFile('smallstep-chain'),
      members(services.buildSmallstepChain),
    ),
    parseSmallstepSecret: text(
      services.parseSmallstepSecret,
      services.buildSmallstepSecret(utf8('secret')),
      members(services.buildSmallstepSecret),
    ),
    verifyAcmeDeviceAttest: text(
      (input: string) => services.verifyAcmeDeviceAttest(input, { ...trust, token, accountKey }),
      acme,
      onlySample(acme, ({ ok }) => ok, memberOnly('attObj')),
    ),
  };
}
