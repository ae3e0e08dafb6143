import { type Command, command } from '../command.ts';
import { TPMS_TIME_INFO, type TpmsTimeInfo } from '../structures/base.ts';

/** Reads time, clock and reset counters. TPM2_ReadClock, Part 3, 29.1. */
export const ReadClock: Command<object, { currentTime: TpmsTimeInfo }> = command('ReadClock', {
  answer: { currentTime: TPMS_TIME_INFO },
});
