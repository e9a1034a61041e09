// Programs that make processes.
'use strict';

const { spawn } = require('node:child_process');

exports.forkBomb = async (event) => {
  const children = [];
  let error = null;
  try {
    while (children.length < event.children) {
      const child = spawn('/bin/sleep', ['60'], { stdio: 'ignore' });
      child.on('error', (failure) => (error = failure.code));
      if (child.pid === undefined) {
        break;
      }
      children.push(child);
    }
  } catch (failure) {
    error = failure.code;
  }
  for (const child of children) {
    child.kill('SIGKILL');
  }
  await Promise.all(children.map((child) => (child.exitCode !== null || child.signalCode !== null ? null : new Promise((resolve) => child.once('exit', resolve)))));
  await new Promise((resolve) => setImmediate(resolve));
  return { worked: children.length >= event.children, children: children.length, error };
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
