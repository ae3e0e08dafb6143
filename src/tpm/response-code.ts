import { checkObject } from '../bytes.ts';
import type { ResponseCode, ResponseCodeLayer, ResponseCodePosition } from '../errors/tpm-error.ts';
import { PCP_CODES, TBS_CODES, TSS2_BASE } from './response-code-layers.ts';
import { TPM_RC, TPM_RC_TEXT, type TpmRcName } from './tpm-rc.ts';

const TPM_NAMES: ReadonlyMap<number, TpmRcName> = new Map(
  Object.entries(TPM_RC).map(([name, value]) => [value, name as TpmRcName]),
);

const RETRYABLE: ReadonlySet<number> = new Set([TPM_RC.YIELDED, TPM_RC.TESTING, TPM_RC.RETRY]);

/** Layers of TSS 2.0 (bits 16 to 23) that use its base codes. */
const TSS2_LAYERS: ReadonlyMap<number, readonly [layer: ResponseCodeLayer, prefix: string]> = new Map([
  [0x06, ['tss', 'TSS2_FAPI_RC_']],
  [0x07, ['tss', 'TSS2_ESYS_RC_']],
  [0x08, ['tss', 'TSS2_SYS_RC_']],
  [0x09, ['tss', 'TSS2_MU_RC_']],
  [0x0a, ['tcti', 'TSS2_TCTI_RC_']],
  [0x0c, ['resource-manager', 'TSS2_RESMGR_RC_']],
  [0x0d, ['tss', 'TSS2_POLICY_RC_']],
]);

/** Format bit of a response code: handle, session or parameter errors. Part 2, 6.6.2. */
const FORMAT_ONE = 0x080;
/** Set in every code of TPM 2.0 that is not format one. */
const VERSION_2 = 0x100;
const VENDOR = 0x400;

/**
 * Decodes a TPM's response code, or the code that software in front of the TPM returned instead: a resource manager,
 * tpm2-tss, or Windows. Only 0 means success. Never throws: an undefined code gets the name `unknown`. Part 2, 6.6.
 * @param value as received; a signed number stands for its 32 bits.
 */
export function decodeResponseCode(value: number): ResponseCode {
  if (typeof value !== 'number') throw new TypeError('a response code must be a number');
  const code = value >>> 0;
  const layer = code >>> 16;
  const low = code & 0xffff;
  if (layer === 0) return decodeTpmCode(code, code, 'tpm');
  if (layer === 0x0b && low !== 0) return decodeTpmCode(code, low, 'resource-manager');
  if (layer === 0x8028 || layer === 0x8029) return decodeWindowsCode(code, low);
  const tss = TSS2_LAYERS.get(layer);
  if (tss === undefined) return unknown(code, layer === 0x0b ? 'resource-manager' : 'unknown');
  const known = TSS2_BASE.get(low);
  if (known === undefined) return unknown(code, tss[0]);
  return { value: code, base: code, name: tss[1] + known[0], layer: tss[0], meaning: known[1], retryable: false };
}

function decodeWindowsCode(code: number, low: number): ResponseCode {
  const tbs = TBS_CODES.get(code);
  const known = tbs ?? PCP_CODES.get(code);
  if (known !== undefined) {
    const [name, meaning, advice] = known;
    const layer = tbs === undefined ? 'windows' : 'tbs';
    return { value: code, base: code, name, layer, meaning, retryable: false, ...(advice !== undefined && { advice }) };
  }
  // Windows passes a TPM's codes on as 0x80280000 + code.
  if (code >>> 16 === 0x8028 && isTpm2Code(low)) return decodeTpmCode(code, low, 'tpm');
  return unknown(code, low >= 0x4000 && code >>> 16 === 0x8028 ? 'tbs' : 'windows');
}

/** Tells whether these bits have the form of a TPM 2.0 error code (not of TPM 1.2, or of something else). */
export function isTpm2Code(low: number): boolean {
  return low <= 0xfff && (low & (FORMAT_ONE | VERSION_2)) !== 0;
}

function decodeTpmCode(value: number, bits: number, layer: ResponseCodeLayer): ResponseCode {
  if (bits > 0xfff) return unknown(value, layer);
  const base = (bits & FORMAT_ONE) === 0 ? bits : bits & 0x0bf;
  const name = TPM_NAMES.get(base);
  if (name === undefined) {
    const byMaker = (bits & FORMAT_ONE) === 0 && (bits & VERSION_2) !== 0 && (bits & VENDOR) !== 0;
    const meaning = byMaker ? "a code of the TPM's manufacturer" : isTpm2Code(bits) ? UNDEFINED : 'a TPM 1.2 code';
    return { value, base, name: 'unknown', layer, meaning, retryable: false };
  }
  const position = positionOf(bits);
  const [meaning, advice] = TPM_RC_TEXT[name];
  return {
    value,
    base,
    name: `TPM_RC_${name}`,
    layer,
    ...(position !== undefined && { position }),
    meaning,
    ...(advice !== undefined && { advice }),
    retryable: RETRYABLE.has(base),
  };
}

/** Part 2, 6.6.2: bit 6 parameter; else bit 11 session; else handle. The warnings TPM_RC_REFERENCE_… name one too. */
function positionOf(bits: number): ResponseCodePosition | undefined {
  if ((bits & FORMAT_ONE) === 0) {
    if (bits >= TPM_RC.REFERENCE_H0 && bits <= TPM_RC.REFERENCE_H6) {
      return { kind: 'handle', number: bits - TPM_RC.REFERENCE_H0 + 1 };
    }
    if (bits >= TPM_RC.REFERENCE_S0 && bits <= TPM_RC.REFERENCE_S6) {
      return { kind: 'session', number: bits - TPM_RC.REFERENCE_S0 + 1 };
    }
    return undefined;
  }
  const isParameter = (bits & 0x040) !== 0;
  const number = (bits >>> 8) & (isParameter ? 0xf : 0x7);
  if (number === 0) return undefined;
  return { kind: isParameter ? 'parameter' : (bits & 0x800) !== 0 ? 'session' : 'handle', number };
}

const UNDEFINED = 'a code that the specification does not define';

function unknown(value: number, layer: ResponseCodeLayer): ResponseCode {
  return { value, base: value, name: 'unknown', layer, meaning: UNDEFINED, retryable: false };
}

/**
 * Describes a code in one line for people: `TPM2_CreatePrimary: TPM_RC_CURVE (parameter 2, inPublic): the curve is not
 * supported`.
 * @param commandName with its prefix, e.g. `TPM2_CreatePrimary`.
 * @param parameterName the name of the handle or parameter at the position.
 * @throws TypeError for an argument of another kind.
 */
export function describeResponseCode(rc: ResponseCode, commandName?: string, parameterName?: string): string {
  checkObject(rc, 'the response code', 'name', 'value', 'layer');
  const details: string[] = [];
  if (rc.position !== undefined) details.push(`${rc.position.kind} ${rc.position.number}`);
  if (rc.position !== undefined && parameterName !== undefined) details.push(parameterName);
  // The bare number helps if the name says less than the number, or if the code is not the TPM's own.
  if (rc.name === 'unknown' || rc.value > 0xfff) details.push(`0x${rc.value.toString(16).padStart(8, '0')}`);
  if (rc.layer !== 'tpm' && rc.layer !== 'unknown') details.push(`from ${LAYER_TEXT[rc.layer]}`);
  const name = rc.name === 'unknown' ? 'unknown response code' : rc.name;
  const where = details.length === 0 ? '' : ` (${details.join(', ')})`;
  return `${commandName === undefined ? '' : `${commandName}: `}${name}${where}: ${rc.meaning}`;
}

const LAYER_TEXT: Readonly<Record<Exclude<ResponseCodeLayer, 'tpm' | 'unknown'>, string>> = {
  'resource-manager': 'the resource manager',
  tcti: 'the TCTI',
  tss: 'tpm2-tss',
  tbs: 'TPM Base Services',
  windows: 'Windows',
};
