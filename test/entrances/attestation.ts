import * as endorsement from '../../src/attestation/endorsement.ts';
import * as attestation from '../../src/attestation/index.ts';
import { firstCertificate } from '../../src/crypto/certificate-bytes.ts';
import { encodeSpki } from '../../src/crypto/public-key.ts';
import { decode, encode } from '../../src/tpm/codec/index.ts';
import { TPMT_SIGNATURE } from '../../src/tpm/structures/algorithm.ts';
import { TPMT_PUBLIC } from '../../src/tpm/structures/object.ts';
import { ecKey } from '../signing-key.ts';
import {
  bytes,
  counted,
  EITHER_CASE,
  type Entrance,
  type Exception,
  members,
  onlySample,
  same,
  text,
} from './entrance.ts';
import type { EntranceWorld } from './world.ts';

/** The judge compares only the certificate in the input that a verifier passed. */
const PADDING: Exception = {
  reason: 'a TPM keeps a certificate with zeros or 0xff around it, and in a structure of TCG',
  normal: (bytes) => firstCertificate(bytes) ?? bytes,
};

/** The entrances of `keyprov/attestation` and its subpath. */
export async function attestationEntrances(world: EntranceWorld): Promise<Readonly<Record<string, Entrance>>> {
  const { authorities, evidence, options, credential } = world;
  const area = attestation.decodePublicArea(evidence.ak.pubArea);
  const ekOptions = { ek: attestation.decodePublicArea(evidence.ek.pubArea), roots: [authorities.ekRoot] };
  const [akCertificate = EMPTY] = evidence.ak.certificates ?? [];
  const [ekCertificate = EMPTY] = evidence.ek.certificates ?? [];
  const akCreation = evidence.akCreation ?? { creationData: EMPTY, certInfo: EMPTY, signature: EMPTY };
  const { pubArea, certInfo, signature } = evidence;
  const bare = attestation.encodeBareSignature(decode(TPMT_SIGNATURE, signature));
  const software = ecKey('P-256');
  const spki = encodeSpki(software.publicKey);
  const message = attestation.computeSoftwareKeyMessage(options.challenge, spki);
  const softwareSignature = await software.sign({ data: message });
  const ok = ({ ok }: { readonly ok: boolean }): boolean => ok;
  const best = (result: attestation.EvidenceResult): boolean => result.ok && result.tier === 'activated';
  const statementOptions = { challenge: options.challenge, attestationKey: evidence.ak };
  return {
    decodeActivationChallenge: text(
      attestation.decodeActivationChallenge,
      attestation.encodeActivationChallenge({ version: 1, ...credential }),
      members(attestation.encodeActivationChallenge, EITHER_CASE),
    ),
    decodeActivationResponse: text(
      attestation.decodeActivationResponse,
      attestation.encodeActivationResponse({ version: 1, secret: options.challenge }),
      members(attestation.encodeActivationResponse, EITHER_CASE),
    ),
    'decodeBareSignature.signature': bytes(
      (input: Uint8Array) => attestation.decodeBareSignature(area, input),
      bare,
      same(attestation.encodeBareSignature),
    ),
    decodePublicArea: bytes(
      attestation.decodePublicArea,
      pubArea,
      same((found) => encode(TPMT_PUBLIC, found)),
    ),
    decodeStatement: text(
      attestation.decodeStatement,
      attestation.encodeStatement(evidence),
      members((found, input) =>
        withoutMissing(attestation.encodeStatement(found), JSON.parse(new TextDecoder().decode(input))),
      ),
    ),
    parseCertificate: bytes(attestation.parseCertificate, akCertificate, counted(SIGNED)),
    'verifyAttestationKey.pubArea': bytes(
      (input: Uint8Array) => attestation.verifyAttestationKey(input, akCreation),
      evidence.ak.pubArea,
      onlySample(evidence.ak.pubArea, ok),
    ),
    'verifyAttestationKey.certInfo': bytes(
      (input: Uint8Array) => attestation.verifyAttestationKey(evidence.ak.pubArea, { ...akCreation, certInfo: input }),
      akCreation.certInfo,
      onlySample(akCreation.certInfo, ok),
    ),
    'verifyEvidence.pubArea': bytes(
      (input: Uint8Array) => attestation.verifyEvidence({ ...evidence, pubArea: input }, options),
      pubArea,
      onlySample(pubArea, ok),
    ),
    'verifyEvidence.certInfo': bytes(
      (input: Uint8Array) => attestation.verifyEvidence({ ...evidence, certInfo: input }, options),
      certInfo,
      onlySample(certInfo, ok),
    ),
    'verifyEvidence.signature': bytes(
      (input: Uint8Array) => attestation.verifyEvidence({ ...evidence, signature: input }, options),
      signature,
      onlySample(signature, ok),
    ),
    'verifyEvidence.certificate': bytes(
      (input: Uint8Array) =>
        attestation.verifyEvidence({ ...evidence, ak: { ...evidence.ak, certificates: [input] } }, options),
      akCertificate,
      counted('the evidence is good without it'),
    ),
    'verifyEvidence.ekCertificate': bytes(
      (input: Uint8Array) =>
        attestation.verifyEvidence({ ...evidence, ek: { ...evidence.ek, certificates: [input] } }, options),
      ekCertificate,
      onlySample(ekCertificate, best, PADDING),
    ),
    'verifyEvidence.spki': bytes(
      (input: Uint8Array) =>
        attestation.verifyEvidence({ version: 1, spki: input, signature: softwareSignature }, options),
      spki,
      onlySample(spki, ok),
    ),
    'verifyStatement.pubArea': bytes(
      (input: Uint8Array) => attestation.verifyStatement({ ...evidence, pubArea: input }, statementOptions),
      pubArea,
      onlySample(pubArea, ok),
    ),
    parseEkCertificate: bytes(endorsement.parseEkCertificate, ekCertificate, counted(SIGNED)),
    verifyEkCertificate: bytes(
      (input: Uint8Array) => endorsement.verifyEkCertificate(input, ekOptions),
      ekCertificate,
      onlySample(ekCertificate, ok, PADDING),
    ),
    'verifyEkCertificate.intermediates': bytes(
      (input: Uint8Array) => endorsement.verifyEkCertificate(ekCertificate, { ...ekOptions, intermediates: [input] }),
      authorities.ek.der,
      counted('intermediates that cannot be read lead nowhere'),
    ),
  };
}

const EMPTY = new Uint8Array(0);
const SIGNED = 'what is signed is written by who signs';

/** Redundant members, which may be left out. */
const REPEATS = ['publicKey', 'extraData', 'bareSignature'];

/** The JSON without the {@link REPEATS} that `input` leaves out. */
function withoutMissing(json: object, input: unknown): object {
  const given = new Map<string, unknown>(Object.entries(Object(input)));
  const entries = Object.entries(json).filter(([name]) => !REPEATS.includes(name) || given.has(name));
  return Object.fromEntries(
    entries.map(([name, value]) => [
      name,
      typeof value === 'object' && !Array.isArray(value) ? withoutMissing(value, given.get(name)) : value,
    ]),
  );
}
