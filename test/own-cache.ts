import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

// Gives each test process its own cache directory. Marks of a killed TPM must not reach another test, whose TPM may have the
// same address, or the user who runs the tests.
const directory = mkdtempSync(join(tmpdir(), 'keyprov-cache-'));
process.env.XDG_CACHE_HOME = directory;
afterAll(() => rmSync(directory, { recursive: true, force: true }));
