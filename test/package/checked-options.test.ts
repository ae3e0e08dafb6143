import { expect, it } from 'vitest';
import { readFunctionsWithOptions } from './unchecked-options.ts';

/** Functions with options that never reach `checkMembers`, with the reason. */
const REASONS: Readonly<Record<string, string>> = {
  'keyprov: definePolicy(settings)': 'reports every setting that does not exist, in one PolicyError',
  'keyprov: Tpm.run(options)': 'runs for every command, and has no option that protects anything',
  'keyprov/policy: definePinPolicy(settings)': 'reports every rule that does not exist, in one PolicyError',
  'keyprov/policy: layerOf(settings)': 'reports every setting that does not exist, as a problem of the layer',
  'keyprov/windows: dsregcmdProbe(text)': 'text, or a function that returns it',
  'keyprov/testing: withTpm(options)': 'an overload; its implementation checks',
  'keyprov/testing: withTpm(given)': 'takes the options out of its arguments, and checks them',
};

/** Functions that still ignore a misspelt option. Take one out when it checks its options; add none. */
const STILL_IGNORE: readonly string[] = [
  'keyprov: KeyStore.save(options)',
  'keyprov: KeyStore.update(options)',
  'keyprov: KeyStore.delete({…})',
  'keyprov: openSoftwareKeyProvider(opened)',
  'keyprov: TpmKeyProvider.prepare({…})',
  'keyprov: TpmKeyProvider.finish({…})',
  'keyprov: TpmKeyProvider.sign(options)',
  'keyprov: TpmKeyProvider.changePin({…})',
  'keyprov: TpmKeyProvider.use({…})',
  'keyprov: KeyPool.check({…})',
  'keyprov: KeyPool.take(options)',
  'keyprov: Tpm.open(options)',
  'keyprov/provisioning: enterNewPin(options)',
  'keyprov/provisioning: newPinState(options)',
  'keyprov/provisioning: requestForKey(options)',
  'keyprov/keys: openPinTryLog({…})',
  'keyprov/keys: PreparedTpmKey.finish(options)',
  'keyprov/keys: selectKeyProvider(sources)',
  'keyprov/keys: selectKeyProvider(options)',
  'keyprov/keys: readWrappingSecret({…})',
  'keyprov/tpm: readNv(options)',
  'keyprov/tpm: startSession(options)',
  'keyprov/tpm: readNature({…})',
  'keyprov/attestation: activateCredential(options)',
  'keyprov/attestation: answerActivationChallenge(options)',
  'keyprov/attestation: loadAttestationKey({…})',
  'keyprov/attestation: certifyCreation(options)',
  'keyprov/attestation: certifyKey(options)',
  'keyprov/attestation/endorsement: openEndorsementKey(options)',
  'keyprov/attestation/endorsement: readEkCertificates(options)',
];

it('a public function with options passes them to checkMembers, which refuses misspelt and wrong ones', () => {
  const { count, unchecked } = readFunctionsWithOptions();
  expect(count).toBeGreaterThan(100);
  expect([...unchecked].sort()).toEqual([...Object.keys(REASONS), ...STILL_IGNORE].sort());
});
