import { describe, expect, it } from 'vitest';
import {
  describeDsregProblem,
  dsregSection,
  dsregText,
  dsregValue,
  formatDsregStatus,
  joinStateOf,
  parseDsregStatus,
} from '../../../../src/provisioning/windows/dsregcmd.ts';
import { diagnostics } from '../../../diagnostics.ts';

const { hybridComplete, windows, ngcDocSample, joinState } = diagnostics.dsregcmd;
describe('describeDsregProblem', () => {
  it('says why a text is not the report of one run', () => {
    expect(describeDsregProblem(windows)).toBeUndefined();
    expect(describeDsregProblem(windows.replaceAll(/^/gm, '> '))).toBeUndefined();
    expect(describeDsregProblem(`${windows}\nC:\\>dsregcmd /status\n${windows}`)).toContain('2 runs');
    // Lines that findstr has picked, and no report at all.
    for (const text of ['   AzureAdJoined : YES\n   NgcSet : NO\n', '', 'no such command', '| toString |']) {
      expect(describeDsregProblem(text)).toContain('no section');
    }
  });
});

const hybrid = parseDsregStatus(hybridComplete);

describe('parseDsregStatus', () => {
  it.each([
    ['the documented check', ngcDocSample, '\n'],
    ['all sections', hybridComplete, '\n'],
    ['the text that Windows prints', windows, '\n'],
    ['the same with its line ends', windows.replaceAll('\n', '\r\n'), '\r\n'],
  ] as const)('reads %s so that it is written byte for byte as it was', (_, text, lineEnd) => {
    expect(formatDsregStatus(parseDsregStatus(text), { lineEnd })).toBe(text);
  });

  it('keeps all sections and fields in order, known or not', () => {
    const status = parseDsregStatus(windows);
    expect(status.map(({ title }) => title)).toEqual([
      'Device State',
      'User State',
      'SSO State',
      'Diagnostic Data',
      'IE Proxy Config for Current User',
      'Ngc Prerequisite Check',
    ]);
    expect(status[4]?.lines.filter(({ name }) => name !== '')).toEqual([
      { name: 'Auto Detect Settings', value: 'YES' },
      { name: 'Auto-Configuration URL', value: '' },
    ]);
    expect(status[5]?.lines.at(-2)).toEqual({
      name: '',
      value: 'For more information, please visit https://www.microsoft.com/aadjerrors',
    });
  });

  it('reads a colon without a blank before it, and colons in values', () => {
    expect(dsregText(hybrid, 'Diagnostic Data', 'AadRecoveryEnabled')).toBe('NO');
    expect(dsregText(hybrid, 'Tenant Details', 'KeySrvUrl')).toBe(
      'https://enterpriseregistration.windows.net/EnrollmentServer/key/',
    );
    expect(dsregText(hybrid, 'Tenant Details', 'KeySrvId')).toBe('urn:ms-drs:enterpriseregistration.windows.net');
    expect(dsregText(hybrid, 'User State', 'WamDefaultGUID')).toBe(
      '{ B16898C6-A148-4967-9171-64D755DA8520 } (AzureAd)',
    );
  });

  it('reads pasted text, with other text before it', () => {
    const pasted = `PS C:\\> dsregcmd /status\n\n${hybridComplete.replace(/^/gm, '      ')}`;
    expect(parseDsregStatus(pasted)).toEqual(hybrid);
    expect(parseDsregStatus(hybridComplete.replaceAll(' ', '\u00a0'))).toEqual(hybrid);
    for (const end of ['\r\n', '\r']) expect(parseDsregStatus(hybridComplete.replaceAll('\n', end))).toEqual(hybrid);
    const trimmed = hybridComplete.replace(/^ +/gm, '').replaceAll(' :', ':');
    expect(parseDsregStatus(trimmed)).toEqual(hybrid);
  });

  it('reads titles that are wider than their box, or not closed', () => {
    const titles = ['|  SSO State      |', '| SSO State', `| SSO State${' '.repeat(90)}|`];
    expect(titles.map((line) => parseDsregStatus(`${line}\nCloudTgt : YES`))).toEqual(
      titles.map(() => [{ title: 'SSO State', lines: [{ name: 'CloudTgt', value: 'YES' }] }]),
    );
  });

  it('finds nothing in other text', () => {
    expect(['', 'dsregcmd: command not found', '\u0000 : \n:::'].map(parseDsregStatus)).toEqual([[], [], []]);
  });
});

describe('dsregValue', () => {
  it('reads yes and no, times and the validity of a certificate', () => {
    expect(dsregValue(hybrid, 'Device State', 'AzureAdJoined')).toBe(true);
    expect(dsregValue(hybrid, 'Device State', 'EnterpriseJoined')).toBe(false);
    expect(dsregValue(hybrid, 'Device Details', 'DeviceCertificateValidity')).toEqual({
      notBefore: new Date('2023-05-04T08:17:31.000Z'),
      notAfter: new Date('2033-05-04T08:47:31.000Z'),
    });
    const status = parseDsregStatus(windows);
    expect(dsregValue(status, 'SSO State', 'Previous Prt Attempt')).toEqual(new Date('2025-02-11T06:44:09.125Z'));
    expect(dsregValue(status, 'Diagnostic Data', 'Previous Registration')).toEqual(new Date('2025-02-11T06:32:08Z'));
  });

  it.each(['UNKNOWN', 'ERROR (0xd0020017)', '', 'yes', 'YES ( StateReady )'])(
    'treats %j as neither yes nor no',
    (value) => {
      const status = [dsregSection('User State', { NgcSet: value })];
      expect(dsregValue(status, 'User State', 'NgcSet')).toBeUndefined();
      expect(dsregText(status, 'User State', 'NgcSet')).toBe(value);
    },
  );

  it.each(['[ yesterday -- tomorrow ]', '[ 2019-13-11 21:02:50.000 UTC -- 2029-01-11 21:32:50.000 UTC ]', 'none'])(
    'treats %j as no validity',
    (value) => {
      const status = [dsregSection('Device Details', { DeviceCertificateValidity: value })];
      expect(dsregValue(status, 'Device Details', 'DeviceCertificateValidity')).toBeUndefined();
    },
  );

  it('ignores two lines that differ, and accepts two that agree', () => {
    const [yes, no] = [dsregSection('User State', { NgcSet: 'YES' }), dsregSection('User State', { NgcSet: 'NO' })];
    expect(dsregValue([yes, no], 'User State', 'NgcSet')).toBeUndefined();
    expect(dsregValue([yes, yes], 'User State', 'NgcSet')).toBe(true);
    expect(dsregValue([yes], 'SSO State', 'CloudTgt')).toBeUndefined();
  });
});

describe('joinStateOf', () => {
  it.each(joinState)('reads $state', ({ state, ...fields }) => {
    const expected = { 'Entra joined': 'entra', 'domain joined': 'domain', 'Entra hybrid joined': 'entra-hybrid' }[
      state
    ];
    expect(joinStateOf([dsregSection('Device State', fields)])).toBe(expected ?? 'on-premises-drs');
  });

  it('recognizes a device that is not joined; missing or impossible fields leave the state unknown', () => {
    const fields = { AzureAdJoined: 'NO', EnterpriseJoined: 'NO', DomainJoined: 'NO' };
    expect(joinStateOf([dsregSection('Device State', fields)])).toBe('none');
    expect(joinStateOf([dsregSection('Device State', { ...fields, DomainJoined: 'UNKNOWN' })])).toBeUndefined();
    const both = { AzureAdJoined: 'YES', EnterpriseJoined: 'YES', DomainJoined: 'YES' };
    expect(joinStateOf([dsregSection('Device State', both)])).toBeUndefined();
    expect(joinStateOf([])).toBeUndefined();
  });
});

describe('formatDsregStatus', () => {
  it('writes a section with right-aligned names', () => {
    const section = dsregSection('User State', { NgcSet: 'NO', AadRecoveryEnabled: 'NO', Empty: '' });
    expect(formatDsregStatus([section]).split('\n').slice(1)).toEqual([
      `| User State${' '.repeat(59)}|`,
      `+${'-'.repeat(70)}+`,
      '',
      '                    NgcSet : NO',
      '         AadRecoveryEnabled: NO',
      '                     Empty :',
      '',
    ]);
  });

  it.each([
    ['User State', { NgcSet: 'NO\nNgcSet : YES' }],
    ['User State', { 'Ngc:Set': 'NO' }],
    ['User State', { NgcSet: ' NO' }],
    ['User\nState', { NgcSet: 'NO' }],
    ['User State', { '| x': 'NO' }],
  ])('refuses fields that would be misread (%j %j)', (title, fields) => {
    expect(() => formatDsregStatus([dsregSection(title, fields)])).toThrow(TypeError);
  });
});
