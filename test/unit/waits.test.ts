import { describe, expect, it } from 'vitest';
import { codeOf, filesIn } from './source-files.ts';

/** Code that waits for another process, or for an event that only others can cause. */
const OUTSIDE_WAITS =
  /(?<![.#\w])(once|spawn|promisify\(execFile\)|createReadStream|createServer|connectSocket|callAsync)\(|\bnew (Client|Agent|Promise)\b|(?<!process)\.on\('(close|exit|end|data|message|connect)'/;

/**
 * Every file with such a wait, and what ends the wait if the others do nothing. A new file fails the test until somebody
 * has thought about that, and has written it down here.
 */
const ENDS: Readonly<Record<string, string>> = {
  'native/call-async.ts': 'its caller: the transports give a call up at their limit, and do not wait for its end',
  'native/libtpms.ts': 'cancel, and the limit of its transport, which does not wait for the end of the call',
  'native/tbs.ts': 'the limit of its transport, which does not wait for the end of the call',
  'native/tctildr.ts': 'the limit of its transport, which does not wait for the end of the call',
  'src/cli/file-io.ts': 'fileIo, by the signal of the command',
  'src/cli/commands/sim.ts': 'the command of the user, which gets the signals',
  'src/cli/service-connection.ts': 'nothing is waited for: what is made is made once',
  'src/cli/web/open-browser.ts': 'nothing is waited for: the browser is on its own',
  'src/cli/web/page-server.ts':
    'the times of requests and polls, and the end of the command, which cuts all connections',
  'src/cli/web/provision-window.ts': 'unlessAborted, by the end of the window and the signal of the command',
  'src/cli/terminal/command-output.ts':
    'its limit of time, and the signal of the command; both end what it has started',
  'src/cli/terminal/line-reader.ts': 'the signal of the command',
  'src/cli/terminal/output.ts': 'signals, which end the process by themselves when the work is done',
  'src/cli/terminal/pin-file.ts': 'fileIo, by the signal of the command',
  'src/keys/key-sources.ts':
    'nobody outside: calls that wait for the same opening go on in this turn of the event loop',
  'src/keys/software-provider.ts': 'nobody outside: OpenSSL makes a key on a thread of this process',
  'src/registration/ldap-connection.ts': 'unlessAborted, and the time-outs of the client',
  'src/registration/service-fetch.ts': 'exchange, which gives every request a time-out and the signal of the caller',
  'src/signal.ts': 'these are what ends other waits',
  'src/storage/read-input.ts': 'unlessAborted, by the signal of the caller; the end of a file of ours',
  'src/storage/run-program.ts': 'its limit of time, and the signal of the caller; both kill the program',
  'src/testing/identity-service/listen.ts': 'close, which destroys every socket, also before the TLS handshake',
  'src/tpm/queue.ts': 'the task that runs, which TimedSender ends at its limit',
  'src/tpm/transports/socket-connection.ts': 'the limit that connect and exchange get',
  'src/tpm/transports/tcti.ts': 'the limit of the opening, also while it waits in line',
  'src/tpm/transports/watched-child.ts': 'kill, which ends with SIGKILL',
};

describe('a wait for others', () => {
  const waiting = filesIn(['src', 'native'], '.ts').filter((path) => OUTSIDE_WAITS.test(codeOf(path)));

  it('is only in files for which it is recorded what ends the wait', () => {
    expect(waiting.filter((path) => !Object.hasOwn(ENDS, path))).toEqual([]);
  });

  it('is still in every recorded file', () => {
    expect(Object.keys(ENDS).filter((path) => !waiting.includes(path))).toEqual([]);
  });
});
