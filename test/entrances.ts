import { readFileSync } from 'node:fs';
import * as endorsement from '../src/attestation/endorsement.ts';
import * as attestation from '../src/attestation/index.ts';
import * as services from '../src/formats/services/index.ts';
import * as tcg from '../src/formats/tcg/index.ts';
import * as webauthn from '../src/formats/webauthn/index.ts';
import * as windows from '../src/formats/windows/index.ts';
import * as x509 from '../src/formats/x509/index.ts';
import { inspect } from '../src/inspect/index.ts';
import * as keys from '../src/keys/index.ts';
import * as policy from '../src/policy/index.ts';
import { parseAdSyncScheduler, parseDsregStatus, readDsregFacts } from '../src/provisioning/windows/index.ts';
import { parseErrorDetails } from '../src/registration/error-details.ts';
import { parseDiscovery, readTokenClaims } from '../src/registration/index.ts';
import { ldapReader } from '../src/registration/ldap-reader.ts';
import { decode, parseTpmAddress } from '../src/tpm/index.ts';
import { TPMT_SIGNATURE } from '../src/tpm/structures/algorithm.ts';
import { TPMS_ATTEST } from '../src/tpm/structures/attest.ts';
import { ecKey } from './signing-key.ts';
import { fullOptions, issueAuthorities, paperEvidence } from './unit/attestation/paper-evidence.ts';

/** Something public that takes bytes or text from outside. */
export type Entrance =
  | { readonly kind: 'bytes'; readonly read: (input: Uint8Array) => unknown }
  | { readonly kind: 'text'; readonly read: (input: string) => unknown };

const bytes = (read: (input: Uint8Array) => unknown): Entrance => ({ kind: 'bytes', read });
const text = (read: (input: string) => unknown): Entrance => ({ kind: 'text', read });

/** What the public names begin with that take something from outside. */
const TAKES_INPUT = /^(?:decode|decrypt|find|inspect|load|parse|pinFrom|read|statementFrom|verify)(?![a-z])/;

const PARSED = 'it takes what another one of these has read';
const TPM = 'it takes answers of a TPM, which have 4 KiB at most';
const NUMBER = 'it takes a number';
const STORE = 'it takes a store of our own';

/** Public names of that kind that no input reaches as it is, with the reason. */
const NO_ENTRANCE: Readonly<Record<string, string>> = {
  decodeContentEncryption: 'it looks a name up',
  decodeDotNetTime: NUMBER,
  decodeFileTime: NUMBER,
  decodeResponseCode: NUMBER,
  decryptEnvelope: PARSED,
  findAttribute: PARSED,
  findCoseAlgorithm: NUMBER,
  findKey: STORE,
  findKeyCredentialProblems: PARSED,
  findKeys: STORE,
  findSignatureProblem: PARSED,
  findWindowsError: 'it looks a number or a name up',
  loadAttestationKey: TPM,
  loadRecording: 'it takes a path: test/unit/storage/read-input.test.ts',
  parseLampsAttestation: PARSED,
  parseWcceAttributes: PARSED,
  readEkCertificates: TPM,
  readLockout: TPM,
  readNature: TPM,
  readNv: TPM,
  readPinState: STORE,
  readProperties: TPM,
  readRegistration: STORE,
  readTpmIdentity: TPM,
  readVendor: TPM,
  readWrappingSecret: STORE,
  statementFromAcmeDeviceAttest: PARSED,
  statementFromGoCertification: PARSED,
  statementFromIdevid: PARSED,
  statementFromKast: PARSED,
  statementFromKeyRegistration: PARSED,
  statementFromTpmCertify: PARSED,
  statementFromWebauthnTpm: PARSED,
  verifyCertificateRequest: PARSED,
  verifyJws: PARSED,
  verifyTcgCsrIdevid: PARSED,
};

/** Public names that take input, in all subpaths, and which of them have no entrance here. */
export async function publicInputs(): Promise<{
  readonly names: readonly string[];
  readonly without: readonly string[];
}> {
  const { exports }: { exports: Record<string, string | { readonly default: string }> } = JSON.parse(
    readFileSync('package.json', 'utf8'),
  );
  const names = new Set<string>();
  for (const target of Object.values(exports)) {
    if (typeof target === 'string') continue;
    const path = target.default.replace('./dist/', '../').replace(/\.js$/, '.ts');
    const exported: Record<string, unknown> = await import(path);
    for (const [name, value] of Object.entries(exported))
      if (typeof value === 'function' && TAKES_INPUT.test(name)) names.add(name);
  }
  return { names: [...names].sort(), without: Object.keys(NO_ENTRANCE) };
}

/** Every entrance by the public name, and behind a dot the part of it that takes the input; in brackets what is not public. */
export async function entrances(): Promise<Readonly<Record<string, Entrance>>> {
  const authorities = await issueAuthorities();
  const evidence = await paperEvidence(authorities);
  const options = fullOptions(authorities, evidence);
  const area = attestation.decodePublicArea(evidence.ak.pubArea);
  const { publicKey } = ecKey('P-256');
  const challenge = new Uint8Array(32);
  const webauthnOptions = { ...options, challenge, rpId: 'a.test', origins: ['https://a.test'] };
  const acmeOptions = { ...options, token: 'token', accountKey: publicKey };
  const ekOptions = { ek: attestation.decodePublicArea(evidence.ek.pubArea), roots: [authorities.ekRoot] };
  const [ekCertificate = challenge] = evidence.ek.certificates ?? [];
  const akCreation = evidence.akCreation ?? { creationData: challenge, certInfo: challenge, signature: challenge };
  const keylime = (path: string, body: string) => ({ method: 'POST', path, body }) as const;
  const now = new Date(0);
  return {
    // attestation
    decodeActivationChallenge: text(attestation.decodeActivationChallenge),
    decodeActivationResponse: text(attestation.decodeActivationResponse),
    'decodeBareSignature.signature': bytes((input) => attestation.decodeBareSignature(area, input)),
    decodePublicArea: bytes(attestation.decodePublicArea),
    decodeStatement: text(attestation.decodeStatement),
    parseCertificate: bytes(attestation.parseCertificate),
    'verifyAttestationKey.pubArea': bytes((input) => attestation.verifyAttestationKey(input, akCreation)),
    'verifyAttestationKey.certInfo': bytes((input) =>
      attestation.verifyAttestationKey(evidence.ak.pubArea, { ...akCreation, certInfo: input }),
    ),
    'verifyEvidence.pubArea': bytes((input) => attestation.verifyEvidence({ ...evidence, pubArea: input }, options)),
    'verifyEvidence.certInfo': bytes((input) => attestation.verifyEvidence({ ...evidence, certInfo: input }, options)),
    'verifyEvidence.signature': bytes((input) =>
      attestation.verifyEvidence({ ...evidence, signature: input }, options),
    ),
    'verifyEvidence.certificate': bytes((input) =>
      attestation.verifyEvidence({ ...evidence, ak: { ...evidence.ak, certificates: [input] } }, options),
    ),
    'verifyEvidence.spki': bytes((input) =>
      attestation.verifyEvidence({ version: 1, spki: input, signature: evidence.signature }, options),
    ),
    'verifyStatement.pubArea': bytes((input) =>
      attestation.verifyStatement({ ...evidence, pubArea: input }, { challenge, attestationKey: evidence.ak }),
    ),
    parseEkCertificate: bytes(endorsement.parseEkCertificate),
    verifyEkCertificate: bytes((input) => endorsement.verifyEkCertificate(input, ekOptions)),
    'verifyEkCertificate.intermediates': bytes((input) =>
      endorsement.verifyEkCertificate(ekCertificate, { ...ekOptions, intermediates: [input] }),
    ),
    // formats/windows
    decodeAttestationKeyInfo: bytes(windows.decodeAttestationKeyInfo),
    decodeCngBlob: bytes(windows.decodeCngBlob),
    decodeCustomKeyInformation: bytes(windows.decodeCustomKeyInformation),
    decodeDnBinary: text(windows.decodeDnBinary),
    decodeEndorsementKeyInfo: bytes(windows.decodeEndorsementKeyInfo),
    decodeGuid: bytes(windows.decodeGuid),
    decodeKads: bytes(windows.decodeKads),
    decodeKast: bytes(windows.decodeKast),
    decodeKeyMaterial: bytes(windows.decodeKeyMaterial),
    decodePcpKeyBlob: bytes(windows.decodePcpKeyBlob),
    decodeTachChallenge: bytes(windows.decodeTachChallenge),
    findNgcAssertionProblem: text((input) =>
      windows.findNgcAssertionProblem(input, { publicKey, nonce: 'nonce', now: 0 }),
    ),
    parseKeyCredentialLink: bytes(windows.parseKeyCredentialLink),
    parseKeyRegistration: text((input) => windows.parseKeyRegistration(input, 'attested')),
    parseNgcAssertion: text(windows.parseNgcAssertion),
    parsePkinitCertificate: bytes(windows.parsePkinitCertificate),
    // formats/x509
    decodeAlternativeNames: bytes(x509.decodeAlternativeNames),
    decodeAttestationBundles: bytes(x509.decodeAttestationBundles),
    decodeSpki: bytes(x509.decodeSpki),
    decodeSpkiPem: text(x509.decodeSpkiPem),
    decodeTpmCertify: bytes(x509.decodeTpmCertify),
    findDerQuirks: bytes(x509.findDerQuirks),
    parseCertificateRequest: bytes(x509.parseCertificateRequest),
    parseEnvelope: bytes(x509.parseEnvelope),
    verifyAttestedRequest: bytes((input) => x509.verifyAttestedRequest(input, options)),
    // formats/webauthn
    decodeAaguid: bytes(webauthn.decodeAaguid),
    decodeAuthenticatorData: bytes(webauthn.decodeAuthenticatorData),
    decodeCoseKey: bytes(webauthn.decodeCoseKey),
    decodeTpmAttestationObject: bytes(webauthn.decodeTpmAttestationObject),
    decodeWebauthnTpm: bytes(webauthn.decodeWebauthnTpm),
    'findAaguidProblem.certificate': bytes((input) => webauthn.findAaguidProblem(input, new Uint8Array(16))),
    findAkCertificateProblem: bytes(webauthn.findAkCertificateProblem),
    parseWebauthnClientData: bytes(webauthn.parseWebauthnClientData),
    'verifyWebauthnTpm.attestationObject': bytes((input) =>
      webauthn.verifyWebauthnTpm({ attestationObject: input, clientDataJson: challenge }, webauthnOptions),
    ),
    // formats/tcg
    decodeIdevidContent: bytes(tcg.decodeIdevidContent),
    'findCertifiedAk.certificates': bytes((input) => tcg.findCertifiedAk(evidence, [input])),
    parseTcgCsrIdevid: bytes(tcg.parseTcgCsrIdevid),
    // formats/services
    'decodeAcmeIdentifier.value': text((value) =>
      services.decodeAcmeIdentifier({ type: 'permanent-identifier', value }),
    ),
    decodeGoAttestationCredential: text(services.decodeGoAttestationCredential),
    decodeJwk: text(services.decodeJwk),
    decodeKeylimeBlob: text(services.decodeKeylimeBlob),
    decodeSizedCredential: bytes(services.decodeSizedCredential),
    decodeSmallstepCredential: text(services.decodeSmallstepCredential),
    decodeSshPublicKey: bytes(services.decodeSshPublicKey),
    decodeSshPublicKeyLine: text(services.decodeSshPublicKeyLine),
    decodeTpm2ToolsCredential: bytes(services.decodeTpm2ToolsCredential),
    parseAcmeDeviceAttest: text(services.parseAcmeDeviceAttest),
    parseGoAttestationParameters: text(services.parseGoAttestationParameters),
    parseGoCertificationParameters: text(services.parseGoCertificationParameters),
    parseGoQuote: text(services.parseGoQuote),
    parseJws: text(services.parseJws),
    'parseKeylimeActivation.body': text((body) =>
      services.parseKeylimeActivation(keylime('/v3.0/agents/a/activate', body)),
    ),
    'parseKeylimeActivation.path': text((path) => services.parseKeylimeActivation(keylime(path, '{}'))),
    'parseKeylimeRegistration.body': text((body) => services.parseKeylimeRegistration(keylime('/v3.0/agents/', body))),
    'parseKeylimeRegistration.path': text((path) => services.parseKeylimeRegistration(keylime(path, '{}'))),
    parseSmallstepAttest: text(services.parseSmallstepAttest),
    parseSmallstepChain: text(services.parseSmallstepChain),
    parseSmallstepSecret: text(services.parseSmallstepSecret),
    verifyAcmeDeviceAttest: text((input) => services.verifyAcmeDeviceAttest(input, acmeOptions)),
    // keys, policy, registration, windows, tpm, inspect
    decodeKeyFile: text(keys.decodeKeyFile),
    decodeKeyRecord: text((input) => keys.decodeKeyRecord(input, 'record')),
    parseLayer: text((input) => policy.parseLayer(input)),
    parsePolicy: text(policy.parsePolicy),
    pinFromFile: bytes((input) => policy.pinFromFile(input)),
    readPolicyFile: bytes((input) => policy.readPolicyFile(input)),
    readRegistryExport: text((input) => policy.readRegistryExport(input)),
    readSyncMl: text((input) => policy.readSyncMl(input)),
    'parseDiscovery.json': text((input) => parseDiscovery(input, 'application/json')),
    'parseDiscovery.xml': text((input) => parseDiscovery(input, 'application/xml')),
    readTokenClaims: text(readTokenClaims),
    parseAdSyncScheduler: text((input) => parseAdSyncScheduler(input, { now })),
    parseDsregStatus: text(parseDsregStatus),
    readDsregFacts: text(readDsregFacts),
    'decode.TPMS_ATTEST': bytes((input) => decode(TPMS_ATTEST, input)),
    'decode.TPMT_SIGNATURE': bytes((input) => decode(TPMT_SIGNATURE, input)),
    parseTpmAddress: text(parseTpmAddress),
    inspect: bytes((input) => inspect(input)),
    // what peers send, behind the network
    '[parseErrorDetails]': text(parseErrorDetails),
    '[ldapReader].dn': text((dn) => readDirectory(dn, 'CN=a')),
    '[ldapReader].value': text((value) => readDirectory('CN=a', value)),
  };
}

/** What is read, and what is ignored, of a user whose entry has that name and value. */
async function readDirectory(dn: string, value: string): Promise<unknown> {
  const search = async () => ({ searchEntries: [{ dn, 'msDS-KeyCredentialLink': [value] }] });
  const ignored: string[] = [];
  const reader = ldapReader({ search }, { base: 'DC=a', onIgnored: (_, reason) => ignored.push(reason) });
  return [await reader.read('user@a.test'), ignored];
}
