import { describe, expect, it } from 'vitest';
import { parseTpmAddress } from '../../../src/tpm/address.ts';
import { refusal } from '../../refusal.ts';

it("'none' is not an address, and the remedy says where it may be used", () => {
  expect(refusal(() => parseTpmAddress('none'))).toMatch(
    /^address-invalid: 'none' .*; only keySources and --tpm accept 'none'/,
  );
  expect(refusal(() => parseTpmAddress('non'))).not.toContain('keySources');
});

it.each([
  ['libtmps', 'libtpms'],
  ['libtmps:/var/tpm', 'libtpms:/var/tpm'],
  ['/dev/tpmrm0', 'device:/dev/tpmrm0'],
  ['libtpms::memory', 'libtpms'],
  ['non', 'none'],
])('%s is answered with %s', (text, meant) => {
  const said = `write one of: auto, .*, none \\(where no TPM is needed\\); did you mean ${meant}\\?$`;
  expect(refusal(() => parseTpmAddress(text))).toMatch(new RegExp(said));
});

describe('the address of a swtpm', () => {
  it.each([
    ['swtpm:localhost:2321', { host: 'localhost', port: 2321 }],
    ['swtpm:tcp:localhost:2321,control', { host: 'localhost', port: 2321, control: 'default' }],
    ['swtpm:[::1]:2321,control=2500', { host: '::1', port: 2321, control: { port: 2500 } }],
    ['swtpm:unix:/run/tpm', { path: '/run/tpm' }],
    ['swtpm:unix:/run/tpm,control', { path: '/run/tpm', control: 'default' }],
    ['swtpm:unix:/run/tpm,control=/run/c', { path: '/run/tpm', control: { path: '/run/c' } }],
  ])('%s names its control channel, or none', (text, address) => {
    expect(parseTpmAddress(text)).toEqual({ kind: 'swtpm', ...address });
  });

  it.each([
    'swtpm:localhost:2321,',
    'swtpm:localhost:2321,ctrl',
    'swtpm:localhost:2321,control=',
    'swtpm:localhost:2321,control=70000',
    'swtpm:localhost:2321,control=/run/c',
    'swtpm:unix:/run/tpm,control=',
    'swtpm:unix:,control',
  ])('%s is none', (text) => {
    expect(refusal(() => parseTpmAddress(text))).toMatch(/^address-invalid: '.*' is not the address of a TPM; /);
  });
});
