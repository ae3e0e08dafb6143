import { type Bytes, copy } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';
import type { Finding } from '../finding.ts';
import { sayTime } from '../printable.ts';
import { authorityOf } from './authority-cache.ts';
import { describeName, isSameName } from './distinguished-name.ts';
import { weaknessOf } from './key-strength.ts';
import { Comparisons, nameProblem } from './name-constraints.ts';
import { PathSearch } from './path-search.ts';
import { type Certificate, EXTENSION, KEY_USAGE, parseCertificate } from './x509.ts';

/** The name of a check of a certificate chain, for programs. */
export type ChainCheck =
  | 'roots'
  | 'certificate'
  | 'path'
  | 'validity'
  | 'authorities'
  | 'path-length'
  | 'critical-extensions'
  | 'name-constraints'
  | 'end-entity'
  | 'extended-key-usage'
  | 'algorithms';

/** Options for verifying a certificate chain. */
export interface ChainOptions {
  /** Certificates that may lead to a root, in any order, given like the roots. They are not trusted by themselves. */
  readonly intermediates?: readonly (Uint8Array | Certificate)[] | undefined;
  /** The trusted certificates, in DER or parsed. Without any, nothing passes. */
  readonly roots: readonly (Uint8Array | Certificate)[];
  /** When the certificates must be valid. Default: now. */
  readonly time?: Date | undefined;
  /**
   * The OID of a purpose that the certificate must have. An intermediate certificate with purposes must have it too, or
   * anyExtendedKeyUsage.
   */
  readonly extendedKeyUsage?: string | undefined;
  /** Also accepts a certificate without any purpose. Default false. */
  readonly mayLackPurpose?: boolean | undefined;
  /** Accepts SHA-1 in signatures too, for old chains of TPM makers. Default false. */
  readonly acceptSha1?: boolean | undefined;
  /**
   * Keeps roots and intermediates, and whether their signatures verified, in memory for the next verification: up to
   * 256 certificates of at most 8 KiB, by their SHA-256. The findings are the same. Default true.
   */
  readonly keepAuthorities?: boolean | undefined;
}

/** The result of {@link verifyChain}. */
export interface ChainResult {
  readonly ok: boolean;
  readonly findings: readonly Finding<ChainCheck>[];
  /** From the certificate to the root, in DER; empty if no path was found. */
  readonly path: readonly Bytes[];
}

/** More intermediates than any client sends. Certificates that the verifier has parsed itself do not count. */
const MAX_INTERMEDIATES = 100;

/**
 * Verifies that a certificate was issued under one of the roots. RFC 5280, 6, without certificate policies and
 * revocation. Never throws because of the certificate or the intermediates.
 * @throws KeyprovError `certificate-invalid` for a root that cannot be read.
 */
export async function verifyChain(leaf: Uint8Array | Certificate, options: ChainOptions): Promise<ChainResult> {
  const { intermediates = [], time = new Date(), keepAuthorities } = options;
  if (options.roots.length === 0) return failed('roots', 'no roots were given, so nothing is trusted');
  let certificate: Certificate;
  try {
    certificate = 'isSignedBy' in leaf ? leaf : await parseCertificate(leaf);
  } catch (error) {
    return failed('certificate', messageOf(error));
  }
  const unread = intermediates.filter((one) => !('isSignedBy' in one)).length;
  if (unread > MAX_INTERMEDIATES) return failed('path', `${unread} intermediates; the limit is ${MAX_INTERMEDIATES}`);
  const read = (given: Uint8Array | Certificate) => authorityOf(given, keepAuthorities);
  const roots = await Promise.all(options.roots.map(read));
  // Ignores intermediates that cannot be read.
  const readable = (await Promise.allSettled(intermediates.map(read))).flatMap((result) =>
    result.status === 'fulfilled' ? [result.value] : [],
  );
  const search = new PathSearch(roots, readable);
  const comparisons = new Comparisons();
  let first: ChainResult | undefined;
  for (const path of search.extend([certificate])) {
    const result = judge(path, { ...options, time }, comparisons);
    if (result.ok) return result;
    first ??= result;
  }
  return first === undefined || search.isExhausted ? failed('path', search.problem) : first;
}

/** Makes all other checks of one path. */
function judge(
  path: readonly Certificate[],
  options: ChainOptions & { readonly time: Date },
  comparisons: Comparisons,
): ChainResult {
  const authorities = path.slice(1);
  const findings: Finding<ChainCheck>[] = [];
  const check = (name: ChainCheck, holds: string, problems: readonly (string | undefined)[]): void => {
    const detail = problems.find((problem) => problem !== undefined);
    findings.push({ id: name, status: detail === undefined ? 'pass' : 'fail', detail: detail ?? holds });
  };
  const about = (problem: (certificate: Certificate, above: number) => string | undefined, list = path) =>
    list.map((certificate, i) => {
      const found = problem(certificate, i);
      return found && `${describeName(certificate.subject)}: ${found}`;
    });

  check('roots', 'roots were given', []);
  check('certificate', 'the certificate can be read', []);
  check('path', `the path ends at the root ${describeName(path.at(-1)?.subject ?? [])}`, []);
  check(
    'validity',
    'all certificates are valid at the given time',
    about((one) => validityProblem(one, options.time)),
  );
  check('authorities', 'all issuers are CAs', about(authorityProblem, authorities));
  check(
    'path-length',
    'no path length is exceeded',
    about((one, i) => lengthProblem(one, i, path), authorities),
  );
  check('critical-extensions', 'every critical extension is understood', about(criticalProblem));
  check('name-constraints', 'all names meet the name constraints', nameProblems(path, comparisons));
  check('end-entity', 'it is not a CA certificate', about(endEntityProblem, path.slice(0, 1)));
  const { extendedKeyUsage: purpose, mayLackPurpose = false } = options;
  if (purpose !== undefined)
    check(
      'extended-key-usage',
      `it is for ${purpose}`,
      about((one, i) => purposeProblem(one, { isLeaf: i === 0, mayLackPurpose, purpose }), path.slice(0, -1)),
    );
  check('algorithms', 'signatures and keys are strong enough', [
    ...about((one) => findSignatureProblem(one, options.acceptSha1 ?? false), path.slice(0, -1)),
    ...about(keyProblem, authorities),
  ]);
  return { ok: findings.every(({ status }) => status === 'pass'), findings, path: path.map(({ der }) => copy(der)) };
}

function validityProblem({ notBefore, notAfter }: Certificate, time: Date): string | undefined {
  if (!(time >= notBefore)) return `not valid before ${sayTime(notBefore)}`;
  return time <= notAfter ? undefined : `not valid after ${sayTime(notAfter)}`;
}

/** Refuses what only a CA may have. RFC 5280, 4.2.1.9, 4.2.1.3 and 4.2.1.10. */
function endEntityProblem({ basicConstraints, keyUsage, nameConstraints }: Certificate): string | undefined {
  if (basicConstraints?.ca) return 'it is a CA certificate';
  if (keyUsage?.has(KEY_USAGE.keyCertSign))
    return 'its key usage allows signing certificates, but it is not a CA certificate';
  if (nameConstraints !== undefined) return 'it has name constraints, but it is not a CA certificate';
  return basicConstraints?.pathLength === undefined
    ? undefined
    : 'it has a path length, but it is not a CA certificate';
}

/** Its name ties the certificates below to it. RFC 5280, 4.1.2.6, 4.2.1.9 and 4.2.1.3. */
function authorityProblem({ version, subject, basicConstraints, keyUsage }: Certificate): string | undefined {
  if (version !== 3 || !basicConstraints?.ca) return 'its basic constraints do not allow it to be a CA';
  if (subject.length === 0) return 'it is a CA certificate without a subject';
  return keyUsage?.has(KEY_USAGE.keyCertSign) === false
    ? 'its key usage does not allow signing certificates'
    : undefined;
}

/** Counts the `below` CAs under it, except self-issued ones. */
function lengthProblem(
  { basicConstraints }: Certificate,
  below: number,
  path: readonly Certificate[],
): string | undefined {
  const limit = basicConstraints?.pathLength;
  const counted = path.slice(1, 1 + below).filter((one) => !isSelfIssued(one)).length;
  return limit !== undefined && counted > limit
    ? `the number of CAs below it is ${counted}; its limit is ${limit}`
    : undefined;
}

/**
 * The extensions that may be critical: those that are checked, and certificate policies (with mappings and inhibition
 * of anyPolicy), which limit nothing unless a policy is asked for.
 */
const UNDERSTOOD: ReadonlySet<string> = new Set([...Object.values(EXTENSION), '2.5.29.32', '2.5.29.33', '2.5.29.54']);

function criticalProblem({ critical }: Certificate): string | undefined {
  const unknown = critical.find((id) => !UNDERSTOOD.has(id));
  return unknown && `the critical extension ${unknown} is not understood`;
}

function nameProblems(path: readonly Certificate[], comparisons: Comparisons): (string | undefined)[] {
  const isJudged = (one: Certificate, i: number) => i === 0 || !isSelfIssued(one);
  return path.flatMap((authority, i) =>
    path
      .slice(0, i)
      .filter(isJudged)
      .map((one) => nameProblem(one, authority, comparisons)),
  );
}

function purposeProblem(
  { extendedKeyUsage }: Certificate,
  { isLeaf, mayLackPurpose, purpose }: { isLeaf: boolean; mayLackPurpose: boolean; purpose: string },
): string | undefined {
  if (extendedKeyUsage === undefined) return isLeaf && !mayLackPurpose ? 'it has no extended key usage' : undefined;
  const isFor = extendedKeyUsage.includes(purpose) || (!isLeaf && extendedKeyUsage.includes('2.5.29.37.0'));
  return isFor ? undefined : `it is for ${extendedKeyUsage.join(', ')}, not for ${purpose}`;
}

function findSignatureProblem({ signatureHash }: Certificate, acceptSha1: boolean): string | undefined {
  return signatureHash === 'sha1' && !acceptSha1 ? 'it is signed with SHA-1' : undefined;
}

function keyProblem(certificate: Certificate): string | undefined {
  try {
    return weaknessOf(certificate.publicKey());
  } catch (error) {
    return messageOf(error);
  }
}

const isSelfIssued = ({ subject, issuer }: Certificate): boolean => isSameName(subject, issuer);

const messageOf = (error: unknown): string => {
  if (error instanceof KeyprovError) return error.message;
  throw error;
};

const failed = (id: ChainCheck, detail: string): ChainResult => ({
  ok: false,
  findings: [{ id, status: 'fail', detail }],
  path: [],
});
