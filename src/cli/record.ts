import { type Bytes, fromHex, toBase64, toHex } from '../bytes.ts';
import { decodeSpkiPem } from '../crypto/public-key.ts';
import { KeyprovError } from '../errors.ts';
import { parseJson } from '../json.ts';
import { algorithmOf } from '../keys/key-record.ts';
import type { PinDerivation, ProvidedKey } from '../keys/provider.ts';
import { isKeyAlgorithm } from '../policy/index.ts';
import type { ProvisionedKey } from '../provisioning/provision-key.ts';
import type { TpmNature } from '../tpm/virtual.ts';
import { readText } from './file-io.ts';

const FORMAT = 'keyprov-record';
const VERSION = 1;

/** What a record says besides the key itself. */
export interface RecordContext {
  /** When the key was made. */
  readonly created: Date;
  readonly user: string | undefined;
  readonly deviceId: string | undefined;
  readonly challenge: { readonly bytes: Uint8Array; readonly origin: 'given' | 'random' };
  /** The TPM that made the key, if one did. */
  readonly tpm: ({ readonly address: string } & TpmNature) | undefined;
}

/** The content of `record.json`: what was made, where, why there, and what it takes to use it. No secret is in it. */
export function recordToJson(made: ProvisionedKey, context: RecordContext): object {
  const { record: key, attestation, request } = made;
  const { attempts, policy, assurance } = key;
  const { pinDerivation, parent } = key;
  const { tpm, challenge } = context;
  return {
    format: FORMAT,
    version: VERSION,
    user: context.user ?? null,
    deviceId: context.deviceId ?? null,
    created: context.created.toISOString(),
    backend: key.backend,
    assurance,
    fellBack: made.fellBack,
    policy,
    attempts,
    keyId: { hex: toHex(made.keyId), base64: toBase64(made.keyId) },
    algorithm: key.algorithm,
    hasPin: key.hasPin,
    ...(pinDerivation !== undefined && {
      pinDerivation: 'salt' in pinDerivation ? { ...pinDerivation, salt: toHex(pinDerivation.salt) } : pinDerivation,
    }),
    ...(parent !== undefined && { parent: { handle: hexNumber(parent.handle), name: toHex(parent.name) } }),
    ...(tpm !== undefined && {
      tpm: {
        address: tpm.address,
        ...tpm.vendor,
        manufacturerId: hexNumber(tpm.vendor.manufacturerId),
        firmwareVersion: hexNumber(tpm.vendor.firmwareVersion, 16),
        virtual: tpm.virtual,
        signs: tpm.signs,
      },
    }),
    challenge: { hex: toHex(challenge.bytes), origin: challenge.origin },
    attestation: attestation.status === 'made' ? { status: 'made' } : attestation,
    request: { profile: request.profile },
  };
}

/** What a record says that is needed to use its key. */
export interface KeyRecord extends Omit<ProvidedKey, 'publicKey' | 'privateKey'> {
  readonly user: string | undefined;
  /** GUID of the device that it was made on. */
  readonly deviceId: string | undefined;
  /** The address of the TPM that made it. */
  readonly tpmAddress: string | undefined;
}

/**
 * Reads `record.json` in a directory; undefined where there is none.
 * @throws KeyprovError `store-invalid` for one that is damaged or of another version.
 */
export async function readRecord(directory: string): Promise<KeyRecord | undefined> {
  const text = await readText(directory, 'record.json');
  return text === undefined ? undefined : orInvalid(directory, () => decodeRecord(text));
}

/**
 * Reads the key that `keyprov provision` left in a directory.
 * @throws KeyprovError `key-not-found` where there is none, `store-invalid` for a damaged file.
 */
export async function readKey(directory: string): Promise<ProvidedKey & KeyRecord> {
  const [record, privateKey, publicKey] = await Promise.all([
    readRecord(directory),
    readText(directory, 'key.pem'),
    readText(directory, 'public.pem'),
  ]);
  if (record === undefined || privateKey === undefined || publicKey === undefined) {
    throw new KeyprovError('key-not-found', `${directory} has no record.json, key.pem and public.pem`, {
      remedy: 'name the directory that keyprov provision wrote',
    });
  }
  return orInvalid(directory, () => {
    const key = { ...record, privateKey, publicKey: decodeSpkiPem(publicKey) };
    if (algorithmOf(key.publicKey) !== key.algorithm) throw new TypeError('public.pem is not the key of record.json');
    return key;
  });
}

function decodeRecord(text: string): KeyRecord {
  const record = objectOf(parseJson('record.json', text));
  if (record.format !== FORMAT || record.version !== VERSION) throw new TypeError('unknown format or version');
  const { user, deviceId, tpm, backend, algorithm, hasPin, pinDerivation, parent } = record;
  if (backend !== 'tpm' && backend !== 'software') throw new TypeError('unknown backend');
  if (!isKeyAlgorithm(algorithm)) throw new TypeError('unknown algorithm');
  return {
    user: user === null ? undefined : textOf(user),
    deviceId: deviceId === null ? undefined : textOf(deviceId),
    tpmAddress: tpm === undefined ? undefined : textOf(objectOf(tpm).address),
    backend,
    algorithm,
    hasPin: hasPin === true,
    ...(pinDerivation !== undefined && { pinDerivation: derivationOf(objectOf(pinDerivation)) }),
    ...(parent !== undefined && { parent: parentOf(objectOf(parent)) }),
  };
}

function derivationOf({
  kdf,
  salt,
  cost,
  blockSize,
  parallelization,
}: Readonly<Record<string, unknown>>): PinDerivation {
  if (kdf === 'pcp-sha1' || kdf === 'pcp-sha256') return { kdf };
  if (kdf !== 'scrypt') throw new TypeError('unknown PIN derivation');
  return {
    kdf,
    salt: fromHex(textOf(salt)),
    cost: Number(cost),
    blockSize: Number(blockSize),
    parallelization: Number(parallelization),
  };
}

const parentOf = ({ handle, name }: Readonly<Record<string, unknown>>): { handle: number; name: Bytes } => ({
  handle: Number(textOf(handle)),
  name: fromHex(textOf(name)),
});

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw new TypeError('an object is missing');
  return { ...value };
}

function textOf(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError('a text is missing');
  return value;
}

function orInvalid<T>(directory: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KeyprovError('store-invalid', `the files of the key in ${directory} are damaged: ${reason}`, {
      cause,
      remedy: 'restore a copy of them',
    });
  }
}

const hexNumber = (value: number | bigint, digits = 8): string => `0x${value.toString(16).padStart(digits, '0')}`;
