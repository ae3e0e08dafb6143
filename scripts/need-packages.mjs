// Ends the process with one line if the npm packages are not installed. Scripts import this module before they load a package.
import { existsSync } from 'node:fs';

if (!existsSync(new URL('../node_modules', import.meta.url))) {
  console.error('the npm packages are not installed: run npm ci, or scripts/setup.sh --build');
  process.exit(1);
}
