import { randomUUID } from 'node:crypto';
import fs, {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path, { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Marks } from '../../../src/tpm/marks.ts';
import { patchBuiltin } from '../../patch-builtin.ts';

const disk: { isFull: boolean; removedMeanwhile: string[] } = { isFull: false, removedMeanwhile: [] };
const { writeSync, readdirSync: list } = fs;
patchBuiltin(fs, {
  writeSync: (...given: unknown[]) => {
    if (disk.isFull) throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
    return Reflect.apply(writeSync, fs, given);
  },
  readdirSync: (...given: unknown[]) => {
    const names = Reflect.apply(list, fs, given);
    return disk.removedMeanwhile.length === 0 ? names : [...names, ...disk.removedMeanwhile];
  },
});

const NAME = { kind: 'name', bytes: new Uint8Array([0, 11, 1, 2]) } as const;
const SESSION = { kind: 'session', bytes: new Uint8Array(0) } as const;

describe('marks of the objects in a TPM', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'keyprov-marks-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const make = (address = 'swtpm:a') => new Marks(address, directory);
  const dead = (address?: string) =>
    make(address)
      .readDead()
      .flatMap(({ marks }) => marks);
  const file = (): string => join(directory, readdirSync(directory)[0] ?? 'none');

  it('are there for others while something is in the TPM, and make no file before', () => {
    const marks = make();
    expect(readdirSync(directory)).toEqual([]);
    const object = marks.want(NAME);
    expect(dead()).toMatchObject([{ what: NAME }]);
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    marks.settle(object, 0x80000001);
    marks.settle(marks.want(SESSION), 0x02000000);
    expect(dead().map(({ handle }) => handle)).toEqual([0x80000001, 0x02000000]);
    expect(marks.readDead()).toEqual([]);
    expect(dead('swtpm:b')).toEqual([]);
    marks.gone(0x80000001);
    expect(dead().map(({ handle }) => handle)).toEqual([0x02000000]);
    marks.close();
    expect(dead()).toHaveLength(1);
  });

  it('belong to one TPM, however its address is written', () => {
    const at = (name: string) => join(directory, name);
    writeFileSync(at('socket'), '');
    symlinkSync('socket', at('link'));
    const relative = path.relative(process.cwd(), at('socket'));
    for (const same of [
      ['localhost', 'LOCALHOST', 'localhost.', '127.0.0.1', '[::1]'].map((host) => `swtpm:${host}:2321`),
      ['swtpm:127.0.0.1:2321', 'tcti:swtpm', 'tcti:swtpm:host=LocalHost', 'tcti:swtpm:port=2321,host=::1'],
      ['mssim:localhost:2400', 'tcti:mssim:port=2400'],
      ['swtpm:tpm.example:2321', 'swtpm:TPM.example.:2321', 'tcti:swtpm:host=tpm.example'],
      ['socket', 'link', './socket'].flatMap((name) => [`swtpm:unix:${at(name)}`, `tcti:swtpm:path=${at(name)}`]),
      [`swtpm:unix:${at('socket')}`, `swtpm:unix:${relative}`],
      [`device:${at('socket')}`, `device:${at('link')}`, `tcti:device:${at('link')}`],
      ['device:/nowhere/tpm0', 'device:/nowhere/x/../tpm0'],
    ]) {
      const marks = make(same[0]);
      marks.want(NAME);
      for (const address of same) expect([address, dead(address).length]).toEqual([address, 1]);
      for (const other of [
        'swtpm:localhost:1',
        'swtpm:127.example:2321',
        'swtpm:127.0.0.2:2321',
        'device:/dev/tpm9',
        'tcti:cmd:x',
      ])
        expect(dead(other)).toEqual([]);
      for (const one of readdirSync(directory).filter((name) => name.endsWith('.marks'))) rmSync(at(one));
    }
  });

  it('leave no file if the disk is full, and say so', () => {
    disk.isFull = true;
    const marks = make();
    marks.want(NAME);
    disk.isFull = false;
    expect(readdirSync(directory)).toEqual([]);
    expect(marks.problem).toMatchObject({ code: 'ENOSPC' });
    marks.close();
  });

  it("are kept even if another connection's file disappears meanwhile", () => {
    disk.removedMeanwhile = [`.keyprov-${randomUUID()}.marks`];
    const marks = make();
    marks.want(NAME);
    disk.removedMeanwhile = [];
    expect(marks.problem).toBeUndefined();
    expect(dead()).toMatchObject([{ what: NAME }]);
    marks.close();
  });

  it('do not grow, and end with a connection that leaves nothing', () => {
    const marks = make();
    for (let i = 0; i < 1000; i++) {
      marks.settle(marks.want(NAME), 0x80000000);
      marks.gone(0x80000000);
      marks.settle(marks.want(NAME), undefined);
    }
    expect(statSync(file()).size).toBeLessThan(100);
    marks.close();
    expect(readdirSync(directory)).toEqual([]);
  });

  it('are read from a file that was cut anywhere', () => {
    const marks = make();
    marks.settle(marks.want(NAME), 0x80000001);
    marks.settle(marks.want(SESSION), 0x02000000);
    const { length } = readFileSync(file());
    for (let size = length; size >= 0; size--) {
      truncateSync(file(), size);
      expect(dead().length).toBeLessThanOrEqual(2);
    }
  });

  it('are read from no other file, and invalid data does not stop the work', () => {
    writeFileSync(join(directory, 'notes.marks'), 'keyprov marks "swtpm:a"\nwant 1 name 00\n');
    const marks = make();
    marks.want(NAME);
    appendFileSync(file(), 'want 1 name xyz\n\0\0have\n');
    expect(dead()).toEqual([]);
    const none = new Marks('swtpm:a', '/proc/none');
    none.settle(none.want(NAME), 1);
    none.gone(1);
    none.close();
    expect(none.problem).toBeInstanceOf(Error);
  });
});
