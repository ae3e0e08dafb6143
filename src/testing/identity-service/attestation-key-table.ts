import type { Tier } from '../../attestation/evidence.ts';
import { type Bytes, toHex } from '../../bytes.ts';
import { digest } from '../../crypto/kdf.ts';
import type { TpmDescription } from '../../formats/x509/tpm-description.ts';
import { Table } from './database.ts';

/** The tier proved for an attestation key. */
export type AkTier = Exclude<Tier, 'software'>;

const AK_TIERS: readonly AkTier[] = ['virtual', 'tpm-no-ek-certificate', 'ek-certificate', 'activated'];

/** An attestation key with a proved tier. */
export interface AttestationKeyRecord {
  /** TPMT_PUBLIC. */
  readonly pubArea: Bytes;
  /** Tier of the keys that it certifies. */
  readonly tier: AkTier;
}

/** An attestation key whose tier is not proved yet. */
export interface PendingActivation extends AttestationKeyRecord {
  /** The TPM that its certificate will name. */
  readonly tpm: TpmDescription;
  /** SHA-256 of the endorsement key's SubjectPublicKeyInfo in base64. */
  readonly ekSha256: string;
}

/** The attestation CA's challenges, and the attestation keys that have passed them. */
export class AttestationKeyTable extends Table {
  static readonly schema: string = `
    CREATE TABLE IF NOT EXISTS activation (secret_sha256 TEXT PRIMARY KEY, ak BLOB NOT NULL, tier TEXT NOT NULL,
      manufacturer INTEGER NOT NULL, model TEXT NOT NULL, version INTEGER NOT NULL, ek_sha256 TEXT NOT NULL,
      expires INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS attestation_key (certificate_sha256 TEXT PRIMARY KEY, ak BLOB NOT NULL, tier TEXT NOT NULL)`;

  /** Stores the claims that `secret` will prove. Keeps only the digest of the secret. */
  challenge(secret: Uint8Array, { pubArea, tier, tpm, ekSha256 }: PendingActivation, expires: Date): void {
    this.database.run(
      'INSERT INTO activation VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
      ...[sha256(secret), pubArea, tier, tpm.manufacturer, tpm.model, tpm.version, ekSha256, expires.getTime()],
    );
  }

  /** Returns the claims that `secret` proves, once. */
  activate(secret: Uint8Array, now: Date): PendingActivation | undefined {
    const row = this.database.first('SELECT * FROM activation WHERE secret_sha256 = ?', sha256(secret));
    if (row === undefined) return undefined;
    this.database.run('DELETE FROM activation WHERE secret_sha256 = ?', sha256(secret));
    if (row.integer('expires') <= now.getTime()) return undefined;
    return {
      pubArea: row.bytes('ak'),
      tier: tierOf(row.text('tier')),
      tpm: {
        manufacturer: row.integer('manufacturer'),
        model: row.text('model'),
        version: row.integer('version'),
      },
      ekSha256: row.text('ek_sha256'),
    };
  }

  /** Stores the certificate issued for an attestation key. */
  certified(certificate: Uint8Array, { pubArea, tier }: AttestationKeyRecord): void {
    this.database.run('INSERT INTO attestation_key VALUES (?, ?, ?)', sha256(certificate), pubArea, tier);
  }

  /** The attestation key for which the service issued that certificate. */
  withCertificate(certificate: Uint8Array): AttestationKeyRecord | undefined {
    const row = this.database.first('SELECT * FROM attestation_key WHERE certificate_sha256 = ?', sha256(certificate));
    return row && { pubArea: row.bytes('ak'), tier: tierOf(row.text('tier')) };
  }
}

const sha256 = (bytes: Uint8Array): string => toHex(digest('sha256', bytes));

/** The tier of that name; the lowest if it is unknown. */
const tierOf = (text: string): AkTier => AK_TIERS.find((tier) => tier === text) ?? 'virtual';
