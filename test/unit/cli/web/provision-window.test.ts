import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../../src/bytes.ts';
import { ProvisionWindow } from '../../../../src/cli/web/provision-window.ts';
import { definePinPolicy } from '../../../../src/policy/index.ts';

const request = { policy: definePinPolicy({}), rules: [], problems: [], attempt: 1 } as const;

describe('the window of a run', () => {
  it('accepts a requested PIN once', async () => {
    const window = new ProvisionWindow('ada');
    const asked = window.pin({ ...request, step: 'enter' }, {});
    expect(window.actions.begin(utf8(''))).toBe(false);
    expect(window.actions.pin(utf8('2718\n2819'))).toBe(true);
    expect(window.actions.pin(utf8('2718\n2819'))).toBe(false);
    expect(await asked).toEqual(utf8('2718'));
    expect(await window.pin({ ...request, step: 'confirm' }, {})).toEqual(utf8('2819'));
  });

  it('accepts none after an abort, so that none is left unwiped', async () => {
    const window = new ProvisionWindow('ada');
    const abort = new AbortController();
    const asked = window.pin({ ...request, step: 'enter' }, { signal: abort.signal });
    abort.abort(new Error('Ctrl-C'));
    await expect(asked).rejects.toThrow('Ctrl-C');
    expect(window.actions.pin(utf8('2718\n2718'))).toBe(false);
  });
});
