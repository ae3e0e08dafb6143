import type { startKeyprov } from './keyprov.ts';

/** A page of a command, as its window sees it. */
export interface OpenPage {
  readonly origin: string;
  /** The next state for which `fits` returns true. */
  stateThat<T>(fits: (state: Record<string, unknown>) => T | undefined): Promise<T>;
  /** The status of the answer. */
  post(name: string, body?: string): Promise<number>;
}

/** The page address that a command prints. */
export async function addressOf({ child, ended }: ReturnType<typeof startKeyprov>): Promise<string> {
  let text = '';
  const shown = new Promise<string>((resolve) => {
    child.stderr.on('data', (part: string) => {
      text += part;
      const [, address] = /(http:\/\/127\.0\.0\.1:\d+\/#\S+)\n/.exec(text) ?? [];
      if (address !== undefined) resolve(address);
    });
  });
  const over = ended.then(({ stderr }) => Promise.reject(new Error(`it has ended: ${stderr}`)));
  over.catch(() => undefined); // it may end later
  return await Promise.race([shown, over]);
}

/** Opens the page in place of a browser. */
export async function openPage(address: string): Promise<OpenPage> {
  const { origin, hash } = new URL(address);
  const opened = await fetch(`${origin}/session`, { method: 'POST', body: hash.slice(1), headers: { origin } });
  if (!opened.ok) throw new Error(`no session: ${opened.status}`);
  const headers = { origin, 'x-keyprov-session': Object(await opened.json()).session };
  let version = 0;
  return {
    origin,
    stateThat: async (fits) => {
      for (;;) {
        const answer = await fetch(`${origin}/state?after=${version}`, { headers });
        const next = Object(await answer.json());
        version = next.version;
        const found = fits(Object(next.state));
        if (found !== undefined) return found;
      }
    },
    post: async (name, body = '') => (await fetch(`${origin}/${name}`, { method: 'POST', body, headers })).status,
  };
}
