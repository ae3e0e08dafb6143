import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { importSwtpmState } from '../../../src/tpm/swtpm-state.ts';

/** The output of swtpm_setup: a TPM with endorsement keys and certificates, and the CA that issued them. */
export interface ManufacturedTpm extends Disposable {
  /** The directory with the state, for a swtpm. */
  readonly stateDirectory: string;
  /** The permanent state, for libtpms. */
  readonly state: Uint8Array;
  /** Paths of PEM files. */
  readonly root: string;
  readonly issuer: string;
}

/**
 * Makes a TPM with swtpm_setup: persistent endorsement keys L-1 (RSA 2048) and H-3 (P-384) with certificates, and a
 * platform certificate. Everything is in a separate directory, including the configuration, so the user's files are neither
 * needed nor changed.
 */
export function manufactureTpm(): ManufacturedTpm {
  const directory = mkdtempSync(join(tmpdir(), 'keyprov-made-'));
  const path = (name: string) => join(directory, name);
  const stateDirectory = path('state');
  for (const name of ['state', 'ca']) mkdirSync(path(name));
  const tool = execFileSync('which', ['swtpm_localca'], { encoding: 'utf8' }).trim();
  const write = (name: string, ...lines: string[]) => writeFileSync(path(name), `${lines.join('\n')}\n`);
  write(
    'setup.conf',
    `create_certs_tool=${tool}`,
    `create_certs_tool_config=${path('localca.conf')}`,
    `create_certs_tool_options=${path('options')}`,
  );
  write(
    'localca.conf',
    `statedir=${path('ca')}`,
    `signingkey=${path('ca/key.pem')}`,
    `issuercert=${path('ca/issuer.pem')}`,
    `certserial=${path('ca/serial')}`,
  );
  write('options', '--platform-manufacturer keyprov', '--platform-model test', '--platform-version 1');
  execFileSync('swtpm_setup', [
    ...['--tpm2', '--tpmstate', stateDirectory, '--config', path('setup.conf'), '--pcr-banks', 'sha256'],
    ...['--create-ek-cert', '--create-platform-cert', '--lock-nvram'],
  ]);
  return {
    stateDirectory,
    state: importSwtpmState(readFileSync(join(stateDirectory, 'tpm2-00.permall'))),
    root: path('ca/swtpm-localca-rootca-cert.pem'),
    issuer: path('ca/issuer.pem'),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true }),
  };
}
