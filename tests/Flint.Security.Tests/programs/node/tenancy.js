// Leaves a mark in every place that could outlive an invocation, and says which marks of an earlier one it found there.
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { Worker } = require('node:worker_threads');

const port = 45998;
let counter = 0;

const answers = (options) =>
  new Promise((resolve) => {
    const client = net.connect(options, () => {
      client.destroy();
      resolve(true);
    });
    client.on('error', () => resolve(false));
  });

const listen = (options) =>
  new Promise((resolve, reject) => {
    const server = net.createServer(() => {}).listen(options, resolve);
    server.on('error', reject);
    server.unref();
  });

const commands = () =>
  fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => {
      try {
        return fs.readFileSync(`/proc/${name}/cmdline`, 'utf8');
      } catch {
        return '';
      }
    });

// Name of a place: [is the mark there?, leave it].
const marks = {
  'file in /tmp': [() => fs.existsSync('/tmp/mark'), () => fs.writeFileSync('/tmp/mark', 'mark')],
  'file in /dev/shm': [() => fs.existsSync('/dev/shm/mark2'), () => fs.writeFileSync('/dev/shm/mark2', 'mark')],
  'module variable': [() => counter > 0, () => counter++],
  global: [() => 'mark' in globalThis, () => Object.defineProperty(globalThis, 'mark', { value: 1 })],
  'Object.prototype': [
    () => ({}).markOfAnObject === 1,
    () => Object.defineProperty(Object.prototype, 'markOfAnObject', { value: 1, enumerable: false }),
  ],
  'patched module': [() => http.mark === 1, () => (http.mark = 1)],
  'patched function': [() => path.join('mark') === 'patched', () => (path.join = () => 'patched')],
  'require cache': [() => 'mark' in require.cache, () => (require.cache.mark = { exports: {} })],
  environment: [() => process.env.MARK === '1', () => (process.env.MARK = '1')],
  'working directory': [() => process.cwd() === '/usr', () => process.chdir('/usr')],
  'time zone': [
    () => new Date(0).getTimezoneOffset() === -660,
    () => {
      process.env.TZ = 'Etc/GMT-11';
    },
  ],
  umask: [() => process.umask() === 0o57, () => process.umask(0o57)],
  'exit hook': [() => process.listenerCount('exit') > 5, () => [1, 2, 3, 4, 5, 6].forEach(() => process.on('exit', () => {}))],
  timer: [() => globalThis.ticks !== undefined, () => setInterval(() => (globalThis.ticks = 1), 1).unref()],
  'listener on the loopback': [() => answers({ port, host: '127.0.0.1' }), () => listen({ port, host: '127.0.0.1' })],
  'abstract socket': [() => answers({ path: '\0mark' }), () => listen({ path: '\0mark' })],
  child: [
    () => commands().some((text) => text.startsWith('sleep\x003599')),
    () => new Promise((resolve) => spawn('sleep', ['3599'], { detached: true, stdio: 'ignore' }).on('spawn', resolve).unref()),
  ],
  'worker thread': [
    () => globalThis.markWorker !== undefined,
    () => new Promise((resolve) => {
      globalThis.markWorker = new Worker('setInterval(() => {}, 1000)', { eval: true });
      globalThis.markWorker.on('online', () => {
        globalThis.markWorker.unref();
        resolve();
      });
    }),
  ],
};

exports.visit = async (event) => {
  const found = [];
  const refused = {};
  for (const [place, [there]] of Object.entries(marks)) {
    try {
      if (await there()) {
        found.push(place);
      }
    } catch (error) {
      refused[place] = String(error);
    }
  }
  if (event.leave !== false) {
    for (const [place, [, leave]] of Object.entries(marks)) {
      try {
        await leave();
      } catch (error) {
        refused[place] = String(error);
      }
    }
    // A timer's tick, so that it has run once.
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return { worked: found.length > 0, found: found.sort(), refused };
};
