import { describe, expect, it } from 'vitest';
import { readSyncMl, WINDOWS_SETTING_NAMES, WINDOWS_SETTINGS } from '../../../src/policy/index.ts';
import { problemsOf } from './problems-of.ts';

const TENANT = 'dcd219dd-bc68-4b9b-bf0b-4a33a796be35';
const device = (path: string): string => `./Device/Vendor/MSFT/PassportForWork/${path}`;
const policies = (path: string, whose = 'Device'): string =>
  `./${whose}/Vendor/MSFT/PassportForWork/${TENANT}/Policies/${path}`;
const item = (uri: string, data?: string, format?: string): string =>
  `<Item><Target><LocURI>${uri}</LocURI></Target>${format === undefined ? '' : `<Meta><Format xmlns="syncml:metinf">${format}</Format></Meta>`}${data === undefined ? '' : `<Data>${data}</Data>`}</Item>`;
const replace = (uri: string, data?: string, format?: string): string =>
  `<Replace><CmdID>1</CmdID>${item(uri, data, format)}</Replace>`;
const valuesOf = (xml: string) => readSyncMl(xml).layers.map(({ scope, values }) => [scope, values]);

describe('readSyncMl', () => {
  it('says so if only other tenants have settings', () => {
    const tenantId = '11111111-2222-3333-4444-555555555555';
    expect(readSyncMl(replace(policies('PINComplexity/MinimumPINLength'), '8', 'int'), { tenantId })).toEqual({
      layers: [],
      ignored: [
        {
          setting: 'tenantId',
          problem: `${tenantId} is not one of the tenants with settings here (${TENANT})`,
          expected: TENANT,
        },
      ],
    });
  });

  it('reads a message with user, device and tenant-less nodes', () => {
    const xml = `<?xml version="1.0"?>
      <SyncML xmlns="SYNCML:SYNCML1.2"><SyncHdr><VerDTD>1.2</VerDTD></SyncHdr><SyncBody>
        <Add><CmdID>1</CmdID><Item><Target><LocURI>
          ./Vendor/MSFT/PassportForWork/${TENANT}
        </LocURI></Target></Item></Add>
        <Atomic><CmdID>2</CmdID>
          <Add><CmdID>3</CmdID><Item><Target><LocURI>
            ./Vendor/MSFT/PassportForWork/${TENANT}/Policies/UsePassportForWork
          </LocURI></Target><Meta><Format xmlns="syncml:metinf">bool</Format><Type>text/plain</Type></Meta>
          <Data>true</Data></Item></Add>
          ${replace(policies('PINComplexity/MinimumPINLength'), '8', 'int')}
        </Atomic>
        ${replace(policies('PINComplexity/History', 'User'), '20', 'int')}
        ${replace(device('Biometrics/UseBiometrics'), 'false', 'bool')}
        ${replace('./Device/Vendor/MSFT/Policy/Config/DeviceLock/MinDevicePasswordLength', '6', 'int')}
        ${replace('./Device/Vendor/MSFT/Policy/Config/Camera/AllowCamera', '0', 'int')}
        <Final/>
      </SyncBody></SyncML>`;
    const from = { origin: 'intune.xml' };
    expect(readSyncMl(xml, from)).toEqual({
      layers: [
        {
          source: 'csp',
          scope: 'machine',
          ...from,
          values: { UsePassportForWork: true, 'PINComplexity/MinimumPINLength': 8, 'Biometrics/UseBiometrics': false },
        },
        { source: 'csp', scope: 'user', ...from, values: { 'PINComplexity/History': 20 } },
        { source: 'eas', scope: 'machine', ...from, values: { 'PINComplexity/MinimumPINLength': 6 } },
      ],
      ignored: [],
    });
  });

  it('reads each node under its own name, with the format of its page, and no other', () => {
    for (const name of WINDOWS_SETTING_NAMES) {
      const { kind, csp } = WINDOWS_SETTINGS[name];
      if (csp === undefined) continue;
      const data = kind === 'text' ? ' a &amp; b ' : kind === 'boolean' && csp.format === 'bool' ? 'true' : '1';
      const value = kind === 'text' ? 'a & b' : kind === 'boolean' ? true : 1;
      const uri = csp.tenant ? policies(name) : device(name);
      expect(valuesOf(replace(uri, data, csp.format))).toEqual([['machine', { [name]: value }]]);
      if (csp.tenant && csp.scope === 'both') {
        expect(valuesOf(replace(policies(name, 'User'), data))).toEqual([['user', { [name]: value }]]);
      }
    }
  });

  it('applies the last command for a node; deletions include the nodes below', () => {
    const three = [
      replace(policies('PINComplexity/History'), '3'),
      replace(policies('PINComplexity/Digits'), '1'),
      replace(policies('UsePassportForWork'), 'true'),
      replace(device('Biometrics/UseBiometrics'), 'false'),
      replace(policies('PINComplexity/History', 'User'), '9'),
    ].join('');
    const remove = (uri: string): string => `<Delete><CmdID>9</CmdID>${item(uri)}</Delete>`;
    const namesAfter = (xml: string): string[] => {
      const layers = readSyncMl(three + xml).layers;
      return layers.flatMap(({ scope, values }) => Object.keys(values).map((name) => `${scope} ${name}`)).sort();
    };
    const [digits, history, biometrics, users, use] = [
      'machine PINComplexity/Digits',
      'machine PINComplexity/History',
      'machine Biometrics/UseBiometrics',
      'user PINComplexity/History',
      'machine UsePassportForWork',
    ];
    expect(namesAfter('')).toEqual([biometrics, digits, history, use, users]);
    expect(namesAfter(remove(policies('PINComplexity/History')))).toEqual([biometrics, digits, use, users]);
    expect(namesAfter(remove(policies('PINComplexity')))).toEqual([biometrics, use, users]);
    expect(namesAfter(remove(device(TENANT)))).toEqual([biometrics, users]);
    expect(namesAfter(remove(policies('PINComplexity', 'User')))).toEqual([biometrics, digits, history, use]);
    expect(namesAfter(remove(device('Biometrics')))).toEqual([digits, history, use, users]);
    expect(valuesOf(three + replace(policies('PINComplexity/History'), '4'))[0]).toMatchObject([
      'machine',
      { 'PINComplexity/History': 4 },
    ]);
  });

  it('notes unknown and misplaced nodes', () => {
    const xml =
      replace(policies('PINComplexity/MinimumPinLenght'), '4') +
      replace(policies('ExcludeSecurityDevices/TPM12', 'User'), 'true');
    expect(readSyncMl(xml)).toEqual({
      layers: [],
      ignored: [
        {
          setting: policies('PINComplexity/MinimumPinLenght'),
          problem: "is not a known node, did you mean 'MinimumPINLength'?",
          expected: 'a known node',
        },
        {
          setting: policies('ExcludeSecurityDevices/TPM12', 'User'),
          problem: 'applies only to the machine',
          expected: './Device/Vendor/MSFT/…',
        },
      ],
    });
  });

  it('reports every wrong command and value at once', () => {
    const xml = [
      '<Put/>',
      '<Add><CmdID>1</CmdID></Add>',
      '<Replace><Item><Data>1</Data></Item></Replace>',
      replace(policies('UsePassportForWork'), 'yes', 'bool'),
      replace(policies('RequireSecurityDevice'), '1', 'int'),
      replace(policies('EnablePinRecovery')),
      replace(policies('PINComplexity/Digits'), '3', 'int'),
      replace(policies('PINComplexity/History'), '0x1', 'int'),
      replace('./Vendor/MSFT/Policy/Config/DeviceLock/DevicePasswordHistory', '51'),
    ].join('');
    expect(problemsOf(() => readSyncMl(xml)).map(({ setting, problem }) => `${setting} ${problem}`)).toEqual([
      'Put is not a SyncML command',
      'Add has no Item',
      'Replace has an Item without LocURI',
      `${policies('UsePassportForWork')} is 'yes'`,
      `${policies('RequireSecurityDevice')} has the format 'int'`,
      `${policies('EnablePinRecovery')} is of another type`,
      `${policies('PINComplexity/Digits')} is 3`,
      `${policies('PINComplexity/History')} is '0x1'`,
      'SyncML: DevicePasswordHistory is 51',
    ]);
  });

  it('refuses text that is not XML, with the line', () => {
    expect(problemsOf(() => readSyncMl('<Add>\n<Item></Add>'))).toEqual([
      { setting: 'SyncML', problem: "line 2: '</Add>' does not close an open element", expected: 'well-formed XML' },
    ]);
  });

  it('asks whose settings to use if there are several tenants', () => {
    const other = '11111111-2222-3333-4444-555555555555';
    const xml =
      replace(policies('UsePassportForWork'), 'true') +
      replace(device(`{${other}}/Policies/UsePassportForWork`), 'false');
    expect(problemsOf(() => readSyncMl(xml))).toEqual([
      {
        setting: 'tenantId',
        problem: `there are settings for 2 tenants: ${other}, ${TENANT}`,
        expected: 'one of them',
      },
    ]);
    expect(readSyncMl(xml, { tenantId: other.toUpperCase() }).layers).toMatchObject([
      { values: { UsePassportForWork: false } },
    ]);
  });

  it('stops after more problems than anyone reads', () => {
    const xml = replace(policies('UsePassportForWork'), 'x').repeat(5000);
    expect(problemsOf(() => readSyncMl(xml))).toHaveLength(100);
  });
});
