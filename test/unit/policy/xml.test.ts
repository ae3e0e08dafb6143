import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseXml, type XmlElement, XmlError } from '../../../src/policy/xml.ts';

const leaf = (name: string, text = ''): XmlElement => ({ name, text, children: [] });

describe('parseXml', () => {
  it('reads elements, text, CDATA, entities, comments and prefixes', () => {
    const xml = `\uFEFF<?xml version="1.0" encoding="utf-8"?><!-- a comment -->
      <s:Root xmlns:s="SYNCML:SYNCML1.2" b='"'>x&lt;&#65;&#x42;&amp;<![CDATA[<&]]>y<Empty /><Child
      a = "1" >&quot;&apos;&gt;</Child ></s:Root><Second/>`;
    expect(parseXml(xml)).toEqual([
      { name: 'Root', text: 'x<AB&<&y', children: [leaf('Empty'), leaf('Child', '"\'>')] },
      leaf('Second'),
    ]);
    expect(parseXml(' \n ')).toEqual([]);
  });

  it.each([
    ['a document type', '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'],
    ['a processing instruction', '<a><?php x ?></a>'],
    ['a declaration that is not the first', '<a/><?xml version="1.0"?>'],
    ['an unknown entity', '<a>&b;</a>'],
    ['an entity without its end', '<a>&amp </a>'],
    ['a comment that ends in three dashes', '<a><!-- x ---></a>'],
    ['a number that is U+FFFF', '<a>&#xFFFF;</a>'],
    ['U+FFFE', '<a>\ufffe</a>'],
    ['half of a surrogate pair as it is', '<a>\ud800</a>'],
    ['a declaration of nothing', '<?xml ?><a/>'],
    ['a declaration without version', '<?xml encoding="utf-8"?><a/>'],
    ['a declaration of version 2', '<?xml version="2.0"?><a/>'],
    ['a declaration with more', '<?xml version="1.0" nonsense?><a/>'],
    ['a declaration in another order', '<?xml version="1.0" standalone="yes" encoding="utf-8"?><a/>'],
    ['a declaration with an encoding that is none', '<?xml version="1.0" encoding="-utf"?><a/>'],
    ['a declaration whose quotation marks differ', '<?xml version="1.0\'?><a/>'],
    ['a declaration in capital letters', '<?XML version="1.0"?><a/>'],
    ['a bare ampersand', '<a>a & b</a>'],
    ['a number that is no character', '<a>&#0;</a>'],
    ['half of a surrogate pair', '<a>&#xD800;</a>'],
    ['a number that is too large', '<a>&#x110000;</a>'],
    ['an element that is not closed', '<a><b></a>'],
    ['an element that is never closed', '<a>'],
    ['an end without a start', '</a>'],
    ['text outside an element', '<a/>x'],
    ['CDATA outside an element', '<![CDATA[x]]>'],
    ['CDATA without its end', '<a><![CDATA[x'],
    ['the end of CDATA in text', '<a>]]></a>'],
    ['a comment without its end', '<a><!-- </a>'],
    ['dashes in a comment', '<a><!-- -- --></a>'],
    ['an attribute without quotes', '<a b=c/>'],
    ['an attribute that appears twice', '<a b="1" b="2"/>'],
    ['an attribute with <', '<a b="<"/>'],
    ['attributes without a blank between them', '<a b="1"c="2"/>'],
    ['a name with a digit in front', '<1a/>'],
    ['a start that is cut off', '<a b="1"'],
    ['a control character', '<a>\u0001</a>'],
    ['33 elements in each other', `${'<a>'.repeat(33)}${'</a>'.repeat(33)}`],
  ])('refuses %s', (_, xml) => {
    expect(() => parseXml(xml)).toThrow(XmlError);
  });

  it('reads numbers with zeros in front, and every end of a line as a line feed', () => {
    expect(parseXml('<a>&#0009;&#x00000041;&#x10FFFD;&#xFFFD;</a>')).toEqual([leaf('a', '\tA\u{10fffd}\ufffd')]);
    expect(parseXml('<a>1\r\n2\r3\n4&#13;</a>\r\n')).toEqual([leaf('a', '1\n2\n3\n4\r')]);
    for (const declaration of [
      "<?xml version='1.1'?>",
      '<?xml\r\n version = "1.0"\tencoding="UTF-16" standalone=\'no\' ?>',
    ]) {
      expect(parseXml(`${declaration}<a/>`)).toEqual([leaf('a')]);
    }
  });

  it('accepts 32 nested elements', () => {
    expect(parseXml(`${'<a>'.repeat(32)}${'</a>'.repeat(32)}`)).toHaveLength(1);
  });

  it('names the line', () => {
    expect(() => parseXml('<a>\n\n<b></a>')).toThrow("line 3: '</a>' does not close an open element");
  });

  it('reads back what is written', () => {
    const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_.-]{0,9}$/);
    const text = fc.stringMatching(/^[ -~\u00e4\u{1f4a5}]{0,20}$/u);
    const leaves = fc.record({ name, text, children: fc.constant([]) });
    const tree = fc.letrec<{ element: XmlElement }>((tie) => ({
      element: fc.oneof(
        { maxDepth: 3 },
        leaves,
        fc.record({ name, text, children: fc.array(tie('element'), { maxLength: 3 }) }),
      ),
    })).element;
    const write = ({ name, text, children }: XmlElement): string =>
      `<${name}>${text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')}${children.map(write).join('')}</${name}>`;
    fc.assert(
      fc.property(tree, (element) => {
        expect(parseXml(write(element))).toEqual([element]);
      }),
      { numRuns: 200 },
    );
  });

  it('returns or throws XmlError for any input', () => {
    const part = fc.constantFrom(
      '<',
      '>',
      '/',
      '<a>',
      '</a>',
      '<a b="',
      '"',
      '&',
      ';',
      '&#',
      '<!--',
      '-->',
      '<![CDATA[',
      ']]>',
      ' ',
      'a',
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(part, fc.string()), { maxLength: 30 }), (parts) => {
        try {
          parseXml(parts.join(''));
        } catch (error) {
          if (!(error instanceof XmlError)) throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['starts', '<a>'.repeat(500_000)],
    ['blanks in an element', `<a${' '.repeat(2_000_000)}`],
    ['attributes', `<a${' b="c"'.repeat(300_000)}/>`],
    ['ampersands', `<a>${'&'.repeat(2_000_000)}</a>`],
    ['comments', `<a>${'<!---->'.repeat(300_000)}</a>`],
    ['comments that never end', `<a>${'<!--'.repeat(300_000)}`],
    ['a long name', `<${'a'.repeat(2_000_000)}/>`],
    ['siblings', `<a>${'<b/>'.repeat(200_000)}</a>`],
    ['more than can be', ' '.repeat(4 * 1024 * 1024 + 1)],
  ])('comes to an end with many %s', (_, xml) => {
    try {
      expect(parseXml(xml)).toHaveLength(1);
    } catch (error) {
      if (!(error instanceof XmlError)) throw error;
    }
  });
});
