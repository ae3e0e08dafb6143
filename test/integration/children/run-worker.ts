/** Claims a user's run in a key store and stops forever: `script DIRECTORY`. Prints `inside` when it has the claim. */
import { writeSync } from 'node:fs';
import { openKeyStore } from '../../../src/keys/key-store.ts';
import { claimRun } from '../../../src/provisioning/run-journal.ts';

const [, , directory = ''] = process.argv;
await claimRun(await openKeyStore(directory), {
  user: 'alice@contoso.test',
  deviceId: '47f577e3-d2d0-4a0a-8aca-e0501098bde4',
  service: 'https://service.test/EnrollmentServer/key/',
  now: new Date(0),
});
setInterval(() => undefined, 1_000);
writeSync(1, 'inside\n');
