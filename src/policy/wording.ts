import { nearest } from '../nearest.ts';

/** `, did you mean 'x'?` if one of `names` is near to what was typed, else nothing. */
export function didYouMean(typed: string, names: readonly string[]): string {
  const meant = nearest(typed, names);
  return meant === undefined ? '' : `, did you mean '${meant}'?`;
}

/** The names in quotes, separated by bars. */
export function anyOf(names: readonly string[]): string {
  return names.map((name) => `'${name}'`).join(' | ');
}

/** A short text for a value of any kind. */
export function show(value: unknown): string {
  if (typeof value === 'string') return `'${value.length > 40 ? `${value.slice(0, 40)}…` : value}'`;
  if (Array.isArray(value)) return 'a list';
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (value === undefined) return 'of another type';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/**
 * The settings of an object by name: its own ones, and those of `names` that it inherits, as from a class with getters.
 * None may be lost: without it, a weaker default would apply.
 */
export function settingsOf(value: object, names: readonly string[]): Map<string, unknown> {
  const inherited = names.filter((name) => !Object.hasOwn(value, name) && Reflect.get(value, name) !== undefined);
  return new Map([...Object.entries(value), ...inherited.map((name) => [name, Reflect.get(value, name)] as const)]);
}
