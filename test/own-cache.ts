import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

// What is noted of a TPM that a test has killed is for no other test, whose TPM may have the same address, and not for the
// user who runs them.
const directory = mkdtempSync(join(tmpdir(), 'keyprov-cache-'));
process.env.XDG_CACHE_HOME = directory;
afterAll(() => rmSync(directory, { recursive: true, force: true }));
