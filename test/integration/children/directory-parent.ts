import { startDirectory } from '../../../src/testing/directory/slapd.ts';

// Starts a directory, adds a user, says where it is, and waits for its own end.
const directory = await startDirectory();
const dn = await directory.addUser({ upn: 'ada@contoso.test' });
process.stdout.write(`${JSON.stringify({ pid: directory.pid, dn })}\n`);
process.stdin.resume();
