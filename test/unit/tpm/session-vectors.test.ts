import { describe, expect, it } from 'vitest';
import { copy } from '../../../src/bytes.ts';
import { replay, type SessionCase, vectors } from '../../session-vectors.ts';

const { cases, saltKeys } = vectors;
const named = (vector: SessionCase) => [vector.description, vector] as const;

describe('sessions of tpm2-tss', () => {
  it.each(cases.map(named))('come out of our code byte for byte: %s', async (_, vector) => {
    await replay(vector, saltKeys);
  });

  it.each(cases.filter(({ description }) => description.startsWith('HMAC')).map(named))(
    'end with the first answer with a changed bit: %s',
    async (_, vector) => {
      const alter = (answer: Uint8Array) => {
        const altered = copy(answer);
        altered[altered.length - 1] = (altered.at(-1) ?? 0) ^ 1;
        return altered;
      };
      await expect(replay(vector, saltKeys, alter)).rejects.toMatchObject({ code: 'tpm-session' });
    },
  );
});
