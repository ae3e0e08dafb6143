import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dsregSection, formatDsregStatus } from '../../src/provisioning/windows/dsregcmd.ts';
import { commandLines } from './support/command-lines.ts';
import { override } from './support/keyprov.ts';
import { type ServiceWorld, startServiceWorld } from './support/service-world.ts';

const commands = commandLines({ cheapScrypt: true });
const LOCAL = { SSH_CONNECTION: '' };
const SOFTWARE = ['--hardware', 'discouraged', '--tpm', 'none', '--no-pin'];

const swapped = (text: string): Buffer => Buffer.from(text, 'utf16le').swap16();
/** How a text of Windows gets into a file: `>` of PowerShell 7, of Windows PowerShell 5.1, or an editor. */
const ENCODINGS: Readonly<Record<string, (text: string) => Buffer>> = {
  'UTF-8': (text) => Buffer.from(text),
  'UTF-8 with a mark': (text) => Buffer.from(`\ufeff${text}`),
  'UTF-16LE with a mark': (text) => Buffer.from(`\ufeff${text}`, 'utf16le'),
  'UTF-16LE': (text) => Buffer.from(text, 'utf16le'),
  'UTF-16BE with a mark': (text) => swapped(`\ufeff${text}`),
  'UTF-16BE': swapped,
};
const encodings = Object.entries(ENCODINGS);

const two = (number: number): string => String(number).padStart(2, '0');
/** The parts of a time in UTC, as languages put them together. */
function partsOf(time: Date) {
  const [year, month, day] = [time.getUTCFullYear(), time.getUTCMonth() + 1, time.getUTCDate()];
  const [hours, tail] = [time.getUTCHours(), `:${two(time.getUTCMinutes())}:${two(time.getUTCSeconds())}`];
  return { year, month, day, clock: `${two(hours)}${tail}`, half: `${hours % 12 || 12}${tail}`, isMorning: hours < 12 };
}
type Parts = ReturnType<typeof partsOf>;
const LANGUAGES: Readonly<Record<string, (parts: Parts) => string>> = {
  Czech: ({ day, month, year, clock }) => `${day}. ${month}. ${year} ${clock}`,
  German: ({ day, month, year, clock }) => `${two(day)}.${two(month)}.${year} ${clock}`,
  Greek: ({ day, month, year, half, isMorning }) => `${day}/${month}/${year} ${half} ${isMorning ? 'πμ' : 'μμ'}`,
  'English (United States)': ({ day, month, year, half, isMorning }) =>
    `${month}/${day}/${year} ${half} ${isMorning ? 'AM' : 'PM'}`,
  'Spanish (Mexico)': ({ day, month, year, half, isMorning }) =>
    `${two(day)}/${two(month)}/${year} ${half.padStart(8, '0')} ${isMorning ? 'a.' : 'p.'}\u00a0m.`,
  Japanese: ({ day, month, year, clock }) => `${year}/${two(month)}/${two(day)} ${clock}`,
  Korean: ({ day, month, year, half, isMorning }) =>
    `${year}-${two(month)}-${two(day)} ${isMorning ? '오전' : '오후'} ${half}`,
  Chinese: ({ day, month, year, half, isMorning }) =>
    `${year}/${month}/${day} ${isMorning ? '上午' : '下午'} ${half.padStart(8, '0')}`,
};

const JOINED = dsregSection('Device State', {
  AzureAdJoined: 'YES',
  EnterpriseJoined: 'NO',
  DomainJoined: 'YES',
  DomainName: 'PAPER',
});
const USER = dsregSection('User State', { NgcSet: 'YES', WorkplaceJoined: 'NO', WamDefaultSet: 'YES' });
const SIGN_IN = dsregSection('SSO State', { AzureAdPrt: 'YES' });
const CHECKS = { IsUserAzureAD: 'YES', PolicyEnabled: 'YES', DeviceEligible: 'YES', SessionIsNotRemote: 'YES' };
const WINDOWS_11 = { IsDeviceJoined: 'YES', ...CHECKS, PostLogonEnabled: 'YES', CertEnrollment: 'none' };
const report = (checks: Readonly<Record<string, string>>): string =>
  formatDsregStatus([JOINED, USER, SIGN_IN, dsregSection('Ngc Prerequisite Check', checks)], { lineEnd: '\r\n' });

let world: ServiceWorld;
beforeAll(async () => {
  world = await startServiceWorld();
});
afterAll(() => world?.[Symbol.asyncDispose]());
const write = (content: Buffer): string => {
  const path = join(world.path, 'text.txt');
  writeFileSync(path, content);
  return path;
};

describe('the output of Get-ADSyncScheduler', () => {
  let next: Date;
  const scheduler = (time: string): string =>
    [
      ...['', 'AllowedSyncCycleInterval            : 00:30:00', 'CurrentlyEffectiveSyncCycleInterval : 00:30:00'],
      ...['CustomizedSyncCycleInterval         : ', 'NextSyncCyclePolicyType             : Delta'],
      ...[`NextSyncCycleStartTimeInUTC         : ${time}`, 'PurgeRunHistoryInterval             : 7.00:00:00'],
      ...['SyncCycleEnabled                    : False', 'StagingModeEnabled                  : True', ''],
    ].join('\r\n');
  const status = (content: Buffer) =>
    commands.json(['sync-status', '--store', world.store, '--scheduler', write(content)]);

  beforeAll(async () => {
    const made = await commands.json(['provision', ...world.runArgs, ...SOFTWARE], { env: LOCAL });
    expect(made.status).toBe(0);
    // Later than one interval after the registration, so that the estimate is the next cycle.
    next = new Date(Math.floor(Date.now() / 1000) * 1000 + 3 * 3_600_000);
  });

  it.each(Object.entries(LANGUAGES))('says in %s when the next cycle is, in each encoding', async (_, timeIn) => {
    const text = scheduler(timeIn(partsOf(next)));
    for (const [name, encoded] of encodings) {
      const { status: code, json } = await status(encoded(text));
      expect({ name, code, json }).toMatchObject({
        ...{ name, code: 10 },
        json: {
          warnings: [],
          estimate: next.toISOString(),
          obstacles: [expect.stringContaining('SyncCycleEnabled'), expect.stringContaining('StagingModeEnabled')],
        },
      });
    }
  });

  it('prints what the code page contains, and says that the time cannot be read', async () => {
    // Greek `μμ` in Windows-1253.
    const content = Buffer.from(scheduler('29/11/2026 2:05:12 \xec\xec'), 'latin1');
    const { status: code, json } = await status(content);
    expect({ code, json }).toMatchObject({
      code: 10,
      json: { warnings: [expect.stringContaining('the time of the next cycle cannot be read')] },
    });
    expect(json.obstacles).toHaveLength(2);
  });
});

describe('the output of dsregcmd /status', () => {
  const provision = async (content: Buffer) => {
    const args = override(['provision', ...world.runArgs], '--store', join(world.path, 'other'), ...SOFTWARE);
    const { status, json } = await commands.json([...args, '--dsregcmd', write(content)], { env: LOCAL });
    const findings: { id: string; status: string; detail: string }[] = Object(json.prerequisites).findings ?? [];
    const open = findings.filter((one) => !['pass', 'skipped'].includes(one.status));
    return {
      status,
      problems: Object(json.error).problems,
      open: open.map((one) => `${one.status} ${one.id}`),
      findings,
    };
  };
  const BLOCKED = { status: 11, open: ['fail no-pin'] };

  it.each<[string, string]>([
    ['Windows 11', report(WINDOWS_11)],
    ['Windows 10 1607, whose last checks have other names', report({ ...CHECKS, X509CertRequired: 'NO' })],
    ['a mail that quotes it', report(WINDOWS_11).replaceAll(/^/gm, '> ')],
  ])('says in each encoding that there is a PIN already, and leaves nothing open, of %s', async (_, text) => {
    for (const [name, encoded] of encodings) {
      expect({ name, ...(await provision(encoded(text))) }).toMatchObject({ name, ...BLOCKED });
    }
  });

  it('says in each encoding with which error the check of Windows has ended', async () => {
    const unknown = Object.fromEntries(Object.keys(WINDOWS_11).map((name) => [name, 'UNKNOWN']));
    const text = report({
      NgcPreReq: 'ERROR 0xd0020017',
      ...unknown,
      SessionIsNotRemote: 'YES',
      CertEnrollment: 'none',
    });
    for (const [name, encoded] of encodings) {
      const { open, findings } = await provision(encoded(text));
      expect({ name, open }).toEqual({ name, open: ['unknown policy-enabled', 'fail no-pin'] });
      expect(findings.find(({ id }) => id === 'policy-enabled')?.detail).toContain('0xD0020017');
    }
  });

  it.each<[string, string, RegExp]>([
    ['two runs', `${report(WINDOWS_11)}\r\n${report(WINDOWS_11)}`, /output of 2 runs of dsregcmd \/status; keep one/],
    ['what findstr has left', 'AzureAdJoined : YES\r\n  NgcSet : NO\r\n', /no section of dsregcmd \/status/],
  ])('is refused in each encoding if it has %s', async (_, text, problem) => {
    for (const [name, encoded] of encodings) {
      const refused = { name, status: 2, problems: [expect.stringMatching(problem)] };
      expect({ name, ...(await provision(encoded(text))) }).toMatchObject(refused);
    }
  });
});
