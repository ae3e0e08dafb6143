import { equal } from '../bytes.ts';
import { describeName, isSameName } from './distinguished-name.ts';
import type { Certificate } from './x509.ts';

/** More certificates one above the other than any chain of a TPM maker has. */
const MAX_PATH = 8;
/** Signatures that are checked at most for one certificate, whatever others are given with it. */
const MAX_SIGNATURES = 100;

/** Finds the ways from a certificate to a root on which names and signatures fit. */
export class PathSearch {
  readonly #roots: ReadonlySet<Certificate>;
  readonly #all: readonly Certificate[];
  #signatures = 0;
  #problem = '';

  constructor(roots: readonly Certificate[], intermediates: readonly Certificate[]) {
    this.#roots = new Set(roots);
    this.#all = [...roots, ...intermediates];
  }

  /** Why there is no way, or no other one: a limit that was reached, before anything else. */
  get problem(): string {
    return this.isExhausted
      ? `more than ${MAX_SIGNATURES} signatures were to be checked: too many certificates have the names of issuers`
      : this.#problem;
  }

  /** Whether there may be ways that were not looked for. */
  get isExhausted(): boolean {
    return this.#signatures > MAX_SIGNATURES;
  }

  /** The ways that go on from `path`, which ends below a root: one after the other, the likeliest first. */
  *extend(path: readonly Certificate[]): Generator<readonly Certificate[], undefined> {
    const last = path.at(-1);
    if (last === undefined || path.length > MAX_PATH) return;
    const issuers = this.#issuersOf(last).filter(({ der }) => !path.some((one) => equal(one.der, der)));
    let isSigned = false;
    for (const issuer of issuers) {
      if (++this.#signatures > MAX_SIGNATURES) return;
      if (!last.isSignedBy(issuer)) continue;
      isSigned = true;
      const longer = [...path, issuer];
      if (this.#roots.has(issuer)) yield longer;
      else yield* this.extend(longer);
    }
    if (issuers.length === 0) this.#problem = `there is no certificate of the issuer ${describeName(last.issuer)}`;
    else if (!isSigned) this.#problem ||= `the signature of ${describeName(last.subject)} is not of its issuer`;
  }

  /**
   * The certificates with the name of the issuer: first those with the key that the certificate names, then those that do
   * not say which key they have, then the others, since the identifier of a key is a hint and no more (RFC 4158, 3.5.12).
   */
  #issuersOf({ issuer, authorityKeyId: wanted }: Certificate): readonly Certificate[] {
    const named = this.#all.filter(({ subject }) => isSameName(subject, issuer));
    if (wanted === undefined || named.length < 2) return named;
    const rank = ({ subjectKeyId: id }: Certificate) => (id === undefined ? 1 : equal(id, wanted) ? 0 : 2);
    return named.sort((a, b) => rank(a) - rank(b));
  }
}
