import { describe, expect, it } from 'vitest';
import { codeOf, filesIn, importsOf } from './source-files.ts';

const sources = filesIn(['src'], '.ts');
/** The files that use more than the types of one of these packages. */
const usersOf = (...packages: readonly string[]) =>
  sources.filter((path) => importsOf(path).some(({ target, typeOnly }) => !typeOnly && packages.includes(target)));
/** The files in whose code the pattern occurs. */
const filesWith = (pattern: RegExp) => sources.filter((path) => pattern.test(codeOf(path)));

/** The identity service for tests, which accepts connections and opens none. */
const SERVER = 'src/testing/identity-service/listen.ts';
/** The pages of commands: without TLS, since they are for this machine only. */
const PAGES = 'src/cli/web/page-server.ts';

describe('the border to the terminal', () => {
  it('has one file that writes', () => {
    expect(filesWith(/\bconsole\./)).toEqual([]);
    expect(filesWith(/(?<!\bout)\.write\((?!'')/).filter((path) => path.startsWith('src/cli/'))).toEqual([
      'src/cli/terminal/printer.ts',
    ]);
    // A stream is passed only to a printer.
    expect(filesWith(/\bnew Printer\(/)).toEqual([
      'src/cli/main.ts',
      'src/cli/terminal/output.ts',
      'src/cli/terminal/report.ts',
    ]);
    const handed =
      /new Printer\(process\.std(?:out|err)\)|isLive\(process\.stderr,|process\.std(?:out|err)\.on\('error',|process\.stdout\.write\('',/g;
    const uses = sources.filter((path) => /\bprocess\.std(?:out|err)\b/.test(codeOf(path).replaceAll(handed, '')));
    expect(uses).toEqual([]);
    // Commands that the user has named write themselves.
    expect(filesWith(/'inherit'/)).toEqual(['src/cli/commands/sim.ts', 'src/cli/terminal/command-output.ts']);
  });
});

describe('the border to the network', () => {
  it('has one file that decides how TLS is verified', () => {
    expect(usersOf('node:tls', 'tls', 'node:https', 'https', 'node:http2', 'node:http')).toEqual([
      PAGES,
      'src/registration/verified-tls.ts',
      SERVER,
    ]);
    expect(
      filesWith(/rejectUnauthorized|checkServerIdentity|NODE_TLS_REJECT_UNAUTHORIZED|createSecureContext/),
    ).toEqual(['src/registration/verified-tls.ts', SERVER]);
    // For the server: it requests client certificates, and treats clients without a valid one as anonymous.
    expect(codeOf(SERVER)).toContain('requestCert: true, rejectUnauthorized: false');
  });

  it('is not reached by the pages of commands', () => {
    expect(codeOf(PAGES)).toContain(
      "import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';",
    );
    expect(codeOf(PAGES).match(/\.listen\(.*\)/g)).toEqual([".listen(0, '127.0.0.1')"]);
    // To itself, to overwrite the data that Node has read.
    expect(codeOf(PAGES).match(/\bconnect\(.*\)/g)).toEqual(['connect(Number(port), hostname)']);
  });

  it('has one file that connects with TLS to services, and one to directories', () => {
    expect(filesWith(/\bverifiedTls\(/)).toEqual([
      'src/cli/ldap-directory.ts', // looks at the roots only
      'src/registration/ldap-connection.ts',
      'src/registration/service-fetch.ts',
      'src/registration/verified-tls.ts',
    ]);
    expect(usersOf('undici', 'undici/index.js')).toEqual(['src/registration/service-fetch.ts']);
    expect(filesWith(/\bnew Client\(/)).toEqual(['src/registration/ldap-connection.ts']);
  });

  it('is crossed without TLS by the transports of TPMs only', () => {
    expect(usersOf('node:net', 'node:dgram')).toEqual(
      [PAGES, 'src/registration/ldap-connection.ts', 'src/tpm/transports/socket-connection.ts'].sort(),
    );
    expect(codeOf('src/registration/ldap-connection.ts')).toContain("import { isIP } from 'node:net';");
  });

  it('is crossed by no call of the global fetch, which obeys NODE_TLS_REJECT_UNAUTHORIZED', () => {
    const calls = filesWith(/(?<![.\w])(?:globalThis\.)?fetch\(/);
    expect(calls).toEqual([]);
    expect(filesWith(/(?<![.\w])fetch: \w+ = fetch\b|\?\? fetch\b/)).toEqual([]);
  });
});

describe('the border to the surroundings', () => {
  it('has one file that finds the working directory and the home directory', () => {
    expect(
      filesWith(/\bhomedir\(|\buserInfo\(|\bprocess\.cwd\(|import \{[^}]*\bresolve\b[^}]*\} from 'node:path'/),
    ).toEqual(['src/storage/user-paths.ts']);
  });
});
