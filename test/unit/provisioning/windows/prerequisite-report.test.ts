import { describe, expect, it } from 'vitest';
import { formatDsregStatus, parseDsregStatus } from '../../../../src/provisioning/windows/dsregcmd.ts';
import { type PrerequisiteFacts, readDsregFacts } from '../../../../src/provisioning/windows/prerequisite-probe.ts';
import { ngcPrerequisiteSection, provisioningEvent } from '../../../../src/provisioning/windows/prerequisite-report.ts';
import { checkPrerequisites, type PrerequisiteOptions } from '../../../../src/provisioning/windows/prerequisites.ts';
import { diagnostics } from '../../../diagnostics.ts';

const { events, dsregcmd } = diagnostics;
const GOOD = readDsregFacts(dsregcmd.hybridComplete);

const eventOf = (facts: PrerequisiteFacts, options?: PrerequisiteOptions, cloudTrust?: boolean) =>
  provisioningEvent(checkPrerequisites(facts, options), cloudTrust === undefined ? {} : { cloudTrust });
const body = (...values: readonly string[]) =>
  values.reduce((text, value, i) => text.replace(`{${i}}`, value), events.bodyTemplate);
const YES = 'Yes';

describe('provisioningEvent', () => {
  it('is 358 if provisioning will be launched', () => {
    expect(eventOf(GOOD)).toEqual({
      id: 358,
      level: events[358].level,
      text: `${events[358].first}\n${body(YES, YES, YES, YES, YES, YES, 'No', 'none')}`,
    });
  });

  it.each<[string, PrerequisiteFacts, number]>([
    ['the device', { joinState: 'none' }, 0],
    ['the user', { directoryUser: false }, 1],
    ['the policy', { policyEnabled: false }, 2],
    ['provisioning after sign-in', { postLogonEnabled: false }, 3],
    ['the hardware', { deviceEligible: false }, 4],
    ['the session', { remoteSession: true }, 5],
  ])('is 360 with one No if only %s fails', (_, facts, line) => {
    const values = Array.from({ length: 6 }, (__, i) => (i === line ? 'No' : YES));
    expect(eventOf({ ...GOOD, ...facts })).toEqual({
      id: 360,
      level: events[360].level,
      text: `${events[360].first}\n${body(...values, 'No', 'none')}`,
    });
  });

  it('reports unknown facts as not tested', () => {
    expect(eventOf({}).text).toBe(
      `${events[360].first}\n${body(...Array.from({ length: 7 }, () => 'Not Tested'), 'unknown')}`,
    );
  });

  it('is 360 with the two lines of newer systems if certificates come by MDM', () => {
    const facts: PrerequisiteFacts = { ...GOOD, certEnrollment: 'mobile device management' };
    const expected = events[360].bodyWithCloudTrust.replace('enrollment authority', 'mobile device management');
    expect(eventOf(facts, {}, true)).toMatchObject({ id: 360, text: `${events[360].first}\n${expected}` });
    const settings = { UseCloudTrustForOnPremAuth: true };
    expect(eventOf({ ...GOOD, cloudTgt: true }, { settings }, true).text).toContain(
      'Cloud trust for on premise auth policy is enabled: Yes\nUser account has Cloud TGT: Yes\nSee ',
    );
  });

  it('is 362 with the state of AD FS if certificates come from there', () => {
    const facts: PrerequisiteFacts = {
      ...GOOD,
      certEnrollment: 'enrollment authority',
      adfsRefreshToken: false,
      logonCertTemplate: 'NO ( 1 : StateNoPolicy )',
    };
    expect(eventOf(facts)).toEqual({
      id: 362,
      level: events[362].level,
      text: `${events[362].first}\n${events[362].body}`,
    });
  });
});

it('is never 362 if the caller says that it is key trust', () => {
  const facts: PrerequisiteFacts = { ...GOOD, certEnrollment: 'enrollment authority' };
  expect(eventOf(facts, { settings: { UseCertificateForOnPremAuth: false } }).id).toBe(358);
});

describe('ngcPrerequisiteSection', () => {
  const fieldsOf = (text: string) =>
    parseDsregStatus(text)
      .at(-1)
      ?.lines.filter(({ name }) => name !== '');

  it('writes the section that Windows writes for the same machine', () => {
    const section = ngcPrerequisiteSection(checkPrerequisites(GOOD));
    expect(section.lines.filter(({ name }) => name !== '')).toEqual(fieldsOf(dsregcmd.hybridComplete));
  });

  it('writes the state of AD FS, although a key without certificate cannot be provisioned', () => {
    const facts = { ...readDsregFacts(dsregcmd.ngcDocSample), joinState: 'entra-hybrid', pinSet: false } as const;
    const text = formatDsregStatus([ngcPrerequisiteSection(checkPrerequisites(facts))]);
    expect(fieldsOf(text.replace('WillNotProvision', 'WillProvision'))).toEqual(fieldsOf(dsregcmd.ngcDocSample));
  });

  it('is read as the facts it was made from', () => {
    const settings = { UseCloudTrustForOnPremAuth: true };
    const facts: PrerequisiteFacts = { ...GOOD, cloudTgt: true, policyEnabled: false };
    const text = formatDsregStatus([ngcPrerequisiteSection(checkPrerequisites(facts, { settings }))]);
    expect(text).toContain('OnPremTGT : YES\n');
    const { joinState, deviceDisabled, pinSet, ...rest } = facts;
    expect(readDsregFacts(text)).toEqual(rest);
  });
});
