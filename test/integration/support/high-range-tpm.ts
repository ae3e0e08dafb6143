import { copy, fromHex, uint16At, uint32At } from '../../../src/bytes.ts';
import { decode } from '../../../src/tpm/codec/index.ts';
import { TPM_ALG, TPM_CC, TPM_ECC } from '../../../src/tpm/constants.ts';
import { TPM2B_PUBLIC, TPMT_PUBLIC_PARMS } from '../../../src/tpm/structures/object.ts';
import type { TpmTransport } from '../../../src/tpm/transport.ts';

/** TPM_RC_VALUE for that parameter without further detail, as a chip answers for a feature that its firmware lacks. */
const refusal = (parameter: number) => fromHex(`80010000000a00000${parameter}c4`);

/**
 * A TPM in front of `inner` that supports only the CNSA algorithms, the high range of the EK Credential Profile: P-384 and
 * larger, RSA with at least 3072 bits, AES-256.
 */
export function highRangeTpm(inner: TpmTransport): TpmTransport {
  const { kind, address, emulator, managed } = inner;
  return {
    ...{ kind, address, emulator, managed },
    send: async (command, options) => {
      const parameter = refusedParameter(command);
      return parameter === undefined ? await inner.send(command, options) : copy(refusal(parameter));
    },
    close: () => inner.close(),
  };
}

/** The number of the parameter that such a TPM does not support. */
function refusedParameter(command: Uint8Array): number | undefined {
  const code = uint32At(command, 6);
  const sized = (at: number) => at + 2 + uint16At(command, at);
  if (code === TPM_CC.TestParms) {
    return isLow(decode(TPMT_PUBLIC_PARMS, command.subarray(10))) ? 1 : undefined;
  }
  if (code === TPM_CC.StartAuthSession) {
    const symmetric = sized(sized(18)) + 1;
    const isAes = uint16At(command, symmetric) === TPM_ALG.AES;
    return isAes && uint16At(command, symmetric + 2) < 256 ? 4 : undefined;
  }
  if (code !== TPM_CC.CreatePrimary && code !== TPM_CC.Create) return undefined;
  const inPublic = sized(18 + uint32At(command, 14));
  return isLow(decode(TPM2B_PUBLIC, command.subarray(inPublic, sized(inPublic)))) ? 2 : undefined;
}

function isLow(area: { readonly type: number; readonly parameters: object }): boolean {
  const { parameters } = area;
  if ('symmetric' in parameters) {
    const { symmetric } = parameters as { symmetric: { algorithm: number; keyBits?: number } };
    if (symmetric.algorithm === TPM_ALG.AES && (symmetric.keyBits ?? 0) < 256) return true;
  }
  if ('keyBits' in parameters && Number(parameters.keyBits) < 3072) return true;
  return 'curveID' in parameters && parameters.curveID === TPM_ECC.NIST_P256;
}
