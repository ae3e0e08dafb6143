import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { concat, fromHex, toBase64, toHex, utf8 } from '../../../src/bytes.ts';
import { encodePem } from '../../../src/crypto/pem.ts';
import { type Field, FORMATS, type Inspection, inspect, MAX_SIZE } from '../../../src/inspect/index.ts';
import { encodeKeyRecord } from '../../../src/keys/key-record.ts';
import { buildCommonName, issue } from '../../certificates.ts';
import { asText, inspectSamples } from '../../inspect-samples.ts';
import { keyRecord } from '../../key-record.ts';
import { ecKey, rsaKey } from '../../signing-key.ts';

const samples = await inspectSamples();
const sample = (name: string): Uint8Array =>
  samples.find((one) => one.name === name)?.bytes ?? expect.unreachable(name);

/** The value of the field at that path. */
function valueAt({ fields }: Inspection, ...path: readonly string[]): Field['value'] {
  let found: Field | undefined;
  let level: readonly Field[] = fields;
  for (const name of path) {
    found = level.find((one) => one.name === name);
    level = found?.fields ?? [];
  }
  return found?.value;
}

describe('inspect', () => {
  it.each(samples)('recognizes $name as $format, and reports its oddities', async ({ bytes, format, problems }) => {
    const found = await inspect(bytes);
    expect({ format: found.format, problems: found.problems }).toEqual({ format, problems });
    expect(['certain', 'likely']).toContain(found.confidence);
    expect(found.fields.length).toBeGreaterThan(0);
    expect(JSON.parse(JSON.stringify(found))).toEqual(found);
  });

  it('shows bytes and 64-bit numbers of a key record as such', async () => {
    const { tpm, ...record } = keyRecord('ada');
    const text = encodeKeyRecord({ ...record, ...(tpm && { tpm: { ...tpm, akName: fromHex('000b5678') } }) });
    const found = await inspect(utf8(text));
    expect(valueAt(found, 'tpm', 'akName')).toBe('000b5678');
    expect(valueAt(found, 'tpm', 'vendor', 'firmwareVersion')).toBe(`${0x2019102300163636n}`);
  });

  it('has a sample of every format', () => {
    const made = new Set(samples.map(({ format }) => format));
    // `der` is the remainder.
    expect(FORMATS.map(({ format }) => format).filter((format) => !made.has(format))).toEqual(['der']);
  });

  it.each(samples)('recognizes $name as hexadecimal, base64 and base64url text', async ({ bytes, format }) => {
    const plain = await inspect(bytes);
    for (const [encoding, text] of asText(bytes)) {
      const found = await inspect(utf8(`${text}\n`));
      // Base64url without its special characters is base64.
      const named = encoding === 'base64url' && !/[-_]/.test(text) ? 'base64' : encoding;
      expect(found).toEqual({ ...plain, encodings: [named, ...plain.encodings] });
      expect(found.format).toBe(format);
    }
  });

  it('removes up to four encodings', async () => {
    let text = toHex(sample('kast'));
    for (let i = 2; i <= 4; i++) text = toBase64(utf8(text));
    expect(await inspect(utf8(text))).toMatchObject({
      format: 'kast',
      encodings: ['base64', 'base64', 'base64', 'hex'],
    });
    expect(await inspect(utf8(toBase64(utf8(text))))).toMatchObject({ format: 'unknown', confidence: 'none' });
  });

  it('reads text with line breaks, colons, 0x, a byte order mark, and UTF-16 as PowerShell writes it', async () => {
    const hex = toHex(sample('kast'));
    const colons = hex.replace(/(..)(?=.)/g, '$1:');
    const lines = hex.replace(/(.{64})/g, '$1\r\n');
    for (const text of [colons, lines, `0x${hex}`, `\ufeff${hex}`]) {
      expect(await inspect(utf8(text))).toMatchObject({ format: 'kast', encodings: ['hex'] });
    }
    const utf16 = concat(fromHex('fffe'), Buffer.from(new TextDecoder().decode(sample('dn-binary')), 'utf16le'));
    expect(await inspect(utf16)).toMatchObject({ format: 'dn-binary', confidence: 'certain' });
  });

  it('reads a text in JSON', async () => {
    const found = await inspect(utf8(JSON.stringify(toBase64(sample('kast')))));
    expect(found).toMatchObject({ format: 'kast', encodings: ['JSON text', 'base64'] });
  });

  it('says which PEM block is damaged, and where', async () => {
    const pem = new TextDecoder().decode(sample('certificate in PEM'));
    const lines = pem.split('\n');
    const broken = lines.with(2, `*${lines[2]?.slice(1)}`).join('\n');
    const where = 'the base64 of the PEM block CERTIFICATE in line 3 is not canonical: see line 5';
    const one = await inspect(utf8(`\nof a CA\n${broken}`));
    expect(one).toMatchObject({ format: 'certificate', confidence: 'damaged' });
    expect(one.problems[0]).toBe(where);
    const three = await inspect(utf8(`\nof a CA\n${broken}${pem}${pem.replaceAll('\n', '\r\n')}`));
    expect(three).toMatchObject({ title: '3 PEM blocks', confidence: 'damaged' });
    expect(three.problems.filter((problem) => /^[123]: /.test(problem))[0]).toBe(`1: ${where}`);
    expect(three.problems.some((problem) => /^[23]: /.test(problem))).toBe(false);
    const cut = await inspect(utf8(`${pem}${lines.slice(0, 3).join('\n').slice(0, -1)}`));
    expect(cut).toMatchObject({ title: '2 PEM blocks', confidence: 'damaged' });
    expect(cut.problems).toContain(`2: the PEM block CERTIFICATE in line ${lines.length} has no end`);
    const empty = await inspect(utf8('-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n'));
    expect(empty).toMatchObject({ format: 'certificate', confidence: 'damaged' });
  });

  it('lists the keys that it knows in authorized_keys, and says which lines it does not know', async () => {
    const line = new TextDecoder().decode(sample('ssh-public-key')).trim();
    const [type = '', base64 = ''] = line.split(' ');
    const file = [
      '',
      '# the keys of ada',
      `from="10.0.0.0/8,*.test",command="echo \\"hi there\\"" ${line}`,
      'sk-ssh-new AAAAC3NzaC1lZDI1NTE5 ada',
      '',
      `${type}\t${base64} bob`,
      `${type} ${base64.slice(0, -9)} eve`,
      'restrict',
    ];
    const found = await inspect(utf8(`${file.join('\n')}\n`));
    expect(found).toMatchObject({ format: 'ssh-public-key', title: '2 SSH public keys', confidence: 'certain' });
    expect(valueAt(found, 'keys', '1', 'options')).toBe('from="10.0.0.0/8,*.test",command="echo \\"hi there\\""');
    expect(valueAt(found, 'keys', '2', 'comment')).toBe('bob');
    expect(found.problems).toEqual([
      'line 4: keyprov does not know the key type sk-ssh-new',
      expect.stringMatching(/^line 7: (?!keyprov does not know)/),
      'line 8: it is not an SSH public key',
    ]);
    const many = await inspect(utf8(`${line}\n${'x\n'.repeat(99)}`));
    expect(many.problems).toHaveLength(11);
    expect(many.problems.at(-1)).toBe('89 more lines are not SSH public keys that keyprov can read');
  });

  it('names the PEM block, and reports a label that does not match its contents', async () => {
    const pem = sample('certificate in PEM');
    expect((await inspect(pem)).encodings).toEqual(['PEM CERTIFICATE']);
    const other = encodePem('PUBLIC KEY', sample('an authority'));
    expect(await inspect(utf8(`text before\n${other}`))).toMatchObject({
      format: 'certificate',
      problems: ["the PEM block's label is PUBLIC KEY"],
    });
    const named = await inspect(utf8(encodePem('constructor', fromHex('0500'))));
    expect(named).toMatchObject({ format: 'pem', title: 'PEM block constructor', confidence: 'none' });
    const cut = await inspect(utf8(encodePem('CERTIFICATE', sample('an authority').subarray(0, -1))));
    expect(cut).toMatchObject({ format: 'certificate', confidence: 'damaged' });
  });

  it('describes the parts of structures of a TPM by their names', async () => {
    const found = await inspect(sample('tpmt-public'));
    expect(found.title).toBe('TPM object (RSA-2048 key)');
    expect(valueAt(found, 'nameAlg')).toBe('TPM_ALG_SHA256');
    expect(valueAt(found, 'parameters', 'keyBits')).toBe(2048);
    expect(valueAt(found, 'policy')).toBe('the Windows Hello key policy');
    const name = createHash('sha256').update(sample('tpmt-public')).digest('hex');
    expect(valueAt(found, 'Name')).toBe(`000b${name}`);
    expect(valueAt(await inspect(sample('tpms-attest')), 'type')).toBe('TPM_ST_ATTEST_CERTIFY');
  });

  it('says that a certification is not of the key beside it', async () => {
    const statement = JSON.parse(new TextDecoder().decode(sample('go-certification-parameters')));
    statement.Public = toBase64(sample('tpmt-public of P-256'));
    const { problems, fields } = await inspect(utf8(JSON.stringify(statement)));
    expect(problems).toEqual([expect.stringMatching(/^the statement certifies 000b[0-9a-f]{64}, not the key$/)]);
    // In one list, and not again in the field that has the problem.
    expect(fields.filter((field) => Object.hasOwn(field, 'problems'))).toEqual([]);
  });

  it('reads violations of standards, and reports them', async () => {
    const odd: [string, boolean, Uint8Array] = ['1.2.840.113556.1.5.284.2', false, fromHex(`048110${'ab'.repeat(16)}`)];
    const { der } = await issue({ subject: buildCommonName('7E980AD9\0'), extensions: [odd] });
    const found = await inspect(der);
    expect({ format: found.format, confidence: found.confidence }).toEqual({
      format: 'certificate',
      confidence: 'certain',
    });
    expect(found.problems.map((problem) => problem.replace(/ at offset \d+$/, ''))).toEqual([
      'a string with a NUL',
      'a string with a NUL',
      'a length with more bytes than DER allows',
    ]);
    const twice = await issue({ subject: buildCommonName('twice'), extensions: [odd, odd] });
    const { problems, fields } = await inspect(twice.der);
    expect(problems.at(-1)).toBe('X.509 certificate: an extension appears twice');
    expect(fields[0]).toEqual({ name: 'subject', value: 'CN=twice' });
  });

  it('shows damage: the original format, and what cannot be read', async () => {
    const cut = (name: string) => inspect(sample(name).subarray(0, -1));
    expect(await cut('kast')).toMatchObject({
      format: 'kast',
      confidence: 'damaged',
      problems: [/cannot be read: KAST/],
    });
    expect(await cut('an authority')).toMatchObject({ format: 'der', confidence: 'damaged' });
    expect(await cut('attestation-statement')).toMatchObject({ format: 'json', confidence: 'damaged' });
    expect(await cut('tpm-state')).toMatchObject({ format: 'tpm-state', confidence: 'damaged' });
  });

  it('tries the hinted format first, and explains the problem', async () => {
    const damaged = sample('tpmt-public').subarray(0, 100);
    expect(await inspect(damaged)).toMatchObject({ format: 'unknown' });
    const { format, problems } = await inspect(damaged, { hint: 'tpmt-public' });
    expect({ format, problems }).toEqual({
      format: 'tpmt-public',
      problems: ['it cannot be read: TPMT_PUBLIC.unique.TPM2B_PUBLIC_KEY_RSA: 256 bytes needed at offset 54, 46 left'],
    });
    const both = await inspect(sample('tpm2b-id-object'), { hint: 'tpm2b-private' });
    expect([both.format, both.alternatives[0]?.format]).toEqual(['tpm2b-private', 'tpm2b-id-object']);
  });

  it("says that a file's format differs from the hint, and describes the file", async () => {
    for (const name of ['request in PEM', 'jwk', 'RSA SPKI', 'kast', 'dn-binary']) {
      const plain = await inspect(sample(name));
      for (const hint of ['certificate', 'tpmt-public', 'jwk', 'kast', 'ssh-public-key', 'tss2-private-key']) {
        const problem = `it is not in the expected format, ${hint}`;
        const found = await inspect(sample(name), { hint });
        if (plain.format === hint) expect(found).toEqual(plain);
        else expect(found).toMatchObject({ ...plain, problems: [problem, ...plain.problems] });
      }
    }
  });

  it('says by which algorithm a private key is encrypted', async () => {
    const encryption = async (name: string) => valueAt(await inspect(sample(name)), 'encryption');
    expect(await encryption('OpenSSH private key: P-256, encrypted')).toBe('aes256-ctr, bcrypt');
    expect(await encryption('encrypted RSA PRIVATE KEY')).toBe('AES-128-CBC');
    expect((await inspect(sample('OpenSSH private key: Ed25519, not encrypted'))).title).toBe(
      'unencrypted OpenSSH private key',
    );
  });

  it('shows length and first bytes of an unknown file, but no byte of a short one', async () => {
    const bytes = new Uint8Array(100).fill(0xee);
    expect(await inspect(bytes)).toEqual({
      ...{ format: 'unknown', title: 'unknown format', confidence: 'none', encodings: [], size: 100 },
      ...{ problems: [], alternatives: [] },
      fields: [
        { name: 'length', value: 100 },
        { name: 'first bytes', value: 'ee'.repeat(8) },
      ],
    });
    expect((await inspect(utf8('246813'))).fields).toEqual([{ name: 'length', value: 6 }]);
    expect((await inspect(new Uint8Array(0))).fields).toEqual([{ name: 'length', value: 0 }]);
  });

  it('reads nothing above 1 MiB, and little above 128 KiB', async () => {
    const { problems } = await inspect(new Uint8Array(MAX_SIZE + 1));
    expect(problems).toEqual(['1048577 bytes; the limit is 1048576']);
    const state = await inspect(new Uint8Array(MAX_SIZE));
    expect(state.problems).toEqual([
      'at this size, keyprov reads only states of virtual TPMs and recordings of TPM commands',
    ]);
  });

  it.each(samples)('throws at no cut of $name', async ({ bytes }) => {
    const step = Math.max(1, Math.floor(bytes.length / 40));
    for (let length = 0; length < bytes.length; length += step) await inspect(bytes.subarray(0, length));
  });
});

describe('secrets', () => {
  const everything = async (bytes: Uint8Array) => JSON.stringify(await inspect(bytes));

  it('of private keys are not shown in any form', async () => {
    const jwk = rsaKey.privateKey.export({ format: 'jwk' });
    const part = Buffer.from(jwk.d ?? '', 'base64url').toString('hex');
    const prime = Buffer.from(jwk.p ?? '', 'base64url').toString('hex');
    for (const name of ['RSA2', 'RSA3', 'RSA PRIVATE KEY']) {
      const text = await everything(sample(name));
      for (const secret of [part, prime]) expect(text).not.toContain(secret.slice(0, 32));
    }
    const own = ecKey('P-256').privateKey.export({ format: 'jwk' });
    const text = await everything(utf8(JSON.stringify(own)));
    expect(text).not.toContain(own.d);
    expect(text).not.toContain(Buffer.from(own.d ?? '', 'base64url').toString('hex'));
    expect(text).toContain('not shown (32 bytes)');
  });

  it('of commands are not shown: passwords', async () => {
    const text = await everything(sample('TPM2_NV_Read'));
    expect(text).not.toContain('31323334');
    expect(text).toContain('not shown (4 bytes)');
  });

  it('of answers, states and assertions are not shown', async () => {
    expect(await everything(sample('an answer'))).not.toContain('11223344');
    expect(await everything(sample('tpm-state'))).not.toContain('05050505');
    const assertion = new TextDecoder().decode(sample('NGC assertion'));
    const signature = assertion.split('.')[2] ?? '';
    expect(await everything(utf8(assertion))).not.toContain(signature.slice(0, 20));
    expect(await everything(utf8(assertion))).not.toContain(toHex(Buffer.from(signature, 'base64url')).slice(0, 20));
  });
});
