// The only bridge between a window and the keys.
const { contextBridge, ipcRenderer } = require('electron');

contextBridge.exposeInMainWorld('keys', {
  create: (challenge, pin) => ipcRenderer.invoke('create', challenge, pin),
  sign: (id, data, pin) => ipcRenderer.invoke('sign', id, data, pin),
});
