import { type Bytes, fromHex, toHex, uint32At } from '../../../src/bytes.ts';

const OWNER = '40000001';
/** Authorization area with an empty password. */
const PASSWORD = '00000009400000090000000000';
const NV_INDEX = '01800001';
const RSA_SIGNING = '0001000b00040472000000100014000b080000000000';
const ECC_SIGNING = '0023000b00040472000000100018000b00030010';

const hex = (value: number | bigint, bytes: number): string => value.toString(16).padStart(2 * bytes, '0');

function command(code: number, handles: string, parameters: string, authorized: boolean): Bytes {
  const body = authorized ? `${handles}${PASSWORD}${parameters}` : `${handles}${parameters}`;
  return fromHex(`${authorized ? '8002' : '8001'}${hex(10 + body.length / 2, 4)}${hex(code, 4)}${body}`);
}

export const STARTUP_CLEAR: Bytes = command(0x144, '', '0000', false);
export const SHUTDOWN_CLEAR: Bytes = command(0x145, '', '0000', false);
/** TPM2_GetRandom of 8 bytes. */
export const GET_RANDOM: Bytes = command(0x17b, '', '0008', false);
/** TPM2_FlushContext of the first transient object. */
export const FLUSH: Bytes = command(0x165, '', '80000000', false);

/** TPM2_CreatePrimary under the owner hierarchy. */
function createPrimary(template: string): Bytes {
  return command(0x131, OWNER, `000400000000${hex(template.length / 2, 2)}${template}000000000000`, true);
}

/** TPM2_CreatePrimary of an RSA-2048 signing key; each `unique` makes a different key. Takes 20 to 130 ms. */
export const createRsa = (unique: number): Bytes => createPrimary(`${RSA_SIGNING}0002${hex(unique, 2)}`);

/** TPM2_CreatePrimary of a P-256 signing key. */
export const CREATE_ECC: Bytes = createPrimary(`${ECC_SIGNING}00000000`);

/** TPM2_NV_DefineSpace of an index of 8 bytes. */
export const NV_DEFINE: Bytes = command(0x12a, OWNER, `0000000e${NV_INDEX}000b0206000600000008`, true);

/** TPM2_NV_Write of a number to that index. */
export const nvWrite = (value: number): Bytes =>
  command(0x137, OWNER + NV_INDEX, `0008${hex(BigInt(value), 8)}0000`, true);

/** TPM2_NV_Read of that index. */
export const NV_READ: Bytes = command(0x14e, OWNER + NV_INDEX, '00080000', true);

/** The number in the answer to {@link NV_READ}. */
export const nvValue = (answer: Uint8Array): number => Number(`0x${toHex(answer.subarray(16, 24))}`);

/** The response code of an answer. */
export const codeOf = (answer: Uint8Array): number => uint32At(answer, 6);
