import type { Codec, FieldCodecs } from './codec/index.ts';
import { TPM_CC } from './constants.ts';
import type { Authorization } from './session.ts';
import type { TpmObject } from './tpm-object.ts';

/** A handle with what its use needs. */
export interface Entity {
  readonly handle: number | TpmObject;
  /** Its Name, where the caller knows it; sessions need it, and else it is asked for. */
  readonly name?: Uint8Array;
  /** How its use is authorized; absent means an empty authorization value. */
  readonly auth?: Authorization;
}

/** What stands for an entity in the arguments of a command. */
export type HandleArg = number | TpmObject | Entity;

/**
 * Which authorization a handle of a command needs. Part 1, 19.2.
 * `none`: no authorization; `user`, `admin`, `dup`: the role that the object's attributes then refer to.
 */
export type Role = 'none' | 'user' | 'admin' | 'dup';

/** The keys of the arguments that are handles. */
type HandleKey<A> = { [K in keyof A]-?: HandleArg extends A[K] ? K : never }[keyof A];

/** What the handle in an answer is: an object that the `Tpm` looks after, a session, or a handle that is the caller's alone. */
export type AnswerHandle = 'object' | 'session' | 'raw';

/** The names that Part 3 gives to handles in answers. */
type AnswerHandleKey = 'objectHandle' | 'loadedHandle' | 'sessionHandle' | 'sequenceHandle' | 'outHandle';

/** A command of Part 3: names, codecs and roles as data. */
export interface Command<A extends object, R extends object> {
  /** Without its `TPM2_`. */
  readonly name: keyof typeof TPM_CC;
  readonly code: number;
  readonly handles: readonly (readonly [key: string, role: Role])[];
  readonly parameters: readonly (readonly [key: string, codec: Codec<unknown>])[];
  readonly answerHandle: readonly [key: string, kind: AnswerHandle] | undefined;
  readonly answer: readonly (readonly [key: string, codec: Codec<unknown>])[];
  /**
   * The authorization value that the first handle has after the command, where the command changes it: the answer
   * is authenticated with that one. Part 1, 19.6.5.
   */
  readonly changesAuth: ((args: A) => Uint8Array) | undefined;
  // Never there: it only ties the type parameters to the definition.
  readonly types?: (args: A) => R;
}

/** A command whatever its types. */
export type AnyCommand = Command<never, object>;

/** How {@link command} is told about a command. */
interface Definition<A extends object, R extends object> {
  readonly handles?: { readonly [K in HandleKey<A>]: Role };
  readonly parameters?: FieldCodecs<Omit<A, HandleKey<A>>>;
  readonly answerHandle?: { readonly [K in keyof R & AnswerHandleKey]: AnswerHandle };
  readonly answer?: FieldCodecs<Omit<R, AnswerHandleKey>>;
  readonly changesAuth?: (args: A) => Uint8Array;
}

/** Defines the command `name`; the keys stand in the order of Part 3. */
export function command<A extends object, R extends object>(
  name: keyof typeof TPM_CC,
  { handles, parameters, answerHandle, answer, changesAuth }: NoInfer<Definition<A, R>>,
): Command<A, R> {
  return {
    name,
    code: TPM_CC[name],
    handles: Object.entries<Role>(handles ?? {}),
    parameters: Object.entries(parameters ?? {}) as [string, Codec<unknown>][],
    answerHandle: Object.entries(answerHandle ?? {})[0] as readonly [string, AnswerHandle] | undefined,
    answer: Object.entries(answer ?? {}) as [string, Codec<unknown>][],
    changesAuth,
  };
}
