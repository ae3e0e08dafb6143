import { equal } from '../bytes.ts';
import { describeName, isSameName } from './distinguished-name.ts';
import type { Certificate } from './x509.ts';

/** Longer than the chain of any TPM maker. */
const MAX_PATH = 8;
/** The most signatures that are checked for one certificate, however many others are given with it. */
const MAX_SIGNATURES = 100;

/** Finds the paths from a certificate to a root along which names and signatures match. */
export class PathSearch {
  readonly #roots: ReadonlySet<Certificate>;
  readonly #all: readonly Certificate[];
  #signatures = 0;
  #problem = '';

  constructor(roots: readonly Certificate[], intermediates: readonly Certificate[]) {
    this.#roots = new Set(roots);
    this.#all = [...roots, ...intermediates];
  }

  /** Why there is no path, or no further one. A limit that was reached comes first. */
  get problem(): string {
    return this.isExhausted
      ? `finding the issuers takes more than ${MAX_SIGNATURES} signature checks: too many certificates have the same name`
      : this.#problem;
  }

  /** Whether a limit stopped the search. */
  get isExhausted(): boolean {
    return this.#signatures > MAX_SIGNATURES;
  }

  /** Yields the paths that continue `path` up to a root, the likeliest first. */
  *extend(path: readonly Certificate[]): Generator<readonly Certificate[], undefined> {
    const last = path.at(-1);
    if (last === undefined) return;
    if (path.length > MAX_PATH) {
      this.#problem = `there are more than ${MAX_PATH} CAs above the certificate`;
      return;
    }
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
    if (issuers.length === 0) this.#problem = `there is no certificate for the issuer ${describeName(last.issuer)}`;
    else if (!isSigned)
      this.#problem ||= `no given certificate of the issuer ${describeName(last.issuer)} has the key that signed the certificate of ${describeName(last.subject)}`;
  }

  /**
   * The certificates with the name of the issuer: first those with the key that the certificate names, then those without a
   * key identifier, then the others, because a key identifier is only a hint (RFC 4158, 3.5.12).
   */
  #issuersOf({ issuer, authorityKeyId: wanted }: Certificate): readonly Certificate[] {
    const named: Certificate[] = [];
    // The same certificate a second time leads nowhere else. Roots come first, so a root stays one.
    for (const one of this.#all) {
      if (isSameName(one.subject, issuer) && !named.some(({ der }) => equal(der, one.der))) named.push(one);
    }
    if (wanted === undefined) return named;
    const rank = ({ subjectKeyId: id }: Certificate) => (id === undefined ? 1 : equal(id, wanted) ? 0 : 2);
    return named.sort((a, b) => rank(a) - rank(b));
  }
}
