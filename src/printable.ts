/** Control characters, directional marks, unassigned code points, and Unicode's two separators. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

/**
 * Escapes everything that could change what a terminal shows or look like another line: control characters, directional
 * marks and line breaks. Much of the output comes from services, files and TPMs.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}

/**
 * Formats a value as JSON on several lines; its strings cannot change what a terminal shows. `replacer` is that of
 * `JSON.stringify`.
 */
export function printableJson(value: object, replacer?: (key: string, value: unknown) => unknown): string {
  return JSON.stringify(value, replacer, 2)
    .split('\n')
    .map((line) => line.replace(UNPRINTABLE, escapeUnits))
    .join('\n');
}

/** A time for people, such as `2026-01-31 09:30:00 UTC`. For programs, use `toISOString`. */
export function sayTime(time: Date | number | string): string {
  return new Date(time)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, ' UTC');
}

/** JSON escapes of the one or two code units of a character. */
function escapeUnits(character: string): string {
  const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}
