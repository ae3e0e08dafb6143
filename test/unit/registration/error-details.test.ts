import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseErrorDetails } from '../../../src/registration/error-details.ts';
import { anyText } from '../../any-text.ts';

const kpp = JSON.parse(readFileSync('test/vectors/kpp.json', 'utf8'));
const details = kpp.keyRegistration.errorConstructed.body;
const read = {
  code: 'invalid_token',
  message: 'The token does not carry the required claims.',
  response: 'ERROR_FAIL',
  target: 'key',
  clientRequestId: '006dd572-ca07-42ae-8472-01a00b045bb8',
  time: '2024-09-16T12:00:00.0000000Z',
};

describe('parseErrorDetails', () => {
  it.each<[string, unknown, object]>([
    ['ErrorDetails', details, { form: 'error-details', ...read }],
    ['ErrorDetails below error', { error: details }, { form: 'nested', ...read }],
    ['a message below error', { error: { message: 'no' } }, { form: 'nested', message: 'no' }],
    [
      'the error of MS-DVRJ',
      kpp.deviceRegistrationError.body,
      {
        form: 'device-registration',
        code: 'AuthenticationError',
        message: 'The enrollment request type (DomainJoin) is not allowed.',
        traceId: '5a895a81-a4d6-41e9-8721-32a183c28d1a',
        time: '02-24-2016 17:37:01Z',
      },
    ],
    [
      'an error of Microsoft Graph',
      {
        error: {
          ...{ code: 'Authorization_RequestDenied', message: 'Insufficient privileges' },
          innerError: { date: '2026-11-30T12:00:00', 'request-id': 'ours', 'client-request-id': 'yours' },
        },
      },
      {
        ...{ form: 'nested', code: 'Authorization_RequestDenied', message: 'Insufficient privileges' },
        ...{ traceId: 'ours', clientRequestId: 'yours', time: '2026-11-30T12:00:00' },
      },
    ],
    [
      'an error of OAuth',
      {
        error: 'invalid_grant',
        error_description: 'AADSTS50076: MFA. AADSTS50076',
        error_codes: [50076, 'x'],
        trace_id: 't',
      },
      {
        form: 'oauth',
        code: 'invalid_grant',
        message: 'AADSTS50076: MFA. AADSTS50076',
        traceId: 't',
        errorCodes: [50076],
      },
    ],
    [
      'the error of the registration service of Entra ID',
      {
        ...{ code: 'invalid_request', subcode: 'error_missing_device', operation: 'DeviceJoin', message: 'no device' },
        ...{ requestId: '5a895a81-a4d6-41e9-8721-32a183c28d1a', time: '11-29-2026 17:37:01Z' },
      },
      {
        ...{ form: 'error-details', code: 'invalid_request', subcode: 'error_missing_device', operation: 'DeviceJoin' },
        ...{ message: 'no device', traceId: '5a895a81-a4d6-41e9-8721-32a183c28d1a', time: '11-29-2026 17:37:01Z' },
      },
    ],
    ['an error of OAuth without more', { error: 'slow_down' }, { form: 'oauth', code: 'slow_down' }],
    ['a number as code', { code: 7 }, { form: 'error-details', code: '7' }],
    ['members of other types', { code: ['x'], message: null }, { form: 'error-details' }],
    ['other JSON', { reason: 'x' }, { form: 'json', message: '{"reason":"x"}' }],
    ['a list', [1], { form: 'json', message: '[1]' }],
  ])('reads %s', (_, body, expected) => {
    expect(parseErrorDetails(JSON.stringify(body))).toEqual(expected);
  });

  it.each([
    ['', { form: 'empty' }],
    [' \r\n\u0000', { form: 'empty' }],
    ['no\r\nsuch\u0007 key é', { form: 'text', message: 'no such key' }],
    ['<html><style>p {}</style><h1>502 Bad\nGateway</h1><!--x', { form: 'text', message: '502 Bad Gateway <!--x' }],
    ['<br/>', { form: 'text', message: '<br/>' }],
    ['{"code":', { form: 'text', message: '{"code":' }],
  ])('reads the text %j', (body, expected) => {
    expect(parseErrorDetails(body)).toEqual(expected);
  });

  it('cuts long texts', () => {
    expect(parseErrorDetails('x'.repeat(5000)).message).toHaveLength(1000);
    expect(parseErrorDetails(JSON.stringify({ code: 'x'.repeat(5000) })).code).toHaveLength(1000);
  });

  it('accepts anything, and makes it printable', () => {
    fc.assert(
      fc.property(fc.oneof(anyText, fc.json()), (body) => {
        const { form, ...rest } = parseErrorDetails(body);
        expect(form).not.toBe('');
        for (const text of Object.values(rest).flat()) expect(`${text}`).toMatch(/^[ -~]*$/);
      }),
    );
  });
});
