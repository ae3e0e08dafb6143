import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Bytes, utf8 } from '../../../src/bytes.ts';
import { derExplicit, derInteger, derSequence, derValue } from '../../../src/crypto/der-write.ts';
import { encodePem } from '../../../src/crypto/pem.ts';
import { extendedKeyUsage, subjectAltName } from '../../../src/formats/x509/extensions.ts';
import { issueCertificate } from '../../../src/formats/x509/issue-certificate.ts';
import { buildCommonName, encodeName } from '../../../src/formats/x509/names.ts';
import { signingKeyOf } from '../../../src/testing/signing-key.ts';
import { WatchedChild } from '../../../src/tpm/transports/watched-child.ts';
import { missingPrograms, toolEnvironment } from '../../programs.ts';
import { closedPort } from './fake-server.ts';
import { runTool, runToolWell } from './tool-run.ts';

/** The client's credentials. */
export interface LogonIdentity {
  /** The value of X509_user_identity: `FILE:certificate,key`, `PKCS11:module_name=…:token=…`. */
  readonly argument: string;
  /** Environment variables for the client. */
  readonly env?: NodeJS.ProcessEnv;
  /** The answer to a PIN prompt. */
  readonly pin?: string;
}

/** A user's attempt to log on. */
interface LogonAttempt {
  readonly user: string;
  /** The user's certificate in DER. */
  readonly certificate: Uint8Array;
  readonly identity: LogonIdentity;
  /** Whether the KDC trusts the certificate. */
  readonly trusted: boolean;
}

/** The result of an attempt. */
export interface LogonOutcome {
  /** The principal of the client's ticket-granting ticket. */
  readonly ticketOf: string | undefined;
  /** The client's output. */
  readonly said: string;
  /** The KDC's log. */
  readonly log: string;
}

/** A KDC for the realm CONTOSO.TEST, whose users have no passwords: they can log on only with a key. */
export interface MitKdc extends Disposable {
  /** A directory that is removed with the KDC. */
  readonly directory: string;
  /** Adds users by their user principal names. */
  addUser(upn: string): void;
  /** Starts the KDC, requests a ticket with the client, and ends the KDC. */
  logOn(attempt: LogonAttempt): Promise<LogonOutcome>;
}

const REALM = 'CONTOSO.TEST';
const PKINIT_SAN = '1.3.6.1.5.2.2';
const PKINIT_KDC = '1.3.6.1.5.2.3.5';
const MAX_PORT_TRIES = 20;
const START_TIMEOUT_MS = 10_000;

/** The reason why tests that use a KDC must be skipped; see `missingOutsideCi`. */
export const mitKdcMissing = (): string | undefined =>
  missingPrograms('krb5kdc', 'kdb5_util', 'kadmin.local', 'kinit', 'klist');

/** Makes the realm. */
export async function makeMitKdc(): Promise<MitKdc> {
  const directory = mkdtempSync(join(tmpdir(), 'keyprov-kdc-'));
  const file = (name: string) => join(directory, name);
  const remove = () => rmSync(directory, { recursive: true, force: true });
  const env = {
    KRB5_CONFIG: file('krb5.conf'),
    KRB5_KDC_PROFILE: file('kdc.conf'),
    KRB5CCNAME: `FILE:${file('tickets')}`,
  };
  try {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const own = encodePem('CERTIFICATE', await kdcCertificate(signingKeyOf(privateKey)));
    writeFileSync(file('kdc.pem'), own);
    writeFileSync(file('kdckey.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    writeSettings(directory, 0);
    runToolWell('kdb5_util', ['create', '-r', REALM, '-s', '-P', 'master'], { env });
    const administrate = (query: string) => runToolWell('kadmin.local', ['-r', REALM, '-q', query], { env });
    return {
      directory,
      addUser(upn) {
        administrate(`addprinc -nokey +requires_preauth ${principalOf(upn)}`);
        const subject = `<SUBJECT>.*/${upn.replaceAll('.', '\\.')}$`;
        administrate(`setstr ${principalOf(upn)} pkinit_cert_match "${subject}"`);
      },
      async logOn({ user, certificate, identity, trusted }) {
        const pem = encodePem('CERTIFICATE', certificate);
        // Each side also checks its own certificate, and reads trust anchors only when it starts.
        writeFileSync(file('anchors.pem'), trusted ? own + pem : own);
        writeFileSync(file('client-anchors.pem'), own + pem);
        for (const name of ['tickets', 'kdc.log']) rmSync(file(name), { force: true });
        const kdc = await startKdc(directory, env);
        try {
          const extras = [`X509_user_identity=${identity.argument}`, `X509_anchors=FILE:${file('client-anchors.pem')}`];
          const { said } = runTool('kinit', [...extras.flatMap((extra) => ['-X', extra]), principalOf(user)], {
            env: { ...env, ...identity.env },
            input: identity.pin === undefined ? '' : `${identity.pin}\n`,
          });
          const list = runTool('klist', [], { env }).stdout;
          const [, ticketOf] = /^Default principal: (.*)$/m.exec(list) ?? [];
          const isGranting = list.includes(`krbtgt/${REALM}@${REALM}`);
          const log = existsSync(file('kdc.log')) ? readFileSync(file('kdc.log'), 'utf8') : '';
          return { ticketOf: isGranting ? ticketOf : undefined, said, log };
        } finally {
          await kdc.kill();
        }
      },
      [Symbol.dispose]: remove,
    };
  } catch (error) {
    remove();
    throw error;
  }
}

const principalOf = (upn: string): string => upn.split('@')[0] ?? upn;

/** RFC 4556, 3.2.4: a KDC's name is a KRB5PrincipalName for the realm's service krbtgt (type 2). */
async function kdcCertificate(key: Parameters<typeof issueCertificate>[1]): Promise<Bytes> {
  const text = (value: string) => derValue(0x1b, utf8(value));
  const name = derSequence(derExplicit(0, derInteger(2)), derExplicit(1, derSequence(text('krbtgt'), text(REALM))));
  const value = derSequence(derExplicit(0, text(REALM)), derExplicit(1, name));
  const subject = encodeName(buildCommonName('kdc.contoso.test'));
  const now = Date.now();
  return await issueCertificate(
    {
      ...{ issuer: subject, subject, publicKey: key.publicKey },
      notBefore: new Date(now - 600_000),
      notAfter: new Date(now + 86_400_000),
      extensions: [
        extendedKeyUsage(PKINIT_KDC),
        subjectAltName([{ kind: 'other-name', type: PKINIT_SAN, value }], false),
      ],
    },
    key,
  );
}

async function startKdc(directory: string, env: NodeJS.ProcessEnv): Promise<WatchedChild> {
  for (let tries = 1; ; tries++) {
    const port = await closedPort();
    writeSettings(directory, port);
    const kdc = new WatchedChild({
      command: ['krb5kdc', '-n', '-r', REALM],
      directory,
      env: { ...toolEnvironment(), ...env },
    });
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!kdc.hasEnded && Date.now() < deadline) {
      if (await accepts(port)) return kdc;
      await delay(5);
    }
    await kdc.kill();
    if (tries === MAX_PORT_TRIES) throw new Error(`krb5kdc: ${kdc.ending}: ${kdc.said}`);
  }
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const is = await once(socket, 'connect').then(
    () => true,
    () => false,
  );
  socket.destroy();
  return is;
}

function writeSettings(directory: string, port: number): void {
  writeFileSync(
    join(directory, 'krb5.conf'),
    `[libdefaults]
default_realm = ${REALM}
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
udp_preference_limit = 1
[realms]
${REALM} = {
  kdc = 127.0.0.1:${port}
}
[logging]
kdc = FILE:${directory}/kdc.log
`,
  );
  // Windows' certificates have no KeyUsage, which pkinit_eku_checking = scLogin requires.
  writeFileSync(
    join(directory, 'kdc.conf'),
    `[kdcdefaults]
kdc_listen = ""
kdc_tcp_listen = 127.0.0.1:${port}
[realms]
${REALM} = {
  database_name = ${directory}/principal
  key_stash_file = ${directory}/stash
  acl_file = ${directory}/acl
  supported_enctypes = aes256-cts:normal
  pkinit_identity = FILE:${directory}/kdc.pem,${directory}/kdckey.pem
  pkinit_anchors = FILE:${directory}/anchors.pem
  pkinit_eku_checking = none
}
`,
  );
}
