import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** The folder for peers that are compiled or installed for the comparison, separate from our own packages. */
const PLACE = join('node_modules', '.cache', 'keyprov-bench');

/** A peer: the command that starts its program, or the reason why it is not measured. */
export type Peer = { readonly command: readonly [string, ...string[]] } | { readonly missing: string };

/** The programs that do the same work. `tssJs`: the URL of its module. */
export type Peers = Readonly<Record<'esys' | 'mu' | 'pytss' | 'go' | 'tssJs' | 'simpleWebAuthn', Peer>>;

/** Finds the peers. `install`: installs missing peers from the npm registry. */
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

/** The text in place of a figure whose peer is missing. */
export const notMeasured = (missing: string): string => `not measured: ${missing}`;

/** The text in place of figures for peers that are not available here. */
export const GO_TPM: string = notMeasured('go-tpm is in neither the npm registry nor Debian 12');

function compiled(name: string): Peer {
  const program = join(PLACE, name);
  const libraries = ['-ltss2-esys', '-ltss2-mu', '-ltss2-tctildr'];
  const source = join('bench', 'peers', `${name}.c`);
  const { status } = spawnSync('cc', ['-O2', '-o', program, source, ...libraries], { stdio: 'ignore' });
  return status === 0 ? { command: [program] } : { missing: 'install libtss2-dev and gcc' };
}

/** Go's standard library contains everything that a verification needs. */
function go(): Peer {
  const program = join(PLACE, 'verify');
  const environment = { ...process.env, GO111MODULE: 'off' };
  const args = ['build', '-o', program, join('bench', 'peers', 'verify.go')];
  const { status } = spawnSync('go', args, { stdio: 'ignore', env: environment });
  return status === 0 ? { command: [program] } : { missing: 'install golang-go' };
}

/** Debian's package works only with Debian's Python. */
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
    // Its optional native part is for Windows and does not compile here.
    const args = ['install', '--prefix', PLACE, '--ignore-scripts', '--no-audit', '--no-fund', 'tss.js@2.0.0'];
    spawnSync('npm', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  }
  if (existsSync(main)) return { command: [pathToFileURL(join(dirname(main), 'index.js')).href] };
  return { missing: 'npm run bench -- --install-peers' };
}
