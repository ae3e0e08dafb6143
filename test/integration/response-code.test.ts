import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import type { ResponseCode } from '../../src/errors/tpm-error.ts';
import { decodeResponseCode } from '../../src/tpm/response-code.ts';
import { TPM_RC } from '../../src/tpm/tpm-rc.ts';
import { missingPrograms, PYTHON, pythonLacks } from '../programs.ts';

const missing = missingPrograms('tpm2_rc_decode', 'python3');

/** tpm2_rc_decode's output for these codes. It comes from libtss2-rc, which is much faster to call. */
function tssTexts(values: readonly number[]): string[] {
  const script = `
import ctypes, json, sys
decode = ctypes.CDLL('libtss2-rc.so.0').Tss2_RC_Decode
decode.restype, decode.argtypes = ctypes.c_char_p, [ctypes.c_uint32]
json.dump([decode(v).decode() for v in json.load(sys.stdin)], sys.stdout)`;
  const run = spawnSync('python3', ['-c', script], { input: JSON.stringify(values), maxBuffer: 2 ** 26 });
  expect(run.stderr.toString()).toBe('');
  return JSON.parse(run.stdout.toString());
}

/**
 * The position as tpm2_rc_decode writes it. Of the four bits of a parameter's number tpm2-tss 3.2.1 reads only three:
 * it calls parameter 9 parameter 1, and parameter 8 unknown. TPM_RC_8 to TPM_RC_F of Part 2, 6.6.3 are for these.
 */
function positionText(value: number, rc: ResponseCode): string {
  const kind = (value & 0x040) !== 0 ? 'parameter' : (value & 0x800) !== 0 ? 'session' : 'handle';
  return `tpm:${kind}(${(rc.position?.number ?? 0) & 7 || 'unk'}):`;
}

const hex = (value: number) => `0x${value.toString(16).padStart(3, '0')}`;
const all = Array.from({ length: 0x1000 }, (_, value) => value);

describe.skipIf(missing)('decodeResponseCode beside tpm2_rc_decode', () => {
  it('matches the output of tpm2_rc_decode', () => {
    const sample = [0x0, 0x1c4, 0x98e, 0x910, 0x922, 0x521, 0x000b0143, 0x000a000a, 0x00070005];
    const printed = sample.map((value) => spawnSync('tpm2_rc_decode', [hex(value)]).stdout.toString());
    expect(printed.map((line) => line.replace(/\n$/, ''))).toEqual(tssTexts(sample));
  });

  it('knows all codes below 0x1000 that tpm2_rc_decode knows, at the same position, and these too', () => {
    const texts = tssTexts(all);
    const onlyOurs = new Set<string>();
    const onlyTheirs: number[] = [];
    const meanings = new Map<string, Set<string>>();
    for (const value of all) {
      const rc = decodeResponseCode(value);
      let text = texts[value] ?? '';
      if ((value & 0x080) !== 0) {
        expect(text.startsWith(positionText(value, rc)) || rc.name === 'unknown', hex(value)).toBe(true);
        text = text.replace(/^tpm:\w+\(\w+\):/, '');
      }
      const isKnown = !/unknown|Vendor|\(null\)|^tpm:0x/.test(text);
      if (isKnown && rc.name === 'unknown') onlyTheirs.push(value);
      if (!isKnown && rc.name !== 'unknown') onlyOurs.add(rc.name);
      if (isKnown && rc.name !== 'unknown') meanings.set(rc.name, (meanings.get(rc.name) ?? new Set()).add(text));
    }
    // tpm2-tss 3.2.1 knows version 1.38 to 1.59 of the specification, and calls BAD_TAG a code of TPM 1.2.
    expect([...onlyOurs].sort()).toEqual([
      'TPM_RC_BAD_TAG',
      'TPM_RC_CHANNEL',
      'TPM_RC_CHANNEL_KEY',
      'TPM_RC_EXT_MU',
      'TPM_RC_FW_LIMITED',
      'TPM_RC_ONE_SHOT_SIGNATURE',
      'TPM_RC_PARMS',
      'TPM_RC_READ_ONLY',
      'TPM_RC_SIGN_CONTEXT_KEY',
      'TPM_RC_SVN_LIMITED',
    ]);
    // It does not look at bit 9, which is reserved in format zero: to it 0x301 is 0x101.
    expect(onlyTheirs.filter((value) => (value & 0x280) !== 0x200).map(hex)).toEqual([]);
    expect(onlyTheirs.length).toBe(62);
    // Each name of ours has one text of theirs, and vice versa, apart from PRIVATE and HMAC, both "not currently used".
    expect([...meanings.values()].every((texts_) => texts_.size === 1)).toBe(true);
    const theirs = [...meanings.values()].map((texts_) => [...texts_][0]);
    expect(new Set(theirs).size).toBe(theirs.length - 1);
    expect(theirs.length).toBe(106 - 10);
  });

  it('recognizes maker-specific codes as tpm2_rc_decode does', () => {
    const texts = tssTexts(all);
    const differences = all.filter(
      (value) =>
        (value & 0x080) === 0 &&
        /Vendor/.test(texts[value] ?? '') !==
          (decodeResponseCode(value).meaning === "a code of the TPM's manufacturer"),
    );
    expect(differences.map(hex)).toEqual([]);
  });

  it('names the same codes of the layers of tpm2-tss', () => {
    const prefixes = new Map([
      [0x06, 'fapi'],
      [0x07, 'esapi'],
      [0x08, 'sys'],
      [0x09, 'mu'],
      [0x0a, 'tcti'],
    ]);
    for (const [layer, prefix] of prefixes) {
      const values = Array.from({ length: 0x40 }, (_, low) => layer * 0x10000 + low + 1);
      const texts = tssTexts(values);
      const known = values.filter((_, at) => !/:0x/.test(texts[at] ?? ''));
      expect(known.length).toBeGreaterThanOrEqual(0x33);
      for (const [at, value] of values.entries()) {
        expect(texts[at]?.startsWith(`${prefix}:`), hex(value)).toBe(true);
        if (known.includes(value)) expect(decodeResponseCode(value).name, hex(value)).not.toBe('unknown');
      }
    }
  });

  it('reads codes that the resource manager passes on as it does', () => {
    const values = all.slice(1).map((value) => 0x000b0000 + value);
    const [passedOn, plain] = [tssTexts(values), tssTexts(all.slice(1))];
    for (const [at, value] of values.entries()) {
      expect(passedOn[at]?.replace(/^rmt/, 'tpm').toLowerCase()).toBe(plain[at]?.toLowerCase());
      const { value: _, layer, ...rest } = decodeResponseCode(value);
      expect(layer).toBe('resource-manager');
      const direct = decodeResponseCode(value & 0xfff);
      expect(rest).toEqual({ ...rest, name: direct.name, base: direct.base, retryable: direct.retryable });
      expect(rest.position).toEqual(direct.position);
    }
  });

  it('does not repeat its successes of layers: only 0 is one', () => {
    const values = [0, 0x000b0000, 0x80000000];
    expect(tssTexts(values)).toEqual(['tpm:success', 'rmt:success', 'tpm:success']);
    expect(values.map((value) => decodeResponseCode(value).name)).toEqual(['TPM_RC_SUCCESS', 'unknown', 'unknown']);
  });
});

describe.skipIf(pythonLacks('tpm2_pytss'))('TPM_RC beside tpm2-pytss', () => {
  it('has the same number for each name', () => {
    const script = `
import json
from tpm2_pytss.constants import TPM2_RC as rc
print(json.dumps({n: int(getattr(rc, n)) for n in dir(rc) if isinstance(getattr(rc, n), int)}))`;
    const theirs: Record<string, number> = JSON.parse(spawnSync(PYTHON, ['-c', script]).stdout.toString());
    const shared = Object.entries(TPM_RC).filter(([name]) => name in theirs);
    expect(shared.length).toBe(96);
    for (const [name, value] of shared) expect([name, value]).toEqual([name, theirs[name]]);
    const numbers = new Set<number>(Object.values(TPM_RC));
    const masks = /^(A|B|C|D|E|F|H|P|S|FMT1|VER1|WARN|N_MASK|MAX_FM0|NOT_USED|RC\d)$/;
    expect(Object.keys(theirs).filter((name) => !masks.test(name) && !numbers.has(theirs[name] ?? -1))).toEqual([]);
  });
});
