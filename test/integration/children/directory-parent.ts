import { startDirectory } from '../../../src/testing/directory/slapd.ts';

// Starts a directory, adds a user, prints the address, and waits to be killed.
const directory = await startDirectory();
const dn = await directory.addUser({ upn: 'ada@contoso.test' });
process.stdout.write(`${JSON.stringify({ pid: directory.pid, dn })}\n`);
process.stdin.resume();
