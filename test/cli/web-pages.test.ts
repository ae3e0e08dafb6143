import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CHEAP_SERVICE } from '../cheap-service-option.ts';
import { libtpmsMissing } from '../integration/support/libtpms.ts';
import { missingPrograms } from '../programs.ts';
import { expectAccessible, inPage, openWindow, startBrowser } from './support/browser.ts';
import { commandLines } from './support/command-lines.ts';
import { startKeyprov } from './support/keyprov.ts';
import { addressOf } from './support/page-client.ts';
import { ADA, type ServiceWorld, startServiceWorld, storeFiles } from './support/service-world.ts';

const missing = (await libtpmsMissing()) ?? missingPrograms('chromium');
const commands = commandLines({ cheapScrypt: true });
const PIN = '730519-Xq';
const SCREENSHOT = 'docs/dashboard.png';
const LOCAL = { SSH_CONNECTION: '' };

describe.skipIf(missing)('in Chromium', () => {
  let browser: Browser;
  let context: BrowserContext;
  let world: ServiceWorld;
  let started: ReturnType<typeof startKeyprov> | undefined;
  /** Of all windows of a test. */
  let problems: string[][];

  beforeAll(async () => {
    browser = await startBrowser();
    return async () => await browser.close();
  });
  beforeEach(async () => {
    world = await startServiceWorld();
    context = await browser.newContext({ locale: 'en-GB', permissions: ['clipboard-read', 'clipboard-write'] });
    [started, problems] = [undefined, []];
  });
  afterEach(async () => {
    await context.close();
    started?.child.kill('SIGKILL');
    await started?.ended;
    await world[Symbol.asyncDispose]();
  });

  async function start(args: readonly string[]) {
    started = startKeyprov(args, { env: { ...LOCAL, NODE_OPTIONS: CHEAP_SERVICE } });
    return { ended: started.ended, child: started.child, address: await addressOf(started) };
  }

  const open = async (address: string): Promise<Page> => {
    const { page, errors } = await openWindow(context, address);
    problems.push(errors);
    return page;
  };
  /** For tests in which nothing is refused on purpose. */
  const expectNoErrors = (): void => expect(problems.flat()).toEqual([]);
  const heading = (page: Page, name: string) => page.getByRole('heading', { level: 1, name, exact: true }).waitFor();

  describe('the dashboard', () => {
    const dashboard = async () => {
      const pin = world.file('pin', `${PIN}\n`);
      const made = await commands.run(['provision', ...world.runArgs, ...world.tpmArgs, '--pin-file', pin], {
        env: LOCAL,
      });
      expect(made.status).toBe(0);
      const device = ['--user', 'bob@contoso.test', '--device-id', world.device.deviceId];
      return await start(['dashboard', '--store', world.store, ...world.tpmArgs, ...device]);
    };

    it('shows the key, is accessible in light and dark, and copies a report without a secret', async () => {
      const { address, child, ended } = await dashboard();
      const page = await open(address);
      await page.getByRole('heading', { name: 'Keys' }).waitFor();
      expect(page.url()).toBe(`${new URL(address).origin}/`);
      await expect.poll(() => page.locator('#summary').textContent()).toMatch(/^No problems\./);
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme });
        await expectAccessible(page);
      }
      await page.emulateMedia({ colorScheme: 'light' });
      await page.getByRole('button', { name: 'Copy as report' }).click();
      await page.getByText('The report has been copied.').waitFor();
      const report = await inPage(page, 'navigator.clipboard.readText()');
      for (const text of [
        'TPMs and libraries',
        ADA.upn,
        'assurance: virtual',
        'PIN age: 0 days',
        'time left: about 30',
      ]) {
        expect(report).toContain(text);
      }
      expect(report).not.toContain(PIN);
      expect(report).not.toContain(new URL(address).hash.slice(1));
      await page.reload();
      await page.getByRole('heading', { name: 'Keys' }).waitFor();
      if (process.env.KEYPROV_SCREENSHOT === '1') await screenshot(page);
      expect(statSync(SCREENSHOT).size).toBeLessThan(150_000);
      expectNoErrors();
      child.kill('SIGINT');
      await page.getByText('The command has ended.').waitFor();
      expect((await ended).status).toBe(130);
    });

    it('checks the machine again when asked, and prints without its buttons', async () => {
      const { address } = await dashboard();
      const page = await open(address);
      await page.getByText(/This machine was checked at/).waitFor();
      const before = await page.locator('#summary').textContent();
      // The time is shown in whole seconds, so wait until a second check must show another one.
      await page.waitForTimeout(1000);
      await page.getByRole('button', { name: 'Check this machine again' }).click();
      const summary = () => page.locator('#summary').textContent();
      await expect.poll(summary, { timeout: 60_000 }).toMatch(new RegExp(`^(?!${before}$).*was checked`));
      await page.emulateMedia({ media: 'print' });
      expect(await page.getByRole('button', { name: 'Print' }).isVisible()).toBe(false);
      expect(await page.getByText(world.store).count()).toBe(0);
      expectNoErrors();
    });

    /** For README.md, without the paths of this machine. */
    async function screenshot(page: Page): Promise<void> {
      await page.setViewportSize({ width: 900, height: 780 });
      await inPage(
        page,
        `for (const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); texts.nextNode(); )
          texts.currentNode.nodeValue = texts.currentNode.nodeValue.replaceAll(${JSON.stringify(world.path)}, '/home/ada')`,
      );
      writeFileSync(SCREENSHOT, await page.screenshot());
    }
  });

  describe('the setup of a PIN', () => {
    const software = ['--hardware', 'discouraged', '--tpm', 'none'];
    const setup = () => start(['provision', ...world.runArgs, ...software, '--web', '--json']);

    it('can be completed with only the keyboard, with wrong PINs, in two languages, and is accessible throughout', async () => {
      world.service.mfa.set(ADA.upn, { answer: 'ignore' });
      const { address, ended } = await setup();
      const page = await open(address);
      await heading(page, 'Set up a PIN');
      await expectAccessible(page);
      expect(page.url()).toBe(`${new URL(address).origin}/`);
      await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
      await heading(page, 'Sign in with a second factor');
      expect(await inPage(page, 'document.activeElement?.tagName')).toBe('H1');
      await expectAccessible(page);
      const code = await page.locator('.code').textContent();
      await page.getByRole('button', { name: 'Copy the code' }).press('Enter');
      await page.getByText('The code has been copied.').waitFor({ state: 'attached' });
      expect(await inPage(page, 'navigator.clipboard.readText()')).toBe(code);
      await inPage(page, 'void (navigator.clipboard.writeText = () => Promise.reject(new Error("not allowed")))');
      await page.getByRole('button', { name: 'Copy the code' }).press('Enter');
      await page.getByText('The browser does not allow copying.').waitFor({ state: 'attached' });
      expect(await page.getByRole('link').getAttribute('href')).toBe(`${world.service.url}/common/oauth2/deviceauth`);
      expect(world.service.mfa.approve(String(code))).toBe(true);
      await heading(page, 'Choose a PIN');
      expect(await inPage(page, 'document.activeElement?.id')).toBe('pin');
      await expectAccessible(page);
      await page.keyboard.type('1234');
      const rule = (text: string) => page.getByRole('listitem').filter({ hasText: text });
      expect(await rule('At least 6 characters').textContent()).toContain('not met yet');
      await page.keyboard.press('Enter');
      await page.getByRole('alert').getByText('Not a number pattern').waitFor();
      await expectAccessible(page);
      await page.keyboard.type(PIN);
      expect(await rule('At least 6 characters').textContent()).toContain('✓');
      await page.keyboard.press('Tab');
      await page.keyboard.type(`${PIN}x`);
      expect(await page.locator('#left').textContent()).toBe('Rules that are not met yet: 1');
      await page.getByRole('button', { name: 'Deutsch' }).press('Enter');
      await heading(page, 'PIN festlegen');
      expect(await page.locator('#left').textContent()).toBe('Noch nicht erfüllte Regeln: 1');
      expect(await inPage(page, 'document.documentElement.lang')).toBe('de');
      await expectAccessible(page);
      await page.locator('#again').fill(PIN);
      expect(await page.locator('#left').textContent()).toBe('Alle Regeln sind erfüllt.');
      await page.keyboard.press('Enter');
      await heading(page, 'Ihre PIN ist eingerichtet');
      await page.getByText(/Im Firmennetz funktioniert sie ab etwa .* Uhr \(in 30 Min\.\)\./).waitFor();
      const { status, stdout, stderr } = await ended;
      expect({ status, json: JSON.parse(stdout) }).toMatchObject({ status: 0, json: { status: 'registered' } });
      expect(stdout + stderr).not.toContain(PIN);
      await expectAccessible(page);
      expectNoErrors();
    });

    it('says why a sign-in failed, and lets the user try again, also in a window that was loaded again', async () => {
      world.service.mfa.set(ADA.upn, { answer: 'ignore' });
      const { address } = await setup();
      const page = await open(address);
      await page.getByRole('button', { name: 'Next' }).click();
      await page.locator('.code').waitFor();
      await page.reload();
      expect(world.service.mfa.deny(String(await page.locator('.code').textContent()))).toBe(true);
      await heading(page, 'The sign-in did not succeed');
      await page.getByText('The sign-in was not confirmed.').waitFor();
      await expectAccessible(page);
      world.service.mfa.set(ADA.upn, { answer: 'approve' });
      await page.getByRole('button', { name: 'Try again' }).click();
      await heading(page, 'Choose a PIN');
      expectNoErrors();
    });

    it('says that the sign-in timed out', async () => {
      await world[Symbol.asyncDispose]();
      world = await startServiceWorld({ deviceCodeLifetimeS: 1, users: [{ ...ADA, mfa: { answer: 'ignore' } }] });
      const { address } = await setup();
      const page = await open(address);
      await page.getByRole('button', { name: 'Next' }).click();
      await page.getByText('The sign-in took too long.').waitFor();
      expectNoErrors();
    });

    it('ends, and leaves nothing, when the window is closed in the middle', async () => {
      const { address, ended } = await setup();
      const page = await open(address);
      await page.getByRole('button', { name: 'Next' }).click();
      await heading(page, 'Choose a PIN');
      await page.close();
      const { status, stdout } = await ended;
      expect([status, JSON.parse(stdout).error.code]).toEqual([5, 'pin-required']);
      expect(existsSync(join(world.store)) ? storeFiles(world.store) : []).toEqual([]);
      expectNoErrors();
    });

    it('runs in one window: a second one is told so, and the first continues', async () => {
      const { address } = await setup();
      const page = await open(address);
      await heading(page, 'Set up a PIN');
      const second = await open(address);
      await heading(second, 'Another window is active');
      await expectAccessible(second);
      const without = await open(`${new URL(address).origin}/#wrong`);
      await heading(without, 'This address is no longer valid');
      await page.getByRole('button', { name: 'Next' }).click();
      await heading(page, 'Choose a PIN');
      await page.getByRole('button', { name: 'Cancel' }).click();
      await heading(page, 'Your PIN was not set up');
      await expectAccessible(page);
      // Browsers report the refusal of the session.
      expect(problems[0]).toEqual([]);
      expect(problems.flat().every((problem) => /status of 40[39]/.test(problem))).toBe(true);
    });
  });
});
