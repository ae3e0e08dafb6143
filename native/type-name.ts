import { randomBytes } from 'node:crypto';

/**
 * Makes a name for a structure that no other type has, even in other copies of this module. koffi 3.3.4 numbers unnamed
 * structures and prototypes in two ways, so a structure may get the name of a later prototype. Pointers to the one are
 * then taken for pointers to the other.
 */
export function uniqueTypeName(name: string): string {
  return `${name}_${randomBytes(8).toString('hex')}`;
}
