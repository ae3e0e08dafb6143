// Repeats the provisioning job of bench/job.ts, each time on a new connection, and prints the CPU time of each in milliseconds.
// Arguments: address, `session` or `password`, `cold` or `warm`, number of jobs.
import { openTpm } from '../../src/tpm/index.ts';
import { job } from '../job.ts';
import { cpuTime } from '../measure.ts';

const [address = '', protection, keys, times] = process.argv.slice(2);
const costs: number[] = [];
for (let time = 0; time < Number(times); time++) {
  const begin = cpuTime();
  const tpm = await openTpm(address);
  await job(tpm, { session: protection === 'session', warm: keys === 'warm' });
  await tpm.close();
  costs.push((cpuTime() - begin) / 1000);
}
console.log(JSON.stringify(costs));
