import { checkObject } from '../bytes.ts';
import { checkMembers } from '../known-members.ts';
import type { SignalOptions } from '../signal.ts';
import { readVendor, type TpmVendor } from './capabilities.ts';
import type { Tpm } from './tpm.ts';

/** Whether a TPM is a chip or an emulator, as far as that is known, and the evidence. */
export interface TpmNature {
  readonly virtual: boolean;
  /** One sentence per sign; empty if there is none. */
  readonly signs: readonly string[];
  readonly vendor: TpmVendor;
}

/**
 * Manufacturers known only from emulators and hypervisors' TPMs. TPM_PT_MANUFACTURER without padding.
 * Not MSFT, which Microsoft's simulator and Hyper-V share with the Pluton chip: there the vendor string tells.
 */
const VIRTUAL_MANUFACTURERS: ReadonlyMap<string, string> = new Map([
  ['IBM', 'its manufacturer is IBM, which libtpms, swtpm and the IBM simulator report; IBM makes no TPM 2.0 chip'],
  ['XYZ', 'its manufacturer is XYZ, which the TCG reference code reports'],
  ['VMW', "its manufacturer is VMW, which VMware's virtual TPM reports"],
  ['AMZN', "its manufacturer is AMZN, which Amazon's NitroTPM reports"],
]);

/** libtpms and swtpm `SW   TPM`; Microsoft's simulator and Hyper-V `xCG fTPM`; cloud providers' `vTPM`. */
const VIRTUAL_VENDOR_STRINGS = [/^SW\s*TPM/i, /simulator/i, /^xCG\s*fTPM/i, /vtpm/i, /vmware/i, /nitro/i];

/** The same makers in the attribute 2.23.133.2.1 of EK certificates; swtpm_localca writes 00001014. */
const VIRTUAL_CERTIFICATE_MANUFACTURERS: ReadonlySet<string> = new Set([
  '00001014',
  '49424D00',
  '564D5700',
  '414D5A4E',
]);

/**
 * What the certificate of an endorsement or attestation key says about the TPM. TCG EK Credential Profile for TPM 2.0,
 * 3.2.9.
 */
export interface CertifiedTpm {
  /** `id:` and eight hexadecimal digits, in any case. */
  readonly manufacturer?: string | undefined;
  readonly model?: string | undefined;
}

/** Tells whether the maker or model in a certificate is known only from emulators and hypervisors' TPMs. */
export function isVirtualByCertificate({ manufacturer = '', model = '' }: CertifiedTpm): boolean {
  const id = manufacturer.replace(/^id:/i, '').toUpperCase();
  return (
    VIRTUAL_CERTIFICATE_MANUFACTURERS.has(id) || [...VIRTUAL_VENDOR_STRINGS, /^swtpm/i].some((one) => one.test(model))
  );
}

/**
 * Recognizes emulators by the address that the caller used, the interface that the operating system reports, the
 * manufacturer and vendor strings, and the manufacturer in the EK certificate, if the caller has one (eight hexadecimal
 * digits, as in `id:49424D00`). Never by the path: a hypervisor's TPM is at /dev/tpmrm0 too.
 * @throws like {@link Tpm.run}.
 */
export async function readNature(
  tpm: Tpm,
  options: SignalOptions & { readonly certificateManufacturer?: string | undefined } = {},
): Promise<TpmNature> {
  const { certificateManufacturer, signal } = checkMembers(
    'readNature',
    options,
    'certificateManufacturer:text? signal',
  );
  checkObject(tpm, 'tpm', 'run:function');
  const vendor = await readVendor(tpm, { signal });
  const signs: string[] = [];
  const { emulator, kind, address } = tpm.transport;
  if (emulator) {
    signs.push(
      kind === 'tbs' ? 'Windows says that its interface is an emulator' : `${address} is the address of an emulator`,
    );
  }
  const manufacturer = VIRTUAL_MANUFACTURERS.get(vendor.manufacturer);
  if (manufacturer !== undefined) signs.push(manufacturer);
  if (VIRTUAL_VENDOR_STRINGS.some((pattern) => pattern.test(vendor.vendorString))) {
    signs.push(`its vendor string is '${vendor.vendorString}'`);
  }
  if (isVirtualByCertificate({ manufacturer: certificateManufacturer })) {
    signs.push(`its EK certificate has the manufacturer ${certificateManufacturer}`);
  }
  return { virtual: signs.length > 0, signs, vendor };
}
