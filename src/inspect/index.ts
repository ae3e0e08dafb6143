/** Recognizes and describes files of every format of this library. */
export { FORMATS, type InspectOptions, inspect, MAX_SIZE } from './inspect.ts';
export type { Confidence, Field, Inspection, Reading } from './inspection.ts';
export { printInspection } from './print-inspection.ts';
