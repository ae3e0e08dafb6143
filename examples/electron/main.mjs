// The main process. Keys, PINs and the TPM stay here; a window receives only results.
import { fileURLToPath } from 'node:url';
import { app, BrowserWindow, ipcMain } from 'electron';
import { definePolicy, isKeyprovError, keySources, openKey, openKeyStore, provisionKey } from 'keyprov';

const directory = `${app.getPath('userData')}/keys`;
const policy = definePolicy({ hardware: 'preferred', algorithm: 'p-256', attestation: 'preferred' });
const store = await openKeyStore(directory);
const sources = keySources({ store, tpm: process.env.KEYPROV_TPM ?? 'auto' }); // the TPM, and software keys if there is none

/** Runs `work` with the bytes of a PIN, then overwrites them. */
async function withPin(text, work) {
  const pin = new TextEncoder().encode(text);
  try {
    return await work(pin);
  } finally {
    pin.fill(0);
  }
}

/** Errors lose their class on the way to a window, so it receives the code, message and other members that it needs. */
const answer = (work) =>
  work().catch((error) => {
    if (!isKeyprovError(error)) throw error;
    return { error: error.code, message: error.message, remedy: error.remedy, triesLeft: error.triesLeft };
  });

ipcMain.handle('create', (_event, challenge, pinText) =>
  answer(() =>
    withPin(pinText, async (pin) => {
      const { record } = await provisionKey({ policy, sources, challenge, pin });
      await store.save(record);
      return { id: record.id, backend: record.backend, assurance: record.assurance };
    }),
  ),
);

ipcMain.handle('sign', (_event, id, data, pinText) =>
  answer(() =>
    withPin(pinText, async (pin) => {
      const key = await openKey({ store, sources, id });
      try {
        return { signature: await key.sign({ data, pin }) };
      } finally {
        await key.close();
      }
    }),
  ),
);

// Not awaited: Electron is ready only after this module has been loaded.
app.whenReady().then(() => {
  const path = (name) => fileURLToPath(new URL(name, import.meta.url));
  const webPreferences = { preload: path('preload.cjs'), contextIsolation: true, sandbox: true };
  return new BrowserWindow({ webPreferences }).loadFile(path('index.html'));
});
