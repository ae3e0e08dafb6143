import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Where peers are that are compiled or installed for the comparison: never among our own packages. */
const PLACE = join('node_modules', '.cache', 'keyprov-bench');

/** A peer: how its program is begun, or why it is not measured. */
export type Peer = { readonly command: readonly [string, ...string[]] } | { readonly missing: string };

/** Those who do the same work. `tssJs`: the address of its module. */
export type Peers = Readonly<Record<'esys' | 'mu' | 'pytss' | 'go' | 'tssJs' | 'simpleWebAuthn', Peer>>;

/** Finds the peers; `install`: those of the npm registry are fetched if they are not there. */
export function findPeers({ install }: { readonly install: boolean }): Peers {
  mkdirSync(PLACE, { recursive: true });
  return {
    esys: compiled('esys'),
    mu: compiled('mu'),
    pytss: pytss(),
    go: go(),
    tssJs: tssJs(install),
    simpleWebAuthn: existsSync(join('node_modules', '@simplewebauthn', 'server'))
      ? { command: ['@simplewebauthn/server'] }
      : { missing: 'npm ci' },
  };
}

/** The text of a figure without its peer. */
export const notMeasured = (missing: string): string => `not measured: ${missing}`;

/** Peers that cannot be had here, and what is said of them in place of figures. */
export const GO_TPM: string = notMeasured('go-tpm is in neither the npm registry nor Debian 12');

function compiled(name: string): Peer {
  const program = join(PLACE, name);
  const libraries = ['-ltss2-esys', '-ltss2-mu', '-ltss2-tctildr'];
  const source = join('bench', 'peers', `${name}.c`);
  const { status } = spawnSync('cc', ['-O2', '-o', program, source, ...libraries], { stdio: 'ignore' });
  return status === 0 ? { command: [program] } : { missing: 'install libtss2-dev and gcc' };
}

/** Its standard library, which has all that a verification needs. */
function go(): Peer {
  const program = join(PLACE, 'verify');
  const environment = { ...process.env, GO111MODULE: 'off' };
  const args = ['build', '-o', program, join('bench', 'peers', 'verify.go')];
  const { status } = spawnSync('go', args, { stdio: 'ignore', env: environment });
  return status === 0 ? { command: [program] } : { missing: 'install golang-go' };
}

/** Debian's package is for Debian's Python. */
function pytss(): Peer {
  for (const python of ['/usr/bin/python3', 'python3']) {
    if (spawnSync(python, ['-c', 'import tpm2_pytss'], { stdio: 'ignore' }).status !== 0) continue;
    return { command: [python, join('bench', 'peers', 'pytss.py')] };
  }
  return { missing: 'install python3-tpm2-pytss' };
}

function tssJs(install: boolean): Peer {
  const main = join(PLACE, 'node_modules', 'tss.js', 'lib', 'index.js');
  if (install && !existsSync(main)) {
    writeFileSync(join(PLACE, 'package.json'), '{"private":true}');
    // Its optional native part is for Windows, and does not compile.
    const args = ['install', '--prefix', PLACE, '--ignore-scripts', '--no-audit', '--no-fund', 'tss.js@2.0.0'];
    spawnSync('npm', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  }
  if (existsSync(main)) return { command: [pathToFileURL(join(dirname(main), 'index.js')).href] };
  return { missing: 'npm run bench -- --install-peers' };
}
