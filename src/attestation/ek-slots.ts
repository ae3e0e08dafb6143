import type { EkTemplateName } from '../tpm/templates.ts';

/** The NV indices of one kind of endorsement key. TCG EK Credential Profile for TPM 2.0, 2.2.1.4 and 2.2.1.5. */
export interface EkSlot {
  /** H-5 (SM2) has a certificate index, but keyprov has no template for it. */
  readonly template: EkTemplateName | 'H-5';
  readonly certificate: number;
  /** A TPMT_PUBLIC in place of the default template. */
  readonly templateIndex: number;
  /** Bytes for the start of `unique`; low range only. */
  readonly nonce?: number;
}

/** All kinds, in the order of their indices. */
export const EK_SLOTS: readonly EkSlot[] = [
  { template: 'L-1', certificate: 0x01c00002, nonce: 0x01c00003, templateIndex: 0x01c00004 },
  { template: 'L-2', certificate: 0x01c0000a, nonce: 0x01c0000b, templateIndex: 0x01c0000c },
  { template: 'H-1', certificate: 0x01c00012, templateIndex: 0x01c00013 },
  { template: 'H-2', certificate: 0x01c00014, templateIndex: 0x01c00015 },
  { template: 'H-3', certificate: 0x01c00016, templateIndex: 0x01c00017 },
  { template: 'H-4', certificate: 0x01c00018, templateIndex: 0x01c00019 },
  { template: 'H-5', certificate: 0x01c0001a, templateIndex: 0x01c0001b },
  { template: 'H-6', certificate: 0x01c0001c, templateIndex: 0x01c0001d },
  { template: 'H-7', certificate: 0x01c0001e, templateIndex: 0x01c0001f },
];
