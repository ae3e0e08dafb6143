import type { Bytes } from '../bytes.ts';
import type { DistinguishedName } from './distinguished-name.ts';

/** A GeneralName. RFC 5280, 4.2.1.6. `other`: a kind that is not decoded, with its tag number and its whole DER. */
export type GeneralName =
  | { readonly kind: 'email' | 'dns' | 'uri'; readonly value: string }
  | { readonly kind: 'directory'; readonly value: DistinguishedName }
  | { readonly kind: 'ip'; readonly value: Bytes }
  | { readonly kind: 'other'; readonly value: number; readonly der: Bytes };

/** The names that certificates below a CA may and may not have. RFC 5280, 4.2.1.10. */
export interface NameConstraints {
  readonly permitted: readonly GeneralName[];
  readonly excluded: readonly GeneralName[];
}
