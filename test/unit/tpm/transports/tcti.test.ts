import { describe, expect, it } from 'vitest';
import { describeTctiConf } from '../../../../src/tpm/transports/tcti.ts';

describe('describeTctiConf', () => {
  it.each([
    ['swtpm:port=2321', true, false],
    ['swtpm', true, false],
    ['mssim:host=localhost,port=2321', true, false],
    ['libtpms:', true, false],
    ['libtss2-tcti-swtpm.so.0:port=2321', true, false],
    ['/usr/lib/libtss2-tcti-mssim.so.0.0.0', true, false],
    ['pcap:swtpm:port=1', true, false],
    ['pcap:device:/dev/tpmrm0', false, true],
    ['device:/dev/tpmrm0', false, true],
    ['device:/dev/tpmrm1', false, true],
    ['device', false, true],
    ['device:/dev/tpm0', false, false],
    ['libtss2-tcti-device.so.0:/dev/tpmrm0', false, true],
    ['tabrmd:bus_type=session', false, true],
    ['cmd:tpm2_send', false, false],
  ])('reads %j', (conf, emulator, managed) => {
    expect(describeTctiConf(conf)).toEqual({ emulator, managed });
  });
});
