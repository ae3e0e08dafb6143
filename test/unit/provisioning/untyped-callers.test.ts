import { expect, it } from 'vitest';
import { keySources } from '../../../src/keys/key-sources.ts';
import { openSoftwareKeyProvider } from '../../../src/keys/software-provider.ts';
import { checkPin, definePolicy } from '../../../src/policy/index.ts';
import { openKey } from '../../../src/provisioning/open-key.ts';
import { makeKey, provisionKey } from '../../../src/provisioning/provision-key.ts';

// In JavaScript nothing keeps a caller from giving text for bytes, or nothing.

const sources = async () => ({
  software: await openSoftwareKeyProvider({ wrappingSecret: new Uint8Array(32).fill(7) }),
});
const policy = definePolicy({ hardware: 'discouraged' });
const challenge = new Uint8Array(32);

it.each([
  ['no challenge', { challenge: undefined }, 'challenge must be a Uint8Array, not undefined'],
  ['a challenge of text', { challenge: 'abc' }, 'challenge must be a Uint8Array, not a string'],
  ['a PIN of text', { pin: '271828' }, "pin must be a Uint8Array or 'none', not a string"],
  [
    'a PIN of wider numbers',
    { pin: new Uint16Array(6) },
    "pin must be a Uint8Array or 'none', not an object of another kind",
  ],
])('provisionKey refuses %s', async (_, wrong, message) => {
  const options = { policy, sources: await sources(), challenge, ...wrong } as never;
  await expect(provisionKey(options)).rejects.toThrow(new TypeError(`provisionKey: ${message}`));
});

it("makeKey and provisionKey take 'none' for a key without a PIN, as provision does", async () => {
  const options = { policy, sources: await sources(), pin: 'none' } as const;
  for (const { record } of [await makeKey(options), await provisionKey({ ...options, challenge })]) {
    expect(record.hasPin).toBe(false);
    expect(record.policy?.pin).toBeUndefined();
    expect(record.annotations).toEqual({});
  }
});

it.each([
  ['no policy', { policy: undefined }, 'policy must be a Policy from definePolicy'],
  [
    'settings that are not a policy yet',
    { policy: { hardware: 'required' } },
    'policy must be a Policy from definePolicy',
  ],
  [
    'no sources',
    { sources: undefined },
    'sources must be an object with tpm and software, such as keySources() returns',
  ],
])('makeKey and provisionKey refuse %s', async (_, wrong, message) => {
  const options = { policy, sources: await sources(), ...wrong };
  await expect(provisionKey({ ...options, challenge } as never)).rejects.toThrow(new TypeError(message));
  await expect(makeKey(options as never)).rejects.toThrow(new TypeError(message));
});

it('keySources refuses the path of a store', () => {
  expect(() => keySources({ store: './keys' as never })).toThrow(
    new TypeError('keySources: store must be a KeyStore from openKeyStore'),
  );
});

it('a key refuses text for its data and its PIN', async () => {
  const { record } = await provisionKey({ policy, sources: await sources(), challenge });
  const key = await openKey({ record, sources: await sources() });
  await expect(key.sign({ data: 'abc' as never })).rejects.toThrow(
    new TypeError('sign: data must be a Uint8Array, or an async iterable of them such as a stream, not a string'),
  );
  await expect(key.sign({ data: challenge, pin: '1234' as never })).rejects.toThrow(
    new TypeError('sign: pin must be a Uint8Array, not a string'),
  );
  expect(await key.sign({ data: Buffer.from('abc') })).toBeInstanceOf(Uint8Array);
  await key.close();
});

it('checkPin refuses text', () => {
  expect(() => checkPin('1234' as never, policy.pin)).toThrow(new TypeError('a PIN must be a Uint8Array'));
});
