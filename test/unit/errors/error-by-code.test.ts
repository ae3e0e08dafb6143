import { describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../../src/errors/error-by-code.ts';
import { isKeyprovError, KeyprovError } from '../../../src/errors.ts';
import { errorOfCode } from '../../error-of-code.ts';
import { codeOf, filesIn, textOf } from '../source-files.ts';

const classOf = new Map(
  [...textOf('src/errors/error-by-code.ts').matchAll(/^ {2}readonly '?([a-z-]+)'?: (\w+);$/gm)].map(
    ([, code = '', name = '']) => [code, name],
  ),
);
const sources = filesIn(['src'], '.ts')
  .filter((path) => !path.startsWith('src/errors'))
  .map((path) => ({ path, code: codeOf(path) }));

/** Files that make errors of a class, by hand or through a helper of theirs. */
const makers = (name: string) => sources.filter(({ code }) => new RegExp(`\\bnew ${name}\\(`).test(code));

describe('the codes of errors', () => {
  it('are many', () => {
    expect(classOf.size).toBeGreaterThan(40);
  });

  it.each([...classOf])('%s is thrown somewhere, as a %s', (code, name) => {
    const makes = new RegExp(`\\bnew ${name}\\(`);
    // A class of one code knows it by itself.
    const says = [...classOf.values()].filter((other) => other === name).length === 1 ? makes : new RegExp(`'${code}'`);
    const throwing = makers(name).filter(({ code: text }) => says.test(text));
    expect(throwing.map(({ path }) => path)).not.toEqual([]);
  });

  it.each([...classOf])('%s is recognized, and is a %s', (code, name) => {
    const error = errorOfCode(code as ErrorCode, 'what happened', { remedy: 'what to do' });
    expect([error.name, error.constructor.name, error.code]).toEqual([name, name, code]);
    expect(isKeyprovError(error, code as ErrorCode)).toBe(true);
    expect(isKeyprovError(error, code === 'no-tpm' ? 'codec' : 'no-tpm')).toBe(false);
    expect(isKeyprovError(error)).toBe(true);
  });

  it('are made without their class nowhere', () => {
    const bare = sources.filter(({ code }) => /\bSUBCLASS\b/.test(code));
    expect(bare.map(({ path }) => path)).toEqual([]);
  });

  it('stay apart from the remedy in the message', () => {
    const error = new KeyprovError('no-tpm', 'no TPM was named', { remedy: 'name one' });
    expect([error.message, error.remedy]).toEqual(['no TPM was named', 'name one']);
  });
});
