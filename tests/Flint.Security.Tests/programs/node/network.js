// Programs that look for a way out over the network.
'use strict';

const net = require('node:net');
const os = require('node:os');

const tryConnect = (options) =>
  new Promise((resolve) => {
    const client = net.connect(options);
    const done = (worked, error) => {
      client.destroy();
      resolve({ worked, error });
    };
    client.setTimeout(500, () => done(false, 'timeout'));
    client.once('connect', () => done(true, null));
    client.once('error', (failure) => done(false, failure.code));
  });

exports.connect = async (event) => {
  if (!event.own) {
    return tryConnect({ host: event.host, port: event.port });
  }
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const result = await tryConnect({ host: '127.0.0.1', port: server.address().port });
  server.close();
  return result;
};

exports.interfaces = async (event) => {
  const names = Object.keys(os.networkInterfaces()).filter((name) => !event.others || name !== 'lo');
  return { worked: names.length > 0, names };
};
