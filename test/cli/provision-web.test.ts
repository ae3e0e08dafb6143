import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/bytes.ts';
import { CHEAP_SERVICE } from '../cheap-service-option.ts';
import { libtpmsMissing } from '../integration/support/libtpms.ts';
import { countInMemory, disguised } from '../integration/support/memory.ts';
import { commandLines } from './support/command-lines.ts';
import { startKeyprov } from './support/keyprov.ts';
import { addressOf, type OpenPage, openPage } from './support/page-client.ts';
import { ADA, type ServiceWorld, startServiceWorld, storeFiles } from './support/service-world.ts';

const missing = await libtpmsMissing();
const commands = commandLines();
const PIN = '730519-Xq';
/** Two parts of a JWT. */
const TOKEN = /eyJ[\w-]{10,}\.eyJ/;

interface View {
  readonly name: string;
  readonly attempt?: number;
  readonly userCode?: string;
  readonly problems?: readonly { readonly code: string }[];
  readonly [more: string]: unknown;
}

/** Starts `keyprov provision --web` with a software key, and opens its page. */
async function openIn(world: ServiceWorld) {
  const software = ['--hardware', 'discouraged', '--tpm', 'none'];
  const command = startKeyprov(['provision', ...world.runArgs, ...software, '--web', '--json'], {
    env: { SSH_CONNECTION: '', NODE_OPTIONS: CHEAP_SERVICE },
  });
  const page = await openPage(await addressOf(command));
  return { ...command, page };
}

const codes = ({ problems = [] }: View): string[] => problems.map(({ code }) => code);

describe.skipIf(missing)('keyprov provision --web', () => {
  let world: ServiceWorld;
  let started: ReturnType<typeof startKeyprov> | undefined;
  /** All states that a window was sent. */
  let told: string;

  beforeEach(async () => {
    world = await startServiceWorld();
    told = '';
  });
  afterEach(async () => {
    started?.child.kill('SIGKILL');
    await started?.ended;
    await world[Symbol.asyncDispose]();
  });

  async function open() {
    const opened = await openIn(world);
    started = opened;
    return opened;
  }

  /** The next view of that name. */
  const view = (page: OpenPage, ...names: readonly string[]): Promise<View> =>
    page.stateThat((state) => {
      told += JSON.stringify(state);
      return names.includes(Object(state.view).name) ? Object(state.view) : undefined;
    });

  it('walks through the run: a wrong PIN, another entry, and then a key that is registered', async () => {
    const { page, child, ended } = await open();
    await view(page, 'welcome');
    expect(await page.post('pin', `${PIN}\n${PIN}`)).toBe(409);
    expect(await page.post('begin')).toBe(204);
    expect(await view(page, 'pin')).toMatchObject({ attempt: 1, problems: [], policy: { minLength: 6 } });
    expect(await page.post('pin', '1234\n1234')).toBe(204);
    const second = await view(page, 'pin');
    expect([second.attempt, codes(second)]).toEqual([2, ['too-short', 'common-pattern']]);
    expect(await page.post('pin', `${PIN}\n${PIN}x`)).toBe(204);
    const third = await view(page, 'pin');
    expect([third.attempt, codes(third)]).toEqual([3, ['confirmation-differs']]);
    expect(await page.post('pin', `${PIN}\n${PIN}`)).toBe(204);
    const { syncAt } = await view(page, 'done');
    if (process.platform === 'linux') expect(countInMemory(child.pid ?? 0, disguised(utf8(PIN)))).toBe(0);
    expect(await page.post('seen')).toBe(204);
    const { status, stdout, stderr } = await ended;
    const json = JSON.parse(stdout);
    expect({ status, json }).toMatchObject({ status: 0, json: { ok: true, status: 'registered', hasPin: true } });
    expect(syncAt).toBe(json.sync.estimate);
    expect(world.service.keys()).toHaveLength(1);
    expect(storeFiles(world.store)).toEqual(['key']);
    // Nothing that was sent to the window, shown or stored contains the PIN or a token.
    for (const text of [told, stdout, stderr]) {
      expect(text).not.toContain(PIN);
      expect(text).not.toMatch(TOKEN);
    }
    expect(world.filesWith(new RegExp(PIN))).toEqual([]);
    const sign = ['sign', '--store', world.store, '--in', world.file('letter', 'x'), '--out', world.file('sig', '')];
    const signed = await commands.run([...sign, '--tpm', 'none', '--force', '--pin-file', world.file('pin', PIN)]);
    expect(signed).toMatchObject({ status: 0 });
  });

  it('shows code and address, and lets the user try again after a refusal', async () => {
    world.service.mfa.set(ADA.upn, { answer: 'ignore' });
    const { page, child, ended } = await open();
    await page.post('begin');
    const first = await view(page, 'code');
    expect(first).toMatchObject({ verificationUrl: `${world.service.url}/common/oauth2/deviceauth` });
    expect(world.service.mfa.deny(String(first.userCode))).toBe(true);
    expect(codes(await view(page, 'retry'))).toEqual(['mfa-failed']);
    expect(await page.post('again')).toBe(204);
    const second = await view(page, 'code');
    expect(second.userCode).not.toBe(first.userCode);
    expect(world.service.mfa.approve(String(second.userCode))).toBe(true);
    await view(page, 'pin');
    child.kill('SIGINT');
    expect((await ended).status).toBe(130);
    expect(storeFiles(world.store)).toEqual([]);
  });

  it('lets the user try again after the code has expired', async () => {
    await world[Symbol.asyncDispose]();
    world = await startServiceWorld({ deviceCodeLifetimeS: 4, users: [{ ...ADA, mfa: { answer: 'ignore' } }] });
    const { page, child, ended } = await open();
    await page.post('begin');
    expect(codes(await view(page, 'retry'))).toEqual(['mfa-timeout']);
    world.service.mfa.set(ADA.upn, { answer: 'approve' });
    let next: View;
    do {
      // On a busy machine a code may expire again.
      expect(await page.post('again')).toBe(204);
      next = await view(page, 'pin', 'retry', 'failed');
    } while (next.name === 'retry');
    expect(next.name).toBe('pin');
    child.kill('SIGINT');
    await ended;
  });

  it('ends, and leaves nothing, when the user gives up', async () => {
    const { page, ended } = await open();
    await page.post('begin');
    await view(page, 'pin');
    expect(await page.post('cancel')).toBe(204);
    expect(codes(await view(page, 'failed'))).toEqual(['pin-required']);
    expect(await page.post('seen')).toBe(204);
    const { status, stdout } = await ended;
    expect({ status, json: JSON.parse(stdout) }).toMatchObject({
      status: 5,
      json: { ok: false, error: { code: 'pin-required', message: 'no PIN: the user canceled' } },
    });
    expect(world.service.keys()).toEqual([]);
    expect(storeFiles(world.store)).toEqual([]);
  });

  it('shows the error', async () => {
    await world.service.close();
    const { page, ended } = await open();
    await page.post('begin');
    expect(codes(await view(page, 'failed'))).toEqual(['service-unreachable']);
    await page.post('seen');
    expect((await ended).status).toBe(13);
  });

  it("refuses options for the PIN's source", async () => {
    const { status, stderr } = await commands.run(['provision', ...world.runArgs, '--web', '--no-pin']);
    expect([status, stderr]).toEqual([2, expect.stringContaining('--no-pin cannot be used with --web')]);
    expect((await commands.run(['provision', ...world.runArgs, '--open'])).stderr).toContain(
      '--open works only with --web',
    );
  });
});

/** They mostly wait for a window that is not there. */
describe.skipIf(missing).concurrent('keyprov provision --web without its window', () => {
  const atView = async (world: ServiceWorld, name: string) => {
    const opened = await openIn(world);
    await opened.page.post('begin');
    await opened.page.stateThat(({ view }) => (Object(view).name === name ? true : undefined));
    return opened;
  };

  it.each(['code', 'pin'])('ends, and leaves nothing, some time after it was closed at the %s', async (name) => {
    await using world = await startServiceWorld();
    if (name === 'code') world.service.mfa.set(ADA.upn, { answer: 'ignore' });
    const { ended } = await atView(world, name);
    const { status, stdout } = await ended; // nobody requests the state any more
    expect([status, JSON.parse(stdout).error.message]).toEqual([5, 'no PIN: the window was closed, or never opened']);
    expect(storeFiles(world.store)).toEqual([]);
  });

  it('completes if it was closed after the PIN', async () => {
    await using world = await startServiceWorld();
    const { page, ended } = await atView(world, 'pin');
    expect(await page.post('pin', `${PIN}\n${PIN}`)).toBe(204);
    const { status, stdout } = await ended;
    expect([status, JSON.parse(stdout).status]).toEqual([0, 'registered']);
  });
});
