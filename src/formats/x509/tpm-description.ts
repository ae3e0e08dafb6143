import { checkObject } from '../../bytes.ts';
import type { DistinguishedName } from '../../crypto/distinguished-name.ts';

/** The TPM in certificates of endorsement and attestation keys. TCG EK Credential Profile for TPM 2.0, 3.2.9. */
export interface TpmDescription {
  /** TPM_PT_MANUFACTURER: four bytes as a number, `0x53544d20` for "STM ". */
  readonly manufacturer: number;
  readonly model: string;
  /** The firmware version: TPM_PT_FIRMWARE_VERSION_1. */
  readonly version: number;
}

/** OIDs of the attributes. EK Credential Profile, 3.1.2. */
export const TPM_ATTRIBUTE = { manufacturer: '2.23.133.2.1', model: '2.23.133.2.2', version: '2.23.133.2.3' } as const;

/** The directory name of a TPM, in three relative names. @throws RangeError for a number of more than 4 bytes. */
export function tpmDirectoryName(tpm: TpmDescription): DistinguishedName {
  const { manufacturer, model, version } = checkObject(
    tpm,
    'tpm',
    'manufacturer:number',
    'model:string',
    'version:number',
  );
  return [
    [{ type: TPM_ATTRIBUTE.manufacturer, value: id(manufacturer) }],
    [{ type: TPM_ATTRIBUTE.model, value: model }],
    [{ type: TPM_ATTRIBUTE.version, value: id(version) }],
  ];
}

/**
 * `id:` and eight hexadecimal digits, in upper case, since ruby-webauthn 2.5.2 knows some makers only in upper case.
 */
function id(value: number): string {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff)
    throw new RangeError(`manufacturer and version must be integers from 0 to 0xffffffff, not ${value}`);
  return `id:${value.toString(16).toUpperCase().padStart(8, '0')}`;
}
