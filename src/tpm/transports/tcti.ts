import type { TctiContext, TctiLoader } from '../../../native/tctildr.ts';
import type { Bytes } from '../../bytes.ts';
import { KeyprovError, type PlainErrorCode, sayError, undoOnFailure } from '../../errors.ts';
import { onThread, type SignalOptions, unlessAborted, withTimeout } from '../../signal.ts';
import { passingFailure } from '../../storage/load-failure.ts';
import { checkAnswerFrame, SIGN_OF_LIFE } from '../frame.ts';
import { decodeResponseCode, describeResponseCode } from '../response-code.ts';
import { OPEN_TIMEOUT_MS, type TpmTransport, TURN_TIMEOUT_MS } from '../transport.ts';
import { TransportLife } from './life.ts';
import { cannotLoad, loadNative } from './load-native.ts';

/** `signal` aborts the opening. */
export interface TctiOptions extends SignalOptions {
  /** The name of a TCTI and its settings, in tpm2-tss' form: `device:/dev/tpmrm0`, `tabrmd`, `swtpm:port=2321`. */
  readonly conf: string;
  /**
   * Path of libtss2-tctildr. Absent: the environment variable `KEYPROV_TCTILDR`, else the directories where
   * distributions put it.
   */
  readonly library?: string | undefined;
  /** Maximum time for opening, in milliseconds. Default: 30,000 for an emulator, else 750. */
  readonly openTimeoutMs?: number | undefined;
}

/** A TPM behind a TCTI of tpm2-tss. */
export interface TctiTransport extends TpmTransport, AsyncDisposable {
  readonly kind: 'tcti';
}

/**
 * Opens a TPM through tpm2-tss' TCTI loader, which reaches every TPM that tpm2-tools can reach.
 *
 * Turns off tpm2-tss' logging (`TSS2_LOG=all+none`, inherited by processes started later) unless that variable is set.
 * Waits up to 30 seconds for its turn at an emulator. At most two openings hold a thread of libuv's pool; others wait in
 * this process. A running command cannot be canceled, because tpm2-tss allows no second call while one waits for the
 * response. A TPM that takes a command and never responds holds a thread, so the process, even with `process.exit`, ends
 * only after the connection.
 * @throws KeyprovError with `address-invalid`, `library-missing`, `library-unsuitable`, `transport-unreachable` or
 * `transport-timeout`.
 */
export async function openTcti(options: TctiOptions): Promise<TctiTransport> {
  const { conf, signal } = options;
  const address = `tcti:${conf}`;
  // tpm2-tss would search by itself, and take an emulator if it finds no TPM.
  if (conf === '') {
    throw new KeyprovError('address-invalid', 'tcti: the address has no TCTI', {
      remedy: 'write, for example, tcti:device:/dev/tpmrm0',
    });
  }
  const usual = describeTctiConf(conf).emulator ? TURN_TIMEOUT_MS : OPEN_TIMEOUT_MS;
  const { openTimeoutMs: timeoutMs = usual } = options;
  let hasBegun = false;
  const begin = (): Promise<TctiTransport> => {
    hasBegun = true;
    return onThread(() => connect(address, options));
  };
  const late = () => {
    const busy = `not tried within ${timeoutMs} ms, because earlier openings wait for their TPMs: ${[...running].join(', ')}`;
    const problem = hasBegun ? `no response within ${timeoutMs} ms` : busy;
    return new KeyprovError('transport-timeout', `${address}: ${problem}`, {
      remedy: 'check that a TPM 2.0 listens there and that no other program has it open',
    });
  };
  return await withTimeout({ signal, timeoutMs, late }, async (limit) => {
    const opening = inTurn(address, begin, limit);
    const giveUp = async () => (await opening).close();
    // Its caller no longer waits, so an error can only be dropped.
    limit.addEventListener('abort', () => void giveUp().catch(() => undefined), { once: true });
    return await unlessAborted(() => opening, limit);
  });
}

/**
 * Most openings at once. While one waits for its turn at a TPM, it holds a thread of libuv's pool, even after it was given
 * up. The pool usually has four, which files and commands need too.
 */
const MAX_OPENINGS = 2;
/** The addresses of the openings that hold a thread. */
const running = new Set<string>();
const waiting = new Set<{ readonly address: string; readonly begin: () => void }>();

/** Opens one TPM at an address at a time, because another opening would only wait for the first. */
function inTurn<T>(address: string, open: () => Promise<T>, limit: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const begin = (): void => {
      const end = (): void => {
        running.delete(address);
        beginNext();
      };
      resolve(open().finally(end));
    };
    const opening = { address, begin };
    const leave = (): void => {
      if (waiting.delete(opening)) reject(limit.reason);
    };
    limit.addEventListener('abort', leave, { once: true });
    waiting.add(opening);
    beginNext();
  });
}

function beginNext(): void {
  for (const opening of waiting) {
    if (running.size === MAX_OPENINGS) return;
    if (running.has(opening.address)) continue;
    waiting.delete(opening);
    running.add(opening.address);
    opening.begin();
  }
}

async function connect(address: string, { conf, library }: TctiOptions): Promise<TctiTransport> {
  const { loader, path } = await loadLoader(address, library);
  const { code, context } = await loader.initialize(conf).catch((error: unknown) => {
    throw new KeyprovError('library-unsuitable', `${address}: this TCTI cannot be used: ${sayError(error)}`, {
      cause: error,
    });
  });
  if (context === undefined) {
    // The loader reports a TCTI that it cannot open as missing.
    const passing = passingFailure(undefined, path);
    throw passing === undefined ? openingError(address, code) : cannotLoad(address, 'the TCTI', passing);
  }
  const transport = transportTo(address, context, conf);
  if (transport.emulator) {
    // A socket may be open without a TPM behind it, or held by another client. A kernel device always responds, but may
    // be busy for longer than an opening may take.
    await undoOnFailure(
      () => transport.send(SIGN_OF_LIFE),
      () => transport.close(),
    );
  }
  return transport;
}

/**
 * Finds the TCTI loader that {@link openTcti} uses by default.
 * @throws KeyprovError with `library-missing` or `library-unsuitable`.
 */
export async function locateTctiLoader(): Promise<{ readonly path: string }> {
  const { path } = await loadLoader('tcti', undefined);
  return { path };
}

async function loadLoader(
  address: string,
  chosen: string | undefined,
): Promise<{ readonly path: string; readonly loader: TctiLoader }> {
  const { findTctiLoader, loadTctiLoader } = await loadNative(address, () => import('../../../native/tctildr.ts'));
  const { path, tried } = findTctiLoader(chosen);
  if (path === undefined) {
    if (tried.length === 0) {
      throw new KeyprovError('library-missing', `${address}: Windows has no standard path for a TCTI loader`, {
        remedy: "use the address 'tbs', or set KEYPROV_TCTILDR to the path of the library",
      });
    }
    throw new KeyprovError('library-missing', `${address}: no TCTI loader found (tried ${tried.join(', ')})`, {
      remedy: 'install tpm2-tss (Debian: libtss2-tctildr0), or set KEYPROV_TCTILDR to the path of the library',
    });
  }
  try {
    return { path, loader: loadTctiLoader(path) };
  } catch (error) {
    const passing = passingFailure(error, path);
    if (passing !== undefined) throw cannotLoad(address, path, passing);
    throw new KeyprovError('library-unsuitable', `${address}: ${path} is not a TCTI loader: ${sayError(error)}`, {
      cause: error,
    });
  }
}

/** Meaning of the codes of Tss2_TctiLdr_Initialize for the user who chose the address. */
const OPENING_ERRORS: ReadonlyMap<number, readonly [code: PlainErrorCode, remedy: string]> = new Map([
  [0x000a000a, ['transport-unreachable', 'check that the device or simulator exists and that this user may use it']],
  [0x000a0015, ['library-missing', 'check the TCTI name, or install its package (Debian: libtss2-tcti-NAME0)']],
  [0x000a0008, ['transport-unreachable', 'for tabrmd, start D-Bus and the service tpm2-abrmd']],
  [0x000a000b, ['address-invalid', 'check the settings after the TCTI name']],
]);

function openingError(address: string, code: number): KeyprovError {
  const [errorCode, remedy] = OPENING_ERRORS.get(code) ?? ['transport-unreachable', undefined];
  return new KeyprovError(errorCode, `${address}: ${describeResponseCode(decodeResponseCode(code))}`, { remedy });
}

const INSUFFICIENT_BUFFER = 0x000a0006;
const MALFORMED_RESPONSE = 0x000a0011;

function transportTo(address: string, context: TctiContext, conf: string): TctiTransport {
  const life = new TransportLife(address);
  const check = (code: number, step: string): void => {
    if (code === 0) return;
    const isProtocol = code === INSUFFICIENT_BUFFER || code === MALFORMED_RESPONSE;
    throw new KeyprovError(
      isProtocol ? 'transport-protocol' : 'transport-lost',
      `${address}: ${step} failed: ${describeResponseCode(decodeResponseCode(code))}`,
      { remedy: isProtocol ? 'check that a TPM 2.0 answers there' : 'open the TPM again' },
    );
  };
  const exchange = async (command: Uint8Array): Promise<Bytes> => {
    check(await context.transmit(command), 'transmit');
    const { code, answer } = await context.receive();
    check(code, 'receive');
    checkAnswerFrame(answer, address);
    return answer;
  };
  const close = (): Promise<void> => life.close(() => context.finalize());
  return {
    ...{ kind: 'tcti', address, ...describeTctiConf(conf) },
    send: (command, options = {}) => life.send(command, options, () => onThread(() => exchange(command))),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/**
 * Tells what a TCTI's name says about the TPM behind it. `emulator`: it leads to a simulator; false if unknown (`cmd`).
 * `managed`: it leads through a resource manager.
 */
export function describeTctiConf(conf: string): { readonly emulator: boolean; readonly managed: boolean } {
  const colon = conf.indexOf(':');
  const settings = colon < 0 ? '' : conf.slice(colon + 1);
  // tpm2-tss accepts `swtpm`, `libtss2-tcti-swtpm.so.0` and a path of that file.
  const name = (colon < 0 ? conf : conf.slice(0, colon)).replace(/^.*tss2-tcti-/, '').replace(/\.so[.\d]*$/, '');
  // pcap records the traffic and passes it to the TCTI that its settings name.
  if (name === 'pcap' && settings !== '') return describeTctiConf(settings);
  return {
    emulator: ['swtpm', 'mssim', 'libtpms', 'start-sim'].includes(name),
    // Without a path the device is /dev/tpmrm0, unless the kernel has none.
    managed: name === 'tabrmd' || (name === 'device' && (settings === '' || settings.startsWith('/dev/tpmrm'))),
  };
}
