// Holds, after its init, something that a fork would lose or share.
'use strict';

const net = require('node:net');
const { spawn } = require('node:child_process');
const { Worker } = require('node:worker_threads');

const what = process.env.KEEP;
const kept = [];
if (what === 'worker') {
  kept.push(new Worker('setInterval(() => {}, 1000)', { eval: true }));
} else if (what === 'child') {
  kept.push(spawn('sleep', ['3600'], { stdio: 'ignore' }));
} else if (what === 'listener') {
  kept.push(net.createServer().listen(0));
}

exports.handler = async () => ({ worked: kept.length >= 0 });
