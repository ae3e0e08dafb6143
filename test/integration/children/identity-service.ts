/**
 * Runs an identity service in this process until it is killed: `script DIRECTORY`. It joins one device, so that something has
 * been written, and prints its address last.
 */
import { writeSync } from 'node:fs';
import { joinDevice } from '../../../src/testing/identity-service/join-device.ts';
import { startIdentityService } from '../../../src/testing/identity-service/start-identity-service.ts';

const [, , directory = ''] = process.argv;
const user = { upn: 'ada@contoso.test', password: 'correct horse' };
const service = await startIdentityService({ users: [user], directory });
await joinDevice(service.url, { ca: service.ca, tenant: service.tenantId, user });
writeSync(1, `${service.url}\n`);
