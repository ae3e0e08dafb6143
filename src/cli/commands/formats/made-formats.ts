/**
 * The formats that `request` and `attest` make, and the names by which `inspect` knows the results. Apart from their
 * builders, which take long to load.
 */
export const MADE_FORMATS = {
  strict: ['key-registration'],
  attested: ['key-registration'],
  csr: ['certificate-request'],
  'csr-lamps': ['certificate-request'],
  'csr-wcce': ['certificate-request'],
  pkinit: ['certificate'],
  webauthn: ['webauthn-registration'],
  acme: ['acme-device-attest'],
  kast: ['kast'],
  'go-attestation': ['go-certification-parameters'],
  'go-attestation-ak': ['go-attestation-parameters'],
  statement: ['attestation-statement'],
  'key-credential-link': ['key-credential-link', 'dn-binary'],
  'ngc-assertion': ['jws'],
  ssh: ['ssh-public-key'],
  jwk: ['jwk'],
  spki: ['spki'],
  cose: ['cose-key'],
  cng: ['cng-blob'],
} as const;

/** The names by which `inspect` knows what a name means; the name itself if nothing is made under it. */
export function inspectedAs(name: string): readonly string[] {
  const made: Readonly<Record<string, readonly string[]>> = MADE_FORMATS;
  return made[name] ?? [name];
}

/** The names under which `request` makes what `inspect` knows by this name. */
export const madeAs = (format: string): readonly string[] =>
  Object.keys(MADE_FORMATS).filter((name) => inspectedAs(name).includes(format));
