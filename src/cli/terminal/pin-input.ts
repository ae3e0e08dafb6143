import { type Bytes, concatSecrets, wipe, withSecret } from '../../bytes.ts';
import { KeyprovError } from '../../errors.ts';
import type { KeyRecord } from '../../keys/key-record.ts';
import { PinRefusedError, pinFromFile } from '../../policy/index.ts';
import type { UserKey } from '../../provisioning/open-key.ts';
import type { NewPinPrompt, NewPinRequest } from '../../provisioning/pin-entry.ts';
import { readPin } from './pin-file.ts';
import type { Prompter } from './prompter.ts';
import type { Report } from './report.ts';

/** The source of a PIN. */
export interface PinInputOptions {
  /** A file, or `-` for a line of standard input. Absent: the terminal asks; without a terminal it is a line of input. */
  readonly file: string | undefined;
  readonly prompter: Prompter;
  readonly report: Report;
  /** The option of the file. Default `--pin-file`. */
  readonly option?: string | undefined;
}

/** The current PIN of a key. The caller wipes it. @throws KeyprovError `pin-required` if there is none. */
export async function readCurrentPin(
  question: string,
  { file, prompter, report, option }: PinInputOptions,
  signal: AbortSignal,
): Promise<Bytes> {
  if (file !== undefined && file !== '-') return await readPin(file, report, signal);
  return await withSecret(await prompter.askSecret(question, signal), async (pin) => {
    if (pin === undefined || pin.length === 0) throw noPin(prompter, option);
    return pinFromFile(pin, { name: 'the answer' });
  });
}

/** Asks for a new PIN: in a terminal until it is accepted, otherwise once. */
export function newPinPrompt(whose: string, { file, prompter, report, option }: PinInputOptions): NewPinPrompt {
  if (file === undefined && prompter.isTerminal) {
    return async (request, { signal = new AbortController().signal }) => {
      if (request.step === 'enter') introduce(whose, request, prompter);
      const question = request.step === 'enter' ? 'New PIN' : 'Repeat the PIN';
      const pin = await prompter.askSecret(question, signal);
      if (pin === undefined) throw noPin(prompter, option);
      return pin;
    };
  }
  let given: Bytes | undefined;
  return async ({ step, attempt, problems, rules }, { signal = new AbortController().signal }) => {
    if (attempt > 1) {
      wipe(given);
      throw new PinRefusedError(problems, { remedy: `choose another one: ${rules.join('; ')}` });
    }
    if (step === 'enter') given = await readCurrentPin('New PIN', { file, prompter, report, option }, signal);
    try {
      return concatSecrets(given ?? new Uint8Array(0));
    } finally {
      if (step === 'confirm') wipe(given);
    }
  };
}

/** Shows the rules before the first question, and the problems before each further one. */
function introduce(whose: string, { rules, problems, attempt }: NewPinRequest, prompter: Prompter): void {
  if (attempt === 1) {
    prompter.say(`Choose a PIN for ${whose}. It must meet these rules:`);
    for (const rule of rules) prompter.say(`${rule}.`);
  }
  for (const { message } of problems) prompter.say(`Not accepted: ${message}`);
  if (problems.length > 0) prompter.say('Choose another PIN.');
}

function noPin(prompter: Prompter, option = '--pin-file'): KeyprovError {
  const isNew = option !== '--pin-file'; // then the current PIN may have been a line of the input
  const what = isNew ? 'new PIN' : 'PIN';
  const [where, how] = prompter.isTerminal
    ? ['none was typed', `type the ${what}`]
    : [
        `there is no terminal, and standard input ${isNew ? 'has no line with it' : 'is empty'}`,
        `pipe the ${what} in${isNew ? ', on its own line' : ''}`,
      ];
  return new KeyprovError('pin-required', `no ${what}: ${where}`, { remedy: `pass ${option}, or ${how}` });
}

type PinContext = Omit<PinInputOptions, 'file'> & { readonly signal: AbortSignal };

/** Checks that the key can be used, if the user is about to type its PIN. */
export async function checkUsable(
  key: Pick<UserKey, 'prove'>,
  file: string | undefined,
  { prompter, signal }: PinContext,
): Promise<void> {
  if (file === undefined && prompter.isTerminal) await key.prove({ signal });
}

/** The PIN of a key; undefined if the key has none. The caller wipes it. */
export async function readPinOf(
  {
    key,
    record: { hasPin, name },
  }: { readonly key: Pick<UserKey, 'prove'>; readonly record: Pick<KeyRecord, 'hasPin' | 'name'> },
  file: string | undefined,
  context: PinContext,
): Promise<Bytes | undefined> {
  const { report, prompter, signal } = context;
  if (hasPin) {
    await checkUsable(key, file, context);
    return await readCurrentPin(`PIN of ${name}`, { file, prompter, report }, signal);
  }
  if (file !== undefined) report.warn('the key has no PIN: --pin-file is not used');
  return undefined;
}
