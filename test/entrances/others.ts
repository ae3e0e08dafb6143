import { utf8 } from '../../src/bytes.ts';
import { inspect } from '../../src/inspect/index.ts';
import * as keys from '../../src/keys/index.ts';
import * as policy from '../../src/policy/index.ts';
import {
  formatDsregStatus,
  parseAdSyncScheduler,
  parseDsregStatus,
  readDsregFacts,
} from '../../src/provisioning/windows/index.ts';
import { parseErrorDetails } from '../../src/registration/error-details.ts';
import { parseDiscovery, readTokenClaims } from '../../src/registration/index.ts';
import { ldapReader } from '../../src/registration/ldap-reader.ts';
import { decode, encode, parseTpmAddress } from '../../src/tpm/index.ts';
import { TPMT_SIGNATURE } from '../../src/tpm/structures/algorithm.ts';
import { TPMS_ATTEST } from '../../src/tpm/structures/attest.ts';
import { alike, bytes, counted, type Entrance, same, text } from './entrance.ts';
import type { EntranceWorld } from './world.ts';

const READ_ONLY = 'others write it';
const POLICY_KEY = 'HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\PassportForWork';
const REGISTRY = `Windows Registry Editor Version 5.00\r\n\r\n[${POLICY_KEY}]\r\n"RequireSecurityDevice"=dword:00000001\r\n`;
const CSP_NODE = './Device/Vendor/MSFT/PassportForWork/00000000-0000-0000-0000-000000000000/Policies';
const SYNC_ML = `<SyncML xmlns="SYNCML:SYNCML1.2"><SyncBody><Replace><CmdID>1</CmdID><Item><Target><LocURI>${CSP_NODE}/RequireSecurityDevice</LocURI></Target><Meta><Format xmlns="syncml:metinf">bool</Format></Meta><Data>true</Data></Item></Replace><Final/></SyncBody></SyncML>`;
const SERVICE = {
  KeyProvisionEndpoint: 'https://enterpriseregistration.windows.net/EnrollmentServer/key/',
  KeyProvisionResourceId: 'urn:ms-drs:enterpriseregistration.windows.net',
  ServiceVersion: '1.0',
};
const DISCOVERY_XML = `<Discovery><KeyProvisioningService>${Object.entries(SERVICE)
  .map(([name, value]) => `<${name}>${value}</${name}>`)
  .join('')}</KeyProvisioningService></Discovery>`;
const SCHEDULER =
  'AllowedSyncCycleInterval : 00:30:00\nSyncCycleEnabled : True\nNextSyncCycleStartTimeInUTC : 1/1/2026 1:00:00 AM\n';
const CLAIMS = { aud: 'urn:a', amr: ['ngcmfa'], exp: 1, iat: 0, deviceid: 'a', upn: 'ada@a.test' };
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** The entrances of the other subpaths; in brackets, peers' messages that no public name reads. */
export async function otherEntrances(world: EntranceWorld): Promise<Readonly<Record<string, Entrance>>> {
  const { evidence, file, textFile, vectors } = world;
  const now = new Date(0);
  const { hybridComplete } = vectors('diagnostics').dsregcmd;
  const value = textFile('dn-binary');
  return {
    decodeKeyFile: text(
      keys.decodeKeyFile,
      textFile('tss2-private-key'),
      alike('PEM may have text around it, and TRUE may be 01', keys.encodeKeyFile),
    ),
    decodeKeyRecord: text(
      (input: string) => keys.decodeKeyRecord(input, 'record'),
      textFile('keyprov-key'),
      alike('JSON may have white space, and older versions are read', keys.encodeKeyRecord),
    ),
    parseLayer: text(
      (input: string) => policy.parseLayer(input),
      { hardware: 'required', pin: { minLength: 8 } },
      counted(READ_ONLY),
    ),
    parsePolicy: text(
      policy.parsePolicy,
      { hardware: 'required', allowedAlgorithms: ['rsa-2048'], pin: { minLength: 8 } },
      alike('what is left out is written with its default', (found) => found),
    ),
    pinFromFile: bytes(
      (input: Uint8Array) => policy.pinFromFile(input),
      utf8('591834\n'),
      alike('a line may end in a line break', (found) => found),
    ),
    readPolicyFile: bytes((input: Uint8Array) => policy.readPolicyFile(input), utf8(REGISTRY), counted(READ_ONLY)),
    readRegistryExport: text((input: string) => policy.readRegistryExport(input), REGISTRY, counted(READ_ONLY)),
    readSyncMl: text((input: string) => policy.readSyncMl(input), SYNC_ML, counted(READ_ONLY)),
    'parseDiscovery.json': text(
      (input: string) => parseDiscovery(input, 'application/json'),
      { KeyProvisioningService: SERVICE },
      counted(READ_ONLY),
    ),
    'parseDiscovery.xml': text(
      (input: string) => parseDiscovery(input, 'application/xml'),
      DISCOVERY_XML,
      counted(READ_ONLY),
    ),
    readTokenClaims: text(readTokenClaims, `${part({ alg: 'none' })}.${part(CLAIMS)}.AA`, counted(READ_ONLY)),
    parseAdSyncScheduler: text((input: string) => parseAdSyncScheduler(input, { now }), SCHEDULER, counted(READ_ONLY)),
    parseDsregStatus: text(
      parseDsregStatus,
      hybridComplete,
      alike('boxes and blanks may differ', (found) => formatDsregStatus(found)),
    ),
    readDsregFacts: text(readDsregFacts, hybridComplete, counted(READ_ONLY)),
    'decode.TPMS_ATTEST': bytes(
      (input: Uint8Array) => decode(TPMS_ATTEST, input),
      evidence.certInfo,
      same((found) => encode(TPMS_ATTEST, found)),
    ),
    'decode.TPMT_SIGNATURE': bytes(
      (input: Uint8Array) => decode(TPMT_SIGNATURE, input),
      evidence.signature,
      same((found) => encode(TPMT_SIGNATURE, found)),
    ),
    parseTpmAddress: text(parseTpmAddress, 'swtpm:localhost:2321', counted('an address has many forms')),
    inspect: bytes(
      (input: Uint8Array) => inspect(input),
      file('certificate of an attestation key'),
      counted('it describes anything'),
    ),
    '[parseErrorDetails]': text(parseErrorDetails, '<html><b>no</b></html>', counted('it reads any text')),
    '[ldapReader].dn': text((dn: string) => readDirectory(dn, value), 'CN=a\\,b,DC=a', counted('it reads what it can')),
    '[ldapReader].value': text((given: string) => readDirectory('CN=a', given), value, counted('it reads what it can')),
  };
}

/** Reads a directory user whose entry has that name and value. */
async function readDirectory(dn: string, value: string): Promise<unknown> {
  const search = async () => ({ searchEntries: [{ dn, 'msDS-KeyCredentialLink': [value] }] });
  const ignored: string[] = [];
  const reader = ldapReader({ search }, { base: 'DC=a', onIgnored: (_, reason) => ignored.push(reason) });
  return [await reader.read('user@a.test'), ignored];
}
