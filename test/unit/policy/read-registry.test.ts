import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PolicyError, readRegistryExport, WINDOWS_SETTING_NAMES, WINDOWS_SETTINGS } from '../../../src/policy/index.ts';
import { problemsOf } from './problems-of.ts';

const HEADER = 'Windows Registry Editor Version 5.00';
const GPO = 'HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\PassportForWork';
const SID = 'S-1-5-21-1004336348-1177238915-682003330-512';
const USER = `HKEY_USERS\\${SID}\\SOFTWARE\\Policies\\Microsoft\\PassportForWork`;
const TENANT = 'dcd219dd-bc68-4b9b-bf0b-4a33a796be35';
const CSP = 'HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Policies\\PassportForWork';
const DEVICE_LOCK = 'HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\PolicyManager\\current\\device\\DeviceLock';
const reg = (...lines: readonly string[]): string => `${[HEADER, '', ...lines].join('\r\n')}\r\n`;

/** All four keys, as `reg export` writes them. */
const EXPORT = reg(
  `[${GPO}]`,
  '"Enabled"=dword:00000001',
  '"RequireSecurityDevice"=dword:00000001',
  '"Comment"="[HKEY_USERS\\\\x]',
  `[${GPO}]`,
  '\\"Enabled\\"=dword:00000000"',
  '"Bytes"=hex:01,02,\\',
  '  03,04',
  '',
  `[${GPO}\\PINComplexity]`,
  '"MinimumPINLength"=dword:0000000a',
  '"UppercaseLetters"=dword:00000002',
  '',
  `[${USER}]`,
  '"Enabled"=dword:00000000',
  '',
  `[${CSP}\\${TENANT}\\Device\\Policies]`,
  '"UsePassportForWork"=dword:00000001',
  '',
  `[${CSP}\\${TENANT}\\Device\\Policies\\ExcludeSecurityDevices]`,
  '"TPM12"=dword:00000001',
  '',
  `[${CSP}\\${TENANT}\\${SID}\\Policies\\PINComplexity]`,
  '"History"=dword:00000005',
  '',
  `[${CSP}\\Biometrics]`,
  '"UseBiometrics"=dword:00000000',
  '',
  `[${DEVICE_LOCK}]`,
  '"MinDevicePasswordLength"=dword:00000008',
  '"MinDevicePasswordLength_ProviderSet"=dword:00000001',
  '',
);
const LAYERS = [
  {
    source: 'gpo',
    scope: 'machine',
    origin: GPO,
    values: {
      UsePassportForWork: true,
      RequireSecurityDevice: true,
      'PINComplexity/MinimumPINLength': 10,
      'PINComplexity/UppercaseLetters': 2,
    },
  },
  { source: 'gpo', scope: 'user', origin: USER, values: { UsePassportForWork: false } },
  {
    source: 'csp',
    scope: 'machine',
    origin: `${CSP}\\${TENANT}\\Device\\Policies`,
    values: { UsePassportForWork: true, 'ExcludeSecurityDevices/TPM12': true, 'Biometrics/UseBiometrics': false },
  },
  {
    source: 'csp',
    scope: 'user',
    origin: `${CSP}\\${TENANT}\\${SID}\\Policies\\PINComplexity`,
    values: { 'PINComplexity/History': 5 },
  },
  { source: 'eas', scope: 'machine', origin: DEVICE_LOCK, values: { 'PINComplexity/MinimumPINLength': 8 } },
];

describe('readRegistryExport', () => {
  it('reads Group Policy, CSP and DeviceLock keys of machine and user', () => {
    const { layers, ignored } = readRegistryExport(EXPORT);
    expect(layers).toEqual(LAYERS);
    expect(ignored.map(({ setting }) => setting)).toEqual([`${GPO}\\Comment`, `${GPO}\\Bytes`]);
  });

  it('reads UTF-16 and UTF-8, with and without a byte order mark, CRLF and LF, and REGEDIT4', () => {
    const utf16 = Buffer.from(`\uFEFF${EXPORT}`, 'utf16le');
    const bigEndian = Buffer.from(utf16).swap16();
    const withLatin1 = EXPORT.replace('"Comment"', '"Bemerkung zur L\u00e4nge"');
    for (const file of [
      utf16,
      utf16.subarray(2),
      bigEndian,
      Buffer.from(EXPORT),
      Buffer.from(`\uFEFF${EXPORT}`),
      Buffer.from(EXPORT.replaceAll('\r\n', '\n')),
      Buffer.from(EXPORT.replace(HEADER, 'REGEDIT4')),
      Buffer.from(withLatin1.replace(HEADER, 'REGEDIT4'), 'latin1'),
      EXPORT.toUpperCase().replace(HEADER.toUpperCase(), HEADER).replaceAll('DWORD', 'dword'),
    ]) {
      const { layers } = readRegistryExport(file);
      expect(layers.map(({ source, scope, values }) => ({ source, scope, values }))).toEqual(
        LAYERS.map(({ source, scope, values }) => ({ source, scope, values })),
      );
    }
  });

  it('reads each setting under its own name, and no other', () => {
    for (const name of WINDOWS_SETTING_NAMES) {
      const { kind, gpo, csp } = WINDOWS_SETTINGS[name];
      const data = kind === 'text' ? '"a \\"b\\""' : 'dword:00000001';
      const value = kind === 'text' ? 'a "b"' : kind === 'boolean' ? true : 1;
      if (gpo !== undefined) {
        const text = reg(`[HKEY_LOCAL_MACHINE\\${gpo.key}]`, `"${gpo.value}"=${data}`);
        expect(readRegistryExport(text)).toMatchObject({ layers: [{ source: 'gpo', values: { [name]: value } }] });
      }
      if (csp !== undefined) {
        const path = `${csp.tenant ? `${TENANT}\\Device\\Policies\\` : ''}${name.replaceAll('/', '\\')}`;
        const cut = `\\${path}`.lastIndexOf('\\');
        const key = `${CSP}${`\\${path}`.slice(0, cut)}`;
        const text = reg(`[${key}]`, `"${path.slice(cut)}"=${data}`);
        const { layers, ignored } = readRegistryExport(text);
        expect([layers, ignored]).toEqual([
          [{ source: 'csp', scope: 'machine', origin: key, values: { [name]: value } }],
          [],
        ]);
      }
    }
  });

  it('skips other keys, and reports unknown and misplaced values in ours', () => {
    const { layers, ignored } = readRegistryExport(
      reg(
        '[HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft]',
        '"Enabled"=dword:00000001',
        '[HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\PassportForWorkers]',
        '"Enabled"=dword:00000001',
        '[HKEY_CLASSES_ROOT]',
        '@="x"',
        `[${GPO}]`,
        '@="default"',
        '"EnablePinRecoveri"=dword:00000001',
        '"PINComplexity\\\\Digits"=dword:00000001',
        `[HKEY_CURRENT_USER\\SOFTWARE\\Policies\\Microsoft\\PassportForWork]`,
        '"RequireSecurityDevice"=dword:00000001',
      ),
    );
    expect(layers).toEqual([]);
    expect(ignored.map(({ setting, problem }) => [setting.replace(/^.*PassportForWork/, ''), problem])).toEqual([
      ['\\', 'is not a known setting'],
      ['\\EnablePinRecoveri', "is not a known setting, did you mean 'EnablePinRecovery'?"],
      ['\\PINComplexity\\Digits', "is not a known setting, did you mean 'Digits'?"],
      ['\\RequireSecurityDevice', 'applies only to the machine'],
    ]);
  });

  it('uses the last of a value that appears twice', () => {
    const text = reg(`[${GPO}]`, '"Enabled"=dword:00000000', `[${GPO}]`, '"enabled"=dword:1 ; again');
    expect(readRegistryExport(text).layers).toMatchObject([{ values: { UsePassportForWork: true } }]);
  });

  it('reads several joined exports as an import of the file would', () => {
    const first = reg(`[${GPO}]`, '"Enabled"=dword:00000001', '"RequireSecurityDevice"=dword:00000001');
    const second = reg(`[${GPO.toUpperCase()}]`, '"enabled"=dword:00000000', '"RequireSecurityDevice"=-');
    for (const joined of [`${first}\r\n\ufeff${second}`, `${first}\r\n${second}`]) {
      const { layers, ignored } = readRegistryExport(joined);
      expect(layers.map(({ values }) => values)).toEqual([{ UsePassportForWork: false }]);
      expect(ignored).toEqual([]);
    }
  });

  it("suggests the Group Policy value if the CSP's name was used", () => {
    const { ignored } = readRegistryExport(reg(`[${GPO}]`, '"UsePassportForWork"=dword:00000001'));
    expect(ignored).toMatchObject([{ problem: "is not a known setting, did you mean 'Enabled'?" }]);
  });

  it('reports every wrong line and value at once', () => {
    const text = reg(
      '"early"=dword:00000001',
      `[${GPO}]`,
      '"Enabled"=dword:00000002',
      '"RequireSecurityDevice"="1"',
      '"EnablePinRecovery"=hex(b):01,00',
      'nonsense',
      '"UseCertificateForOnPremAuth"=dword:xyz',
      `[-${GPO}\\PINComplexity]`,
      `[${GPO}\\PINComplexity]`,
      '"Digits"=dword:00000003',
      '"History"=dword:00000033',
      `[${DEVICE_LOCK}]`,
      '"MinDevicePasswordLength"=dword:00000002',
      '"unclosed"="text',
    );
    const problems = problemsOf(() => readRegistryExport(text));
    expect(problems.map(({ setting, problem, expected }) => [setting.replace(GPO, ''), problem, expected])).toEqual([
      ['line 3', 'is a value before the first key', 'a key in brackets, or name=value below a key'],
      ['line 8', 'does not belong in a registry export', expect.any(String)],
      ['line 9', 'has a dword that is not hexadecimal', 'dword: and 1 to 8 hexadecimal digits'],
      ['line 10', 'deletes a key, which an export never does', expect.any(String)],
      ['line 16', 'has data of an unknown form', expect.stringContaining('text in quotes')],
      ['\\Enabled', 'is 2', 'true or false, as dword 1 or 0'],
      ['\\RequireSecurityDevice', "is '1'", 'true or false, as dword 1 or 0'],
      ['\\EnablePinRecovery', 'is of another type', 'true or false, as dword 1 or 0'],
      ['\\PINComplexity\\Digits', 'is 3', '0 (allowed), 1 (required) or 2 (not allowed), as a dword'],
      ['\\PINComplexity\\History', 'is 51', 'an integer from 0 to 50, as a dword'],
      [`${DEVICE_LOCK}: MinDevicePasswordLength`, 'is 2', 'an integer from 4 to 16'],
    ]);
  });

  it.each(['', 'REGEDIT5', '{"hardware":"required"}', '[HKEY_LOCAL_MACHINE]\r\n'])(
    'refuses %j, which is not an export',
    (text) => {
      expect(problemsOf(() => readRegistryExport(text))).toMatchObject([
        { setting: 'line 1', problem: 'the text is not a registry export' },
      ]);
    },
  );

  it('asks whose settings to use if there are several users or tenants', () => {
    const other = 'S-1-5-21-1-2-3-1001';
    const text = reg(
      `[${USER}]`,
      '"Enabled"=dword:00000001',
      `[${USER.replace(SID, other)}]`,
      '"Enabled"=dword:00000000',
      `[${CSP}\\{${TENANT.toUpperCase()}}\\Device\\Policies]`,
      '"UsePassportForWork"=dword:00000001',
      `[${CSP}\\11111111-2222-3333-4444-555555555555\\Device\\Policies]`,
      '"UsePassportForWork"=dword:00000000',
    );
    expect(problemsOf(() => readRegistryExport(text))).toEqual([
      {
        setting: 'userSid',
        problem: `there are settings for 2 users: ${other.toLowerCase()}, ${SID.toLowerCase()}`,
        expected: 'one of them',
      },
      {
        setting: 'tenantId',
        problem: `there are settings for 2 tenants: 11111111-2222-3333-4444-555555555555, ${TENANT}`,
        expected: 'one of them',
      },
    ]);
    const { layers } = readRegistryExport(text, { userSid: other, tenantId: TENANT });
    expect(layers).toMatchObject([
      { source: 'gpo', scope: 'user', values: { UsePassportForWork: false } },
      { source: 'csp', scope: 'machine', values: { UsePassportForWork: true } },
    ]);
  });

  it.each([{}, { userSid: SID }])('says so if only other tenants have settings: %j', (user) => {
    const policies = [`[${CSP}\\${TENANT}\\${SID}\\Policies]`, '"UsePassportForWork"=dword:00000000'];
    const tenantId = '11111111-2222-3333-4444-555555555555';
    expect(readRegistryExport(reg(...policies), { ...user, tenantId })).toEqual({
      layers: [],
      ignored: [
        {
          setting: 'tenantId',
          problem: `${tenantId} is not one of the tenants with settings here (${TENANT})`,
          expected: TENANT,
        },
      ],
    });
    expect(readRegistryExport(reg(...policies), { ...user, tenantId: TENANT }).ignored).toEqual([]);
  });

  it('treats the current user as the requested one', () => {
    const text = reg('[HKEY_CURRENT_USER\\Software\\Policies\\Microsoft\\PassportForWork]', '"Enabled"=dword:00000000');
    expect(readRegistryExport(text, { userSid: SID }).layers).toMatchObject([{ source: 'gpo', scope: 'user' }]);
  });

  it('reads nothing from DeviceLock if it is switched off', () => {
    const text = reg(`[${DEVICE_LOCK}]`, '"DevicePasswordEnabled"=dword:1', '"MinDevicePasswordLength"=dword:8');
    expect(readRegistryExport(text).layers).toEqual([]);
    expect(readRegistryExport(text.replace('dword:1', 'dword:0')).layers).toMatchObject([{ source: 'eas' }]);
  });

  it("requires DeviceLock's sets of characters only if it requires an alphanumeric PIN", () => {
    const layersOf = (alphanumeric: number) =>
      readRegistryExport(
        reg(
          `[${DEVICE_LOCK}]`,
          '"DevicePasswordHistory"=dword:00000018',
          '"DevicePasswordExpiration"=dword:0000002a',
          '"MinDevicePasswordComplexCharacters"=dword:00000003',
          `"AlphanumericDevicePasswordRequired"=dword:0000000${alphanumeric}`,
        ),
      ).layers;
    const numbers = { 'PINComplexity/History': 24, 'PINComplexity/Expiration': 42 };
    const sets = {
      'PINComplexity/Digits': 1,
      'PINComplexity/LowercaseLetters': 1,
      'PINComplexity/UppercaseLetters': 1,
    };
    expect(layersOf(0)).toEqual([
      { source: 'eas', scope: 'machine', origin: DEVICE_LOCK, values: { ...numbers, ...sets } },
    ]);
    expect(layersOf(2)).toMatchObject([{ values: numbers }]);
  });
});

describe('hostile registry exports', () => {
  const survives = (file: Uint8Array | string): void => {
    try {
      expect(readRegistryExport(file).layers.length).toBeLessThan(6);
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      expect(error.problems.length).toBeGreaterThan(0);
      expect(error.problems.length).toBeLessThan(150);
    }
  };

  it('are read or refused, for any input', () => {
    const part = fc.oneof(
      fc.string(),
      fc.constantFrom(
        '"',
        '\\',
        '\r\n',
        '[',
        ']',
        '[-',
        '@',
        '=',
        'dword:',
        'hex:01,\\',
        '"a"=',
        `[${GPO}]`,
        `[${CSP}`,
        ';',
      ),
    );
    fc.assert(
      fc.property(fc.array(part), (parts) => survives(`${HEADER}\n${parts.join('')}`)),
      { numRuns: 1000 },
    );
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => survives(bytes)),
      { numRuns: 300 },
    );
  });

  it('cut off or changed at any place are read or refused', () => {
    for (let at = 0; at < EXPORT.length; at += 3) {
      survives(EXPORT.slice(0, at));
      survives(`${EXPORT.slice(0, at)}"${EXPORT.slice(at + 1)}`);
    }
  });

  it.each([
    ['quotes that never close', `[${GPO}]\n${'@="\n'.repeat(200_000)}`],
    ['one long text', `[${GPO}]\n"a"="${'\\"'.repeat(500_000)}`],
    ['one long name', `[${GPO}]\n"${'\\\\'.repeat(500_000)}"=dword:1`],
    ['one long key', `[${GPO}${'\\a'.repeat(500_000)}]\n"a"=dword:1`],
    ['many keys', `[${GPO}\\a]\n"x"=dword:1\n`.repeat(12_000)],
    ['many values', `[${GPO}]\n${'"Enabled"=dword:1\n'.repeat(50_000)}`],
    ['many wrong values', `[${GPO}]\n${'"Enabled"=dword:7\n'.repeat(50_000)}`],
    ['many wrong lines', 'x\n'.repeat(500_000)],
    ['bytes without end', `[${GPO}]\n"a"=hex:${'00,\\\n'.repeat(200_000)}`],
  ])('of %s come to an end', (_, body) => {
    survives(`${HEADER}\n${body}`);
  });

  it('larger than a policy can be are refused', () => {
    const text = `${HEADER}\n${' '.repeat(16 * 1024 * 1024)}`;
    expect(problemsOf(() => readRegistryExport(text))).toMatchObject([
      { setting: 'registry export', problem: expect.stringMatching(/ characters; the limit is 16777216$/) },
    ]);
  });
});
