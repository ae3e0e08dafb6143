import { checkTextSize, LIMIT } from '../limits.ts';

/** An element of an XML text. Attributes are checked and dropped; names are without their prefix. */
export interface XmlElement {
  readonly name: string;
  /** The text directly in it, with entities and CDATA resolved. */
  readonly text: string;
  readonly children: readonly XmlElement[];
}

/** Thrown for a text that is not XML, or uses a refused feature. */
export class XmlError extends Error {
  /** The line, counted from 1. */
  readonly line: number;

  constructor(message: string, line: number) {
    super(`line ${line}: ${message}`);
    this.name = 'XmlError';
    this.line = line;
  }
}

const MAX_DEPTH = 32;
const NAME = '[A-Za-z_][A-Za-z0-9_.-]{0,127}(?::[A-Za-z_][A-Za-z0-9_.-]{0,127})?';
const START = new RegExp(`<(${NAME})`, 'y');
const ATTRIBUTE = new RegExp(`[ \\t\\r\\n]+(${NAME})[ \\t\\r\\n]*=[ \\t\\r\\n]*(?:"([^"<]*)"|'([^'<]*)')`, 'y');
const START_END = /[ \t\r\n]*(\/?)>/y;
const END = new RegExp(`</(${NAME})[ \\t\\r\\n]*>`, 'y');
const TEXT = /[^<]+/y;
const S = '[ \\t\\n]';
const quoted = (value: string): string => `${S}{0,99}=${S}{0,99}(?:"${value}"|'${value}')`;
/** XML 1.0, 2.8. */
const DECLARATION = new RegExp(
  `<\\?xml${S}{1,99}version${quoted('1\\.[0-9]{1,9}')}` +
    `(?:${S}{1,99}encoding${quoted('[A-Za-z][A-Za-z0-9._-]{0,99}')})?` +
    `(?:${S}{1,99}standalone${quoted('(?:yes|no)')})?${S}{0,99}\\?>`,
  'y',
);
/** Anything but a Char of XML 1.0, 2.2. */
const NOT_XML = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u;
/** An entity's name or number, with or without leading zeros. XML 1.0, 4.1. */
const REFERENCE = /&(?:#x([0-9a-fA-F]{1,64})|#([0-9]{1,64})|([a-z]{1,64}));/y;
const ENTITIES: ReadonlyMap<string, string> = new Map(
  Object.entries({ lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }),
);

interface Open {
  readonly tag: string;
  text: string;
  readonly children: XmlElement[];
}

/**
 * Reads the elements of an XML text, which may have several roots. Supports the parts that configuration messages use:
 * elements, attributes, text, CDATA, comments, the five entities and numbered characters. Refuses document types and
 * processing instructions, so that nothing is fetched and nothing grows.
 *
 * @throws XmlError for anything else, for more than 4 Mi characters, or elements nested more than 32 deep.
 */
export function parseXml(text: string): readonly XmlElement[] {
  checkTextSize(text, LIMIT.file, (message) => {
    throw new XmlError(message, 1);
  });
  const xml = text.replace(/\r\n?/g, '\n'); // XML 1.0, 2.11
  const roots: Open = { tag: '', text: '', children: [] };
  const open: Open[] = [roots];
  let at = 0;
  const refuse = (message: string): never => {
    throw new XmlError(message, xml.slice(0, at).split('\n').length);
  };
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(xml);
    if (found !== null) at += found[0].length;
    return found;
  };
  const takeUntil = (start: string, end: string): string | undefined => {
    if (!xml.startsWith(start, at)) return undefined;
    const stop = xml.indexOf(end, at + start.length);
    if (stop < 0) return refuse(`'${start}' without '${end}'`);
    const content = xml.slice(at + start.length, stop);
    at = stop + end.length;
    return content;
  };

  at = Math.max(xml.search(NOT_XML), 0);
  if (at > 0 || NOT_XML.test(xml)) refuse('a character that XML does not allow');
  take(/\uFEFF/y);
  take(DECLARATION);
  while (at < xml.length) {
    const parent = open.at(-1) ?? roots;
    const text = take(TEXT)?.[0];
    if (text !== undefined) {
      parent.text += resolve(text, refuse);
      if (parent === roots && text.trim() !== '') refuse('text outside an element');
      continue;
    }
    const comment = takeUntil('<!--', '-->');
    if (comment !== undefined) {
      if (comment.includes('--') || comment.endsWith('-')) refuse("'--' in a comment");
      continue;
    }
    const data = takeUntil('<![CDATA[', ']]>');
    if (data !== undefined) {
      if (parent === roots) refuse('text outside an element');
      parent.text += data;
      continue;
    }
    const end = take(END);
    if (end !== null) {
      if (parent === roots || end[1] !== parent.tag) refuse(`'${end[0]}' does not close an open element`);
      close(open);
      continue;
    }
    const start = take(START);
    if (start === null) {
      const isOther = xml.startsWith('<!', at) || xml.startsWith('<?', at);
      refuse(isOther ? 'document types and processing instructions are not allowed' : "'<' does not begin a tag");
    }
    if (open.length > MAX_DEPTH) refuse(`elements are nested deeper than ${MAX_DEPTH}`);
    const names = new Set<string>();
    for (let found = take(ATTRIBUTE); found !== null; found = take(ATTRIBUTE)) {
      const [, name = '', inDouble, inSingle] = found;
      if (names.has(name)) refuse(`the attribute '${name}' appears twice`);
      names.add(name);
      resolve(inDouble ?? inSingle ?? '', refuse);
    }
    const startEnd = take(START_END);
    if (startEnd === null) refuse(`'<${start?.[1]}' is not closed`);
    open.push({ tag: start?.[1] ?? '', text: '', children: [] });
    if (startEnd?.[1] === '/') close(open);
  }
  if (open.length > 1) refuse(`'<${open.at(-1)?.tag}>' is never closed`);
  return roots.children;
}

function close(open: Open[]): void {
  const closed = open.pop();
  if (closed === undefined) return;
  const { tag, text, children } = closed;
  open.at(-1)?.children.push({ name: tag.slice(tag.indexOf(':') + 1), text, children });
}

function resolve(text: string, refuse: (message: string) => never): string {
  if (text.includes(']]>')) refuse("']]>' outside CDATA");
  let resolved = '';
  let from = 0;
  for (let at = text.indexOf('&'); at >= 0; at = text.indexOf('&', from)) {
    REFERENCE.lastIndex = at;
    const [whole = '', hex, decimal, name = ''] = REFERENCE.exec(text) ?? [];
    const code = Number.parseInt(hex ?? decimal ?? '0', hex === undefined ? 10 : 16);
    const character = code > 0 && code < 0x110000 ? String.fromCodePoint(code) : (ENTITIES.get(name) ?? '');
    if (character === '' || NOT_XML.test(character)) refuse(`'${whole || '&'}' is not a known entity`);
    resolved += text.slice(from, at) + character;
    from = at + whole.length;
  }
  return resolved + text.slice(from);
}
