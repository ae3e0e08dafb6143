import { withCleanup } from '../../errors.ts';
import type { Prompter } from '../terminal/prompter.ts';
import { openBrowser } from './open-browser.ts';
import { openPageServer, type PageServer, type PageServerOptions } from './page-server.ts';

/** Serves a page as long as `work` lasts, and tells the user its address. */
export async function withPage<T>(
  options: PageServerOptions,
  { prompter, open }: { readonly prompter: Prompter; readonly open: boolean },
  work: (server: PageServer) => Promise<T>,
): Promise<T> {
  const server = await openPageServer(options);
  let removeFile = async (): Promise<void> => {};
  return await withCleanup(
    async () => {
      prompter.say(`Open this page in a browser on this machine: ${server.address}`);
      prompter.say('The address can be used once. Press Ctrl-C to end the page.');
      server.opened.addEventListener('abort', () => prompter.say('The page is open in a window.'));
      if (open) {
        removeFile = await openBrowser(server.address, () =>
          prompter.say('No browser could be started: open it yourself.'),
        );
      }
      return await work(server);
    },
    async () => {
      await removeFile();
      await server[Symbol.asyncDispose]();
    },
  );
}
