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
      prompter.say('The address works once. Press Ctrl-C to end the command.');
      server.opened.addEventListener('abort', () => prompter.say('The page is open in a browser window.'));
      if (open) {
        removeFile = await openBrowser(server.address, () =>
          prompter.say('No browser could be started. Open the page yourself.'),
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
