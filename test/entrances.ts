import { readFileSync } from 'node:fs';
import { attestationEntrances } from './entrances/attestation.ts';
import type { Entrance } from './entrances/entrance.ts';
import { otherEntrances } from './entrances/others.ts';
import { servicesEntrances } from './entrances/services.ts';
import { webauthnEntrances } from './entrances/webauthn.ts';
import { windowsEntrances } from './entrances/windows.ts';
import { type EntranceWorld, entranceWorld } from './entrances/world.ts';
import { x509Entrances } from './entrances/x509.ts';

/** The prefixes of public names that read input from outside. */
const TAKES_INPUT = /^(?:decode|decrypt|find|inspect|load|parse|pinFrom|read|statementFrom|verify)(?![a-z])/;

const PARSED = 'it takes what another one of these has read';
const TPM = 'it takes answers of a TPM, which have 4 KiB at most';
const NUMBER = 'it takes a number';
const STORE = 'it takes a store of our own';

/** Public names with such a prefix that no raw input reaches, with the reason. */
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
  loadTpmRoots: 'it takes a path: test/unit/registration/tpm-roots.test.ts',
  loadRecording: 'it takes a path: test/unit/storage/read-input.test.ts',
  parseLampsAttestation: PARSED,
  parseWcceAttributes: PARSED,
  readEkCertificates: TPM,
  readLockout: TPM,
  readMethodDevice: 'it takes an Microsoft Graph response: test/integration/provision-service.test.ts',
  readTpmFacts: TPM,
  readNature: TPM,
  readNv: TPM,
  readPinState: STORE,
  readProperties: TPM,
  readRegistration: STORE,
  readTpmIdentity: TPM,
  readVendor: TPM,
  readWindowsRegistry: 'it reads through readRegistryExport: test/unit/policy/read-windows-registry.test.ts',
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

/** Public names that read input, in all subpaths, and those that have no entrance here. */
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

const FAMILIES: Readonly<Record<string, (world: EntranceWorld) => Promise<Readonly<Record<string, Entrance>>>>> = {
  attestation: attestationEntrances,
  'formats/windows': windowsEntrances,
  'formats/x509, formats/tcg': x509Entrances,
  'formats/webauthn': webauthnEntrances,
  'formats/services': servicesEntrances,
  'keys, policy, registration, tpm and others': otherEntrances,
};

/** Every entrance with its family, by public name. A part after a dot reads the input; names in brackets are not public. */
export async function entrancesByFamily(): Promise<{
  readonly world: EntranceWorld;
  readonly families: ReadonlyMap<string, Readonly<Record<string, Entrance>>>;
}> {
  const world = await entranceWorld();
  const families = new Map<string, Readonly<Record<string, Entrance>>>();
  for (const [family, make] of Object.entries(FAMILIES)) families.set(family, await make(world));
  return { world, families };
}

/** Every entrance of all families. */
export async function entrances(): Promise<Readonly<Record<string, Entrance>>> {
  const { families } = await entrancesByFamily();
  return Object.assign({}, ...families.values());
}
