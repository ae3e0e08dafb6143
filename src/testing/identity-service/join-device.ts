import { generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';
import { checkObject, toBase64, view } from '../../bytes.ts';
import { DerNode } from '../../crypto/der-read.ts';
import { encodePem } from '../../crypto/pem.ts';
import { withCleanup } from '../../errors.ts';
import { encodePublicBlob } from '../../formats/windows/key-registration.ts';
import { buildCertificateRequest } from '../../formats/x509/certificate-request.ts';
import { requestInvalid } from '../../formats/x509/in-request.ts';
import { readTbs } from '../../formats/x509/issue-certificate.ts';
import { buildCommonName, decodeName } from '../../formats/x509/names.ts';
import { JsonMembers } from '../../json.ts';
import { checkMembers } from '../../known-members.ts';
import { discoverServices } from '../../registration/discovery.ts';
import { postJson } from '../../registration/json-service.ts';
import { createServiceFetch } from '../../registration/service-fetch.ts';
import { issuedTokens, postForm } from '../../registration/token-endpoint.ts';
import type { SignalOptions } from '../../signal.ts';
import { signingKeyOf } from '../signing-key.ts';

/** Options of {@link joinDevice}. */
export interface JoinDeviceOptions extends SignalOptions {
  /** The root of the service's certificate, in PEM: `ca` of the identity service. */
  readonly ca: string;
  /** Id or domain of the tenant. */
  readonly tenant: string;
  /** The user who joins the device. */
  readonly user: { readonly upn: string; readonly password: string };
  readonly displayName?: string | undefined;
}

/** A joined device. */
export interface JoinedDevice {
  /** GUID. */
  readonly deviceId: string;
  /** The client certificate for the device's connections, in PEM. */
  readonly certificate: string;
  /** PKCS#8 in PEM. A real device keeps it in the TPM. */
  readonly privateKey: string;
}

/** The name in requests of Windows. The service gives the device its real name. MS-DVRJ 4.1. */
const REQUEST_NAME = '7E980AD9-B86D-4306-9425-9AC066FB014A';
/** Long, because the service often runs in this process, which may be busy. */
const TIMEOUT_MS = 60_000;
const CLIENT_ID = '29d9ed98-a469-4536-ade2-f981bc1d605e';

/**
 * Joins a device with a new software key (RSA-2048) to an identity service, for tests and demonstrations. MS-DVRJ
 * 3.1.5.1.
 * @throws ServiceError a `service-…` code, such as `service-refused` for a wrong password; TypeError for an unknown
 * option, or a service that does not join devices.
 */
export async function joinDevice(url: string | URL, options: JoinDeviceOptions): Promise<JoinedDevice> {
  options = checkMembers('joinDevice', options, 'ca:text tenant:text user displayName:text? signal');
  checkObject(options.user, 'the user of joinDevice', 'upn', 'password');
  const { ca, tenant, user, displayName = 'test device', signal } = options;
  const fetch = createServiceFetch({ ca });
  return await withCleanup(
    async () => {
      const service = { fetch, signal, timeoutMs: TIMEOUT_MS };
      const { deviceJoin, authentication } = await discoverServices(url, { ...service, tenant });
      if (deviceJoin === undefined || authentication?.tokenEndpoint === undefined) {
        throw new TypeError(`${String(url)} does not join devices`);
      }
      const form = new URLSearchParams({
        grant_type: 'password',
        client_id: CLIENT_ID,
        resource: deviceJoin.resource,
        username: user.upn,
        password: user.password,
      });
      const { tokenEndpoint } = authentication;
      const { accessToken } = await postForm(tokenEndpoint, form, [user.password], service, (answer) =>
        issuedTokens(answer, new Date()),
      );
      const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 });
      const key = signingKeyOf(privateKey);
      const request = await buildCertificateRequest({ subject: buildCommonName(REQUEST_NAME) }, key);
      const endpoint = new URL(deviceJoin.endpoint);
      endpoint.searchParams.set('api-version', deviceJoin.version);
      const answer = await postJson(
        endpoint,
        {
          CertificateRequest: { Type: 'pkcs10', Data: toBase64(request) },
          TransportKey: toBase64(encodePublicBlob(key.publicKey)),
          TargetDomain: user.upn.slice(user.upn.indexOf('@') + 1),
          DeviceType: process.platform === 'win32' ? 'Windows' : 'Linux',
          OSVersion: '10.0',
          DeviceDisplayName: displayName,
          JoinType: 0,
          AikCertificate: '',
          AttestationData: '',
        },
        { ...service, headers: { authorization: `Bearer ${accessToken}` } },
      );
      const joined = new JsonMembers('device join', answer, requestInvalid);
      const certificate = joined.members('Certificate').base64('RawBody');
      return {
        deviceId: commonNameOf(certificate),
        certificate: encodePem('CERTIFICATE', certificate),
        privateKey: encodePem('PRIVATE KEY', view(privateKey.export({ type: 'pkcs8', format: 'der' }))),
      };
    },
    () => fetch.close(),
  );
}

function commonNameOf(certificate: Uint8Array): string {
  const name = decodeName(DerNode.lenient(readTbs(certificate).subject.der, 'device certificate'));
  return name[0]?.[0]?.value ?? '';
}
