import { checkObject, uint32 } from '../bytes.ts';
import { CodecError } from '../errors/codec-error.ts';
import { isKeyprovError } from '../errors.ts';
import type { SignalOptions } from '../signal.ts';
import { GetCapability, TestParms } from './commands/capability.ts';
import { handleType, TPM_CAP, TPM_HT, TPM_PT } from './constants.ts';
import { isUnsupported } from './first-supported.ts';
import type { TpmCap } from './structures/base.ts';
import type { TpmsCapabilityData } from './structures/capability.ts';
import type { TpmtPublic } from './structures/object.ts';
import type { Tpm } from './tpm.ts';

type DataOf<C extends TpmCap> = Extract<TpmsCapabilityData, { capability: C }>['data'][number];

/** How often a TPM may announce more data. Enough even for a TPM that returns one handle at a time. */
const MAX_ROUNDS = 256;

/** Reads one complete capability group, starting at `first`, in as many steps as the TPM needs. */
async function readAll<C extends typeof TPM_CAP.HANDLES | typeof TPM_CAP.TPM_PROPERTIES | typeof TPM_CAP.ALGS>(
  tpm: Tpm,
  capability: C,
  first: number,
  next: (last: DataOf<C>) => number,
  { signal }: SignalOptions,
): Promise<DataOf<C>[]> {
  const all: DataOf<C>[] = [];
  for (let [property, round] = [first, 0]; ; round++) {
    const answer = await tpm.run(GetCapability, { capability, property, propertyCount: 64 }, { signal });
    // The TPM answers with the requested group; a list of another group has no items of this type.
    const data = answer.capabilityData.capability === capability ? (answer.capabilityData.data as DataOf<C>[]) : [];
    all.push(...data);
    const last = data.at(-1);
    if (answer.moreData === 0 || last === undefined) return all;
    if (next(last) <= property || round >= MAX_ROUNDS) {
      throw new CodecError('the response to TPM2_GetCapability', 'the TPM keeps announcing more data');
    }
    property = next(last);
  }
}

/**
 * The handles of one type (TPM_HT) that the TPM holds, in ascending order. Part 3, 30.2.
 * @throws like {@link Tpm.run}.
 */
export async function listHandles(tpm: Tpm, type: number, options: SignalOptions = {}): Promise<number[]> {
  checkObject(tpm, 'tpm', 'run:function');
  const handles = await readAll(tpm, TPM_CAP.HANDLES, type * 2 ** 24, (last) => last + 1, options);
  return handles.filter((handle) => handle >>> 24 === type);
}

/** Lists HMAC and policy sessions. For sessions, the handle type selects the list: loaded or saved. Part 3, 30.2. */
export async function listSessionStates(
  tpm: Tpm,
  options: SignalOptions,
): Promise<{ readonly handle: number; readonly isSaved: boolean }[]> {
  const sessions: { handle: number; isSaved: boolean }[] = [];
  for (const list of [TPM_HT.HMAC_SESSION, TPM_HT.POLICY_SESSION]) {
    const isSaved = list === TPM_HT.POLICY_SESSION;
    const handles = await readAll(tpm, TPM_CAP.HANDLES, list * 2 ** 24, (last) => last + 1, options);
    sessions.push(...handles.map((handle) => ({ handle, isSaved })));
  }
  const types: readonly number[] = [TPM_HT.HMAC_SESSION, TPM_HT.POLICY_SESSION];
  return sessions.filter(({ handle }) => types.includes(handleType(handle)));
}

/**
 * Reads properties (TPM_PT) from `first` on, as a map without those that the TPM does not have.
 * @throws like {@link Tpm.run}.
 */
export async function readProperties(
  tpm: Tpm,
  first: number,
  options: SignalOptions = {},
): Promise<ReadonlyMap<number, number>> {
  checkObject(tpm, 'tpm', 'run:function');
  const list = await readAll(tpm, TPM_CAP.TPM_PROPERTIES, first, ({ property }) => property + 1, options);
  return new Map(list.map(({ property, value }) => [property, value]));
}

/** The manufacturer of a TPM, and its firmware. */
export interface TpmVendor {
  /** TPM_PT_MANUFACTURER as text, without padding: `INTC`, `IBM`, `MSFT`. */
  readonly manufacturer: string;
  /** TPM_PT_MANUFACTURER as a number, which EK certificates write in hexadecimal. */
  readonly manufacturerId: number;
  /** TPM_PT_VENDOR_STRING_1 to 4, joined and without padding. */
  readonly vendorString: string;
  /** TPM_PT_FIRMWARE_VERSION_1 and 2 as one number, as in TPMS_ATTEST. */
  readonly firmwareVersion: bigint;
  /** TPM_PT_REVISION / 100: the version of the specification, `1.64`. */
  readonly revision: string;
}

const text = (...values: readonly number[]): string => {
  const bytes = values.flatMap((value) => [...uint32(value)]);
  return String.fromCharCode(...bytes.filter((byte) => byte >= 0x20 && byte < 0x7f)).trim();
};

/** Reads the manufacturer and the firmware version of the TPM. Part 2, 6.13. @throws like {@link Tpm.run}. */
export async function readVendor(tpm: Tpm, options: SignalOptions = {}): Promise<TpmVendor> {
  checkObject(tpm, 'tpm', 'run:function');
  const properties = await readProperties(tpm, TPM_PT.FAMILY_INDICATOR, options);
  const value = (property: number): number => properties.get(property) ?? 0;
  const strings = [TPM_PT.VENDOR_STRING_1, TPM_PT.VENDOR_STRING_2, TPM_PT.VENDOR_STRING_3, TPM_PT.VENDOR_STRING_4];
  return {
    manufacturer: text(value(TPM_PT.MANUFACTURER)),
    manufacturerId: value(TPM_PT.MANUFACTURER),
    vendorString: text(...strings.map(value)),
    firmwareVersion: (BigInt(value(TPM_PT.FIRMWARE_VERSION_1)) << 32n) | BigInt(value(TPM_PT.FIRMWARE_VERSION_2)),
    revision: (value(TPM_PT.REVISION) / 100).toFixed(2),
  };
}

/** The dictionary attack protection of a TPM. Part 1, 19.8. */
export interface LockoutState {
  readonly inLockout: boolean;
  /** Wrong authorizations counted now. TPM_PT_LOCKOUT_COUNTER. */
  readonly failedTries: number;
  /** Wrong authorizations that lead to lockout; 0: the TPM is always in lockout. TPM_PT_MAX_AUTH_FAIL. */
  readonly maxTries: number;
  /** Seconds after which one wrong authorization is forgotten; 0: none is counted. TPM_PT_LOCKOUT_INTERVAL. */
  readonly recoveryTimeSeconds: number;
  /** Seconds that the lockout authorization is blocked after a wrong try. TPM_PT_LOCKOUT_RECOVERY. */
  readonly lockoutRecoverySeconds: number;
  /** True if the lockout authorization has a value. Changing settings and resetting the lockout then need it. */
  readonly lockoutAuthSet: boolean;
}

/** Reads the state of the dictionary attack protection. @throws like {@link Tpm.run}. */
export async function readLockout(tpm: Tpm, options: SignalOptions = {}): Promise<LockoutState> {
  checkObject(tpm, 'tpm', 'run:function');
  return lockoutIn(await readProperties(tpm, TPM_PT.PERMANENT, options));
}

/** The state of the dictionary attack protection in the properties from TPM_PT_PERMANENT on. */
export function lockoutIn(properties: ReadonlyMap<number, number>): LockoutState {
  const value = (property: number): number => properties.get(property) ?? 0;
  const permanent = value(TPM_PT.PERMANENT); // TPMA_PERMANENT, Part 2, 8.6
  return {
    inLockout: (permanent & 0x200) !== 0,
    failedTries: value(TPM_PT.LOCKOUT_COUNTER),
    maxTries: value(TPM_PT.MAX_AUTH_FAIL),
    recoveryTimeSeconds: value(TPM_PT.LOCKOUT_INTERVAL),
    lockoutRecoverySeconds: value(TPM_PT.LOCKOUT_RECOVERY),
    lockoutAuthSet: (permanent & 0x4) !== 0,
  };
}

/**
 * Whether the TPM is off, and counts no time, while no program has it open: then it forgets no wrong try between two
 * calls of a command. A TPM in memory only ends with its process.
 */
export const pausesWhenClosed = ({ transport: { kind, address } }: Pick<Tpm, 'transport'>): boolean =>
  kind === 'libtpms' && address !== 'libtpms::memory:';

/**
 * Seconds after which a lockout ends by itself; undefined if it does not, or only while a program has the TPM open.
 * TPM2_DictionaryAttackParameters, Part 3, 25.3.
 */
export function lockoutEnds(lockout: LockoutState, tpm: Pick<Tpm, 'transport'>): number | undefined {
  const { maxTries, recoveryTimeSeconds } = lockout;
  return maxTries === 0 || recoveryTimeSeconds === 0 || pausesWhenClosed(tpm) ? undefined : recoveryTimeSeconds;
}

/**
 * Tells whether the TPM can make keys with these parameters. TPM2_TestParms, Part 3, 30.3. Returns true if the command
 * itself is missing or blocked, because making the key then shows it.
 * @throws like {@link Tpm.run}, for any other refusal.
 */
export async function supportsParameters(
  tpm: Tpm,
  template: TpmtPublic,
  { signal }: SignalOptions = {},
): Promise<boolean> {
  checkObject(tpm, 'tpm', 'run:function');
  try {
    await tpm.run(TestParms, { parameters: template }, { signal });
    return true;
  } catch (error) {
    if (isUnsupported(error)) return false;
    if (isKeyprovError(error, 'tpm-unsupported') || isKeyprovError(error, 'tpm-command-blocked')) return true;
    throw error;
  }
}
