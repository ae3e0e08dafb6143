import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { isSameName } from '../../src/crypto/distinguished-name.ts';
import { verifyChain } from '../../src/crypto/verify-chain.ts';
import { type Certificate, parseCertificate } from '../../src/crypto/x509.ts';
import { missingOutsideCi } from '../programs.ts';

/** NIST's Public Key Interoperability Test Suite 1.0.1, as Debian's python3-cryptography-vectors has it. */
const DIRECTORY = '/usr/lib/python3/dist-packages/cryptography_vectors/x509/PKITS_data/certs';
const missing = missingOutsideCi(existsSync(DIRECTORY) ? undefined : 'python3-cryptography-vectors not installed');

const TIME = new Date('2020-06-01');

/** Tests of features that keyprov does not check: revocation, and certificate policies given by the caller. */
const NOT_CHECKED = [
  // 4.4, 4.5, 4.7, 4.14, 4.15: certificate revocation lists.
  ...['BadCRLIssuerNameTest5', 'BadCRLSignatureTest4', 'BasicSelfIssuedCRLSigningKeyTest7', 'MissingCRLTest1'],
  ...['BasicSelfIssuedNewWithOldTest5', 'BasicSelfIssuedOldWithNewTest2', 'IDPwithindirectCRLTest23', 'WrongCRLTest6'],
  ...['IDPwithindirectCRLTest26', 'LongSerialNumberTest18', 'NegativeSerialNumberTest15', 'OldCRLnextUpdateTest11'],
  ...['RevokedCATest2', 'RevokedEETest3', 'SeparateCertificateandCRLKeysTest20', 'SeparateCertificateandCRLKeysTest21'],
  ...['UnknownCRLEntryExtensionTest8', 'UnknownCRLExtensionTest10', 'UnknownCRLExtensionTest9', 'cRLIssuerTest27'],
  ...['cRLIssuerTest31', 'cRLIssuerTest32', 'cRLIssuerTest34', 'cRLIssuerTest35', 'deltaCRLIndicatorNoBaseTest1'],
  ...['deltaCRLTest10', 'deltaCRLTest3', 'deltaCRLTest4', 'deltaCRLTest6', 'deltaCRLTest9', 'distributionPointTest2'],
  ...['distributionPointTest3', 'distributionPointTest6', 'distributionPointTest8', 'distributionPointTest9'],
  ...['keyUsageCriticalcRLSignFalseTest4', 'keyUsageNotCriticalcRLSignFalseTest5', 'onlyContainsAttributeCertsTest14'],
  ...['onlyContainsCACertsTest12', 'onlySomeReasonsTest15', 'onlySomeReasonsTest16', 'onlySomeReasonsTest17'],
  ...['onlySomeReasonsTest20', 'onlySomeReasonsTest21', 'pre2000CRLnextUpdateTest12'],
  // 4.10, 4.12: policies.
  ...['PolicyMappingTest10', 'PolicyMappingTest2', 'PolicyMappingTest4', 'SelfIssuedinhibitAnyPolicyTest8'],
  ...['inhibitAnyPolicyTest1', 'inhibitAnyPolicyTest4', 'inhibitAnyPolicyTest5', 'inhibitAnyPolicyTest6'],
];

/** Valid ones that are refused, with the check that refuses them. */
const REFUSED: Readonly<Record<string, string>> = {
  // DSA.
  DSAParameterInheritanceTest5: 'path',
  DSASignaturesTest4: 'path',
  // The last certificate is of an authority, which no key of a TPM is.
  onlyContainsCACertsTest13: 'end-entity',
  pathLenConstraintTest14: 'end-entity',
  pathLenConstraintTest8: 'end-entity',
  // Policy constraints are not understood, and critical.
  SelfIssuedinhibitPolicyMappingTest7: 'critical-extensions',
  SelfIssuedrequireExplicitPolicyTest6: 'critical-extensions',
  inhibitPolicyMappingTest2: 'critical-extensions',
  inhibitPolicyMappingTest4: 'critical-extensions',
  requireExplicitPolicyTest1: 'critical-extensions',
  requireExplicitPolicyTest2: 'critical-extensions',
  requireExplicitPolicyTest4: 'critical-extensions',
};

interface Suite {
  readonly root: Certificate;
  readonly authorities: readonly Certificate[];
  /** Name of the test, and its last certificate. */
  readonly tests: ReadonlyMap<string, Uint8Array>;
}

async function readSuite(): Promise<Suite> {
  const files = readdirSync(DIRECTORY).map((file) => [file, readFileSync(join(DIRECTORY, file))] as const);
  const isTest = (file: string) => /^(?:Valid|Invalid).*Test\d+EE\.crt$/.test(file);
  const tests = files.filter(([file]) => isTest(file)).map(([file, der]) => [file.slice(0, -6), der] as const);
  const others = files.filter(([file]) => !/EE\.crt$|^TrustAnchor/.test(file)).map(([, der]) => parseCertificate(der));
  const read = await Promise.allSettled(others);
  const root = await parseCertificate(readFileSync(join(DIRECTORY, 'TrustAnchorRootCertificate.crt')));
  return {
    root,
    authorities: read.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : [])),
    tests: new Map(tests),
  };
}

/** The checks that fail. */
async function judge({ root, authorities }: Suite, der: Uint8Array): Promise<string[]> {
  const above = new Set<Certificate>();
  const add = (below: Certificate): void => {
    for (const one of authorities) {
      if (above.has(one) || !isSameName(one.subject, below.issuer)) continue;
      above.add(one);
      add(one);
    }
  };
  await parseCertificate(der).then(add, () => {});
  const { ok, findings } = await verifyChain(der, { roots: [root], intermediates: [...above], time: TIME });
  const failed = findings.filter(({ status }) => status === 'fail').map(({ id }) => id);
  expect(failed.length === 0).toBe(ok);
  return failed;
}

describe.skipIf(missing)('PKITS', () => {
  let suite: Suite;
  beforeAll(async () => {
    suite = await readSuite();
  });

  it("gives NIST's result, apart from rules that are not checked and certificates that are also refused", async () => {
    const counts = { valid: 0, invalid: 0, notChecked: 0, refused: 0 };
    const wrong: string[] = [];
    for (const [name, der] of suite.tests) {
      const failed = await judge(suite, der);
      const test = name.replace(/^(?:Valid|Invalid)/, '');
      const isValid = name.startsWith('Valid');
      if (isValid && test in REFUSED) {
        counts.refused++;
        expect([name, failed]).toEqual([name, [REFUSED[test]]]);
      } else if (!isValid && NOT_CHECKED.includes(test)) {
        counts.notChecked++;
        expect([name, failed]).toEqual([name, []]);
      } else {
        counts[isValid ? 'valid' : 'invalid']++;
        if ((failed.length === 0) !== isValid) wrong.push(`${name}: ${failed.join()}`);
      }
    }
    expect(wrong).toEqual([]);
    expect(counts).toEqual({ valid: 76, invalid: 62, notChecked: 53, refused: 12 });
  });

  it("gives NIST's result in the 38 tests of name constraints (4.13)", async () => {
    const tests = [...suite.tests].filter(([name]) => /nameConstraints/i.test(name));
    const judged = await Promise.all(tests.map(async ([name, der]) => [name, await judge(suite, der)] as const));
    const failures = judged.filter(([, failed]) => failed.length > 0);
    expect(tests.length).toBe(38);
    expect(failures.map(([name]) => name).filter((name) => name.startsWith('Valid'))).toEqual([]);
    expect(failures.every(([, failed]) => failed.join() === 'name-constraints')).toBe(true);
    expect(failures.length).toBe(22);
  });
});
