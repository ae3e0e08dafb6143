import { describe, expect, it } from 'vitest';
import { definePolicy, type Policy } from '../../../../src/policy/index.ts';
import type { JoinState } from '../../../../src/provisioning/windows/dsregcmd.ts';
import { dsregSection, formatDsregStatus } from '../../../../src/provisioning/windows/dsregcmd.ts';
import {
  dsregcmdProbe,
  type PrerequisiteFacts,
  probePrerequisites,
  readDsregFacts,
  valuesProbe,
} from '../../../../src/provisioning/windows/prerequisite-probe.ts';
import {
  checkPrerequisites,
  type PrerequisiteId,
  type PrerequisiteOptions,
  type PrerequisiteResult,
} from '../../../../src/provisioning/windows/prerequisites.ts';
import { findWindowsError } from '../../../../src/provisioning/windows/windows-errors.ts';
import { diagnostics } from '../../../diagnostics.ts';

/** Facts with which every check passes, cloud trust aside. */
const GOOD: PrerequisiteFacts = {
  joinState: 'entra-hybrid',
  deviceJoined: true,
  deviceDisabled: false,
  directoryUser: true,
  policyEnabled: true,
  postLogonEnabled: true,
  deviceEligible: true,
  remoteSession: false,
  certEnrollment: 'none',
  pinSet: false,
};

const statuses = ({ findings }: PrerequisiteResult) =>
  Object.fromEntries(findings.map(({ id, status }) => [id, status]));

/** Differences from a run without problems. */
function changed(facts: PrerequisiteFacts, options: PrerequisiteOptions = {}) {
  const { result, findings, errorStates } = checkPrerequisites({ ...GOOD, ...facts }, options);
  const others = findings.filter(({ id, status }) => status !== (id === 'cloud-tgt' ? 'skipped' : 'pass'));
  return { result, errorStates, others: others.map(({ id, status, code }) => [id, status, code]) };
}

const withoutFact = (name: keyof PrerequisiteFacts): PrerequisiteFacts =>
  Object.fromEntries(Object.entries(GOOD).filter(([key]) => key !== name));

describe('checkPrerequisites', () => {
  it('lets a run begin only if every check passes', () => {
    const result = checkPrerequisites(GOOD);
    expect(statuses(result)).toEqual({
      'device-joined': 'pass',
      'directory-user': 'pass',
      'policy-enabled': 'pass',
      'post-logon-provisioning': 'pass',
      'hardware-eligible': 'pass',
      'session-not-remote': 'pass',
      'certificate-enrollment': 'pass',
      'cloud-tgt': 'skipped',
      'no-pin': 'pass',
    });
    expect([result.result, result.errorStates, result.facts]).toEqual(['WillProvision', 0, GOOD]);
  });

  it.each<[string, PrerequisiteFacts, PrerequisiteId, number, number | undefined]>([
    ['is joined to nothing', { joinState: 'none' }, 'device-joined', 1, 0x801c0015],
    ['is joined to Entra ID only', { joinState: 'entra' }, 'device-joined', 1, 0x801c0015],
    ['is joined to a domain only', { joinState: 'domain' }, 'device-joined', 1, 0x801c001b],
    ['is registered on premises', { joinState: 'on-premises-drs' }, 'device-joined', 1, 0x801c001b],
    ['is not joined, as the system says', { deviceJoined: false }, 'device-joined', 1, 0x801c001b],
    ['was deleted in the directory', { deviceDisabled: true }, 'device-joined', 1, undefined],
    ['has a local user', { directoryUser: false }, 'directory-user', 2, 0x801c044d],
    ['has no policy', { policyEnabled: false }, 'policy-enabled', 0x10, undefined],
    ['is told not to provision', { postLogonEnabled: false }, 'post-logon-provisioning', 0x10, undefined],
    ['has not the hardware', { deviceEligible: false }, 'hardware-eligible', 0x20, 0x80090035],
    ['is used from afar', { remoteSession: true }, 'session-not-remote', 8, 0x80090038],
    [
      'gets certificates by Group Policy',
      { certEnrollment: 'enrollment authority' },
      'certificate-enrollment',
      4,
      undefined,
    ],
    [
      'gets certificates by MDM',
      { certEnrollment: 'mobile device management' },
      'certificate-enrollment',
      4,
      undefined,
    ],
    ['has a PIN already', { pinSet: true }, 'no-pin', 0x40, 0x8009000f],
  ])('stops a device that %s, by one finding', (_, facts, id, errorStates, code) => {
    expect(changed(facts)).toEqual({ result: 'WillNotProvision', errorStates, others: [[id, 'fail', code]] });
    const finding = checkPrerequisites({ ...GOOD, ...facts }).findings.find((found) => found.id === id);
    expect(finding?.remedy).toMatch(/^\w.+\w$/);
    expect(code === undefined || findWindowsError(code) !== undefined).toBe(true);
  });

  it.each<[keyof PrerequisiteFacts, PrerequisiteId]>([
    ['joinState', 'device-joined'],
    ['directoryUser', 'directory-user'],
    ['policyEnabled', 'policy-enabled'],
    ['postLogonEnabled', 'post-logon-provisioning'],
    ['deviceEligible', 'hardware-eligible'],
    ['remoteSession', 'session-not-remote'],
    ['certEnrollment', 'certificate-enrollment'],
    ['pinSet', 'no-pin'],
  ])('reports what is unknown without %s, and does not provision', (name, id) => {
    const { result, errorStates, findings } = checkPrerequisites(withoutFact(name));
    expect([result, errorStates]).toEqual(['WillNotProvision', 0]);
    const open = findings.filter(({ status }) => status === 'unknown');
    expect(open.map((finding) => finding.id)).toEqual([id]);
    expect(open[0]?.remedy).toBe('pass the fact, or the full output of dsregcmd /status');
  });

  it('leaves out an optional check that it has no fact for, with the reason, and never one that fails', () => {
    const optional = { 'directory-user': 'the sign-in shows it' };
    const { result, findings } = checkPrerequisites(withoutFact('directoryUser'), { optional });
    expect(result).toBe('WillProvision');
    expect(findings.find(({ id }) => id === 'directory-user')).toEqual({
      ...{ id: 'directory-user', status: 'skipped', detail: 'not checked here: the sign-in shows it' },
    });
    expect(changed({ directoryUser: false }, { optional }).errorStates).toBe(2);
  });

  it('reports every failure at once', () => {
    const { errorStates, others } = changed({
      joinState: 'none',
      directoryUser: false,
      policyEnabled: false,
      postLogonEnabled: false,
      deviceEligible: false,
      remoteSession: true,
      certEnrollment: 'enrollment authority',
      pinSet: true,
    });
    expect([errorStates, others.length]).toEqual([0x7f, 8]);
  });

  it("prefers the caller's settings to the system's", () => {
    expect(changed({}, { settings: { UsePassportForWork: false } }).others).toEqual([
      ['policy-enabled', 'fail', undefined],
    ]);
    expect(changed({ policyEnabled: false }, { settings: { UsePassportForWork: true } }).result).toBe('WillProvision');
    expect(changed({}, { settings: { DisablePostLogonProvisioning: true } }).others).toEqual([
      ['post-logon-provisioning', 'fail', undefined],
    ]);
    expect(changed({}, { settings: { UseCertificateForOnPremAuth: true } }).others).toEqual([
      ['certificate-enrollment', 'fail', undefined],
    ]);
  });

  it('lets the caller provision although the system was told not to', () => {
    const settings = { DisablePostLogonProvisioning: true };
    expect(changed({}, { settings, takesOver: true }).result).toBe('WillProvision');
    expect(changed({ postLogonEnabled: false }, { takesOver: true }).result).toBe('WillProvision');
    const result = checkPrerequisites(GOOD, { settings, takesOver: true });
    expect(result.findings[3]?.detail).toBe('the caller takes over provisioning from the system');
  });

  it('demands a Kerberos ticket from the cloud only for cloud trust', () => {
    const settings = { UseCloudTrustForOnPremAuth: true };
    expect(changed({ cloudTgt: false }).result).toBe('WillProvision');
    expect(changed({ cloudTgt: true }, { settings }).others).toEqual([['cloud-tgt', 'pass', undefined]]);
    expect(changed({ cloudTgt: false }, { settings }).others).toEqual([['cloud-tgt', 'fail', undefined]]);
    expect(changed({ cloudTgt: false }, { settings }).errorStates).toBe(2);
    expect(changed({}, { settings }).others).toEqual([['cloud-tgt', 'unknown', undefined]]);
  });

  it.each(['pin-change', 'pin-reset'] as const)('allows a PIN that is there for %s', (operation) => {
    expect(changed({ pinSet: true }, { operation })).toEqual({
      result: 'WillProvision',
      errorStates: 0,
      others: [['no-pin', 'skipped', undefined]],
    });
  });

  it('accepts other join states if they are allowed', () => {
    const joinStates: readonly JoinState[] = ['entra', 'entra-hybrid'];
    expect(changed({ joinState: 'entra' }, { joinStates }).result).toBe('WillProvision');
    expect(changed({ joinState: 'domain' }, { joinStates }).result).toBe('WillNotProvision');
    expect(checkPrerequisites(withoutFact('joinState'), { joinStates }).result).toBe('WillProvision');
    const drs = changed({ joinState: 'on-premises-drs', deviceJoined: false }, { joinStates: ['on-premises-drs'] });
    expect(drs.result).toBe('WillProvision');
  });
});

describe('the hardware check', () => {
  const TPMS: Readonly<Record<string, PrerequisiteOptions['tpm']>> = {
    unknown: undefined,
    none: 'none',
    'TPM 1.2': { version: '1.2' },
    'TPM 2.0': { version: '2.0' },
    virtual: { version: '2.0', virtual: true },
    'not ready': { version: '2.0', ready: false },
    'locked out': { version: '2.0', lockedOut: true },
  };
  const outcome = (hardware: Policy['hardware'], virtualTpm: Policy['virtualTpm'], name: string) => {
    const tpm = TPMS[name];
    const policy = definePolicy({ hardware, virtualTpm });
    const { others } = changed({}, { policy, ...(tpm !== undefined && { tpm }) });
    return others.map(([, status, code]) => (code === undefined ? status : code))[0] ?? 'pass';
  };

  it('demands a usable TPM if policy requires one', () => {
    const table = (virtualTpm: Policy['virtualTpm']) =>
      Object.fromEntries(Object.keys(TPMS).map((name) => [name, outcome('required', virtualTpm, name)]));
    const allowing = {
      unknown: 'unknown',
      none: 0x80090035,
      'TPM 1.2': 0x80090035,
      'TPM 2.0': 'pass',
      virtual: 'pass',
      'not ready': 0x80090029,
      'locked out': 0x80090031,
    };
    expect(table('allow')).toEqual(allowing);
    expect(table('refuse')).toEqual({ ...allowing, virtual: 0x80090035 });
  });

  it('accepts any machine if software is enough', () => {
    for (const hardware of ['preferred', 'discouraged'] as const) {
      for (const virtualTpm of ['allow', 'refuse'] as const) {
        const found = Object.keys(TPMS).map((name) => outcome(hardware, virtualTpm, name));
        expect(new Set(found)).toEqual(new Set(['pass']));
      }
    }
  });

  it('demands a TPM if policy requires attestation, since only a TPM attests a key', () => {
    const policy = definePolicy({ hardware: 'preferred', attestation: 'required' });
    const refused = [['hardware-eligible', 'fail', 0x80090035]];
    expect(changed({}, { policy, tpm: 'none' })).toEqual({
      result: 'WillNotProvision',
      errorStates: 0x20,
      others: refused,
    });
    expect(changed({}, { policy, tpm: { version: '1.2' } }).others).toEqual(refused);
    expect(changed({}, { policy, tpm: { version: '2.0' } }).others).toEqual([]);
    expect(changed({}, { policy: definePolicy({ attestation: 'preferred' }), tpm: 'none' }).others).toEqual([]);
  });

  it('believes a refusal of the system until the TPM is known', () => {
    const policy = definePolicy({ hardware: 'required' });
    expect(changed({ deviceEligible: false }, { policy }).others).toEqual([['hardware-eligible', 'fail', 0x80090035]]);
    expect(changed({ deviceEligible: false }, { policy, tpm: { version: '2.0' } }).others).toEqual([]);
    for (const tpm of ['none', { version: '2.0' }] as const) {
      expect(changed({ deviceEligible: false }, { tpm }).others).toEqual([['hardware-eligible', 'fail', 0x80090035]]);
    }
  });
});

describe('readDsregFacts', () => {
  it('reads a machine that passes every check', () => {
    const facts = readDsregFacts(diagnostics.dsregcmd.hybridComplete);
    expect(facts).toEqual({ ...GOOD, cloudTgt: false });
    expect(checkPrerequisites(facts).result).toBe('WillProvision');
  });

  it('reads the documented check, which is for certificate trust and does not say how the device is joined', () => {
    const result = checkPrerequisites(readDsregFacts(diagnostics.dsregcmd.ngcDocSample));
    expect(result.facts).toEqual({
      deviceJoined: true,
      directoryUser: true,
      policyEnabled: true,
      postLogonEnabled: true,
      deviceEligible: true,
      remoteSession: false,
      certEnrollment: 'enrollment authority',
      adfsRefreshToken: true,
      adfsRaIsReady: true,
      logonCertTemplate: 'YES ( StateReady )',
    });
    expect([result.result, result.errorStates]).toEqual(['WillNotProvision', 4]);
  });

  it('leaves out facts unknown to Windows, and falls back to the token of the user', () => {
    expect(readDsregFacts(diagnostics.dsregcmd.windows)).toEqual({
      joinState: 'domain',
      directoryUser: false,
      remoteSession: false,
      certEnrollment: 'none',
      pinSet: false,
      checkCode: 0xd0020017,
    });
    expect(readDsregFacts('no such command')).toEqual({});
    // An answer to a mail quotes it.
    expect(readDsregFacts(diagnostics.dsregcmd.windows.replaceAll(/^/gm, '> '))).toEqual(
      readDsregFacts(diagnostics.dsregcmd.windows),
    );
  });

  it("names the error code of Windows' own check for facts that are unknown because of it", () => {
    const text = formatDsregStatus([
      dsregSection('Device State', { AzureAdJoined: 'YES', EnterpriseJoined: 'NO', DomainJoined: 'YES' }),
      dsregSection('User State', { NgcSet: 'NO' }),
      dsregSection('Ngc Prerequisite Check', {
        ...{ NgcPreReq: 'ERROR 0xd0020017', IsDeviceJoined: 'UNKNOWN', IsUserAzureAD: 'UNKNOWN' },
        ...{ PolicyEnabled: 'UNKNOWN', SessionIsNotRemote: 'YES', PreReqResult: 'WillNotProvision' },
      }),
    ]);
    const { result, findings } = checkPrerequisites(readDsregFacts(text));
    expect(result).toBe('WillNotProvision');
    const unknown = findings.filter(({ status }) => status === 'unknown');
    expect(unknown.map(({ id, code }) => [id, code])).toEqual([
      ['directory-user', 0xd0020017],
      ['policy-enabled', 0xd0020017],
      ['post-logon-provisioning', 0xd0020017],
      ['hardware-eligible', 0xd0020017],
      ['certificate-enrollment', 0xd0020017],
    ]);
    expect(unknown[1]?.detail).toBe(
      "keyprov could not find out whether policy enables Windows Hello for Business, since Windows' own check ended with 0xD0020017",
    );
    for (const value of ['ERROR', 'ERROR 0xd002', 'ERROR 0xd002001g', 'OK']) {
      const other = formatDsregStatus([dsregSection('Ngc Prerequisite Check', { NgcPreReq: value })]);
      expect(readDsregFacts(other)).toEqual({});
    }
  });

  it.each([
    ['NO', 'none'],
    ['YES', 'enrollment authority'],
  ] as const)('reads what Windows 10 1607 prints: X509CertRequired %s', (required, certEnrollment) => {
    const text = formatDsregStatus([
      dsregSection('Device State', { AzureAdJoined: 'YES', EnterpriseJoined: 'NO', DomainJoined: 'YES' }),
      dsregSection('User State', { NgcSet: 'NO', AzureAdPrt: 'YES' }),
      dsregSection('Ngc Prerequisite Check', {
        ...{ IsUserAzureAD: 'YES', PolicyEnabled: 'YES', DeviceEligible: 'YES', SessionIsNotRemote: 'YES' },
        ...{ X509CertRequired: required, PreReqResult: 'WillProvision' },
      }),
    ]);
    const facts = readDsregFacts(text);
    expect(facts).toEqual({
      ...{ joinState: 'entra-hybrid', deviceJoined: true, directoryUser: true, policyEnabled: true },
      ...{ postLogonEnabled: true, deviceEligible: true, remoteSession: false, certEnrollment, pinSet: false },
    });
    expect(checkPrerequisites(facts).result).toBe(required === 'NO' ? 'WillProvision' : 'WillNotProvision');
  });

  it.each([
    ['FAILED. Device is either disabled or deleted', true],
    ['FAILED. ERROR', undefined],
    ['SUCCESS', false],
  ])('reads the state of the device in the directory: %s', (text, expected) => {
    const changedText = diagnostics.dsregcmd.hybridComplete.replace('SUCCESS', text);
    expect(readDsregFacts(changedText).deviceDisabled).toBe(expected);
  });
});

describe('probePrerequisites', () => {
  it('asks all probes, and believes the first that knows a fact', async () => {
    const text = async () => diagnostics.dsregcmd.hybridComplete;
    const probes = [valuesProbe({ remoteSession: true, cloudTgt: true }), dsregcmdProbe(text)];
    expect(await probePrerequisites(probes)).toEqual({ ...GOOD, remoteSession: true, cloudTgt: true });
    expect(await probePrerequisites([...probes].reverse())).toEqual({ ...GOOD, cloudTgt: false });
    expect(await dsregcmdProbe('').read()).toEqual({});
  });

  it('throws the error of a probe, and ends with its signal', async () => {
    const broken = { read: () => Promise.reject(new Error('no dsregcmd here')) };
    await expect(probePrerequisites([valuesProbe(GOOD), broken])).rejects.toThrow('no dsregcmd here');
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(probePrerequisites([valuesProbe(GOOD)], { signal })).rejects.toThrow('enough');
  });
});
