import { activateCredential } from '../../src/attestation/activate.ts';
import { createAttestationKey } from '../../src/attestation/attestation-key.ts';
import { makeCredential } from '../../src/attestation/credential.ts';
import { openEndorsementKey } from '../../src/attestation/endorsement-key.ts';
import { verifyStatement } from '../../src/attestation/index.ts';
import type { AttestationStatement } from '../../src/attestation/statement.ts';
import { equal, utf8 } from '../../src/bytes.ts';
import { encodeSpki, type PublicKey } from '../../src/crypto/public-key.ts';
import { verifySignature } from '../../src/crypto/verify-signature.ts';
import type { KeyStore } from '../../src/keys/key-store.ts';
import { openTpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { definePolicy } from '../../src/policy/index.ts';
import { openKey } from '../../src/provisioning/open-key.ts';
import { provision } from '../../src/provisioning/provision.ts';
import { provisionKey } from '../../src/provisioning/provision-key.ts';
import { resetPinKeepingKey } from '../../src/provisioning/reset-pin.ts';
import type { KeyRegistrar } from '../../src/registration/key-registrar.ts';
import { objectName } from '../../src/tpm/names.ts';
import type { Tpm } from '../../src/tpm/tpm.ts';

export const PIN = utf8('591834');
export const NEW_PIN = utf8('604817');
export const policy = definePolicy({ algorithm: 'p-256', hardware: 'required', attestation: 'required' });
const CHALLENGE = utf8('a challenge of the service');
const DATA = utf8('what is signed');

/** The environment of an operation. */
export interface Place {
  readonly store: KeyStore;
  readonly tpm: Tpm;
  readonly user: string;
  readonly deviceId: string;
  /** Ends the operation. */
  readonly signal?: AbortSignal | undefined;
  /** The id of the existing key. */
  readonly id: string;
  /** For operations with a service. */
  readonly registrar: KeyRegistrar;
  readonly token: () => Promise<string>;
  /** Recovers a sealed PIN. */
  readonly recover: Parameters<typeof resetPinKeepingKey>[2]['recover'];
}

/** An operation reported success with a wrong result. */
export class WrongResult extends Error {}

/** The operations under test. Each throws {@link WrongResult} if it succeeds with a result that does not verify. */
export const OPERATIONS: Readonly<Record<string, (place: Place) => Promise<void>>> = {
  async create({ store, tpm, user, deviceId, signal }) {
    const made = await provisionKey({
      ...{ policy, sources: { tpm }, challenge: CHALLENGE, pin: PIN, user, deviceId, signal },
    });
    if (made.attestation.status !== 'made') throw new WrongResult('not attested');
    checkStatement(made.attestation.statement, made.record.publicKey);
    await store.save(made);
  },
  async provision({ store, tpm, user, deviceId, registrar, token, signal }) {
    const outcome = await provision({
      ...{ user, deviceId, signal, store, registrar, policy, prerequisites: 'skip', sources: { tpm }, pin: PIN },
      mfa: async () => ({ status: 'passed', token: await token() }),
    });
    if (outcome.status === 'pending') throw outcome.problem;
    if (outcome.status !== 'registered') throw new WrongResult(outcome.status);
  },
  async sign({ store, tpm, id, signal }) {
    await using key = await openKey({ store, id, sources: { tpm }, signal });
    const signature = await key.sign({ data: DATA, pin: PIN, signal });
    if (!verifySignature(key.publicKey, 'sha256', DATA, signature, 'der')) throw new WrongResult('the signature');
  },
  async 'change-pin'({ store, tpm, id, signal }) {
    await using key = await openKey({ store, id, sources: { tpm }, signal });
    await key.changePin({ pin: PIN, newPin: NEW_PIN, signal });
  },
  async reset({ store, tpm, id, recover, signal }) {
    const provider = await openTpmKeyProvider(tpm);
    const prompt = async () => NEW_PIN.slice();
    await resetPinKeepingKey(store, id, { provider, policy: policy.pin, recover, prompt, signal });
  },
  async attest({ store, tpm, id, signal }) {
    await using key = await openKey({ store, id, sources: { tpm }, signal });
    checkStatement(await key.attest({ challenge: CHALLENGE, signal }), key.publicKey);
  },
  async activation({ tpm, signal }) {
    await using ek = await openEndorsementKey(tpm, { template: 'L-2', signal });
    await using ak = await createAttestationKey(tpm, { algorithm: 'p-256', signal });
    const secret = utf8('a secret of a certificate author');
    const credential = makeCredential({ ek: ek.publicArea, objectName: objectName(ak.publicArea), secret });
    const opened = await activateCredential(tpm, { ek, ak: ak.object, credential, signal });
    if (!equal(opened, secret)) throw new WrongResult('the secret');
  },
};

function checkStatement(statement: AttestationStatement, publicKey: PublicKey): void {
  const { ok, findings } = verifyStatement(statement, {
    ...{ challenge: CHALLENGE, attestationKey: { pubArea: statement.ak.pubArea } },
    expectedKey: { spki: encodeSpki(publicKey) },
  });
  if (!ok)
    throw new WrongResult(
      findings
        .filter(({ status }) => status === 'fail')
        .map(({ detail }) => detail)
        .join('; '),
    );
}

/** Signs with the key `id` and the first of `pins` that works. @returns that PIN; undefined if none works. */
export async function pinOf(
  { store, tpm }: Pick<Place, 'store' | 'tpm'>,
  id: string,
  pins: readonly Uint8Array[],
): Promise<Uint8Array | undefined> {
  await using key = await openKey({ store, id, sources: { tpm } });
  for (const pin of pins) {
    try {
      const signature = await key.sign({ data: DATA, pin, force: true });
      if (verifySignature(key.publicKey, 'sha256', DATA, signature, 'der')) return pin;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'pin-wrong')) throw error;
    }
  }
  return undefined;
}
