/**
 * A word of a command that a message shows, to copy into a shell: quoted if it has a character that a shell may not take as
 * it is. Windows' shells share only double quotes, which are not in the names of files there.
 */
export function shellWord(text: string): string {
  const isWindows = process.platform === 'win32';
  if ((isWindows ? /^[\w@%+=:,./~\\-]+$/ : /^[\w@%+=:,./-]+$/).test(text)) return text;
  return isWindows ? `"${text}"` : `'${text.replaceAll("'", "'\\''")}'`;
}
