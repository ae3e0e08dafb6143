import { type Command, command, type HandleArg } from '../command.ts';
import { TPM_HANDLE } from '../structures/base.ts';
import { TPMS_CONTEXT, type TpmsContext } from '../structures/context.ts';

/** Saves a session or object outside the TPM; an object stays loaded. TPM2_ContextSave, Part 3, 28.2. */
export const ContextSave: Command<{ saveHandle: HandleArg }, { context: TpmsContext }> = command('ContextSave', {
  handles: { saveHandle: 'none' },
  answer: { context: TPMS_CONTEXT },
});

/** Loads a context saved by TPM2_ContextSave; the caller flushes the handle. TPM2_ContextLoad, Part 3, 28.3. */
export const ContextLoad: Command<{ context: TpmsContext }, { loadedHandle: number }> = command('ContextLoad', {
  parameters: { context: TPMS_CONTEXT },
  answerHandle: { loadedHandle: 'raw' },
});

/** Removes a transient object or a session from the TPM. TPM2_FlushContext, Part 3, 28.4. */
export const FlushContext: Command<{ flushHandle: number }, object> = command('FlushContext', {
  parameters: { flushHandle: TPM_HANDLE },
});

/** Arguments of {@link EvictControl}. */
export interface EvictControlArgs {
  /** TPM_RH_OWNER or TPM_RH_PLATFORM. */
  auth: HandleArg;
  objectHandle: HandleArg;
  persistentHandle: number;
}
/** Makes an object persistent, or removes a persistent one. TPM2_EvictControl, Part 3, 28.5. */
export const EvictControl: Command<EvictControlArgs, object> = command('EvictControl', {
  handles: { auth: 'user', objectHandle: 'none' },
  parameters: { persistentHandle: TPM_HANDLE },
});
