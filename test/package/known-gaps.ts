/** What the public names still lack: these lists only shrink. */
export const KNOWN_GAPS = {
  largeSubpaths: [],
  twoMeanings: [],
  foreignTypes: [],
  withoutExample: [],
  cannotBeNamed: [],
  withoutSentence: [],
};
