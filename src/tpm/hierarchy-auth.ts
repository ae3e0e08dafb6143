import { checkBytes, isBytes, wipe } from '../bytes.ts';
import type { HierarchyName } from '../errors/tpm-error.ts';
import type { SignalOptions } from '../signal.ts';
import { entityOf } from './arguments.ts';
import type { AnyCommand, HandleArg } from './command.ts';
import { GetCapability } from './commands/capability.ts';
import { TPM_CAP, TPM_PT } from './constants.ts';
import { withHiddenAuth } from './hidden-auth.ts';
import { NEEDED_PASSWORDS } from './needed-passwords.ts';
import { hierarchyOf, passwordMissing } from './tpm-error.ts';
import type { TpmRunner } from './tpm-runner.ts';

/**
 * The passwords of the hierarchies and of the storage root key (`storageParent`). A function is called once, when the
 * TPM needs the password, and may return undefined; its result is overwritten when the `Tpm` is closed. A password for
 * the owner, endorsement or lockout hierarchy is ignored if the hierarchy has none. Salted sessions prove passwords
 * without sending them.
 */
export type HierarchyAuth = {
  readonly [N in HierarchyName]?:
    | Uint8Array
    | ((options: SignalOptions) => Promise<Uint8Array | undefined>)
    | undefined;
};

/** The bits in which a TPM says that a hierarchy has a password. TPMA_PERMANENT, Part 2, 8.6. */
const SET_BITS: Partial<Record<HierarchyName, number>> = { owner: 1, endorsement: 2, lockout: 4 };

/** A handle argument that needs a password, and the password. */
interface BareHandle {
  readonly key: string;
  readonly handle: number;
  readonly auth: Uint8Array;
}

interface AtAddress {
  readonly transport: { readonly address: string };
}

/** The passwords that a {@link Tpm} was opened with. */
export class HierarchyPasswords {
  readonly #tpm: TpmRunner & AtAddress;
  readonly #given: HierarchyAuth;
  readonly #asked = new Map<HierarchyName, Promise<Uint8Array | undefined>>();
  readonly #secrets: (Uint8Array | undefined)[] = [];

  constructor(tpm: TpmRunner & AtAddress, given: HierarchyAuth) {
    this.#tpm = tpm;
    this.#given = given;
  }

  /**
   * The password for `handle`, if it is a hierarchy with a password, or the storage root key with a known one.
   * @throws TpmError `tpm-auth-failed` if the TPM says that the hierarchy has a password, and none is known: a try
   * without it would block the lockout hierarchy.
   */
  async of(handle: number, { signal }: SignalOptions): Promise<Uint8Array | undefined> {
    const name = hierarchyOf(handle);
    if (name === undefined) return undefined;
    if (name === 'storageParent') {
      const given = this.#given[name];
      if (typeof given !== 'function') return given;
      const where = NEEDED_PASSWORDS.get(given);
      const isNeeded = where?.has('any') || where?.has(this.#tpm.transport.address);
      return isNeeded ? await this.ask(name, { signal }) : undefined;
    }
    const isSet = await this.#isSet(name, { signal });
    if (isSet === false) return undefined;
    const password = await this.ask(name, { signal });
    if (isSet && password === undefined) throw passwordMissing(name);
    return password;
  }

  /** The password of that name; asks for it if it was not given as bytes. */
  async ask(name: HierarchyName, options: SignalOptions): Promise<Uint8Array | undefined> {
    const given = this.#given[name];
    if (given === undefined || isBytes(given)) return given;
    if (name === 'storageParent') this.#noteNeeded(given);
    const asked = this.#asked.get(name) ?? given(options);
    this.#asked.set(name, asked);
    try {
      const secret = await asked;
      if (secret !== undefined) checkBytes(secret, `the result of hierarchyAuth.${name}`);
      this.#secrets.push(secret);
      return secret;
    } catch (error) {
      this.#asked.delete(name); // no answer: the next use asks again
      throw error;
    }
  }

  /** The first handle of a command that needs an authorization, has none, and whose password is known. */
  async bareHandle(command: AnyCommand, args: object, options: SignalOptions): Promise<BareHandle | undefined> {
    for (const [key, role] of command.handles) {
      const { handle, auth: given } = entityOf((args as Readonly<Record<string, HandleArg>>)[key] as HandleArg);
      if (role === 'none' || given !== undefined || typeof handle !== 'number') continue;
      const auth = await this.of(handle, options);
      if (auth !== undefined) return { key, handle, auth };
    }
    return undefined;
  }

  /** Runs `work` with that handle, authorized in a salted session. */
  async prove<T>(
    { handle, auth }: BareHandle,
    { signal }: SignalOptions,
    work: (arg: HandleArg) => Promise<T>,
  ): Promise<T> {
    return await withHiddenAuth(this.#tpm, { handle, auth }, { signal }, work);
  }

  /** Overwrites the passwords that were asked for. */
  wipe(): void {
    wipe(...this.#secrets);
  }

  #noteNeeded(ask: object): void {
    const where = NEEDED_PASSWORDS.get(ask) ?? new Set();
    NEEDED_PASSWORDS.set(ask, where.add(this.#tpm.transport.address));
  }

  /** Undefined if the TPM does not say. */
  async #isSet(name: HierarchyName, { signal }: SignalOptions): Promise<boolean | undefined> {
    const bit = SET_BITS[name];
    if (bit === undefined) return undefined;
    const asking = { capability: TPM_CAP.TPM_PROPERTIES, property: TPM_PT.PERMANENT, propertyCount: 1 };
    const { capabilityData } = await this.#tpm.run(GetCapability, asking, { signal });
    if (capabilityData.capability !== TPM_CAP.TPM_PROPERTIES) return undefined;
    const [first] = capabilityData.data;
    return first?.property === TPM_PT.PERMANENT ? (first.value & bit) !== 0 : undefined;
  }
}
