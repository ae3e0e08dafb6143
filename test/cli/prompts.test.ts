import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { isRunning } from '../integration/support/is-running.ts';
import { ADA, type ServiceWorld, startServiceWorld, storeFiles } from './support/service-world.ts';
import { keyprovInTerminal, terminalsMissing } from './support/terminal.ts';

const PIN = '730519-Xq';
const HIDDEN = '(not shown): ';
const ENTER = `New PIN ${HIDDEN}`;
const CONFIRM = `Repeat the PIN ${HIDDEN}`;
const NOW = `Current PIN of ${ADA.upn} ${HIDDEN}`;

type End = readonly [key: string, at: string, question: string, typed: string, code: number];
const ENDS: readonly End[] = [
  ['Ctrl-C', 'the first question', ENTER, 'half\x03', 130],
  ['Ctrl-C', 'the confirmation', CONFIRM, '\x03', 130],
  ['Ctrl-D', 'the first question', ENTER, '\x04', 5],
  ['SIGTERM', 'the first question', ENTER, 'SIGTERM', 143],
  ['SIGHUP', 'the confirmation', CONFIRM, 'SIGHUP', 129],
];

const missing = terminalsMissing();

/** Without the colors of errors. */
const plain = (shown: string): string => shown.replaceAll('\x1b[31m', '').replaceAll('\x1b[39m', '');

/**
 * A terminal with all abilities, and one with none. The questions are the same. The latter runs all tests only with
 * KEYPROV_EVERY_TERMINAL=1; else the rules, and one end.
 */
describe.skipIf(missing).each(['xterm-256color', 'dumb'])('questions in a terminal of the kind %s', (TERM) => {
  const isWhole = TERM !== 'dumb' || process.env.KEYPROV_EVERY_TERMINAL === '1';
  let world: ServiceWorld;
  const env = { TERM, SSH_CONNECTION: '' };
  const provision = (store: string): string[] => [
    ...['provision', ...world.serviceArgs, '--user', ADA.upn, '--store', `${world.path}/${store}`],
    ...['--hardware', 'discouraged', '--tpm', 'none'],
  ];

  beforeAll(async () => {
    world = await startServiceWorld();
  });
  afterAll(async () => await world[Symbol.asyncDispose]());

  it('show the rules first, then the problem, and never the PIN', async () => {
    const { status, shown, stdout, echoes, restored } = await keyprovInTerminal(
      [...provision('store'), '--json'],
      [
        [ENTER, '1234\r'],
        [ENTER, `${PIN}\r`],
        [CONFIRM, 'another-1\r'],
        [ENTER, `wrong\x7f\x7f\x15${PIN}é\x7f\x1b[D\r`],
        [CONFIRM, `${PIN}\r`],
      ],
      { env },
    );
    expect({ status, echoes, restored }).toEqual({ status: 0, echoes: Array(5).fill(false), restored: true });
    const asked = shown.slice(shown.indexOf('Choose a PIN'));
    expect(asked.split('\n')).toEqual([
      `Choose a PIN for ${ADA.upn}. It must meet these rules:`,
      'Must be at least 6 characters long.',
      "Can't be longer than 127 characters.",
      'May include uppercase letters.',
      'May include lowercase letters.',
      'May include special characters.',
      'May include digits.',
      "Can't be a number pattern (such as 123456 or 111111).",
      ENTER,
      'Not accepted: Your PIN must be at least 6 characters long.',
      "Not accepted: Your PIN can't be a common number pattern.",
      'Choose another PIN.',
      ENTER,
      CONFIRM,
      "Not accepted: The PINs don't match.",
      'Choose another PIN.',
      ENTER,
      CONFIRM,
      '',
    ]);
    expect([shown.includes('\x1b'), shown.includes('\r')]).toEqual([false, false]);
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, hasPin: true, warnings: [] });
    expect(shown + stdout).not.toContain(PIN);
    expect(world.filesWith(new RegExp(PIN))).toEqual([]);
  });

  it.each(ENDS.slice(0, isWhole ? undefined : 1))(
    'end with %s at %s, and leave nothing',
    async (_, __, question, key, code) => {
      const store = `end-${TERM}`;
      const steps: [string, string][] = question === ENTER ? [] : [[ENTER, `${PIN}\r`]];
      const { status, shown, restored } = await keyprovInTerminal(provision(store), [...steps, [question, key]], {
        env,
      });
      expect({ status, restored }).toEqual({ status: code, restored: true });
      const name = { 130: 'SIGINT', 143: 'SIGTERM', 129: 'SIGHUP' }[code];
      expect(plain(shown)).toContain(
        name === undefined ? 'keyprov: no PIN: none was typed; ' : `keyprov: ended by ${name}\n`,
      );
      expect(shown).not.toContain('half');
      expect(storeFiles(`${world.path}/${store}`)).toEqual([]);
    },
  );

  // The rest does not depend on the terminal.
  if (!isWhole) return;

  it('lead to a PIN that then opens the key, and to another one', async () => {
    const args = ['change-pin', '--store', `${world.path}/store`, '--json'];
    const wrong = await keyprovInTerminal(args, [[NOW, 'not-it-1\r']], { env });
    expect({ status: wrong.status, json: JSON.parse(wrong.stdout) }).toMatchObject({
      ...{ status: 5, json: { error: { code: 'pin-wrong', windows: { code: '0x80090010' } } } },
    });
    const { status, echoes, restored, shown } = await keyprovInTerminal(
      args,
      [
        [NOW, `${PIN}\r`],
        [ENTER, `${PIN}-new\r`],
        [CONFIRM, `${PIN}-new\r`],
      ],
      { env },
    );
    expect({ status, echoes, restored }).toEqual({ status: 0, echoes: [false, false, false], restored: true });
    expect(shown).not.toContain(PIN);
  });

  it('ask before anything is removed, and take anything but yes for a no', async () => {
    const args = ['unregister', ...world.serviceArgs, '--store', `${world.path}/store`];
    const question = 'Type yes to continue: ';
    for (const answer of ['no\r', '\r', '\x04', 'y\r']) {
      const { status, stdout, echoes, restored } = await keyprovInTerminal(args, [[question, answer]], { env });
      expect({ status, echoes, restored }).toEqual({ status: 1, echoes: [true], restored: true });
      expect(stdout).toBe('nothing was done: the key is unchanged\n');
    }
    const { status, shown } = await keyprovInTerminal(args, [[question, '\x03']], { env });
    expect(status).toBe(130);
    expect(plain(shown)).toMatch(/keyprov: ended by SIGINT\n$/);
    expect(storeFiles(`${world.path}/store`)).toEqual(['key']);
    expect(world.service.keys()).toHaveLength(1);
  });

  it('ask for the new PIN before reset removes the old key', async () => {
    const args = ['reset', ...provision('store').slice(1), '--yes', '--graph-token-command', 'false'];
    const { status } = await keyprovInTerminal(args, [[ENTER, '\x03']], { env });
    expect(status).toBe(130);
    expect(storeFiles(`${world.path}/store`)).toEqual(['key']);
    expect(world.service.keys()).toHaveLength(1);
  });

  it('go to the terminal even if results do, on separate lines', async () => {
    const args = ['status', '--store', `${world.path}/store`];
    const { status, shown } = await keyprovInTerminal(args, [], { env, stdout: 'terminal' });
    expect(status).toBe(0);
    expect(shown).toMatch(/^id {11}ngc-[0-9a-f]{32}\nuser {9}ada@contoso\.test\n/);
    expect(shown).not.toContain('\x1b');
  });

  it('of a command that prints a token reach the user', async () => {
    const command = 'printf "Which one? " >/dev/tty; read -r token </dev/tty; echo "$token"';
    const args = [...provision(`ask-${TERM}`), '--token-command', command];
    const { shown } = await keyprovInTerminal(args, [['Which one? ', 'one two\r']], { env });
    expect(shown).toContain('the command given with --token-command printed something that is not a token');
  });

  it('leave nothing of such a command behind when they are ended', async () => {
    const command = 'sleep 61 & echo "pids $$ $! end" >/dev/tty; sleep 61; true';
    const args = [...provision(`ask-${TERM}`), '--token-command', command];
    const { status, shown } = await keyprovInTerminal(args, [[' end', 'SIGTERM']], { env });
    expect(status).toBe(143);
    const pids = /pids (\d+) (\d+) end/.exec(shown)?.slice(1).map(Number) ?? [];
    expect(pids).toHaveLength(2);
    await vi.waitFor(() => expect(pids.filter(isRunning)).toEqual([]), { timeout: 200_000 });
  });
});
