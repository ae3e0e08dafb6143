import { randomBytes } from 'node:crypto';

/**
 * Makes a structure name that is unique even among several copies of this module. koffi 3.3.4 numbers unnamed structures
 * and prototypes separately, so a structure may get the same name as a later prototype. koffi then confuses pointers to the
 * two.
 */
export function uniqueTypeName(name: string): string {
  return `${name}_${randomBytes(8).toString('hex')}`;
}
