// Programs that set off storms of timers, or stop those who watch over them.
'use strict';

const { spawn } = require('node:child_process');

exports.timerStorm = async (event) => {
  let fired = 0;
  const timers = Array.from({ length: event.timers }, () => setInterval(() => fired++, 0));
  await new Promise((resolve) => setTimeout(resolve, event.seconds * 1000));
  timers.forEach(clearInterval);
  return { worked: fired > 0, made: timers.length, fired };
};

exports.stopInit = async (event) => {
  const child = event.own ? spawn('sleep', ['60'], { stdio: 'ignore' }) : null;
  const target = child ? child.pid : 1;
  const sent = [];
  for (const name of ['SIGSTOP', 'SIGCHLD', 'SIGTERM', 'SIGHUP', 'SIGSEGV', 'SIGCONT']) {
    try {
      process.kill(target, name);
      sent.push(name);
    } catch {
      // Refused.
    }
  }
  child?.kill('SIGKILL');
  return { worked: sent.length > 0, sent };
};

exports.stopItself = async (event) => {
  spawn('sh', ['-c', `sleep ${event.seconds}; kill -CONT ${process.pid}`], { stdio: 'ignore' });
  const started = Date.now();
  process.kill(process.pid, 'SIGSTOP');
  return { worked: Date.now() - started >= event.seconds * 800 };
};
