import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fromBase64, toBase64Url } from '../../src/bytes.ts';
import { openKeyStore } from '../../src/keys/key-store.ts';
import { readLastBackend } from '../../src/keys/last-backend.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { commandLines } from './support/command-lines.ts';
import { keyprovBeside } from './support/keyprov.ts';
import { keyprovInTerminal, terminalsMissing } from './support/terminal.ts';

const commands = commandLines({ cheapScrypt: true });
const USER = 'ada@contoso.test';

describe('keyprov remove', () => {
  let directory: ReturnType<typeof temporaryDirectory>;
  let store: string[];
  const path = (name: string) => join(directory.path, name);
  const create = (...more: readonly string[]) => ['create', ...more, '--tpm', 'none', '--algorithm', 'p-256'];
  const ids = async () => (await (await openKeyStore(path('store'))).list()).records.map(({ id }) => id);

  beforeEach(() => {
    directory = temporaryDirectory();
    store = ['--store', path('store')];
    writeFileSync(path('data'), 'what is signed');
    writeFileSync(path('pin'), '731902', { mode: 0o600 });
    writeFileSync(path('wrong'), '731903', { mode: 0o600 });
  });
  afterEach(() => directory[Symbol.dispose]());

  it('solves the problem of a forgotten PIN, as the errors advise', async () => {
    const sign = ['sign', ...store, '--user', USER, '--in', path('data'), '--pin-file'];
    const first = await commands.json(create(...store, '--user', USER, '--pin-file', path('pin')));
    expect(first.status).toBe(0);
    expect((await commands.run([...sign, path('wrong')])).stderr).toContain('remove any other key with keyprov remove');
    const second = await commands.run(create(...store, '--user', USER, '--pin-file', path('wrong')));
    expect(second.stderr).toMatch(/keyprov remove --store \S+ --key ID removes one/);
    const ambiguous = await commands.run([...sign, path('wrong')]);
    expect(ambiguous).toMatchObject({
      status: 7,
      stderr: expect.stringMatching(/keyprov remove --store \S+ --key ID/),
    });
    const { id } = first.json;
    const removed = await commands.onlyJson(['remove', ...store, '--key', String(id), '--yes']);
    expect(removed).toMatchObject({ status: 0, json: { ok: true, id, user: USER } });
    expect(await ids()).not.toContain(id);
    expect((await commands.run([...sign, path('wrong')])).status).toBe(0);
  });

  it('takes the count of PIN tries with the key, but not while it protects another copy of it', async () => {
    const { json } = await commands.json(create(...store, '--pin-file', path('pin')));
    const sign = ['sign', ...store, '--in', path('data'), '--pin-file', path('wrong')];
    expect((await commands.run(sign)).stderr).toContain('4 tries are left');
    const kept = await openKeyStore(path('store'));
    const record = await kept.load(String(json.id));
    await kept.save({ ...record, id: 'copy' });
    const remove = async (id: unknown) =>
      expect((await commands.run(['remove', ...store, '--yes', '--key', String(id)])).status).toBe(0);
    await remove(json.id);
    expect((await commands.run(sign)).stderr).toContain('3 tries are left');
    writeFileSync(path('store/key-damaged.json'), '{', { mode: 0o600 });
    await remove('copy');
    await kept.save({ ...record, id: 'other' });
    await remove('damaged');
    expect((await commands.run(sign)).stderr).toContain('2 tries are left');
    await remove('other');
    expect(readdirSync(path('store')).filter((name) => !name.startsWith('.'))).toEqual([]);
  });

  it('takes the Key ID of status too, as every command does', async () => {
    const made = await Promise.all([1, 2].map(() => commands.json(create(...store))));
    const [one, other] = made.map(({ json }) => Object(json));
    const key = ['--key', one.keyId.base64];
    for (const id of [one.keyId.base64, toBase64Url(fromBase64(one.keyId.base64)), one.keyId.hex]) {
      const status = await commands.onlyJson(['status', ...store, `--key=${id}`]);
      expect(status).toMatchObject({ json: { keys: [{ id: one.id }] } });
    }
    expect((await commands.run(['sign', ...store, ...key, '--in', path('data')])).status).toBe(0);
    expect((await commands.run(['remove', ...store, ...key, '--yes'])).stdout).toBe(
      `removed the key ${one.id} from ${path('store')}\n`,
    );
    expect(await ids()).toEqual([other.id]);
    const gone = await commands.run(['remove', ...store, ...key, '--yes']);
    expect(gone).toMatchObject({ status: 7, stderr: expect.stringContaining(`has no key ${key[1]}`) });
    const wrong = await commands.run(['remove', ...store, '--key', 'What?', '--yes']);
    expect(wrong).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('--key is neither the id nor the Key ID of a key'),
    });
  });

  it('leaves a directory of create --out without a file of the key, and the note that another must not be weaker', async () => {
    const out = path('out');
    expect((await commands.run(create('--out', out, '--user', USER))).status).toBe(0);
    expect((await commands.run(['remove', '--store', out, '--yes'])).status).toBe(0);
    const left = readdirSync(out).filter((name) => !name.startsWith('.'));
    expect(left.sort()).toEqual([expect.stringMatching(/^last-.*\.json$/), 'wrapping.secret']);
    expect(await readLastBackend(out, USER)).toBe('software');
    expect((await commands.run(create('--out', out, '--user', USER))).status).toBe(0);
  });

  it('is not offered for a directory that create --out refuses because it contains other files', async () => {
    const args = create('--out', directory.path);
    const refused = await commands.run(args);
    expect(refused.status).toBe(7);
    expect(refused.stderr).toContain(
      'contains files that keyprov did not write: data, pin, wrong; choose a new directory',
    );
    expect(readdirSync(directory.path).sort()).toEqual(['data', 'pin', 'wrong']);
    const forced = await commands.run([...args, '--force']);
    expect(forced).toMatchObject({
      status: 0,
      stderr: expect.stringContaining(`next: keyprov sign --in FILE --store ${directory.path}\n`),
    });
    const odd = create('--out', path("it's new"));
    expect((await commands.run(odd)).stderr).toContain(
      `next: keyprov sign --in FILE --store '${path("it'\\''s new")}'\n`,
    );
  });

  it('has a next step that names the new key if the store has others', async () => {
    const next = async () => /next: keyprov (.*)\n/.exec((await commands.run(create(...store))).stderr)?.[1];
    expect(await next()).toBe(`sign --in FILE --store ${path('store')}`);
    const [, id] = /^sign --in FILE --store \S+ --key (\S+)$/.exec(`${await next()}`) ?? [];
    expect(readdirSync(path('store'))).toContain(`key-${id}.json`);
  });

  it("refuses what is not a key or a store, and does not use the user's store for an empty name", async () => {
    expect((await commands.run(create(...store))).status).toBe(0);
    for (const id of ['.', '..', '_a', 'a.', '-a', 'a'.repeat(65)]) {
      expect(await commands.run(['remove', ...store, `--key=${id}`, '--yes'])).toMatchObject({
        status: 2,
        stderr: expect.stringContaining('--key is neither the id nor the Key ID of a key'),
      });
    }
    for (const empty of [['--store', ''], ['--store='], ['--store']]) {
      const env = { KEYPROV_STORE: path('store') };
      expect(await commands.run(['remove', '--yes', ...empty], { env })).toMatchObject({
        status: 2,
        stderr: expect.stringContaining('--store needs a value'),
      });
    }
    expect(await ids()).toHaveLength(1);
  });

  it('removes an unreadable record that is named, and status lists it', async () => {
    const made = await Promise.all(['ada', 'bob'].map((user) => commands.json(create(...store, '--user', user))));
    const [ada, bob] = made.map(({ json }) => String(json.id));
    const file = path(`store/key-${ada}.json`);
    writeFileSync(file, readFileSync(file, 'utf8').replace('ada', 'eve'));
    const damaged = `the key record ${file} is damaged: its SHA-256 does not match`;
    const remedy = `restore a copy of the file, or remove the key (keyprov remove --store ${path('store')} --key ID; the id is in the file name) and make a new one`;
    expect(await commands.onlyJson(['status', ...store])).toMatchObject({
      status: 7,
      json: {
        error: { code: 'store-invalid' },
        keys: [{ id: bob, user: 'bob' }],
        damaged: [{ code: 'store-invalid', message: damaged, remedy }],
      },
    });
    const shown = await commands.run(['status', ...store]);
    expect(shown.stdout).toContain(`damaged      ${damaged}; ${remedy}\n`);
    expect((await commands.run(['status', ...store, '--user', 'bob'])).status).toBe(0);
    // Nobody knows whose it is.
    const remove = ['remove', ...store, '--yes', '--key'];
    expect((await commands.run([...remove, String(ada), '--user', 'ada'])).status).toBe(7);
    expect(await commands.onlyJson([...remove, String(ada)])).toMatchObject({
      status: 0,
      json: { id: ada, warnings: [expect.stringContaining('does not show whether the key is registered')] },
    });
    expect(await commands.onlyJson(['status', ...store])).toMatchObject({ status: 0, json: { damaged: [] } });
    expect(await ids()).toEqual([bob]);
    expect((await commands.run([...remove, String(ada)])).status).toBe(7);
  });

  it('says which files of create --out a damaged record may have left', async () => {
    const out = path('out');
    const { json } = await commands.json(create('--out', out));
    writeFileSync(join(out, `key-${json.id}.json`), '{}');
    expect(await commands.onlyJson(['remove', '--store', out, '--key', String(json.id), '--yes'])).toMatchObject({
      json: { warnings: expect.arrayContaining([expect.stringContaining(`${join(out, 'key.pem')} was kept`)]) },
    });
    expect(readdirSync(out)).toContain('key.pem');
  });

  it('does not mistake the remaining key for the one with the damaged record', async () => {
    const made = await Promise.all([1, 2].map(() => commands.json(create(...store))));
    const [one, other] = made.map(({ json }) => String(json.id));
    writeFileSync(path(`store/key-${one}.json`), '{');
    const refused = await commands.run(['remove', ...store, '--yes']);
    expect(refused).toMatchObject({
      status: 7,
      stderr: expect.stringContaining('select the key to remove with --key'),
    });
    expect(await ids()).toEqual([other]);
    expect((await commands.run(['remove', ...store, '--yes', '--key', String(other)])).status).toBe(0);
    expect(await ids()).toEqual([]);
  });

  it('wants a yes', async () => {
    expect((await commands.run(create(...store))).status).toBe(0);
    expect(await commands.run(['remove', ...store])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('--yes is missing: there is no terminal to ask in'),
    });
    expect(await ids()).toHaveLength(1);
  });

  it.skipIf(terminalsMissing())('asks in a terminal', async () => {
    expect((await commands.run(create(...store, '--user', USER))).status).toBe(0);
    const [id] = await ids();
    const question = `This removes the key ${id} of ${USER} (p-256, software) from ${path('store')} permanently.`;
    const say = async (word: string) => {
      const { status, shown } = await keyprovInTerminal(['remove', ...store], [['to continue: ', `${word}\r`]]);
      expect(shown.replaceAll(/\s+/g, ' ')).toContain(question);
      return { status, left: (await ids()).length };
    };
    expect(await say('no')).toEqual({ status: 1, left: 1 });
    expect(await say('yes')).toEqual({ status: 0, left: 0 });
  });

  it('is not needed for a key that another call has just made: the second call reports it', async () => {
    const two = await Promise.all([1, 2].map(() => keyprovBeside(create(...store, '--user', USER))));
    expect(two.map(({ status }) => status)).toEqual([0, 0]);
    expect(two.filter(({ stderr }) => stderr.includes('already has a key in the store'))).toHaveLength(1);
  });
});
