import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isKeyprovError } from '../../../src/errors.ts';
import {
  definePinPolicy,
  definePolicy,
  KEY_ALGORITHMS,
  type Policy,
  PolicyError,
  type PolicyProblem,
  parsePolicy,
  policyInForce,
} from '../../../src/policy/index.ts';
import { problemsOf as refusedFor } from './problems-of.ts';

/** The problems of the policy in `json`. Fails if there are none. */
const problemsOf = (json: unknown): readonly PolicyProblem[] =>
  refusedFor(() => parsePolicy(typeof json === 'string' ? json : JSON.stringify(json)));

const HARDWARE = "'required' | 'preferred' | 'discouraged'";
const ALGORITHMS = "'rsa-2048' | 'rsa-3072' | 'p-256' | 'p-384'";
const SETTINGS = "'hardware' | 'virtualTpm' | 'algorithm' | 'allowedAlgorithms' | 'attestation' | 'pin'";

describe('definePolicy', () => {
  it('fills in the defaults', () => {
    expect(definePolicy()).toEqual({
      hardware: 'preferred',
      virtualTpm: 'allow',
      algorithm: 'rsa-2048',
      allowedAlgorithms: ['rsa-2048', 'rsa-3072', 'p-256', 'p-384'],
      attestation: 'preferred',
      pin: definePinPolicy(),
    });
  });

  it('treats undefined as a missing setting', () => {
    expect(definePolicy({ hardware: undefined, algorithm: undefined, allowedAlgorithms: undefined })).toEqual(
      definePolicy(),
    );
  });

  it('makes the first allowed algorithm the default if rsa-2048 is not allowed', () => {
    expect(definePolicy({ allowedAlgorithms: ['p-384', 'p-256'] }).algorithm).toBe('p-384');
    expect(definePolicy({ allowedAlgorithms: ['p-256', 'rsa-2048'] }).algorithm).toBe('rsa-2048');
  });

  it('keeps a copy of the list that cannot be changed afterwards', () => {
    const allowedAlgorithms: Policy['algorithm'][] = ['p-256', 'p-384', 'p-256'];
    const policy = definePolicy({ allowedAlgorithms });
    allowedAlgorithms.push('rsa-2048');
    expect(policy.allowedAlgorithms).toEqual(['p-256', 'p-384']);
    expect(Object.isFrozen(policy)).toBe(true);
    expect(Object.isFrozen(policy.allowedAlgorithms)).toBe(true);
  });

  it('reports every wrong setting at once', () => {
    expect(
      problemsOf({
        hardware: 'require',
        virtual_tpm: 'refuse',
        algorithm: 'RSA2048',
        allowedAlgorithms: ['p256', 7, 'p-384'],
        attestation: false,
        color: 'red',
      }),
    ).toEqual([
      { setting: 'virtual_tpm', problem: "unknown setting, did you mean 'virtualTpm'?", expected: SETTINGS },
      { setting: 'color', problem: 'unknown setting', expected: SETTINGS },
      { setting: 'hardware', problem: "is 'require', did you mean 'required'?", expected: HARDWARE },
      { setting: 'attestation', problem: 'is false', expected: "'required' | 'preferred' | 'none'" },
      { setting: 'allowedAlgorithms[0]', problem: "is 'p256', did you mean 'p-256'?", expected: ALGORITHMS },
      { setting: 'allowedAlgorithms[1]', problem: 'is 7', expected: ALGORITHMS },
      { setting: 'algorithm', problem: "is 'RSA2048', did you mean 'rsa-2048'?", expected: ALGORITHMS },
    ]);
  });

  it.each([
    ['no list', 'p-256', "is 'p-256'"],
    ['an empty list', [], 'allows nothing'],
    ['an object', {}, 'is an object'],
    ['null', null, 'is null'],
  ])('refuses %s of allowed algorithms', (_, allowedAlgorithms, problem) => {
    expect(problemsOf({ allowedAlgorithms })).toEqual([
      { setting: 'allowedAlgorithms', problem, expected: `a list of ${ALGORITHMS}` },
    ]);
  });

  it('refuses an algorithm that is not among the allowed ones', () => {
    expect(problemsOf({ algorithm: 'rsa-2048', allowedAlgorithms: ['p-256', 'p-384'] })).toEqual([
      {
        setting: 'algorithm',
        problem: "'rsa-2048' is not among allowedAlgorithms",
        expected: "'p-256' | 'p-384'",
        contradicts: ['allowedAlgorithms'],
      },
    ]);
  });

  it('refuses to require attestation of a key that is to be made in software', () => {
    expect(problemsOf({ hardware: 'discouraged', attestation: 'required' }).map(({ setting }) => setting)).toEqual([
      'attestation',
    ]);
    expect(definePolicy({ hardware: 'discouraged' }).attestation).toBe('preferred');
  });

  it('names every problem in the message, under one code', () => {
    const error = new PolicyError(problemsOf({ hardware: 1, algorithm: 2 }));
    expect(isKeyprovError(error, 'policy-invalid')).toBe(true);
    expect(error.name).toBe('PolicyError');
    expect(error.remedy).toBe('correct this');
    expect(error.message).toBe(
      `the policy is wrong: hardware: is 1 (expected: ${HARDWARE}); algorithm: is 2 (expected: ${ALGORITHMS})`,
    );
  });
});

describe('parsePolicy', () => {
  it('reads a file that begins with a byte order mark', () => {
    expect(parsePolicy('\uFEFF{"hardware":"required"}').hardware).toBe('required');
  });

  it.each(['[]', 'null', '"required"', '5'])('refuses %s, which is not an object', (json) => {
    expect(problemsOf(json)).toMatchObject([{ setting: 'policy', expected: 'an object of settings' }]);
  });

  it('refuses text that is not JSON and keeps the reason', () => {
    try {
      parsePolicy('{hardware: required}');
      expect.unreachable();
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      expect(error.problems).toHaveLength(1);
      expect(error.message).toMatch(/^the policy is wrong: policy: not JSON: .*JSON at position 1/);
    }
  });

  it('reads no settings from a prototype', () => {
    expect(problemsOf('{"__proto__":{"hardware":"required"}}')).toMatchObject([{ setting: '__proto__' }]);
  });
});

describe('every policy', () => {
  const settings = fc.record(
    {
      hardware: fc.constantFrom('required', 'preferred', 'discouraged'),
      virtualTpm: fc.constantFrom('allow', 'refuse'),
      algorithm: fc.constantFrom(...KEY_ALGORITHMS),
      allowedAlgorithms: fc.array(fc.constantFrom(...KEY_ALGORITHMS), { maxLength: 6 }),
      attestation: fc.constantFrom('required', 'preferred', 'none'),
    } as const,
    { requiredKeys: [] },
  );

  it('is either refused or has an allowed algorithm, keeps what was set, and is its own definition', () => {
    fc.assert(
      fc.property(settings, (wanted) => {
        let policy: Policy;
        try {
          policy = definePolicy(wanted);
        } catch (error) {
          if (!(error instanceof PolicyError)) throw error;
          const { algorithm, allowedAlgorithms, hardware, attestation } = wanted;
          const refused =
            allowedAlgorithms?.length === 0 ||
            (algorithm !== undefined && allowedAlgorithms !== undefined && !allowedAlgorithms.includes(algorithm)) ||
            (hardware === 'discouraged' && attestation === 'required');
          expect(refused).toBe(true);
          return;
        }
        expect(policy.allowedAlgorithms).toContain(policy.algorithm);
        const { allowedAlgorithms, ...rest } = wanted;
        expect(policy).toMatchObject(rest);
        if (allowedAlgorithms !== undefined) expect(policy.allowedAlgorithms).toEqual([...new Set(allowedAlgorithms)]);
        expect(definePolicy(policy)).toEqual(policy);
        expect(parsePolicy(JSON.stringify(policy))).toEqual(policy);
      }),
      { numRuns: 500 },
    );
  });

  it('is a policy or a PolicyError for any JSON', () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (json) => {
        try {
          expect(Object.isFrozen(parsePolicy(json))).toBe(true);
        } catch (error) {
          if (!(error instanceof PolicyError)) throw error;
          expect(error.problems.length).toBeGreaterThan(0);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('settings that an object inherits', () => {
  class Strict {
    get hardware(): 'required' {
      return 'required';
    }
    get pin(): object {
      return Object.create({ minLength: 12 });
    }
  }

  it('count, since a weaker default would apply in their place', async () => {
    for (const settings of [new Strict(), Object.create(new Strict())]) {
      expect(definePolicy(settings)).toMatchObject({ hardware: 'required', pin: { minLength: 12 } });
      expect((await policyInForce({ settings, environment: {} })).policy).toMatchObject({ hardware: 'required' });
    }
    const windows = Object.create({ RequireSecurityDevice: true });
    const environment = Object.create({ KEYPROV_POLICY_PIN_MIN_LENGTH: '9', KEYPROV_POLICY_ATTESTATION: 'required' });
    expect((await policyInForce({ settings: { windows }, environment })).policy).toMatchObject({
      ...{ hardware: 'required', attestation: 'required', pin: { minLength: 9 } },
    });
    expect(definePolicy(Object.assign(new Strict(), { algorithm: 'p-256' } as const))).toMatchObject({
      algorithm: 'p-256',
    });
  });
});
