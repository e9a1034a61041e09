// Programs that take time, or refuse to end. Each answers {"worked": true} when it got all the time it asked for.
'use strict';

const { spawn } = require('node:child_process');
const { performance } = require('node:perf_hooks');

const spin = (seconds) => {
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end);
};

exports.busyLoop = async (event) => {
  spin(event.seconds);
  return { worked: true };
};

exports.sleepPastLimit = async (event) => {
  await new Promise((resolve) => setTimeout(resolve, event.seconds * 1000));
  return { worked: true };
};

// Promise jobs that follow each other without end starve timers and I/O.
exports.microtaskLoop = async (event) => {
  const end = performance.now() + event.seconds * 1000;
  while (performance.now() < end) {
    await null;
  }
  return { worked: true };
};

exports.ignoreSignals = async (event) => {
  let caught = 0;
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGXCPU', 'SIGUSR2', 'SIGPIPE']) {
    process.on(name, () => caught++);
  }
  process.kill(process.pid, 'SIGTERM');
  process.kill(process.pid, 'SIGXCPU');
  await new Promise((resolve) => setTimeout(resolve, event.seconds * 1000));
  return { worked: caught >= 2 };
};

exports.regexBlowUp = async (event) => {
  /^(a+)+$/.test('a'.repeat(event.letters) + '!');
  return { worked: true };
};

// A shell in a session of its own that ignores what it can, and is to go on after the answer.
exports.daemon = async (event) => {
  const child = spawn('/bin/sh', ['-c', `trap '' TERM HUP INT; echo up; exec >/dev/null; sleep ${event.seconds} & wait`], {
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  child.unref();
  const said = await new Promise((resolve) => child.stdout.once('data', resolve));
  child.stdout.destroy();
  return { worked: said.toString().startsWith('up') };
};

exports.blockOnSharedMemory = async (event) => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, event.seconds * 1000);
  return { worked: true };
};
