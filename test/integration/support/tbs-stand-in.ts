import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Compiles the stand-in for tbs.dll. The environment variable TBS_SOCKET selects the swtpm behind it. */
export function buildTbsStandIn(): { readonly library: string; remove(): void } {
  const directory = mkdtempSync(join(tmpdir(), 'keyprov-tbs-'));
  const library = join(directory, 'tbs.so');
  const source = join(import.meta.dirname, '../../native/tbs-stand-in.c');
  const flags = ['-Wall', '-Wextra', '-Werror', '-shared', '-fPIC'];
  const { status, stderr } = spawnSync('cc', [...flags, '-o', library, source, '-lpthread'], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`cc: ${stderr}`);
  return { library, remove: () => rmSync(directory, { recursive: true }) };
}
