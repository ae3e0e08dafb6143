import { equal, uint32At } from '../bytes.ts';
import { decode } from './codec/index.ts';
import { ReadClock } from './commands/clock.ts';
import { ReadPublic } from './commands/object.ts';
import { TPM_HT } from './constants.ts';
import { type DeadMarks, type Mark, type Marks, sinceBoot } from './marks.ts';
import { isMadeFrom } from './names.ts';
import { TPMT_PUBLIC, type TpmtPublic } from './structures/object.ts';
import { type Call, flushHandle, listVolatile } from './volatile.ts';

/**
 * How far the TPM's clock may differ from the system's: in milliseconds, and as a part (one in so many) of the time.
 */
const CLOCK_SLACK = { ms: 2000, part: 100 };

/**
 * Flushes what dead connections of keyprov left in a TPM without a resource manager, and forgets their marks.
 * @returns how many entries there were.
 */
export async function flushDead(call: Call, marks: Marks): Promise<number> {
  const dead = marks.readDead();
  const handles = await findDead(call, dead);
  for (const handle of handles) await flushHandle(call, handle);
  for (const file of dead) file.remove();
  return handles.length;
}

/**
 * Finds the handles of exactly what dead connections have left in a TPM since it was reset: an object with the handle
 * and the Name of a mark; a session with the handle of a mark, saved only if that one was; and what was on its way when
 * the connection ended, if it can be nothing else. Cannot detect one case: another program flushed what was left, and
 * then loaded the same object, or started a session, that got the same handle.
 */
export async function findDead(call: Call, dead: readonly DeadMarks[]): Promise<readonly number[]> {
  const marks = dead.flatMap((file) => file.marks);
  if (marks.length === 0) return [];
  const objects = await listVolatile(call, TPM_HT.TRANSIENT);
  const loaded = await listVolatile(call, TPM_HT.HMAC_SESSION);
  const saved = await listVolatile(call, TPM_HT.POLICY_SESSION);
  if (objects.length + loaded.length + saved.length === 0) return [];
  const valid = await sinceReset(call, marks);
  return [...(await deadObjects(call, objects, valid)), ...deadSessions(loaded, saved, valid)];
}

/** The marks made after the TPM was switched on: it no longer holds anything older. */
async function sinceReset(call: Call, marks: readonly Mark[]): Promise<Mark[]> {
  const time = Number((await call(ReadClock, {})).currentTime.time);
  const reset = sinceBoot() - time - time / CLOCK_SLACK.part - CLOCK_SLACK.ms;
  return marks.filter(({ at }) => at >= reset);
}

async function deadObjects(call: Call, handles: readonly number[], marks: readonly Mark[]): Promise<number[]> {
  const dead: number[] = [];
  const unknown: { readonly handle: number; readonly name: Uint8Array; readonly area: TpmtPublic }[] = [];
  for (const handle of handles) {
    const { name, outPublic: area } = await call(ReadPublic, { objectHandle: handle });
    const found = { handle, name, area };
    if (marks.some((mark) => mark.handle === handle && fits(mark, found))) dead.push(handle);
    else unknown.push(found);
  }
  const open = marks.filter((mark) => mark.handle === undefined && mark.what.kind !== 'session');
  for (const found of unknown) {
    const same = open.filter((mark) => fits(mark, found));
    // If more objects fit than were on their way, some belong to others.
    const rivals = unknown.filter((other) => same.some((mark) => fits(mark, other)));
    if (same.length > 0 && rivals.length <= same.length) dead.push(found.handle);
  }
  return dead;
}

function fits({ what }: Mark, { name, area }: { readonly name: Uint8Array; readonly area: TpmtPublic }): boolean {
  if (what.kind === 'name') return equal(what.bytes, name);
  return what.kind === 'template' && isMadeFrom(decode(TPMT_PUBLIC, what.bytes), area);
}

function deadSessions(loaded: readonly number[], saved: readonly number[], marks: readonly Mark[]): number[] {
  const own = marks.filter(({ what }) => what.kind === 'session');
  const handles = own.flatMap(({ handle }) => handle ?? []);
  // Other programs save their sessions, which may have got the handle of a flushed one. A TPM may list a saved session
  // as one of another kind.
  const savedOnes = own.flatMap(({ handle, wasSaved }) => (wasSaved && handle !== undefined ? handle % 2 ** 24 : []));
  const known = [
    ...loaded.filter((found) => handles.includes(found)),
    ...saved.filter((found) => savedOnes.includes(found % 2 ** 24)),
  ];
  // A session whose answer did not come was not there before, and was never saved.
  const open = own.filter(({ handle }) => handle === undefined);
  const before = open.flatMap(({ what: { bytes } }) =>
    Array.from({ length: bytes.length / 4 }, (_, index) => uint32At(bytes, 4 * index)),
  );
  const unknown = loaded.filter((found) => !known.includes(found) && !before.includes(found));
  return unknown.length <= open.length ? [...known, ...unknown] : known;
}
