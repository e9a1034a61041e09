// Programs that change what a path means while somebody may be looking it up.
'use strict';

const fs = require('node:fs');
const { Worker } = require('node:worker_threads');
const { spawn } = require('node:child_process');

const swap = `
const fs = require('node:fs');
let swaps = 0;
const end = Date.now() + SECONDS * 1000;
while (Date.now() < end) {
  fs.symlinkSync('/', '/tmp/swap/next');
  fs.renameSync('/tmp/swap/next', '/tmp/swap/place');
  fs.unlinkSync('/tmp/swap/place');
  swaps++;
}
require('node:worker_threads').parentPort?.postMessage(swaps);
`;

exports.swapLinks = async (event) => {
  fs.mkdirSync('/tmp/swap/real/deep', { recursive: true });
  const worker = new Worker(swap.replace('SECONDS', String(event.seconds)), { eval: true });
  const swaps = await new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject));
  if (event.goOn) {
    const loop = 'while :; do ln -sfn / /tmp/swap/place; ln -sfn /etc /tmp/swap/place; rm -f /tmp/swap/place; done';
    await new Promise((resolve) => spawn('sh', ['-c', loop], { detached: true, stdio: 'ignore' }).on('spawn', resolve));
  }
  return { worked: swaps > 10, swaps };
};

exports.renameCwd = async (event) => {
  fs.mkdirSync('/tmp/here/below', { recursive: true });
  process.chdir('/tmp/here/below');
  for (let i = 0; i < event.rounds; i++) {
    fs.renameSync('/tmp/here', '/tmp/there');
    fs.renameSync('/tmp/there', '/tmp/here');
  }
  fs.rmSync('/tmp/here', { recursive: true });
  try {
    fs.readlinkSync('/proc/self/cwd');
    return { worked: fs.readlinkSync('/proc/self/cwd').endsWith('(deleted)') };
  } catch {
    return { worked: true };
  }
};

exports.replaceDevices = async (event) => {
  fs.writeFileSync('/tmp/null', '');
  const places = event.own
    ? ['/tmp/null']
    : ['/dev/null', '/dev/zero', '/dev/shm', process.execPath, '/var/task', '/var/runtime', '/etc/passwd', '/bin/sh', '/proc/self/exe', '/tmp'];
  const replaced = [];
  for (const place of places) {
    for (const [way, act] of [
      ['unlink', () => fs.unlinkSync(place)],
      ['rename', () => fs.renameSync(place, `${place}.old`)],
      ['chmod', () => fs.chmodSync(place, 0o777)],
    ]) {
      try {
        act();
        replaced.push([place, way]);
      } catch {
        // Refused.
      }
    }
  }
  return { worked: replaced.length > 0, replaced };
};
