import { toHex, utf8 } from '../bytes.ts';

/** Vendor ids of the TCG Vendor ID Registry (Family 2.0), with the zeros or spaces that make them four bytes. */
const VENDORS =
  'AMD\0|ANT\0|ATML|BRCM|CSCO|FLYS|ROCC|GOOG|HPI\0|HPE\0|HISI|IBM\0|IFX\0|INTC|' +
  'LEN\0|MSFT|NSM |NTZ\0|NSG\0|NTC\0|QCOM|SMSN|SECE|SNS\0|SMSC|STM |TXN\0|WEC\0|SEAL';

/**
 * The TPM manufacturers registered with the TCG, in the form used in certificates: `id:` and the four bytes of the
 * vendor id in upper-case hexadecimal, `id:494E5443` for INTC.
 */
export const TPM_MANUFACTURERS: readonly string[] = VENDORS.split('|').map(
  (vendor) => `id:${toHex(utf8(vendor)).toUpperCase()}`,
);

/** Why the maker in a certificate is refused; `undefined` if it is accepted. Ignores the case of ids. */
export function manufacturerProblem(
  manufacturer: string | undefined,
  allowed: readonly string[] = TPM_MANUFACTURERS,
): string | undefined {
  if (manufacturer === undefined) return 'it has no TPM manufacturer';
  const isAllowed = allowed.some((name) => name.toUpperCase() === manufacturer.toUpperCase());
  return isAllowed ? undefined : `the manufacturer ${manufacturer} is not allowed`;
}
