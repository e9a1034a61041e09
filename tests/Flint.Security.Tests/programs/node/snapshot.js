// A function that is kept initialised and forked for each invocation: what its forks leave for the next one.
'use strict';

const fs = require('node:fs');
const net = require('node:net');
const { spawn } = require('node:child_process');

const atInit = fs.readFileSync('/proc/sys/kernel/random/uuid', 'utf8').trim();
const template = 2;
const kept = [];
fs.mkdirSync('/tmp/init/deep', { recursive: true });
fs.writeFileSync('/tmp/init/one', 'as init left it');

const leaves = {
  nothing: () => {},
  'its own state': () => {
    kept.push(1);
    Object.defineProperty(Object.prototype, 'left', { value: 1 });
    process.chdir('/usr');
    process.umask(0);
    process.env.LEFT = '1';
    setInterval(() => kept.push(1), 1);
    process.on('SIGUSR2', () => {});
  },
  'a daemon': () => new Promise((resolve) => spawn('sleep', ['3600'], { detached: true, stdio: 'ignore' }).on('spawn', resolve).unref()),
  'a daemon that forks on and on': () =>
    new Promise((resolve) => spawn('sh', ['-c', 'f() { sleep 0.01; f & }; f'], { detached: true, stdio: 'ignore' }).on('spawn', resolve).unref()),
  'a listening socket': () => new Promise((resolve) => net.createServer().listen({ path: '\0left' }, resolve)),
  'a spoilt /tmp': () => {
    fs.rmSync('/tmp/init', { recursive: true });
    fs.symlinkSync('/etc', '/tmp/init');
    fs.writeFileSync('/tmp/junk', 'junk');
  },
  'a stopped template': () => process.kill(template, 'SIGSTOP'),
  'a killed template': () => process.kill(template, 'SIGKILL'),
  'its own end': () => process.reallyExit(7),
};

const files = (folder) =>
  fs.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory() ? [path, ...files(path)] : [`${path} ${entry.isFile() ? fs.readFileSync(path, 'utf8') : 'other'}`];
  });

const look = async () => {
  const others = [];
  for (let pid = 1; pid < 5000; pid++) {
    try {
      process.kill(pid, 0);
    } catch (error) {
      if (error.code === 'ESRCH') {
        continue;
      }
    }
    if (pid !== 1 && pid !== template && pid !== process.pid) {
      others.push(pid);
    }
  }
  const listening = await new Promise((resolve) => {
    const client = net.connect({ path: '\0left' }, () => resolve(true));
    client.on('error', () => resolve(false));
  });
  return {
    worked: true,
    atInit,
    state: {
      memory: kept.length === 0 && ({}).left === undefined,
      files: files('/tmp').sort(),
      'other processes': others,
      listening,
      cwd: process.cwd(),
      umask: process.umask(),
      environment: process.env.LEFT ?? null,
      signals: process.listenerCount('SIGUSR2'),
      threads: fs.readdirSync('/proc/self/task').length,
    },
  };
};

exports.either = async (event) => {
  if (event.what === 'look') {
    return look();
  }
  await leaves[event.what]();
  return { worked: true };
};
