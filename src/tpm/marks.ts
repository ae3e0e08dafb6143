import {
  appendFileSync,
  closeSync,
  constants,
  existsSync,
  ftruncateSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { fromHex, toHex } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';
import { temporaryName } from '../storage/atomic-file.ts';
import { openPrivateDirectory, openPrivateFile, readPrivateFile } from '../storage/private-files.ts';
import { absolutePath, userDirectory } from '../storage/user-paths.ts';
import { decode } from './codec/index.ts';
import { TPMT_PUBLIC } from './structures/object.ts';

/** What a connection was about to load or start in a TPM: an object, by its Name or template, or a session. */
export interface Mark {
  /** Milliseconds since the system started: see {@link sinceBoot}. */
  readonly at: number;
  /** A Name; a TPMT_PUBLIC; or for a session, the UINT32 handles of the sessions loaded before it. */
  readonly what: { readonly kind: 'name' | 'template' | 'session'; readonly bytes: Uint8Array };
  /** Absent if the response did not come. */
  handle?: number | undefined;
  /** Whether it is a session that was saved once, and may be saved now. */
  wasSaved?: boolean | undefined;
}

/** The marks of a connection that no longer exists. */
export interface DeadMarks {
  readonly marks: readonly Mark[];
  /** Notes that this handle is free again. */
  gone(handle: number): void;
  /** Forgets them. */
  remove(): void;
}

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/;
/** The usual loopback addresses, which lead to one TPM. Another one may have a TPM of its own at the same port. */
const LOCALHOST = /^(?:localhost|127\.0\.0\.1|::1)$/;
const SUFFIX = '.marks';
const NAME = /^\.keyprov-[0-9a-f-]{36}\.marks$/;
/** Age in milliseconds (30 days) after which the TPM of these marks is certainly off. */
const OLD = 30 * 24 * 60 * 60 * 1000;

/**
 * The directory of marks, in the user's cache. XDG Base Directory Specification; `LOCALAPPDATA` on Windows. Undefined
 * for a user without a home directory, who then has no marks.
 */
export function defaultMarksDirectory(environment: NodeJS.ProcessEnv = process.env): string | undefined {
  const { LOCALAPPDATA: local, XDG_CACHE_HOME: cache } = environment;
  const parent = userDirectory(process.platform === 'win32' ? local : cache, ['.cache']);
  return parent && join(parent, 'keyprov', 'tpm-marks');
}

/**
 * What one connection has in a TPM without a resource manager, kept in a file. If the connection dies, the next one can
 * then flush it. Such a TPM has one connection at a time, so all other marks belong to dead connections, and no lock is
 * needed.
 */
export class Marks {
  /** The directory of this connection's marks; undefined if there is no place for them. */
  readonly directory: string | undefined;
  readonly #address: string;
  readonly #live = new Set<Mark>();
  #file: { readonly path: string; readonly fd: number; readonly start: number } | undefined;
  /** Why marks cannot be kept. */
  problem: unknown;

  constructor(address: string, directory: string | undefined = defaultMarksDirectory()) {
    this.#address = placeOf(address);
    this.directory = directory && absolutePath(directory);
  }

  /** Notes what is about to be loaded or started. Pass the result to {@link settle}. */
  want(what: Mark['what']): Mark {
    const mark: Mark = { at: sinceBoot(), what };
    this.#live.add(mark);
    this.#write(`want ${mark.at} ${what.kind} ${toHex(what.bytes)}\n`);
    return mark;
  }

  settle(mark: Mark, handle: number | undefined): void {
    mark.handle = handle;
    if (handle === undefined) this.#live.delete(mark);
    this.#write(handle === undefined ? 'none\n' : `have ${handle}\n`);
    this.#shorten();
  }

  /** Notes that the session with that handle was saved. */
  saved(handle: number): void {
    for (const mark of this.#live) {
      if (mark.handle !== handle || mark.what.kind !== 'session' || mark.wasSaved) continue;
      mark.wasSaved = true;
      this.#write(`saved ${handle}\n`);
    }
  }

  /** Notes that this handle is free again. */
  gone(handle: number): void {
    for (const mark of this.#live) {
      if (mark.handle !== handle) continue;
      this.#live.delete(mark);
      this.#write(`gone ${handle}\n`);
    }
    this.#shorten();
  }

  /** Forgets everything of this connection, after a loss of power. */
  forget(): void {
    this.#live.clear();
    this.#shorten();
  }

  /** Reads the marks that other connections to the same TPM left, in this directory or the usual one. */
  readDead(): DeadMarks[] {
    const dead: DeadMarks[] = [];
    for (const directory of new Set([this.directory, defaultMarksDirectory()])) {
      for (const path of marksIn(directory)) {
        const marks = path === this.#file?.path ? undefined : readMarks(path, this.#address);
        if (marks === undefined) continue;
        const gone = (handle: number) => this.#try(() => appendFileSync(path, `gone ${handle}\n`));
        dead.push({ marks, gone, remove: () => this.#try(() => remove(path)) });
      }
    }
    return dead;
  }

  /** Ends the marks of this connection. If something is still in the TPM, they stay for the next one. */
  close(): void {
    const file = this.#file;
    this.#file = undefined;
    if (file === undefined) return;
    closeSync(file.fd);
    if (this.#live.size === 0) this.#try(() => remove(file.path));
  }

  #write(line: string): void {
    if (this.problem !== undefined) return;
    this.#try(() => {
      this.#file ??= this.#open();
      writeSync(this.#file.fd, line);
    });
  }

  #open(): { path: string; fd: number; start: number } {
    if (this.directory === undefined) throw new KeyprovError('store-io', 'this user has no home directory');
    const directory = openPrivateDirectory(this.directory);
    for (const path of marksIn(directory)) {
      const found = lstatSync(path, { throwIfNoEntry: false }); // another connection may just have ended
      if (found !== undefined && Date.now() - found.mtimeMs > OLD) remove(path);
    }
    const path = join(directory, temporaryName().replace('.tmp', SUFFIX));
    const fd = openPrivateFile(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_APPEND);
    const head = `keyprov marks ${JSON.stringify(this.#address)}\n`;
    try {
      writeSync(fd, head);
    } catch (error) {
      closeSync(fd);
      remove(path); // later, its owner would be unknown
      throw error;
    }
    return { path, fd, start: Buffer.byteLength(head) };
  }

  /** Empties the file while nothing is in the TPM, so that it does not grow. */
  #shorten(): void {
    const file = this.#file;
    if (this.#live.size === 0 && file !== undefined) this.#try(() => ftruncateSync(file.fd, file.start));
  }

  /** A full or read-only disk must not stop the work: then there are no marks. */
  #try<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      this.problem = error;
      return undefined;
    }
  }
}

const remove = (path: string): void => rmSync(path, { force: true });

/** Milliseconds since the system started, by a clock that cannot be set. */
export const sinceBoot = (): number => Number(process.hrtime.bigint() / 1_000_000n);

/**
 * Identifies a TPM, however its address is written, and the start of the system: times from another start cannot be
 * compared. A loopback address leads elsewhere in each network namespace, as in containers.
 */
function placeOf(address: string): string {
  const { isLoopback = false, place } = findPlace(address);
  if (process.platform !== 'linux' || !existsSync('/proc/self/ns/net')) return place;
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  return isLoopback ? `${place} ${boot} ${readlinkSync('/proc/self/ns/net')}` : `${place} ${boot}`;
}

/** One text for a device, a unix socket, or a host and port, also if tpm2-tss opens it. */
function findPlace(address: string): { readonly place: string; readonly isLoopback?: boolean } {
  const [, tcti, kind, rest = ''] = /^(tcti:)?(swtpm|mssim|device)(?::(.*))?$/s.exec(address) ?? [];
  const settings = rest.split(',');
  const setting = (name: string) => settings.find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1);
  const path = kind === 'device' ? rest : tcti ? setting('path') : /^unix:(.*)$/s.exec(rest)?.[1];
  if (path) return { place: `${kind}:${realPath(path)}` };
  const data = tcti ? `${setting('host') || 'localhost'}:${setting('port') || 2321}` : rest;
  const [, host, port] = /^\[?(.+?)\]?\.?:(\d+)$/.exec(data.toLowerCase()) ?? [];
  if (kind === undefined || host === undefined) return { place: address };
  return { place: `${kind}:${LOCALHOST.test(host) ? 'loopback' : host}:${port}`, isLoopback: LOOPBACK.test(host) };
}

/** The path without symbolic links; made absolute if there is nothing. */
function realPath(path: string): string {
  const absolute = absolutePath(path);
  return existsSync(absolute) ? realpathSync(absolute) : absolute;
}

/** The paths of the mark files in a directory; none if it is missing or not private. */
function marksIn(directory: string | undefined): string[] {
  if (directory === undefined || !existsSync(directory)) return [];
  try {
    const names = readdirSync(openPrivateDirectory(directory)).filter((name) => NAME.test(name));
    return names.map((name) => join(directory, name));
  } catch {
    return [];
  }
}

/** Reads a file of marks. A file that cannot be read or understood has none. */
function readMarks(path: string, address: string): Mark[] | undefined {
  try {
    const file = readPrivateFile(path);
    return file && parse(file.bytes.toString('latin1'), address);
  } catch {
    return undefined;
  }
}

/** The marks in a file that are still in the TPM; undefined for the file of another TPM. The last line may be cut. */
function parse(text: string, address: string): Mark[] | undefined {
  const [head, ...lines] = text.split('\n');
  if (head !== `keyprov marks ${JSON.stringify(address)}`) return undefined;
  const marks = new Set<Mark>();
  let last: Mark | undefined;
  for (const line of lines.slice(0, -1)) {
    const [verb, first = '', kind, hex = ''] = line.split(' ');
    if (verb === 'want' && (kind === 'name' || kind === 'template' || kind === 'session')) {
      last = { at: Number(first), what: { kind, bytes: fromHex(hex) } };
      if (kind === 'template') decode(TPMT_PUBLIC, last.what.bytes); // throws if it is damaged
      marks.add(last);
    } else if (verb === 'have' && last !== undefined) last.handle = Number(first);
    else if (verb === 'none' && last !== undefined) marks.delete(last);
    else if (verb === 'saved') for (const mark of marks) mark.wasSaved ||= mark.handle === Number(first);
    else if (verb === 'gone') for (const mark of marks) if (mark.handle === Number(first)) marks.delete(mark);
  }
  return [...marks];
}
