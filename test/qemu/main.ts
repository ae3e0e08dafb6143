import assert from 'node:assert/strict';
import { release } from 'node:os';
import { verifyStatement } from '../../src/attestation/verify.ts';
import { fromHex, toHex, uint32At, utf8 } from '../../src/bytes.ts';
import { verifySignature } from '../../src/crypto/verify-signature.ts';
import { SelectionError } from '../../src/errors/selection-error.ts';
import { isKeyprovError } from '../../src/errors.ts';
import { openTpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { definePolicy } from '../../src/policy/index.ts';
import { provisionKey } from '../../src/provisioning/provision-key.ts';
import { listHandles } from '../../src/tpm/capabilities.ts';
import { TPM_HT } from '../../src/tpm/constants.ts';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import { openDevice } from '../../src/tpm/transports/device.ts';
import {
  CREATE_ECC,
  codeOf,
  createRsa,
  GET_RANDOM,
  SHUTDOWN_CLEAR,
  STARTUP_CLEAR,
} from '../integration/support/raw-commands.ts';

// Runs in a virtual machine with a TPM and its kernel driver, started by scripts/qemu-tpmrm0.sh.

let passed = 0;
let failed = 0;

async function check(name: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
    passed++;
    console.log(`ok: ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAILED: ${name}`);
    console.log(error);
  }
}

/** Checks that `work` is rejected with `code` within a second. */
async function refused(work: Promise<unknown>, code: Parameters<typeof isKeyprovError>[1]): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(isKeyprovError(error, code), String(error));
    return true;
  });
}

const withHandle = (code: string, handle: number): Uint8Array =>
  fromHex(`80010000000e0000${code}${handle.toString(16).padStart(8, '0')}`);
const readPublic = (handle: number): Uint8Array => withHandle('0173', handle);
const flush = (handle: number): Uint8Array => withHandle('0165', handle);
/** The UINT32 behind the header: the handle of a new object. */
const handleIn = (answer: Uint8Array): number => uint32At(answer, 10);

console.log(`Linux ${release()}, Node.js ${process.version}`);

await check('the device is /dev/tpmrm0 when none is named, and it is managed', async () => {
  await using transport = await openDevice();
  assert.equal(transport.address, 'device:/dev/tpmrm0');
  assert.equal(transport.managed, true);
  assert.equal(transport.emulator, false);
});

await check('100 commands get 100 different random numbers', async () => {
  await using transport = await openDevice();
  const answers = new Set<string>();
  for (let i = 0; i < 100; i++) answers.add(toHex(await transport.send(GET_RANDOM)));
  assert.equal(answers.size, 100);
  for (const answer of answers) assert.equal(answer.slice(0, 24), '800100000014000000000008');
});

await check('a long answer comes whole', async () => {
  await using transport = await openDevice();
  // TPM2_GetCapability of all commands.
  const answer = await transport.send(fromHex('8001000000160000017a00000002000000000000ffff'));
  assert.equal(codeOf(answer), 0);
  assert.ok(answer.length > 400, `${answer.length} bytes`);
});

await check('the kernel has started the TPM: TPM2_Startup gets TPM_RC_INITIALIZE', async () => {
  await using transport = await openDevice();
  assert.equal(codeOf(await transport.send(STARTUP_CLEAR)), 0x100);
});

await check('the resource manager answers an unknown command with its own layer', async () => {
  await using transport = await openDevice();
  assert.equal(codeOf(await transport.send(fromHex('80010000000a0000ffff'))), 0x000b0143);
});

await check('three transient objects per connection, the fourth gets TPM_RC_OBJECT_MEMORY', async () => {
  await using transport = await openDevice();
  const handles: number[] = [];
  for (let i = 0; i < 3; i++) {
    const answer = await transport.send(CREATE_ECC);
    assert.equal(codeOf(answer), 0);
    handles.push(handleIn(answer));
  }
  assert.deepEqual(handles, [0x80ffffff, 0x80fffffe, 0x80fffffd]);
  assert.equal(codeOf(await transport.send(CREATE_ECC)), 0x902);
  await using other = await openDevice();
  assert.equal(codeOf(await other.send(CREATE_ECC)), 0);
  assert.equal(codeOf(await transport.send(flush(0x80fffffe))), 0);
  assert.equal(codeOf(await transport.send(CREATE_ECC)), 0);
});

await check('closing flushes: the next connection has all three slots', async () => {
  for (let connection = 0; connection < 4; connection++) {
    await using transport = await openDevice();
    for (let i = 0; i < 3; i++) assert.equal(codeOf(await transport.send(CREATE_ECC)), 0);
  }
});

await check('a handle of another connection is refused by the kernel, and the transport stays usable', async () => {
  await using owner = await openDevice();
  const handle = handleIn(await owner.send(CREATE_ECC));
  await using other = await openDevice();
  await refused(other.send(readPublic(handle)), 'tpm-command-blocked');
  assert.equal(codeOf(await other.send(GET_RANDOM)), 0);
  assert.equal(codeOf(await owner.send(readPublic(handle))), 0);
});

await check('close waits for a running command, which gets its answer', async () => {
  const transport = await openDevice();
  const making = transport.send(createRsa(1));
  const closing = transport.close();
  assert.equal(codeOf(await making), 0);
  await closing;
  await refused(transport.send(GET_RANDOM), 'transport-closed');
});

await check('an abort changes nothing: the answer comes, and the next one is its own', async () => {
  await using transport = await openDevice();
  const abort = new AbortController();
  const making = transport.send(createRsa(2), { signal: abort.signal });
  abort.abort();
  assert.equal(codeOf(await making), 0);
  assert.equal((await transport.send(GET_RANDOM)).length, 20);
});

await check('another user is denied access', async () => {
  process.seteuid?.(65_534);
  try {
    await refused(openDevice(), 'transport-permission');
  } finally {
    process.seteuid?.(0);
  }
});

await check('a device that is not there is unreachable', async () => {
  await refused(openDevice({ path: '/dev/tpmrm9' }), 'no-tpm');
});

await check('/dev/tpm0 opens while /dev/tpmrm0 is open, but only once', async () => {
  await using managed = await openDevice();
  const direct = await openDevice({ path: '/dev/tpm0' });
  assert.equal(direct.managed, false);
  await refused(openDevice({ path: '/dev/tpm0' }), 'transport-busy');
  assert.equal(codeOf(await direct.send(GET_RANDOM)), 0);
  assert.equal(codeOf(await managed.send(GET_RANDOM)), 0);
  await direct.close();
  await using again = await openDevice({ path: '/dev/tpm0' });
  assert.equal(codeOf(await again.send(GET_RANDOM)), 0);
});

await check('what /dev/tpm0 leaves loaded stays until it is flushed', async () => {
  const first = await openDevice({ path: '/dev/tpm0' });
  const handle = handleIn(await first.send(CREATE_ECC));
  assert.equal(handle, 0x80000000);
  await first.close();
  await using second = await openDevice({ path: '/dev/tpm0' });
  assert.equal(codeOf(await second.send(readPublic(handle))), 0);
  assert.equal(codeOf(await second.send(flush(handle))), 0);
  assert.equal(codeOf(await second.send(readPublic(handle))), 0x910);
});

await check('Startup and Shutdown over /dev/tpm0 do not disturb a user of /dev/tpmrm0', async () => {
  await using managed = await openDevice();
  const handle = handleIn(await managed.send(CREATE_ECC));
  const direct = await openDevice({ path: '/dev/tpm0' });
  assert.equal(codeOf(await direct.send(STARTUP_CLEAR)), 0x100);
  assert.equal(codeOf(await direct.send(SHUTDOWN_CLEAR)), 0);
  await direct.close();
  assert.equal(codeOf(await managed.send(readPublic(handle))), 0);
  assert.equal(codeOf(await managed.send(CREATE_ECC)), 0);
});

await check('a key with a PIN is made, attested, used and guarded through the whole library', async () => {
  const challenge = utf8('a challenge');
  const pin = utf8('246810');
  await using tpm = await openTpm();
  const policy = definePolicy({ hardware: 'required', attestation: 'required' });
  const made = await provisionKey({ policy, sources: { tpm }, challenge, pin });
  assert.equal(made.record.backend, 'tpm');
  assert.ok(made.attestation.status === 'made');
  const { statement } = made.attestation;
  assert.ok(verifyStatement(statement, { challenge, attestationKey: { pubArea: statement.ak.pubArea } }).ok);
  const provider = await openTpmKeyProvider(tpm);
  const data = utf8('data');
  const signature = await provider.sign(made.record, { data, pin });
  assert.ok(verifySignature(made.record.publicKey, 'sha256', data, signature, 'pkcs1'));
  await assert.rejects(provider.sign(made.record, { data, pin: utf8('1') }), (error) =>
    isKeyprovError(error, 'pin-wrong'),
  );
  assert.deepEqual(await listHandles(tpm, TPM_HT.TRANSIENT), []);
});

await check('the emulator behind the device is recognized, and refused where policy says so', async () => {
  const policy = definePolicy({ hardware: 'required', virtualTpm: 'refuse' });
  await assert.rejects(provisionKey({ policy, sources: { tpm: () => openTpm() }, challenge: utf8('c') }), (error) => {
    assert.ok(error instanceof SelectionError && error.attempts[0]?.code === 'virtual-tpm-refused', String(error));
    return true;
  });
});

await check('more objects than slots are swapped through the resource manager', async () => {
  await using tpm = await openTpm();
  const provider = await openTpmKeyProvider(tpm);
  const keys = await Promise.all(Array.from({ length: 4 }, () => provider.create({ algorithm: 'p-256' })));
  const data = utf8('data');
  const signatures = await Promise.all(keys.map((key) => provider.sign(key, { data })));
  for (const [i, { publicKey }] of keys.entries()) {
    assert.ok(verifySignature(publicKey, 'sha256', data, signatures[i] ?? data, 'der'));
  }
  assert.deepEqual(await listHandles(tpm, TPM_HT.TRANSIENT), []);
});

console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
