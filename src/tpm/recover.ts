import { equal } from '../bytes.ts';
import type { Call } from './call.ts';
import { decode } from './codec/index.ts';
import { ReadClock } from './commands/clock.ts';
import { ReadPublic } from './commands/object.ts';
import { TPM_HT } from './constants.ts';
import type { Mark, Marks } from './marks.ts';
import { isMadeFrom } from './names.ts';
import { TPMT_PUBLIC, type TpmtPublic } from './structures/object.ts';
import { flushHandle, listVolatile } from './volatile.ts';

/** How far the clock of a TPM may be from the system's, in milliseconds and as a part of the time. */
const CLOCK_SLACK = { ms: 2000, part: 100 };

/**
 * Takes out of a TPM without resource manager what connections of keyprov that are gone have left in it, and nothing else:
 * an object with the handle and the Name of a mark, a session with the handle of one, if the TPM was not reset since; and
 * what was on its way when the connection ended, where nothing else can be it.
 * @returns how many there were.
 */
export async function flushDead(call: Call, marks: Marks): Promise<number> {
  const dead = marks.readDead();
  if (dead.length === 0) return 0;
  const objects = await listVolatile(call, TPM_HT.TRANSIENT);
  const loaded = await listVolatile(call, TPM_HT.HMAC_SESSION);
  const saved = await listVolatile(call, TPM_HT.POLICY_SESSION);
  let flushed: number[] = [];
  if (objects.length + loaded.length + saved.length > 0) {
    const all = dead.flatMap((file) => file.marks);
    const valid = await sinceReset(call, all);
    flushed = [...(await deadObjects(call, objects, valid)), ...deadSessions(loaded, saved, valid)];
    for (const handle of flushed) await flushHandle(call, handle);
  }
  for (const file of dead) file.remove();
  return flushed.length;
}

/** The marks that were made after the TPM was switched on: what is older is not in it any more. */
async function sinceReset(call: Call, marks: readonly Mark[]): Promise<Mark[]> {
  const time = Number((await call(ReadClock, {})).currentTime.time);
  const reset = Date.now() - time - time / CLOCK_SLACK.part - CLOCK_SLACK.ms;
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
    // Where more objects fit than were on their way, some are those of others.
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
  // A TPM may list a saved session as one of another kind.
  const known = [
    ...loaded.filter((found) => handles.includes(found)),
    ...saved.filter((found) => handles.some((handle) => handle % 2 ** 24 === found % 2 ** 24)),
  ];
  const unknown = [...loaded, ...saved].filter((found) => !known.includes(found));
  const isSure = unknown.length <= own.length - handles.length;
  return isSure ? [...known, ...unknown] : known;
}
