import { readFileSync } from 'node:fs';
import { it } from 'vitest';
import { addKeyCredential, bindDirectory } from '../../src/testing/index.ts';
import { sambaMissing, startSambaDc } from './support/samba-dc.ts';

it('x', async () => {
  console.log(sambaMissing());
  const t = performance.now();
  await using dc = await startSambaDc();
  console.log(performance.now() - t, dc.connection);
  const c = dc.connection;
  await using con = await bindDirectory(c, c.connector);
  console.log(await dc.addUser({ upn: 'ada@contoso.test', name: 'Lovelace, Ada' }));
  const { blobs } = JSON.parse(readFileSync('test/vectors/keycredential.json', 'utf8'));
  for (const b of blobs)
    console.log(
      await addKeyCredential(con.client, {
        base: c.base,
        user: 'ada@contoso.test',
        blob: Buffer.from(b.blobHex, 'hex'),
      }),
    );
  console.log(await dc.sidOf('ada@contoso.test'), await dc.renameUser('ada@contoso.test', 'Byron, Ada'));
  console.log(
    (await dc.readWithSambaTool('ada', 'msDS-KeyCredentialLink')).map((v) => [v.length, v.slice(0, 20), v.slice(-50)]),
  );
});
