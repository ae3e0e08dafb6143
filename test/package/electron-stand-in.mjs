// Replaces Electron in plain Node.js for examples/electron: `node --import` this file. As in Electron, data that passes between
// main process and window is copied. When the page is loaded, the window makes a key and signs.
import { readFileSync } from 'node:fs';
import { register } from 'node:module';

const handlers = new Map();
const invoke = async (channel, ...args) =>
  structuredClone(await handlers.get(channel)(undefined, ...structuredClone(args)));

/** The API that the preload script exposes to the page. */
function preloaded(path) {
  const world = {};
  const contextBridge = { exposeInMainWorld: (name, api) => Object.assign(world, { [name]: api }) };
  new Function('require', readFileSync(path, 'utf8'))(() => ({ contextBridge, ipcRenderer: { invoke } }));
  return world;
}

globalThis.electron = {
  app: { getPath: () => process.env.USER_DATA, whenReady: async () => {} },
  ipcMain: { handle: (channel, handler) => handlers.set(channel, handler) },
  BrowserWindow: class {
    constructor({ webPreferences }) {
      this.preload = webPreferences.preload;
    }
    async loadFile(path) {
      readFileSync(path); // throws if the file is missing
      const { keys } = preloaded(this.preload);
      const made = await keys.create(crypto.getRandomValues(new Uint8Array(32)), '271828');
      const signed = await keys.sign(made.id, new TextEncoder().encode('hello'), '271828');
      const wrong = await keys.sign(made.id, new TextEncoder().encode('hello'), '314159');
      console.log(made.backend, made.assurance, signed.signature instanceof Uint8Array, wrong.error, wrong.triesLeft);
    }
  },
};

const stub = 'export const { app, ipcMain, BrowserWindow } = globalThis.electron;';
const hooks = `export const resolve = (name, context, next) => name === 'electron'
  ? { url: 'data:text/javascript,${encodeURIComponent(stub)}', shortCircuit: true } : next(name, context);`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
