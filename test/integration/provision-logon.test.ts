import '../cheap-scrypt.mjs';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEndorsementKey } from '../../src/attestation/endorsement-key.ts';
import { utf8 } from '../../src/bytes.ts';
import { encodeSpki } from '../../src/crypto/public-key.ts';
import { buildPkinitCertificate } from '../../src/formats/windows/pkinit-certificate.ts';
import { openKeyStore } from '../../src/keys/key-store.ts';
import { openTpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { definePolicy } from '../../src/policy/index.ts';
import { provision } from '../../src/provisioning/provision.ts';
import { unregisterKey } from '../../src/provisioning/unregister.ts';
import { attestationCaEnrolment } from '../../src/registration/attestation-ca.ts';
import { ldapReader } from '../../src/registration/ldap-reader.ts';
import { syncStatus } from '../../src/registration/sync-status.ts';
import { bindDirectory } from '../../src/testing/index.ts';
import { publicKeyOf } from '../../src/tpm/public-key.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import { type SwtpmProcess, startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { type IdentityWorld, startIdentityWorld } from './support/identity-world.ts';
import { type MitKdc, makeMitKdc, mitKdcMissing } from './support/mit-kdc.ts';
import { proveLogon } from './support/prove-logon.ts';
import { type SambaDc, sambaMissing, startSambaDc } from './support/samba-dc.ts';
import { makePkcs11Token, pkcs11Missing } from './support/tpm2-pkcs11.ts';

const missing = sambaMissing() ?? mitKdcMissing() ?? pkcs11Missing();
const PIN = '591834';
const USER = 'lise@contoso.test';

describe.skipIf(missing !== undefined)('a key that a complete run has made in the TPM', () => {
  let samba: SambaDc;
  let kdc: MitKdc;
  let swtpm: SwtpmProcess;
  let world: IdentityWorld;
  let storePath: string;

  beforeAll(async () => {
    samba = await startSambaDc();
    kdc = await makeMitKdc();
    swtpm = await startSwtpm({ listen: 'tcp' });
    const ekAllowList = await withTpm(async (tpm) => {
      await using ek = await openEndorsementKey(tpm);
      return [{ spki: encodeSpki(publicKeyOf(ek.publicArea)) }];
    });
    const onPremises = samba.connection;
    world = await startIdentityWorld({ onPremises, syncIntervalMs: 1, attestation: 'require', ekAllowList });
    storePath = mkdtempSync(join(kdc.directory, 'keys-'));
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await swtpm?.stop();
    kdc?.[Symbol.dispose]();
    await samba?.[Symbol.asyncDispose]();
  });

  async function withTpm<T>(work: (tpm: Tpm) => Promise<T>): Promise<T> {
    await using tpm = await Tpm.open(await swtpm.open());
    return await work(tpm);
  }

  it('gets a Kerberos ticket from the synchronization on, until it is unregistered', async () => {
    world.addUser(USER);
    await samba.addUser({ upn: USER });
    kdc.addUser(USER);
    const { deviceId } = world.device;
    const store = await openKeyStore(storePath);
    const registrar = await world.registrar();
    const outcome = await provision({
      ...{ user: USER, deviceId, store, registrar, prerequisites: 'skip', profile: 'attested' },
      policy: definePolicy({ hardware: 'required', attestation: 'required' }),
      enrolAk: attestationCaEnrolment({ url: `${world.service.url}/attestation/`, fetch: world.fetch }),
      sources: { tpm: async () => Tpm.open(await swtpm.open()) },
      mfa: async () => ({ status: 'passed', token: await world.token(USER) }),
      pin: async () => utf8(PIN),
    });
    if (outcome.status !== 'registered') throw new Error(outcome.status);
    const { record, registration } = outcome;

    const certificate = await withTpm(async (tpm) => {
      const provider = await openTpmKeyProvider(tpm);
      const subject = { sid: await samba.sidOf(USER), deviceId, tenantId: world.service.tenantId, upn: USER };
      return await buildPkinitCertificate(subject, {
        publicKey: record.publicKey,
        sign: (options) => provider.sign(record, { ...options, pin: utf8(PIN) }),
      });
    });
    const directory = join(kdc.directory, 'token');
    mkdirSync(directory);
    const identity = await makePkcs11Token({ swtpm, key: record, pin: utf8(PIN), certificate, directory });
    await using reader = await bindDirectory(samba.connection, samba.connection.reader);
    const stateAndTicket = async (): Promise<string> => {
      const readers = { reader: ldapReader(reader.client, { base: samba.connection.base }) };
      const { state } = await syncStatus(registration, readers);
      const logon = { kdc, directory: samba.connection, user: USER, certificate, identity };
      const { ticketOf, said } = await proveLogon(logon);
      return `${state}: ${ticketOf ?? /kinit: (.*) while/.exec(said)?.[1]}`;
    };

    expect(await stateAndTicket()).toBe('pending: Preauthentication failed');
    expect(await world.service.runSyncCycle()).toMatchObject([{ action: 'add', status: 'written' }]);
    expect(await stateAndTicket()).toBe('synced: lise@CONTOSO.TEST');
    expect(await unregisterKey(store, record.id, { registrar })).toBe('deleted');
    expect(await world.service.runSyncCycle()).toMatchObject([{ action: 'remove', status: 'removed' }]);
    expect(await stateAndTicket()).toBe('pending: Preauthentication failed');
  });
});
