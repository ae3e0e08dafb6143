/** Control characters, marks of direction, what has no character, and the two separators of Unicode. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

/**
 * A text without anything that could change what a terminal shows, or look like another line: control characters,
 * marks of direction and line breaks are escaped. Much of what is shown comes from services, files and TPMs.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}

/** A value as JSON of several lines, in which strings have nothing that could change what a terminal shows. */
export function printableJson(value: object): string {
  return JSON.stringify(value, undefined, 2)
    .split('\n')
    .map((line) => line.replace(UNPRINTABLE, escapeUnits))
    .join('\n');
}

/** As JSON escapes: each of the one or two units of a character. */
function escapeUnits(character: string): string {
  const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}
