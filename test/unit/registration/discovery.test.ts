import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ServiceError } from '../../../src/errors/service-error.ts';
import { discoverServices, parseDiscovery } from '../../../src/registration/discovery.ts';
import { TRUSTED_HOSTS } from '../../../src/registration/entra-hosts.ts';
import { refusal } from '../../refusal.ts';
import { serviceStub } from '../../service-stub.ts';

const { discovery } = JSON.parse(readFileSync('test/vectors/kpp.json', 'utf8'));
const adfs = discovery.adfs12.body;
const entra = discovery.entra19.body;
const RESOURCE = 'urn:ms-drs:434DF4A9-3CF2-4C1D-917E-2CD2B72F515A';
const sts = (path: string) => new URL(path, 'https://sts.contoso.com');

/** MS-DVRD 4.2.2. */
const XML = `<Discovery xmlns="http://schemas.datacontract.org/2004/07/Microsoft.DeviceRegistration.Entities"
    xmlns:i="http://www.w3.org/2001/XMLSchema-instance">
  <DeviceRegistrationService>
    <RegistrationEndpoint>https://sts.contoso.com/EnrollmentServer/DeviceEnrollmentWebService.svc</RegistrationEndpoint>
    <RegistrationResourceId>${RESOURCE}</RegistrationResourceId>
    <ServiceVersion>1.0</ServiceVersion>
  </DeviceRegistrationService>
  <AuthenticationService>
    <OAuth2>
      <AuthCodeEndpoint>
        https://sts.contoso.com/adfs/oauth2/authorize
      </AuthCodeEndpoint>
      <TokenEndpoint>https://sts.contoso.com/adfs/oauth2/token</TokenEndpoint>
    </OAuth2>
  </AuthenticationService>
  <IdentityProviderService>
    <PassiveAuthEndpoint>https://sts.contoso.com/adfs/ls</PassiveAuthEndpoint>
  </IdentityProviderService>
  <DeviceJoinService>
    <JoinEndpoint>https://sts.contoso.com/EnrollmentServer/device/</JoinEndpoint>
    <JoinResourceId>${RESOURCE}</JoinResourceId>
    <ServiceVersion>1.0</ServiceVersion>
  </DeviceJoinService>
  <WebBrowserZones>
    <Intranet>
      <Endpoints xmlns:a="http://schemas.microsoft.com/2003/10/Serialization/Arrays">
        <a:anyURI>https://sts.contoso.com/</a:anyURI>
      </Endpoints>
    </Intranet>
    <Trusted i:nil="true"/>
    <Untrusted i:nil="true"/>
  </WebBrowserZones>
  <KeyProvisioningService>
    <KeyProvisionEndpoint>https://sts.contoso.com/EnrollmentServer/key/</KeyProvisionEndpoint>
    <KeyProvisionResourceId>${RESOURCE}</KeyProvisionResourceId>
    <ServiceVersion>1.0</ServiceVersion>
  </KeyProvisioningService>
</Discovery>`;

const ofAdfs = {
  keyProvisioning: { endpoint: sts('/EnrollmentServer/key/'), resource: RESOURCE, version: '1.0' },
  deviceJoin: { endpoint: sts('/EnrollmentServer/device/'), resource: RESOURCE, version: '1.0' },
  authentication: { authorizeEndpoint: sts('/adfs/oauth2/authorize'), tokenEndpoint: sts('/adfs/oauth2/token') },
  raw: adfs,
};

describe('parseDiscovery', () => {
  it('reads the same from JSON and XML of an AD FS', () => {
    expect(parseDiscovery(JSON.stringify(adfs), 'application/json; charset=utf-8')).toEqual(ofAdfs);
    expect(parseDiscovery(XML, 'application/xml; charset=utf-8')).toEqual(ofAdfs);
    expect(
      parseDiscovery(
        XML.replaceAll('Discovery>', 'DiscoverResponse>').replace('<Discovery ', '<DiscoverResponse '),
        '',
      ),
    ).toEqual(ofAdfs);
  });

  it('reads the answer of Entra ID', () => {
    const { keyProvisioning, nonce, deviceJoin, raw } = parseDiscovery(JSON.stringify(entra), 'application/json');
    const resource = 'urn:ms-drs:enterpriseregistration.windows.net';
    const at = (path: string) => new URL(path, 'https://enterpriseregistration.windows.net');
    expect(keyProvisioning).toEqual({ endpoint: at('/EnrollmentServer/key/'), resource, version: '1.0' });
    expect(deviceJoin).toEqual({ endpoint: at('/EnrollmentServer/device/'), resource, version: '2.0' });
    expect(nonce).toEqual({ endpoint: at('/EnrollmentServer/nonce/{tenantId}/'), resource, version: '1.0' });
    expect(raw).toEqual(entra);
  });

  it.each(Object.keys(entra))('works without %s', (name) => {
    const { [name]: _, ...others } = entra;
    expect(parseDiscovery(JSON.stringify(others), '').raw).toEqual(others);
    expect(parseDiscovery(JSON.stringify({ ...others, [name]: null }), '').raw[name]).toBeNull();
  });

  it('leaves out a service without address or resource, and accepts a numeric version', () => {
    const service = { KeyProvisionEndpoint: 'https://a.test/', KeyProvisionResourceId: 'r' };
    const read = (changes: object) =>
      parseDiscovery(JSON.stringify({ KeyProvisioningService: { ...service, ...changes } }), '').keyProvisioning;
    expect(read({})).toEqual({ endpoint: new URL('https://a.test/'), resource: 'r', version: '1.0' });
    expect(read({ ServiceVersion: 2 })?.version).toBe('2.0');
    expect([{ KeyProvisionEndpoint: '' }, { KeyProvisionResourceId: null }].map(read)).toEqual([undefined, undefined]);
  });

  it.each([
    ['', 'not JSON'],
    ['[]', 'not a JSON object'],
    ['{"KeyProvisioningService":"x"}', 'KeyProvisioningService is not an object'],
    ['{"KeyProvisioningService":[]}', 'KeyProvisioningService is not an object'],
    ['{"NonceService":{"Endpoint":7}}', 'Endpoint is not a string'],
    ['{"NonceService":{"Endpoint":"/nonce"}}', 'Endpoint is not a URL'],
    ['{"AuthenticationService":{"OAuth2":{"TokenEndpoint":"x"}}}', 'TokenEndpoint is not a URL'],
    ['<html></html>', 'the root element is not Discovery'],
    ['<Discovery/><Discovery/>', 'the root element is not Discovery'],
    ['<Discovery>', 'not XML'],
    ['<!DOCTYPE x><Discovery/>', 'not XML'],
    ['<Discovery><NonceService>x</NonceService></Discovery>', 'NonceService is not an object'],
  ])('refuses %j', (text, problem) => {
    expect(refusal(() => parseDiscovery(text, ''))).toContain(`service-answer: discovery: ${problem}`);
  });

  it('accepts or refuses any input', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.json(), fc.string()),
        fc.constantFrom('application/json', 'text/xml', ''),
        (text, type) => {
          try {
            parseDiscovery(text, type);
          } catch (error) {
            expect(error instanceof ServiceError).toBe(true);
          }
        },
      ),
    );
  });
});

const INSECURE = "have the service's administrator correct that address: it needs https, and no user name or password";

describe('discoverServices', () => {
  it.each([
    ['https://sts.contoso.com', {}, 'https://sts.contoso.com/enrollmentserver/contract?api-version=1.2'],
    ['https://sts.contoso.com/a', {}, 'https://sts.contoso.com/a/enrollmentserver/contract?api-version=1.2'],
    ['https://sts.contoso.com/', { tenant: '../x' }, 'https://sts.contoso.com/..%2Fx/Discover?api-version=1.9'],
  ])('asks %s %j at %s', async (url, options, asked) => {
    const { fetch, sent } = serviceStub(adfs);
    expect(await discoverServices(url, { ...options, fetch })).toEqual(ofAdfs);
    expect(sent.map((request) => request.url)).toEqual([asked]);
  });

  it('trusts Entra ID, and only with TLS', async () => {
    expect(TRUSTED_HOSTS).toContain('enterpriseregistration.windows.net');
    const ResourceId = 'urn:ms-drs:enterpriseregistration.windows.net';
    const fetch = (host: string) => serviceStub({ NonceService: { Endpoint: host, ResourceId } }).fetch;
    const asked = async (endpoint: string) =>
      await discoverServices('https://enterpriseregistration.windows.net', { fetch: fetch(endpoint) }).then(
        () => 'trusted',
        (error: unknown) => (error instanceof ServiceError ? error.code : error),
      );
    expect(await asked('https://login.microsoftonline.com/x')).toBe('trusted');
    expect(await asked('http://login.microsoftonline.com/x')).toBe('service-untrusted');
    expect(await asked('https://a:b@login.microsoftonline.com/x')).toBe('service-untrusted');
    expect(await asked('https://login.microsoftonline.com.evil.test/x')).toBe('service-untrusted');
  });

  it.each([
    ['https://evil.test/x', 'if you trust that host, add it to trustedHosts'],
    ['http://evil.test/x', INSECURE],
    ['http://login.microsoftonline.com/x', INSECURE],
    ['https://a:b@login.microsoftonline.com/x', INSECURE],
  ])('says what helps against the address %s', async (endpoint, remedy) => {
    const redirection = new Response('', { status: 307, headers: { location: endpoint } });
    for (const answer of [{ NonceService: { Endpoint: endpoint, ResourceId: endpoint } }, redirection]) {
      const found = discoverServices('https://enterpriseregistration.windows.net', {
        fetch: serviceStub(answer).fetch,
      });
      await expect(found).rejects.toMatchObject({ code: 'service-untrusted', remedy });
    }
  });

  it.each([
    ['javascript:alert(1)', 'a javascript: URL'],
    ['data:,x', 'a data: URL'],
    ['https://evil.test/x', 'https://evil.test'],
  ])('names where it is sent to: %s', async (location, said) => {
    const redirection = new Response('', { status: 302, headers: { location } });
    await expect(
      discoverServices('https://sts.contoso.com', { fetch: serviceStub(redirection).fetch }),
    ).rejects.toThrow(`it redirects to ${said}`);
    const answer = { NonceService: { Endpoint: location, ResourceId: 'r' } };
    await expect(discoverServices('https://sts.contoso.com', { fetch: serviceStub(answer).fetch })).rejects.toThrow(
      `NonceService is at ${said}`,
    );
  });

  it.each([
    ['', 'the response is empty'],
    ['<html><body>Sign in to the network</body></html>', 'the response is not a discovery document: the root'],
    ['\ufffd\ufffd{\0}\0', 'the response is not a discovery document: not JSON'],
  ])('says which address sent something else, and what to do: %j', async (body, problem) => {
    const { fetch } = serviceStub(new Response(body));
    await expect(discoverServices('https://sts.contoso.com', { fetch })).rejects.toMatchObject({
      code: 'service-answer',
      message: expect.stringContaining(`GET https://sts.contoso.com/enrollmentserver/contract: ${problem}`),
      remedy: 'check the address, and open it in a browser to see what answers there',
    });
  });

  it.each([
    ['https://graph.microsoft.com', {}, 'KeyProvisioningService'],
    ['https://graph.microsoft.com/', {}, 'KeyProvisioningService'],
    ['00000003-0000-0000-c000-000000000000', {}, 'KeyProvisioningService'],
    ['urn:ms-drs:enterpriseregistration.windows.net', {}, 'KeyProvisioningService'],
    ['urn:ms-drs:sts.contoso.com.evil.test', {}, 'KeyProvisioningService'],
    ['https://sts.contoso.com:444/', {}, 'KeyProvisioningService'],
    ['https://sts.contoso.com/EnrollmentServer/ke', {}, 'KeyProvisioningService'],
    ['data:x', {}, 'KeyProvisioningService'],
    [RESOURCE, { AuthenticationService: undefined }, 'KeyProvisioningService'],
    [
      RESOURCE,
      { AuthenticationService: { OAuth2: { TokenEndpoint: 'https://login.microsoftonline.com/x/oauth2/token' } } },
      'KeyProvisioningService',
    ],
  ])('refuses a service whose tokens would be for %s', async (resource, changes, name) => {
    const { KeyProvisioningService } = adfs;
    const service = { ...KeyProvisioningService, KeyProvisionResourceId: resource };
    const { fetch } = serviceStub({
      ...adfs,
      DeviceJoinService: undefined,
      ...changes,
      KeyProvisioningService: service,
    });
    const error = await discoverServices('https://sts.contoso.com', { fetch }).catch((thrown: unknown) => thrown);
    const message = `${name} at https://sts.contoso.com wants tokens for ${resource}`;
    expect(error).toMatchObject({ code: 'service-untrusted', message: expect.stringContaining(message) });
  });

  it.each([
    ['urn:ms-drs:sts.contoso.com', []],
    ['https://sts.contoso.com', []],
    ['https://sts.contoso.com/EnrollmentServer/', []],
    [RESOURCE, []],
    ['https://keys.contoso.com', ['https://keys.contoso.com']],
  ])('accepts a service whose tokens are for %s if %j is named', async (resource, trustedResources) => {
    const service = { ...adfs.KeyProvisioningService, KeyProvisionResourceId: resource };
    const { fetch } = serviceStub({ ...adfs, KeyProvisioningService: service });
    const services = await discoverServices('https://sts.contoso.com', { fetch, trustedResources });
    expect(services.keyProvisioning?.resource).toBe(resource);
  });

  it('sends its headers only to the server asked, even after redirections', async () => {
    const to = (location: string) => new Response('', { status: 307, headers: { location } });
    const { fetch, sent } = serviceStub(to('/again'), to('https://other.test/'), to('https://sts.contoso.com/3'), adfs);
    const headers = { authorization: 'Bearer t0ken', 'x-key': 'k' };
    await discoverServices('https://sts.contoso.com', { fetch, headers, trustedHosts: ['other.test'] });
    expect(sent.map(({ url, headers }) => [new URL(url).host, headers.authorization, headers['x-key']])).toEqual([
      ['sts.contoso.com', 'Bearer t0ken', 'k'],
      ['sts.contoso.com', 'Bearer t0ken', 'k'],
      ['other.test', undefined, undefined],
      ['sts.contoso.com', 'Bearer t0ken', 'k'],
    ]);
  });

  it.each([
    ['http://sts.contoso.com', {}],
    ['nowhere', {}],
    ['https://sts.contoso.com', { tenant: '' }],
    ['https://sts.contoso.com', { tenant: '..' }],
  ])('refuses %s %j', async (url, options) => {
    const { fetch, sent } = serviceStub(adfs);
    await expect(discoverServices(url, { ...options, fetch })).rejects.toThrow(TypeError);
    expect(sent).toEqual([]);
  });
});
