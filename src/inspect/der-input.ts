import { toHex } from '../bytes.ts';
import { DerNode } from '../crypto/der-read.ts';
import { TAG } from '../crypto/der-write.ts';
import { readOr } from '../errors.ts';

/** More values, or more levels of them, than any file of these formats has. */
const MAX_VALUES = 5000;
const MAX_DEPTH = 32;
/** Longer files are not of these formats. */
const MAX_SIZE = 64 * 1024;

/** One value in DER, its children, and the tags that tell its format. */
export interface DerInput {
  readonly der: Uint8Array;
  readonly node: DerNode;
  readonly children: readonly DerNode[];
  /** The tags of the children, in hexadecimal. */
  readonly tags: string;
  /** The first child, if it is an object identifier. */
  readonly oid: string | undefined;
}

/**
 * Reads bytes that may be one SEQUENCE in DER. Returns `undefined` for other bytes.
 * @throws KeyprovError `request-invalid` for one that is cut off, or that has too many values or levels.
 */
export function derInput(bytes: Uint8Array): DerInput | undefined {
  if (bytes[0] !== TAG.SEQUENCE || bytes.length > MAX_SIZE) return undefined;
  const whole = () => DerNode.lenient(bytes, 'DER');
  // With a length of several bytes it is neither text nor chance, so it is damaged.
  const node = (bytes[1] ?? 0) > 0x80 ? whole() : readOr(undefined, whole, 'request-invalid');
  if (node === undefined) return undefined;
  checkExtent(node);
  const children = node.children();
  const [first] = children;
  const tags = toHex(new Uint8Array(children.slice(0, 12).map(({ tag }) => tag)));
  return { der: bytes, node, children, tags, oid: first?.tag === TAG.OID ? first.oid() : undefined };
}

/** Counts values and levels before recursive code reads them. */
function checkExtent(root: DerNode): void {
  let values = 0;
  let level: readonly DerNode[] = [root];
  for (let depth = 0; level.length > 0; depth++) {
    values += level.length;
    if (depth > MAX_DEPTH) throw root.wrong(`more than ${MAX_DEPTH} levels`);
    if (values > MAX_VALUES) throw root.wrong(`more than ${MAX_VALUES} values`);
    level = level.flatMap((node) => ((node.tag & 0x20) === 0 ? [] : node.children()));
  }
}
