import { nearest } from './nearest.ts';

/** The words of a text. */
type Words<Text extends string> = Text extends `${infer Word} ${infer Rest}` ? Word | Words<Rest> : Text;

/** `string` if `Known` are all members of `Options` and no other, else `never`. */
type IfComplete<Options, Known> = [keyof Options, Known] extends [Known, keyof Options] ? string : never;

/**
 * Refuses a member of options that does not exist, for callers without types: a misspelt one would do nothing. `known`
 * are the names of all members, with spaces in between; the compiler checks that `function` gets them all.
 * @param name of the function that has the options.
 * @throws TypeError that names the member, and the one that was most likely meant.
 */
export function checkMembers<Options extends object, Known extends string>(
  name: IfComplete<Options, Words<Known>>,
  options: Options,
  ...known: readonly Known[]
): void {
  const names = known.flatMap((text) => text.split(' '));
  const stranger = Object.keys(options).find((member) => !names.includes(member));
  if (stranger === undefined) return;
  const meant = nearest(stranger, names);
  throw new TypeError(`${name} has no option '${stranger}'${meant === undefined ? '' : `, did you mean '${meant}'?`}`);
}
