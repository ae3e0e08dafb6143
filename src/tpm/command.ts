import type { Codec, FieldCodecs } from './codec/index.ts';
import { TPM_CC } from './constants.ts';
import type { Authorization } from './session.ts';
import type { TpmObject } from './tpm-object.ts';

/** A handle, with its Name and authorization. */
export interface Entity {
  readonly handle: number | TpmObject;
  /** Its Name, if the caller knows it. Sessions need it. If absent, the `Tpm` reads it from the TPM. */
  readonly name?: Uint8Array;
  /** How its use is authorized. Absent: with its password in `hierarchyAuth`, if any, else with an empty value. */
  readonly auth?: Authorization;
}

/** An entity in the arguments of a command. */
export type HandleArg = number | TpmObject | Entity;

/**
 * The authorization that a handle of a command needs. Part 1, 19.2.
 * `none`: no authorization; `user`, `admin`, `dup`: the role to which the object's attributes refer.
 */
export type Role = 'none' | 'user' | 'admin' | 'dup';

/** The keys of the arguments that are handles. */
type HandleKey<A> = { [K in keyof A]-?: HandleArg extends A[K] ? K : never }[keyof A];

/**
 * The kind of handle in a response: an object that the `Tpm` manages, a session, or a handle that the caller manages.
 */
export type AnswerHandle = 'object' | 'session' | 'raw';

/** The names of handles in responses, from Part 3. */
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
   * The authorization value of the first handle after the command, if the command changes it: the response is
   * authenticated with the new value. Part 1, 19.6.5.
   */
  readonly changesAuth: ((args: A) => Uint8Array) | undefined;
  // Never present: it only ties the type parameters to the definition.
  readonly types?: (args: A) => R;
}

export type AnyCommand = Command<never, object>;

interface Definition<A extends object, R extends object> {
  readonly handles?: { readonly [K in HandleKey<A>]: Role };
  readonly parameters?: FieldCodecs<Omit<A, HandleKey<A>>>;
  readonly answerHandle?: { readonly [K in keyof R & AnswerHandleKey]: AnswerHandle };
  readonly answer?: FieldCodecs<Omit<R, AnswerHandleKey>>;
  readonly changesAuth?: (args: A) => Uint8Array;
}

/** Defines the command `name`, with its keys in the order of Part 3. */
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
