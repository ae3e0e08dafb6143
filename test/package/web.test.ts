import { execFile } from 'node:child_process';
import {
  constants,
  createDecipheriv,
  createECDH,
  generateKeyPairSync,
  privateDecrypt,
  randomFillSync,
} from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createContext, runInContext } from 'node:vm';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { concat, fromHex, toHex, utf8, view } from '../../src/bytes.ts';
import { type HashName, kdfa, kdfe } from '../../src/crypto/kdf.ts';
import { decode, encode } from '../../src/tpm/codec/index.ts';
import { TPMS_ECC_POINT } from '../../src/tpm/structures/algorithm.ts';
import { TPMS_ID_OBJECT, TPMT_PUBLIC, type TpmtPublic } from '../../src/tpm/structures/object.ts';
import { ekTemplate } from '../../src/tpm/templates.ts';
import { webCases } from '../web/cases.ts';

/** The program as one file, bundled from the package as users do. `then` is the code that runs when it is loaded. */
async function bundled(platform: 'node' | 'browser', entry: string, then = ''): Promise<string> {
  const { outputFiles, warnings } = await build({
    ...{ stdin: { contents: entry, resolveDir: '.', loader: 'ts' }, bundle: true, write: false, platform },
    ...{ format: 'iife', globalName: 'verifier', logLevel: 'silent', target: 'es2022' },
  });
  expect(warnings).toEqual([]);
  return `${outputFiles[0]?.text}\n${then}`;
}
const PROGRAM = `export * from './test/web/program.ts'`;

interface Verifier {
  readonly run: (json: string) => Promise<string>;
}

/**
 * Runs the bundle in a realm with only JavaScript and the globals that every web runtime has. As in a web runtime, it receives
 * values of its own realm.
 */
function inWeb(code: string): Verifier {
  const host = {
    encode: (text: string) => new TextEncoder().encode(text),
    decoder: (...options: ConstructorParameters<typeof TextDecoder>) => new TextDecoder(...options),
    random: randomFillSync,
  };
  const context = createContext({ host });
  const globals = `
    globalThis.TextEncoder = class { encode(text) { return new Uint8Array(host.encode(text)); } };
    globalThis.TextDecoder = class {
      constructor(...options) { this.decoder = host.decoder(...options); }
      decode(bytes) { return this.decoder.decode(bytes); }
    };
    globalThis.crypto = { getRandomValues(bytes) { host.random(bytes); return bytes; } };`;
  runInContext(globals, context);
  // As variables, since looking up a global of such a context is slow.
  const all: string[] = runInContext('Object.getOwnPropertyNames(globalThis)', context);
  const variables = all.filter((name) => !/^(?:globalThis|undefined|NaN|Infinity|eval|host)$/.test(name));
  return runInContext(`(({ ${variables} }) => { ${code}\nreturn verifier; })(globalThis)`, context);
}

let names: string[];
let asked: string;
let expected: string;
let inNode: Verifier;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyprov-web-'));
  const file = join(folder, 'node.mjs');
  await writeFile(file, await bundled('node', PROGRAM, 'export const { run } = verifier;'));
  inNode = await import(file);
  const families = Object.entries(await webCases());
  names = families.flatMap(([family, calls]) => calls.map(({ call }) => `${family}: ${call}`));
  asked = JSON.stringify(families.flatMap(([, calls]) => calls));
  expected = await inNode.run(asked);
  console.log(families.map(([family, calls]) => `${family} ${calls.length}`).join(', '));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Fails with the first answer that differs, if one does. */
function expectSame(given: string): void {
  const [wanted, got]: unknown[][] = [JSON.parse(expected), JSON.parse(given)];
  for (const [i, answer] of (wanted as unknown[]).entries()) expect([names[i], got?.[i]]).toEqual([names[i], answer]);
  expect(given === expected).toBe(true);
}

describe('a verifier without Node', () => {
  it('finds the same as with Node, byte for byte', async () => {
    const answers: { ok?: boolean; thrown?: unknown }[] = JSON.parse(expected);
    // Good ones, bad ones and such as cannot be read are among them.
    expect(answers.filter((answer) => answer?.ok === true).length).toBeGreaterThan(20);
    expect(answers.filter((answer) => answer?.ok === false).length).toBeGreaterThan(500);
    expect(answers.filter((answer) => answer?.thrown !== undefined).length).toBeGreaterThan(500);
    const code = await bundled('browser', PROGRAM);
    const start = performance.now();
    const given = await inWeb(code).run(asked);
    console.log(`node:vm with web globals: ${names.length} calls, ${Math.round(performance.now() - start)} ms`);
    expectSame(given);
  });

  it.each(['attestation', 'attestation/endorsement', 'formats/webauthn'])(
    'has no pkijs and no asn1js in keyprov/%s',
    async (subpath) => {
      const code = await bundled('browser', `import * as all from 'keyprov/${subpath}'; console.log(all)`);
      const sources = [...code.matchAll(/^ {2}\/\/ (.*)$/gm)].map(([, source]) => source);
      expect(sources).toEqual(expect.arrayContaining([expect.stringContaining('dist/web/')]));
      expect(sources.filter((source) => /pkijs|asn1js|dist\/src/.test(source ?? ''))).toEqual([]);
    },
  );
});

describe('a credential made without Node', () => {
  const name = fromHex(`000b${'5a'.repeat(32)}`);
  const secret = fromHex('c0ffee00112233445566778899aabbcc');
  let web: Verifier;
  beforeAll(async () => {
    web = inWeb(await bundled('browser', PROGRAM));
  });

  const makeFor = async (ek: TpmtPublic): Promise<Uint8Array[]> => {
    const hex = (bytes: Uint8Array) => ({ hex: toHex(bytes) });
    const input = { ek: { area: hex(encode(TPMT_PUBLIC, ek)) }, objectName: hex(name), secret: hex(secret) };
    const [made] = JSON.parse(await web.run(JSON.stringify([{ call: 'attestation.makeCredential', args: [input] }])));
    return [made.credentialBlob, made.encryptedSecret].map((text: string) => fromHex(text.replace('hex ', '')));
  };
  /** Part 1, 24.4. */
  const opened = (blob: Uint8Array, hash: HashName, seed: Uint8Array, keyBits: number): string => {
    const key = kdfa(hash, seed, 'STORAGE', name, new Uint8Array(0), keyBits);
    const { encIdentity } = decode(TPMS_ID_OBJECT, blob);
    return createDecipheriv(`aes-${keyBits}-cfb`, key, new Uint8Array(16)).update(encIdentity).toString('hex');
  };

  it('is opened by OpenSSL with the private RSA key', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const unique = view(Buffer.from(`${publicKey.export({ format: 'jwk' }).n}`, 'base64url'));
    const [blob, encrypted] = (await makeFor({ ...ekTemplate('L-1'), unique } as TpmtPublic)) as [
      Uint8Array,
      Uint8Array,
    ];
    const padding = constants.RSA_PKCS1_OAEP_PADDING;
    const options = { key: privateKey, padding, oaepHash: 'sha256', oaepLabel: utf8('IDENTITY\0') };
    expect(opened(blob, 'sha256', privateDecrypt(options, encrypted), 128)).toBe(`0010${toHex(secret)}`);
  });

  it('is opened by OpenSSL with the private key on P-384', async () => {
    const ecdh = createECDH('secp384r1');
    const point = view(ecdh.generateKeys());
    const [x, y] = [point.subarray(1, 49), point.subarray(49)];
    const [blob, encrypted] = (await makeFor({ ...ekTemplate('H-3'), unique: { x, y } } as TpmtPublic)) as [
      ...[Uint8Array, Uint8Array],
    ];
    const ephemeral = decode(TPMS_ECC_POINT, encrypted);
    const z = view(ecdh.computeSecret(concat(Uint8Array.of(4), ephemeral.x, ephemeral.y)));
    expect(opened(blob, 'sha384', kdfe('sha384', z, 'IDENTITY', ephemeral.x, x, 384), 256)).toBe(
      `0010${toHex(secret)}`,
    );
  });
});

const run = promisify(execFile);
const OPTIONS = { maxBuffer: 1 << 28, timeout: 280_000, killSignal: 'SIGKILL' } as const;
const SHOW = `
  async function show() {
    const start = Date.now();
    const answers = encodeURIComponent(await verifier.run(CALLS));
    return 'BEGIN ' + (Date.now() - start) + ' ' + answers + ' END';
  }`;

/** How each runtime runs the program: from the runtime's executable and a file path to the output. */
const RUNTIMES: Readonly<Record<string, (command: string, code: string, path: string) => Promise<string>>> = {
  async chromium(command, code, path) {
    const page = `<!doctype html><meta charset="utf-8"><body><script>${code}
      show().then((text) => { document.body.textContent = text; });</script>`;
    await writeFile(`${path}.html`, page);
    const flags = ['--headless', '--no-sandbox', '--disable-gpu', `--user-data-dir=${path}`, '--dump-dom'];
    return (await run(command, [...flags, `file://${path}.html`], OPTIONS)).stdout;
  },
  async deno(command, code, path) {
    await writeFile(`${path}.mjs`, `${code}\nconsole.log(await show());`);
    return (await run(command, ['run', '--no-config', `${path}.mjs`], OPTIONS)).stdout;
  },
  async bun(command, code, path) {
    await writeFile(`${path}.mjs`, `${code}\nconsole.log(await show());`);
    return (await run(command, ['run', `${path}.mjs`], OPTIONS)).stdout;
  },
  async workerd(command, code, path) {
    await writeFile(`${path}.mjs`, `${code}\nexport default { async test() { console.log(await show()); } };`);
    const worker = `(modules = [(name = "worker", esModule = embed "workerd.mjs")], compatibilityDate = "2025-01-01")`;
    const config = `using Workerd = import "/workerd/workerd.capnp";
      const config :Workerd.Config = (services = [(name = "main", worker = ${worker})]);`;
    await writeFile(`${path}.capnp`, config);
    const { stdout, stderr } = await run(command, ['test', `${path}.capnp`], OPTIONS);
    return stdout + stderr;
  },
};

// scripts/browser.sh has installed them; each is given as NAME=PATH.
const given = (process.env.KEYPROV_WEB_RUNTIMES ?? '').split(' ').filter((one) => one !== '');
describe.skipIf(given.length === 0).each(given.map((one) => one.split('=') as [string, string]))(
  'a verifier in %s',
  (name, command) => {
    it('finds the same as in Node, byte for byte', async () => {
      const code = await bundled('browser', PROGRAM, `const CALLS = ${JSON.stringify(asked)};\n${SHOW}`);
      const output = await RUNTIMES[name]?.(command, code.replaceAll('</script', '<\\/script'), join(folder, name));
      const [, milliseconds, answers = ''] = /BEGIN (\d+) (\S+) END/.exec(output ?? '') ?? [];
      expect(answers, output?.slice(0, 2000)).not.toBe('');
      expectSame(decodeURIComponent(answers));
      console.log(`${name}: ${names.length} calls, ${milliseconds} ms`);
    });
  },
);
