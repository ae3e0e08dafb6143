import { byteCount, checkObject } from '../bytes.ts';
import { printable } from '../printable.ts';
import { shortened } from './fields.ts';
import type { Field, Inspection, Reading } from './inspection.ts';

/** Longer values are cut for people; programs get them whole. */
const MAX_VALUE = 160;

/**
 * Writes an inspection for people: the format, the problems, and the fields, indented. Escapes control characters from
 * the file, so that it cannot change what a terminal shows.
 * @throws TypeError for an argument of another kind.
 */
export function printInspection(inspection: Inspection): string {
  checkObject(
    inspection,
    'the inspection',
    'title:string',
    'encodings:list',
    'problems:list',
    'fields:list',
    'alternatives:list',
  );
  const { title, confidence, encodings, size, problems, fields, alternatives } = inspection;
  const wrapped = encodings.length > 0 ? ` in ${encodings.join(', then ')}` : '';
  const lines = [
    `${title}${HOW_SURE[confidence]}, ${byteCount(size)}${wrapped}`,
    ...problems.map((problem) => `problem: ${problem}`),
    ...alternatives.map((other: Reading) => `or: ${other.title}${HOW_SURE[other.confidence]}`),
    ...(fields.length > 0 ? [''] : []),
    ...fields.flatMap((one) => linesOf(one, '')),
  ];
  return lines.map((line) => `${printable(line)}\n`).join('');
}

const HOW_SURE = { certain: '', likely: ' (probably)', damaged: ' (damaged)', none: '' } as const;

function linesOf({ name, value, fields = [] }: Field, indent: string): string[] {
  const text = value === undefined ? '' : ` ${shortened(String(value), MAX_VALUE)}`;
  return [`${indent}${name}:${text}`, ...fields.flatMap((one) => linesOf(one, `${indent}  `))];
}
