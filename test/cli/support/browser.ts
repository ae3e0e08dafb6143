import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import axe from 'axe-core';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { expect } from 'vitest';
import { isRoot } from '../../ordinary-user.ts';

/** Debian's Chromium. */
export async function startBrowser(): Promise<Browser> {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const executablePath = folders.map((folder) => join(folder, 'chromium')).find((path) => existsSync(path));
  if (executablePath === undefined) throw new Error('there is no chromium in PATH');
  return await chromium.launch({ executablePath, chromiumSandbox: !isRoot });
}

/** A window and its problems: console errors and uncaught exceptions. */
export async function openWindow(context: BrowserContext, address: string): Promise<{ page: Page; errors: string[] }> {
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const errors: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  page.on('pageerror', (error) => errors.push(error.message));
  await page.goto(address);
  return { page, errors };
}

/** Evaluates an expression in the page. Uses the debugger, because the page's policy lets no other code run. */
export async function inPage(page: Page, expression: string): Promise<unknown> {
  const session = await page.context().newCDPSession(page);
  try {
    const how = { awaitPromise: true, returnByValue: true, userGesture: true };
    const { result, exceptionDetails } = await session.send('Runtime.evaluate', { expression, ...how });
    if (exceptionDetails !== undefined)
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  } finally {
    await session.detach();
  }
}

/** Checks the page with axe. */
export async function expectAccessible(page: Page): Promise<void> {
  await inPage(page, axe.source);
  const found = Object(await inPage(page, 'axe.run(document, { preload: false })'));
  expect(found.passes.length).toBeGreaterThan(5);
  const findings = Array.from(found.violations, Object).map(({ id, impact, nodes }) => ({
    ...{ id, impact, where: Array.from(nodes, (node) => Object(node).html) },
  }));
  expect(findings).toEqual([]);
}
