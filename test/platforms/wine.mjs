// For Node.js under Wine, by --import: Wine 8 refuses to switch keep-alive on before a connection is there, and then the
// connection fails. Windows does not.
import net from 'node:net';

net.Socket.prototype.setKeepAlive = function setKeepAlive() {
  return this;
};
