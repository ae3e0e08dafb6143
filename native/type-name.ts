import { randomBytes } from 'node:crypto';

/**
 * A name for a structure that no other type has, in other copies of this module either. koffi 3.3.4 numbers structures and
 * prototypes without a name in two ways, so that a structure may get the name of a prototype that comes later; a pointer
 * to the one is then taken for a pointer to the other.
 */
export function uniqueTypeName(name: string): string {
  return `${name}_${randomBytes(8).toString('hex')}`;
}
