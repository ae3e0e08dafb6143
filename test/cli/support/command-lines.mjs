/**
 * Runs `keyprov` command lines one after the other in one process: `script MAIN`. Each message starts one, and is answered when
 * it has ended. The program is evaluated again for each; its imports are not.
 */
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';

const main = pathToFileURL(process.argv[2]).href;
const streams = { stdout: process.stdout, stderr: process.stderr };
const written = { stdout: '', stderr: '' };
for (const [name, stream] of Object.entries(streams)) {
  stream.write = (chunk, ...rest) => {
    written[name] += Buffer.from(chunk).toString();
    rest.find((one) => typeof one === 'function')?.();
    return true;
  };
}
let serial = 0;

process.on('message', async ({ args, cwd, input, env }) => {
  process.argv = [process.argv[0], process.argv[1], ...args];
  process.env = env;
  process.chdir(cwd);
  process.exitCode = undefined;
  Object.defineProperty(process, 'stdin', {
    configurable: true,
    value: Readable.from(input === '' ? [] : [Buffer.from(input)]),
  });
  Object.assign(written, { stdout: '', stderr: '' });
  await import(`${main}?${serial++}`);
  for (const stream of Object.values(streams)) stream.removeAllListeners('error');
  process.send({ status: process.exitCode ?? 0, ...written });
});
