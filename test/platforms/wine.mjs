// For Node.js under Wine, with --import. Unlike Windows, Wine 8 refuses to enable keep-alive before the connection exists, and
// then the connection fails.
import net from 'node:net';

net.Socket.prototype.setKeepAlive = function setKeepAlive() {
  return this;
};
