// Prints "PASSED FAILED SKIPPED" from a vitest JSON report; zeros if vitest wrote no report.
import { readFileSync } from 'node:fs';

const text = readFileSync(process.argv[2], 'utf8');
if (text === '') {
  console.log('0 0 0');
} else {
  const report = JSON.parse(text);
  const notLoaded = report.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0);
  const failed = report.numFailedTests + notLoaded.length;
  console.log(`${report.numPassedTests} ${failed} ${report.numPendingTests + report.numTodoTests}`);
}
