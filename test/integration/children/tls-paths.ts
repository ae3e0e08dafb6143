/** Tries each of the library's connections to servers with a token or a password, and prints the results. */
import { withCleanup } from '../../../src/errors.ts';
import { getJson } from '../../../src/registration/json-service.ts';
import { bindLdap } from '../../../src/registration/ldap-connection.ts';
import { createServiceFetch, type ServiceFetchOptions } from '../../../src/registration/service-fetch.ts';

const [given = '{}'] = process.argv.slice(2);
const { https, proxy, tlsProxy, ldaps, ldap, trusted, other } = JSON.parse(given) as Record<string, string>;
const headers = { authorization: 'Bearer s3cret-t0ken' };
const account = { dn: 'cn=reader', password: 's3cret-passw0rd' };

async function through(options: ServiceFetchOptions, url = https): Promise<void> {
  const fetch = createServiceFetch(options);
  await withCleanup(
    async () => void (await getJson(new URL(url ?? ''), { fetch, headers })),
    () => fetch.close(),
  );
}

async function bound(url: string | undefined): Promise<void> {
  const { close } = await bindLdap({ url: new URL(url ?? ''), ca: trusted ?? other }, account);
  await close();
}

const outside = https?.replace('localhost', 'service.test');
const PATHS: Readonly<Record<string, () => Promise<void>>> = {
  'the usual fetch': async () => void (await getJson(new URL(https ?? ''), { headers })),
  'a fetch': () => through({ ca: trusted }),
  'a fetch with other roots': () => through({ ca: trusted ?? other }),
  'a fetch with only other roots': () => through({ ca: trusted ?? other, onlyTheseRoots: true }),
  'a proxy': () => through({ ca: trusted, proxy }, outside),
  'a proxy with TLS': () => through({ ca: trusted, proxy: tlsProxy }, outside),
  LDAPS: () => bound(ldaps),
  StartTLS: () => bound(ldap),
  // Control: this client obeys the variable, which shows that the servers do receive data.
  'the fetch of Node': async () => void (await fetch(https ?? '', { headers })),
};

const outcomes: Record<string, string> = {};
for (const [name, go] of Object.entries(PATHS)) {
  outcomes[name] = await go().then(
    () => 'sent',
    (error: unknown) => `${Object(error).code}`,
  );
}
process.stdout.write(JSON.stringify(outcomes));
