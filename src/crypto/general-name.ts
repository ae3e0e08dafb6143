import type { Bytes } from '../bytes.ts';
import type { DistinguishedName } from './distinguished-name.ts';

/** A GeneralName. RFC 5280, 4.2.1.6. `other` is one that is not read here: the number of its kind, and all of it in DER. */
export type GeneralName =
  | { readonly kind: 'email' | 'dns' | 'uri'; readonly value: string }
  | { readonly kind: 'directory'; readonly value: DistinguishedName }
  | { readonly kind: 'ip'; readonly value: Bytes }
  | { readonly kind: 'other'; readonly value: number; readonly der: Bytes };

/** The names that certificates below an authority may have, and may not have. RFC 5280, 4.2.1.10. */
export interface NameConstraints {
  readonly permitted: readonly GeneralName[];
  readonly excluded: readonly GeneralName[];
}
