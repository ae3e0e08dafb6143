/**
 * A service that verifies evidence: it answers each line of JSON on standard input with one line on standard output. It imports
 * only the verifier from keyprov.
 */
import { createInterface } from 'node:readline';
import { decodeStatement, verifyEvidence } from '../../../src/attestation/index.ts';

const fromHex = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));

/** Native libraries and addons in this process, by their file names. */
function loaded(): string[] {
  const { sharedObjects } = process.report.getReport() as unknown as { sharedObjects: string[] };
  return sharedObjects.map((path) => path.slice(path.lastIndexOf('/') + 1));
}

for await (const line of createInterface({ input: process.stdin })) {
  const { statement, challenge, akRoot } = JSON.parse(line);
  const result = await verifyEvidence(decodeStatement(statement), {
    challenge: fromHex(challenge),
    akRoots: [fromHex(akRoot)],
    minTier: 'virtual',
  });
  const { ok, tier, findings } = result;
  console.log(
    JSON.stringify({ ok, tier, failed: findings.filter(({ status }) => status === 'fail'), loaded: loaded() }),
  );
}
