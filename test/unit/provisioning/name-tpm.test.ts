import { expect, it } from 'vitest';
import { KeyprovError } from '../../../src/errors.ts';
import { nameTpm } from '../../../src/provisioning/lost-key.ts';
import { keyRecord } from '../../key-record.ts';

it('quotes the address that the command line shows after --tpm', () => {
  const record = keyRecord('ada');
  const tpm = { ...record.tpm, address: "libtpms:/home/ada/o'my tpm" } as NonNullable<typeof record.tpm>;
  expect(nameTpm(new KeyprovError('no-tpm', 'there is none'), { ...record, tpm }, undefined)).toMatchObject({
    remedy: "use the TPM at 'libtpms:/home/ada/o'\\''my tpm'",
  });
});
