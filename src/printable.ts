/**
 * A text without anything that could change what a terminal shows, or look like another line: control characters,
 * marks of direction and line breaks are escaped. Much of what is shown comes from services, files and TPMs.
 */
export function printable(text: string): string {
  return text.replace(/\p{C}/gu, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}

/** The same for a text of several lines, whose tabs and line breaks stay. */
export function printableLines(text: string): string {
  return text.replace(/[^\n\t]+/g, printable);
}
