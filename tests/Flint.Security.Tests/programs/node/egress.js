'use strict';

// A function with a network: what it reaches, by which name.

const net = require('net');
const dns = require('dns').promises;

function answer(host) {
  return new Promise((resolve) => {
    const socket = net.connect({ host, port: 80, timeout: 3000 });
    const end = (what) => {
      socket.destroy();
      resolve(what);
    };
    socket.on('data', (bytes) => end(bytes.toString()));
    socket.on('timeout', () => end('timeout'));
    socket.on('error', (error) => end(error.code === 'ENOTFOUND' || error.code === 'EAI_AGAIN' ? 'unknown name' : error.code));
  });
}

// What answers on port 80 of each, by TCP.
exports.reach = async (event) => {
  const answers = {};
  await Promise.all(event.hosts.map(async (host) => {
    answers[host] = await answer(host);
  }));
  return { worked: true, answers };
};

// By Node's own resolver, not libc's: it reads resolv.conf by itself, and has perhaps done so in the zygote.
exports.resolve = async (event) => ({ worked: true, addresses: await dns.resolve4(event.name) });
