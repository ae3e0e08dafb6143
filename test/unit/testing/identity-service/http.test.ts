import { describe, expect, it } from 'vitest';
import { findRoute, type Handler } from '../../../../src/testing/identity-service/http.ts';

const handler: Handler = () => ({ status: 200 });
const other: Handler = () => ({ status: 204 });

describe('findRoute', () => {
  const routes = [
    ['GET', '/users/{user}/methods', handler],
    ['DELETE', '/users/{user}/methods/{id}', other],
    ['GET', '/{tenant}/Discover', other],
  ] as const;

  it.each<[string, string, Handler | undefined, Record<string, string>]>([
    ['GET', '/users/ada%40contoso.test/methods', handler, { user: 'ada@contoso.test' }],
    ['GET', '/USERS/ada/Methods/', handler, { user: 'ada' }],
    ['DELETE', '/users/ada/methods/7', other, { user: 'ada', id: '7' }],
    ['GET', '/common/discover', other, { tenant: 'common' }],
    ['GET', '/users/a%zz/methods', handler, { user: 'a%zz' }],
    ['POST', '/users/ada/methods', undefined, {}],
    ['GET', '/users/ada', undefined, {}],
    ['GET', '/users/ada/methods/7', undefined, {}],
    ['GET', '/', undefined, {}],
  ])('finds the handler of %s %s', (method, path, expected, params) => {
    const found = findRoute(routes, method, path);
    expect([found?.handler, found?.params ?? {}]).toEqual([expected, params]);
  });
});
