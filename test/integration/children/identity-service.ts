/**
 * An identity service in a process of its own, without end: `script DIRECTORY`. It registers nothing, joins one device to
 * have written something, and prints its address as the last thing.
 */
import { writeSync } from 'node:fs';
import { joinDevice } from '../../../src/testing/identity-service/join-device.ts';
import { startIdentityService } from '../../../src/testing/identity-service/start-identity-service.ts';

const [, , directory = ''] = process.argv;
const user = { upn: 'ada@contoso.test', password: 'correct horse' };
const service = await startIdentityService({ users: [user], directory });
await joinDevice(service.url, { ca: service.ca, tenant: service.tenantId, user });
writeSync(1, `${service.url}\n`);
