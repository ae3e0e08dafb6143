import type { Option } from 'commander';
import { TPM_MANUFACTURERS } from '../../attestation/tpm-manufacturers.ts';
import type { Finding } from '../../finding.ts';
import type { Arguments } from './arguments.ts';
import { repeatableOption } from './value-option.ts';

const MAKER_CHECKS: readonly string[] = ['ak-manufacturer', 'ek-manufacturer'];

/** The option `--allow-maker`. */
export function makerOption(): Option {
  return repeatableOption('--allow-maker <id>', 'also accept this TPM maker, such as id:00000000 (repeatable)');
}

/** The makers that certificates may name: those that the TCG has registered, and those of `--allow-maker`. */
export function readMakers(given: Arguments): readonly string[] {
  const makers = given.texts('allow-maker');
  if (!makers.every((maker) => /^id:[0-9a-f]{8}$/i.test(maker))) {
    given.problems.push("--allow-maker needs a maker's id, such as id:00000000");
  }
  return [...TPM_MANUFACTURERS, ...makers];
}

/** The advice if a certificate names another maker. It is not for a certificate without one, or without its id. */
export function makerAdvice(findings: readonly Finding[]): string[] {
  const isRefused = findings.some(
    ({ id, status, detail = '' }) =>
      status === 'fail' && MAKER_CHECKS.includes(id) && /\bid:[0-9a-f]{8}\b/i.test(detail),
  );
  return isRefused ? ['The TCG has not registered this maker. In tests, --allow-maker ID accepts it.'] : [];
}
