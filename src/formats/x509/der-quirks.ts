import { DerNode } from '../../crypto/der-read.ts';
import { TAG } from '../../crypto/der-write.ts';
import { readOr } from '../../errors.ts';

/** A tolerated violation of the standard in a request or a certificate. */
export interface DerQuirk {
  /**
   * `length-not-minimal`: a length in more bytes than needed (X.690, 10.1). `nul-in-string`: a character string with a
   * NUL. `common-name-too-long`: more than 64 characters (X.520, ub-common-name).
   */
  readonly kind: 'length-not-minimal' | 'nul-in-string' | 'common-name-too-long';
  /** Where the value begins, in bytes. */
  readonly offset: number;
}

const CONSTRUCTED = 0x20;
const COMMON_NAME = '2.5.4.3';
const MAX_COMMON_NAME = 64;

/**
 * Finds the quirks of a request or a certificate in DER, in byte order, including those in extensions. Windows produces
 * each of them: MS-DVRJ, 4.1, and the certificates of Windows Hello keys.
 *
 * @throws KeyprovError `request-invalid` for unreadable input.
 *
 * @example
 * ```ts
 * import { findDerQuirks } from 'keyprov/formats/x509';
 *
 * declare const certificate: Uint8Array;
 * for (const { kind, offset } of findDerQuirks(certificate)) console.log(kind, offset); // common-name-too-long 37
 * ```
 */
export function findDerQuirks(der: Uint8Array): DerQuirk[] {
  return scan(DerNode.lenient(der, 'DER'), true).sort((a, b) => a.offset - b.offset);
}

function scan(root: DerNode, withExtensions: boolean): DerQuirk[] {
  const quirks: DerQuirk[] = [];
  const open = [root];
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    const { offset } = node;
    if (!node.isMinimal) quirks.push({ kind: 'length-not-minimal', offset });
    if (node.text()?.includes('\0')) quirks.push({ kind: 'nul-in-string', offset });
    if ((node.tag & CONSTRUCTED) === 0) continue;
    const children = node.children();
    open.push(...children);
    const [type, value] = children;
    if (isLongCommonName(type, value)) quirks.push({ kind: 'common-name-too-long', offset: value?.offset ?? offset });
    if (withExtensions) quirks.push(...scanExtension(children));
  }
  return quirks;
}

/** Scans the content of an Extension's OCTET STRING, if it is DER. RFC 5280, 4.1.2.9. */
function scanExtension(children: readonly DerNode[]): DerQuirk[] {
  const value = children.at(-1);
  if (children[0]?.tag !== TAG.OID || value?.tag !== TAG.OCTET_STRING || children.length > 3) return [];
  const scanned = (): DerQuirk[] => {
    const inner = value.fields(TAG.OCTET_STRING).next();
    return inner.der.length === value.content.length ? scan(inner, false) : [];
  };
  return readOr([], scanned, 'request-invalid'); // an extension may hold any bytes
}

const isLongCommonName = (type: DerNode | undefined, value: DerNode | undefined): boolean =>
  type?.tag === TAG.OID && type.oid() === COMMON_NAME && (value?.text()?.length ?? 0) > MAX_COMMON_NAME;
