import { expect, it } from 'vitest';
import { utf8 } from '../../../src/bytes.ts';
import { type Inspection, inspect, printInspection } from '../../../src/inspect/index.ts';

const INSPECTION: Inspection = {
  ...{ format: 'kast', title: 'a statement', confidence: 'likely', encodings: ['base64', 'hex'], size: 12 },
  problems: ['it is odd'],
  alternatives: [{ format: 'kads', title: 'another', confidence: 'damaged' }],
  fields: [
    { name: 'claim', value: 'subject' },
    {
      name: 'key',
      value: 'RSA',
      fields: [
        { name: 'bits', value: 2048 },
        { name: 'modulus', value: 'ab'.repeat(256) },
      ],
    },
  ],
};

it('prints the format, problems, other possible formats, and the fields line by line', () => {
  expect(printInspection(INSPECTION)).toBe(
    [
      'a statement (probably), 12 bytes in base64, then hex',
      'problem: it is odd',
      'or: another (damaged)',
      '',
      'claim: subject',
      'key: RSA',
      '  bits: 2048',
      `  modulus: ${'ab'.repeat(80)}… (512 characters)`,
      '',
    ].join('\n'),
  );
});

it('lets nothing that was read reach the terminal as a control character', async () => {
  const comment = 'ssh-rsa \u001b[2J\u202e\u0007\u2028\u2029';
  const found = await inspect(
    utf8(JSON.stringify({ format: 'keyprov-record', version: 1, user: comment, '\u009b': '\n' })),
  );
  const text = printInspection(found);
  expect(text).toContain('user: ssh-rsa \\u{1b}[2J\\u{202e}\\u{7}\\u{2028}\\u{2029}\n');
  expect(text).toContain('\\u{9b}: \\u{a}\n');
  expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
});
