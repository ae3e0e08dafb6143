import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hasColor, Printer } from '../../../../src/cli/terminal/printer.ts';

/** A printer's output for one line. */
function written(text: string, stream: { isTTY?: boolean; columns?: number }, env: NodeJS.ProcessEnv = {}): string {
  let all = '';
  new Printer({ ...stream, write: (part) => (all += part) }, env).lines(text);
  return all;
}

describe('color', () => {
  it.each([
    [true, {}, true],
    [true, { TERM: 'dumb' }, false],
    [true, { NO_COLOR: '1' }, false],
    [true, { NO_COLOR: '' }, true],
    [false, {}, false],
    [false, { FORCE_COLOR: '1' }, true],
    [true, { FORCE_COLOR: '0' }, false],
    [false, { FORCE_COLOR: '1', NO_COLOR: '1' }, false],
  ])('of a terminal: %j, with %j: %j', (isTTY, env, color) => {
    expect(hasColor({ isTTY, write: () => {} }, env)).toBe(color);
  });

  it('is on the word that begins the line, and on nothing else', () => {
    const isTTY = true;
    expect(written('pass     name: it fits', { isTTY })).toBe('\x1b[32mpass\x1b[39m     name: it fits\n');
    expect(written('keyprov: no such file', { isTTY })).toBe('\x1b[31mkeyprov:\x1b[39m no such file\n');
    expect(written('warning: the key was made in software', { isTTY })).toBe(
      '\x1b[33mwarning:\x1b[39m the key was made in software\n',
    );
    expect(written('the checks pass', { isTTY })).toBe('the checks pass\n');
    expect(written('pass     name', {})).toBe('pass     name\n');
  });

  it('cannot be set by the text', () => {
    expect(written('a \x1b[31mb', { isTTY: true, columns: 80 })).toBe('a \\u{1b}[31mb\n');
  });
});

describe('a line', () => {
  it('is wrapped at words, below the second column of a table', () => {
    expect(written('registered   at the service of the tenant, today', { isTTY: true, columns: 30 })).toBe(
      'registered   at the service of\n             the tenant, today\n',
    );
    expect(written('one two three four five six', { isTTY: true, columns: 20 })).toBe(
      'one two three four\n  five six\n',
    );
  });

  it('keeps its words at every width, and is no wider than the terminal unless a word is', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b', ':', '/'), minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(
        fc.array(word, { minLength: 1, maxLength: 30 }),
        fc.integer({ min: 20, max: 90 }),
        (words, columns) => {
          const lines = written(words.join(' '), { isTTY: true, columns }).trimEnd().split('\n');
          expect(lines.flatMap((line) => line.trim().split(' '))).toEqual(words);
          for (const line of lines) expect(line.length <= columns || !line.trim().includes(' ')).toBe(true);
        },
      ),
    );
  });

  it.each([20, 40, 60, undefined])('is wrapped in help too, for %s columns, or else for 80', (columns) => {
    let all = '';
    const text =
      '  --store <dir>   key store (default: $KEYPROV_STORE or your own), and then text for a second line\n\nExamples:\n';
    new Printer({ isTTY: columns !== undefined, ...(columns && { columns }), write: (part) => (all += part) }).help(
      text,
    );
    const lines = all.split('\n');
    expect(lines.length).toBeGreaterThan(4);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(columns ?? 80);
    expect(lines[1]).toMatch(columns === 20 ? /^ {4}\S/ : /^ {18}\S/);
    expect(all.replaceAll(/\s+/g, ' ')).toBe(text.replaceAll(/\s+/g, ' '));
  });

  it.each([
    ['in a file', {}],
    ['in a terminal of unknown width', { isTTY: true }],
    ['in a terminal of no width', { isTTY: true, columns: 0 }],
  ])('stays whole %s', (_, stream) => {
    expect(written('a word and another. '.repeat(20), stream)).toBe(`${'a word and another. '.repeat(20)}\n`);
  });

  it('stays whole if it is a command, or is printed to be copied', () => {
    const command = `  keyprov status --store ${'directory/'.repeat(10)}`;
    expect(written(command, { isTTY: true, columns: 30 })).toBe(`${command}\n`);
    let all = '';
    new Printer({ isTTY: true, columns: 20, write: (part) => (all += part) }).verbatim('ssh-rsa AAAAB3NzaC1yc2E ada@x');
    expect(all).toBe('ssh-rsa AAAAB3NzaC1yc2E ada@x\n');
  });
});

describe('a text of the library', () => {
  const said = "provide the owner hierarchy's password (hierarchyAuth.owner)";
  const told = "provide the owner hierarchy's password (--tpm-auth owner=FILE)";
  type Way = (printer: Printer) => void;

  it.each<readonly [way: string, print: Way]>([
    ['lines', (printer) => printer.lines(said)],
    ['json', (printer) => printer.json({ keys: [{ proof: { remedy: said } }] })],
    ['ask', (printer) => printer.ask(said)],
    ['replace', (printer) => printer.replace(said)],
    ['draw', (printer) => printer.draw(said)],
  ])('names options of the command line, wherever a command shows it: %s', (_way, print) => {
    let all = '';
    print(new Printer({ write: (part) => (all += part) }));
    expect(all).toContain(told);
  });

  it('is told from a value of a file in JSON, which stays as it is', () => {
    let all = '';
    const json = {
      ...{ message: said, problems: [said], warnings: [said], error: { message: said, attempts: [{ reason: said }] } },
      ...{ fields: [{ name: said, value: said }], title: said, content: said },
    };
    new Printer({ write: (part) => (all += part) }).json(json);
    expect(JSON.parse(all)).toEqual({
      ...{ message: told, problems: [told], warnings: [told], error: { message: told, attempts: [{ reason: told }] } },
      ...{ fields: [{ name: said, value: said }], title: said, content: said },
    });
  });
});
