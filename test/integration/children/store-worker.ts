/**
 * Counts up in a key store record: `script DIRECTORY TIMES`. With `hang` as the third argument, it then stops forever in
 * the middle of one more update. Prints `written` after every completed update, and `inside` when it stops.
 */
import { writeSync } from 'node:fs';
import type { KeyRecord } from '../../../src/keys/key-record.ts';
import { openKeyStore } from '../../../src/keys/key-store.ts';

const [, , directory = '', times = '0', then] = process.argv;
const store = await openKeyStore(directory);
const count = (record: KeyRecord) => ({
  ...record,
  annotations: { counter: Number(record.annotations.counter) + 1 },
});

for (let turn = 0; turn < Number(times); turn++) {
  await store.update('shared', count);
  writeSync(1, 'written\n');
}
if (then === 'hang') {
  setInterval(() => undefined, 1_000);
  await store.update('shared', () => new Promise(() => writeSync(1, 'inside\n')));
}
