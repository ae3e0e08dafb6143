/** The result of one check. */
export interface Finding<Id extends string = string> {
  /** The id of the check, for programs. */
  readonly id: Id;
  /** `unknown`: could not be determined. `skipped`: not checked here. */
  readonly status: 'pass' | 'fail' | 'unknown' | 'skipped';
  /** What holds, or what is wrong; printable text for people. */
  readonly detail: string;
}
