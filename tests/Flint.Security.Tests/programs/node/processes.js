// Programs that make processes.
'use strict';

const { spawn } = require('node:child_process');

// A shell that starts one process after the other says how far it came only when it got all of them.
exports.forkBomb = async (event) => {
  const script = `i=0; while [ $i -lt ${event.children} ]; do sleep 60 & i=$((i+1)); done; echo $i`;
  const shell = spawn('/bin/sh', ['-c', script], { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let said = '';
  let error = '';
  shell.stdout.on('data', (text) => (said += text));
  shell.stderr.on('data', (text) => (error += text));
  await new Promise((resolve) => shell.once('exit', resolve));
  try {
    process.kill(-shell.pid, 'SIGKILL');
  } catch {
    // None was left.
  }
  return { worked: said.trim() === String(event.children), said, error };
};

exports.killInit = async (event) => {
  const target = event.own ? spawn('/bin/sleep', ['60'], { stdio: 'ignore' }).pid : 1;
  try {
    process.kill(target, 'SIGKILL');
    return { worked: true };
  } catch (failure) {
    return { worked: false, error: failure.code };
  }
};
