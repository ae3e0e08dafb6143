import { describe, expect, it } from 'vitest';
import { fromHex, toBase64, toHex, utf8 } from '../../../../src/bytes.ts';
import { digest, hmac } from '../../../../src/crypto/kdf.ts';
import {
  buildKeylimeActivation,
  buildKeylimeRegistration,
  computeKeylimeIakChallenge,
  parseKeylimeActivation,
  parseKeylimeRegistration,
} from '../../../../src/formats/services/keylime.ts';
import { refusal } from '../../../refusal.ts';
import { paperStatement } from '../../attestation/paper-tpm.ts';

const agentId = 'd432fbb3-d2f1-4a97-9ef7-75bd81c00000';
const statement = paperStatement('rsa-2048', 'p-256');
const { pubArea: akPubArea, certInfo, signature } = statement;
const certificate = fromHex('3003020101');
const least = { agentId, ek: { pubArea: statement.ak.pubArea }, akPubArea };
const full = {
  ...least,
  ek: { ...least.ek, certificate },
  mtlsCertificate: '-----BEGIN CERTIFICATE-----\n',
  ip: '127.0.0.1',
  port: 9002,
  iak: { pubArea: statement.ak.pubArea, certificate, certInfo, signature },
  idevid: { pubArea: akPubArea, certificate },
};

describe('a keylime registration', () => {
  it.each([
    ['2.2', 'POST', `/v2.2/agents/${agentId}`],
    ['3.0', 'POST', '/v3.0/agents/'],
  ] as const)('of version %s is %s %s, and is read again', (version, method, path) => {
    for (const registration of [least, full]) {
      const request = buildKeylimeRegistration(registration, version);
      expect(request).toMatchObject({ method, path });
      expect(parseKeylimeRegistration(request)).toEqual(registration);
    }
  });

  it('has its TPM structures as keylime reads them', () => {
    const body = JSON.parse(buildKeylimeRegistration(full, '3.0').body);
    const sized = (area: Uint8Array) => toBase64(Buffer.concat([new Uint8Array([0, area.length]), area]));
    expect(Object.keys(body)).toEqual([
      ...['agent_id', 'ekcert', 'ek_tpm', 'aik_tpm', 'mtls_cert', 'ip', 'port'],
      ...['iak_tpm', 'iak_cert', 'iak_attest', 'iak_sign', 'idevid_tpm', 'idevid_cert'],
    ]);
    expect(body).toMatchObject({
      agent_id: agentId,
      ekcert: 'MAMCAQE=',
      ek_tpm: sized(statement.ak.pubArea),
      iak_attest: toBase64(certInfo),
      iak_sign: toBase64(signature),
      port: 9002,
    });
    expect('agent_id' in JSON.parse(buildKeylimeRegistration(full, '2.2').body)).toBe(false);
  });

  it('may have null members, as the agent in Rust writes them', () => {
    const { body, ...request } = buildKeylimeRegistration(least, '2.2');
    const withNull = JSON.stringify({ ...JSON.parse(body), iak_cert: null, idevid_cert: null, mtls_cert: null });
    expect(parseKeylimeRegistration({ ...request, body: withNull })).toEqual(least);
  });

  const request = buildKeylimeRegistration(full, '2.2');
  const members = Object.keys(JSON.parse(request.body));
  it.each(members)('is refused with an unreadable %s', (member) => {
    const body = JSON.stringify({ ...JSON.parse(request.body), [member]: member === 'port' ? 1.5 : 17 });
    const said = refusal(() => parseKeylimeRegistration({ ...request, body }));
    expect(said).toMatch(
      new RegExp(`^request-invalid: keylime registration: ${member}: not (?:a string|a whole number)$`),
    );
  });

  it.each(['ek_tpm', 'aik_tpm', 'iak_tpm', 'idevid_tpm', 'iak_attest', 'iak_sign'])(
    'is refused with a %s that is cut off at any byte',
    (member) => {
      const body = JSON.parse(request.body);
      const bytes = Buffer.from(body[member], 'base64');
      for (let length = 0; length < bytes.length; length++) {
        const cut = JSON.stringify({ ...body, [member]: toBase64(bytes.subarray(0, length)) });
        expect(refusal(() => parseKeylimeRegistration({ ...request, body: cut }))).toMatch(
          new RegExp(`^request-invalid: keylime registration: ${member}: `),
        );
      }
    },
  );

  it('is refused with another method, another path, or an unknown member', () => {
    const refused = (change: object) => refusal(() => parseKeylimeRegistration({ ...request, ...change }));
    expect(refused({ method: 'PUT' })).toMatch(/^request-invalid: keylime registration: PUT "/);
    expect(refused({ path: '/v1.0/agents/a' })).toMatch(/^request-invalid: /);
    expect(refused({ path: '/v2.2/agents/' })).toMatch(/^request-invalid: /);
    expect(refused({ path: '/v3.0/agents/a' })).toMatch(/^request-invalid: /);
    expect(refused({ path: '/v2.2/agents/a/b' })).toMatch(/^request-invalid: /);
    expect(refused({ path: '/v2.2/agents/..' })).toMatch(/"\.\." is not an agent id$/);
    expect(refused({ body: '{"agent_id":"a"}' })).toMatch(/unknown member "agent_id"$/);
    expect(refused({ path: '/v3.0/agents/', body: '{"agent_id":"a/b"}' })).toMatch(/"a\/b" is not an agent id$/);
  });

  it('is not made for an id that cannot be part of a path', () => {
    for (const wrong of ['', '.', '..', 'a/b', '../x', 'ä']) {
      expect(() => buildKeylimeRegistration({ ...least, agentId: wrong }, '2.2')).toThrow(TypeError);
      expect(() => buildKeylimeActivation(wrong, akPubArea, '2.2')).toThrow(TypeError);
    }
  });

  it('has its IAK certify SHA-256 of the id', () => {
    expect(computeKeylimeIakChallenge(agentId)).toEqual(digest('sha256', utf8(agentId)));
  });
});

describe('a keylime activation', () => {
  const secret = utf8('0123456789abcdef0123456789abcdef');
  const authTag = toHex(hmac('sha384', utf8(toBase64(secret)), utf8(agentId)));

  it.each([
    ['2.2', 'PUT'],
    ['3.0', 'POST'],
  ] as const)('of version %s is a %s, and is read again', (version, method) => {
    const request = buildKeylimeActivation(agentId, secret, version);
    const path = `/v${version}/agents/${agentId}/activate`;
    expect(request).toEqual({ method, path, body: JSON.stringify({ auth_tag: authTag }) });
    expect(parseKeylimeActivation(request)).toEqual({ agentId, authTag });
  });

  it('is refused with another method, path, tag or member', () => {
    const request = buildKeylimeActivation(agentId, secret, '2.2');
    const refused = (change: object) => refusal(() => parseKeylimeActivation({ ...request, ...change }));
    expect(refused({ method: 'POST' })).toMatch(/^request-invalid: keylime activation: POST "/);
    expect(refused({ path: '/v2.2/agents//activate' })).toMatch(/^request-invalid: /);
    expect(refused({ path: '/v2.2/agents/../activate' })).toMatch(/^request-invalid: .*"\.\." is not an agent id$/);
    expect(refused({ body: '{"auth_tag":"00"}' })).toMatch(/auth_tag: not an HMAC-SHA384 in hexadecimal$/);
    expect(refused({ body: '{}' })).toMatch(/auth_tag: missing$/);
    expect(refused({ body: '{"a":1}' })).toMatch(/unknown member "a"$/);
  });
});
