import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/bytes.ts';
import { policyInForce, readPolicyFile } from '../../../src/policy/index.ts';
import { problemsOf } from './problems-of.ts';

const KEY = 'HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\PassportForWork';
const REG = `Windows Registry Editor Version 5.00\r\n\r\n[${KEY}]\r\n"RequireSecurityDevice"=dword:00000001\r\n`;
const XML = `<Replace><Item><Target><LocURI>./Device/Vendor/MSFT/PassportForWork/dcd219dd-bc68-4b9b-bf0b-4a33a796be35/Policies/RequireSecurityDevice</LocURI></Target><Meta><Format>bool</Format></Meta><Data>true</Data></Item></Replace>`;
const utf16 = (text: string) => new Uint8Array(Buffer.from(`\uFEFF${text}`, 'utf16le'));
const options = { origin: 'a file' };

describe('readPolicyFile', () => {
  it.each([
    ['a registry export', REG, { source: 'gpo', origin: KEY, values: { RequireSecurityDevice: true } }],
    ['SyncML', XML, { source: 'csp', origin: 'a file', values: { RequireSecurityDevice: true } }],
    ['JSON', '{ "hardware": "required" }', { source: 'file', origin: 'a file', values: { hardware: 'required' } }],
  ])('reads %s in UTF-8 and UTF-16, with and without a byte order mark and blanks', (_, text, layer) => {
    for (const file of [utf8(text), utf8(`\uFEFF${text}`), utf8(`\n ${text}`), utf16(text)]) {
      expect(readPolicyFile(file, options)).toEqual({ layers: [{ scope: 'machine', ...layer }], ignored: [] });
    }
  });

  const REG_PLACES = `values below ${KEY}, or below HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Policies\\PassportForWork`;
  const CSP_PLACE = 'Add or Replace for ./Device/Vendor/MSFT/PassportForWork/TENANT/Policies/…';
  const JSON_SETTING = 'a setting, such as { "hardware": "required" }';
  it.each([
    ['another registry key', REG.replaceAll('PassportForWork', 'FVE'), 'registry-export', REG_PLACES],
    ['the keys of 32-bit programs', REG.replace('Policies', 'WOW6432Node\\Policies'), 'registry-export', REG_PLACES],
    ['a longer key', REG.replace('PassportForWork', 'PassportForWorkNOT'), 'registry-export', REG_PLACES],
    ['another node', XML.replace('PassportForWork', 'BitLocker'), 'syncml', CSP_PLACE],
    ['a node without ./', XML.replace('./', ''), 'syncml', CSP_PLACE],
    ['a node with a second slash', XML.replace('MSFT/', 'MSFT//'), 'syncml', CSP_PLACE],
    ['results', `<Results>${XML.replaceAll(/<.?Replace>/g, '')}</Results>`, 'syncml', CSP_PLACE],
    ['no setting', '{}', 'json', JSON_SETTING],
    ['no settings of Windows', '{"windows": {}, "pin": {}}', 'json', JSON_SETTING],
  ])('says what was expected if there is %s', async (_, text, form, expected) => {
    const file = { name: 'a file', bytes: utf8(text) };
    expect(readPolicyFile(file.bytes, options).nothingKnown).toEqual({ form, expected });
    const { warnings } = await policyInForce({ files: [file], environment: {} });
    expect(warnings[0]).toEqual({ kind: 'nothing-known', origin: 'a file', setting: 'a file', form, expected });
  });

  it.each([
    ['the hive is abbreviated', REG.replace('HKEY_LOCAL_MACHINE', 'HKLM'), [1, 0]],
    [
      "the user's hive is abbreviated",
      REG.replace('HKEY_LOCAL_MACHINE', 'HKCU').replace('RequireSecurityDevice', 'Enabled'),
      [1, 0],
    ],
    ['a value below its key is unknown', REG.replace('SecurityDevice', 'SecureDevice'), [0, 1]],
    ['it applies only to the machine', REG.replace('LOCAL_MACHINE', 'CURRENT_USER'), [0, 1]],
    ['a second node has a wrong path', XML + XML.replace('MSFT/', 'MSFT//'), [1, 1]],
  ])('finds a known setting if %s', (_, text, counts) => {
    const { layers, ignored, nothingKnown } = readPolicyFile(utf8(text), options);
    expect([[layers.length, ignored.length], nothingKnown]).toEqual([counts, undefined]);
  });

  it.each([
    ['the key of Group Policy', REG.replace(/"Req.*/, '')],
    ['the key of the CSP', `REGEDIT4\r\n[${REG_PLACES.split('or below ')[1]}]\r\n`],
    [
      'the key of DeviceLock',
      `REGEDIT4\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\PolicyManager\\current\\device\\DeviceLock]\r\n`,
    ],
    ['a message that deletes', `<Delete>${XML.replaceAll(/<.?Replace>/g, '')}</Delete>`],
  ])('takes %s without a setting for a policy that sets nothing', (_, text) => {
    expect(readPolicyFile(utf8(text), options)).toEqual({ layers: [], ignored: [] });
  });

  it('chooses a user and a tenant like the reader of that kind', () => {
    const two = `${XML}${XML.replace('dcd219dd', 'aaaaaaaa')}`;
    expect(problemsOf(() => readPolicyFile(utf8(two), options))[0]?.setting).toBe('tenantId');
    const tenantId = 'dcd219dd-bc68-4b9b-bf0b-4a33a796be35';
    expect(readPolicyFile(utf8(two), { ...options, tenantId }).layers).toHaveLength(1);
    const users = ['S-1-5-21-1', 'S-1-5-21-2'].map(
      (sid) => `[${KEY.replace('LOCAL_MACHINE', `USERS\\${sid}`)}]\r\n"Enabled"=dword:0\r\n`,
    );
    const reg = utf8(`REGEDIT4\r\n${users.join('')}`);
    expect(problemsOf(() => readPolicyFile(reg))[0]?.setting).toBe('userSid');
    expect(readPolicyFile(reg, { userSid: 'S-1-5-21-2' }).layers).toHaveLength(1);
  });

  it('refuses other text by the name of the file', () => {
    for (const text of ['', '[PassportForWork]', 'hardware=required', '[1]']) {
      expect(problemsOf(() => readPolicyFile(utf8(text), options))).toEqual([
        {
          setting: 'a file',
          problem: 'is not a settings file',
          expected: 'a registry export (.reg), a SyncML message, or a JSON object of settings',
        },
      ]);
    }
  });

  it.each([
    [
      '\r\nHKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\PassportForWork\r\n    Enabled    REG_DWORD    0x1\r\n',
      'is the output of reg query',
      'a registry export from `reg export KEY FILE`',
    ],
    [
      '{"@odata.context":"https://graph.example/beta/$metadata","name":"WHFB","settings":[]}',
      'is a Microsoft Graph response, which describes a policy, not what is in force on a device',
      'a registry export from `reg export KEY FILE` on a device that has the policy, or SyncML',
    ],
  ])('says of %j which export to make instead', (text, problem, expected) => {
    expect(problemsOf(() => readPolicyFile(utf8(text), options))).toEqual([{ setting: 'a file', problem, expected }]);
  });
});
