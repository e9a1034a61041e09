'use strict';
// An interpreter that is booted once and forked for each sandbox: guest/PROTOCOL.md, "Environment after a fork". What is loaded and run here is not
// loaded and run in the forks; what is random, of a tenant or open must not be here.

const fs = require('fs');
const path = require('path');
const v8 = require('v8');
const Module = require('module');

const native = loadNative();
const exitOfNode = process.reallyExit;
let forked = false;
// Before anything of ours keeps it. Node's own exit would tear down threads that a fork does not have.
process.reallyExit = (status) => (forked ? native.exit(status) : exitOfNode.call(process, status));

const protocol = require('./protocol.js');
const runtime = require('./runtime.js');

const DIRECTORY = path.dirname(__dirname);
const BOOTSTRAP = path.join(DIRECTORY, 'bootstrap.js');
const REHEARSAL = path.join(DIRECTORY, 'rehearsal');
const REHEARSALS = 42;
/** A life of each: READY, INIT_OK and three answers. Anything else is a broken bootstrap, and no guest may come of it. */
const PARTS = [
  { handler: 'common.handler' }, { handler: 'common.callback' }, { handler: 'module.handler' },
  { handler: 'job.main', call: 'main' }, { handler: 'jobmodule.main', call: 'main' }, { handler: 'limited.main', call: 'main', globals: 'limited' },
];
const REHEARSED = [0x86, 0x85, 0x85, 0x86, 0x86, 0x86].map((second) => [0x81, 0x82, 0x85, second, 0x85]);
/** No less than any function's, so that the zygote's own limits stay. */
const LARGEST_MEMORY = 1 << 20;
/** For which V8's flags are set before the fork: a function with as much need not. */
const USUAL_MEMORY = 128;
const SKIPPED = /^_|^(cluster|domain|inspector|inspector\/promises|punycode|repl|sys|test|test\/reporters|trace_events|wasi)$/;

const language = JSON.parse(fs.readFileSync(path.join(DIRECTORY, '..', 'runtimes.json'), 'utf8')).find((entry) => entry.prefix === 'nodejs');
const performanceNow = performance.now.bind(performance);
const environment = Object.freeze({ __proto__: null, ...process.env });

let flags = '';
let channel = null;
let guest = null;
/** performance.now() of the zygote when this guest began. */
let began = 0;
let timeOrigin = performance.timeOrigin;

/** Loads and exercises all that a fork will need. */
async function prepare(mainModule) {
  await startPool();
  for (const name of Module.builtinModules) {
    if (!SKIPPED.test(name)) {
      require(name);
    }
  }
  touchGlobals();
  const [worker, own] = native.pair();
  channel = new protocol.Channel(own, native.receive);
  guest = new runtime.Guest(channel, forkSide);
  const kinds = [];
  for (let number = 0; number < REHEARSALS; number++) {
    kinds.push(await rehearse(worker, own, number, PARTS[number % PARTS.length]));
  }
  if (kinds.some((life, number) => life.join() !== REHEARSED[number % REHEARSED.length].join())) {
    throw new Error(`the rehearsal went wrong: ${kinds}`);
  }
  fs.closeSync(worker);
  fs.closeSync(own);
  becomeBootstrap(mainModule);
  native.collect();
  native.collect();
}

/** libuv's pool with one thread: forks lose them all, but not their stacks, and make a pool of the usual size when they need one. */
async function startPool() {
  process.env.UV_THREADPOOL_SIZE = '1';
  await fs.promises.access('/');
  delete process.env.UV_THREADPOOL_SIZE;
}

/** Waits for requests. Returns in each fork. */
function serve() {
  const pid = native.serve();
  forked = true;
  beginLife(pid);
}

/** A fork's life, as bootstrap.js's. */
function run(fd) {
  channel.reset(fd);
  guest.start();
}

function loadNative() {
  const holder = { exports: {} };
  process.dlopen(holder, path.join(__dirname, '..', '..', 'native', 'flint_zygote.node'));
  return holder.exports;
}

// ---- rehearsal

/** Serves one function's life from a socket, from a directory that Node has not seen; the kinds of all frames that came of it but LOG. */
async function rehearse(worker, own, number, { handler, call = 'handler', globals = 'full' }) {
  const taskRoot = `/tmp/rehearsal-${process.pid}-${number}`;
  fs.cpSync(REHEARSAL, taskRoot, { recursive: true });
  const init = {
    handler, taskRoot, functionName: 'rehearsal', functionVersion: '$LATEST', invokedFunctionArn: 'arn', memoryMb: 128,
    maxResultBytes: 6291456, environment: { ...environment, ...(call === 'main' ? { TMPDIR: '/tmp', FLINT_JOB_ID: `rehearsal-${number}` } : functionEnvironment(handler, number)) },
    snapshot: false, call, globals,
  };
  const invokes = [false, true, false].map((fail, turn) => {
    const meta = Buffer.from(JSON.stringify({
      requestId: `rehearsal-${turn}`, deadlineMs: 0, clientContext: null, traceId: fail ? 'Root=1' : null,
    }));
    const event = { number: turn, fail, text: 'refused', list: [1, 2.5, '\u00e9', null, true, {}] };
    const payload = Buffer.from(JSON.stringify(call === 'main' ? [event] : event));
    const length = Buffer.alloc(4);
    length.writeUInt32LE(meta.length);
    return frame(protocol.INVOKE, Buffer.concat([Buffer.alloc(16), length, meta, payload]));
  });
  try {
    fs.writeSync(worker, Buffer.concat([frame(protocol.INIT, Buffer.from(JSON.stringify(init))), ...invokes]));
    await guest.rehearse(invokes.length, () => {
      beginLife(process.pid);
      run(own);
    });
  } finally {
    process.chdir('/');
    fs.rmSync(taskRoot, { recursive: true });
  }
  for (const name of Object.keys(process.env)) {
    if (environment[name] === undefined) {
      delete process.env[name];
    }
  }
  for (const file of Object.keys(require.cache)) {
    if (file.startsWith(taskRoot)) {
      delete require.cache[file];
    }
  }
  return kindsOf(worker);
}

/** What the worker sets, in its order, so that the JSON of every function has a shape that V8 knows; and a function's own. */
function functionEnvironment(handler, number) {
  return {
    AWS_REGION: 'local', AWS_DEFAULT_REGION: 'local', AWS_EXECUTION_ENV: 'AWS_Lambda', _HANDLER: handler,
    AWS_LAMBDA_FUNCTION_NAME: `rehearsal-${number}`, AWS_LAMBDA_FUNCTION_VERSION: '$LATEST', AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(128 + number),
    AWS_LAMBDA_INITIALIZATION_TYPE: 'on-demand', AWS_LAMBDA_LOG_GROUP_NAME: '/aws/lambda/rehearsal', AWS_LAMBDA_LOG_STREAM_NAME: `stream-${number}`,
    REHEARSAL: 'x',
  };
}

function frame(kind, body) {
  const header = Buffer.from([1, kind, 0, 0, 0, 0, 0, 0]);
  header.writeUInt32LE(body.length, 4);
  return Buffer.concat([header, body]);
}

function kindsOf(worker) {
  const bytes = Buffer.alloc(256 * 1024);
  const end = fs.readSync(worker, bytes);
  const kinds = [];
  for (let at = 0; at < end; at += 8 + bytes.readUInt32LE(at + 4)) {
    if (bytes[at + 1] !== 0x84) {
      kinds.push(bytes[at + 1]);
    }
  }
  return kinds;
}

/** What Node makes when it is first touched. Nothing here may be random or start a thread. */
function touchGlobals() {
  void [fetch, Headers, Request, FormData, AbortSignal, structuredClone({ a: [1] }), crypto.subtle, new URL('http://a/b?c=d'), new TextDecoder()];
  void new Response('x');
  void new WebAssembly.Module(Buffer.from('0061736d01000000', 'hex'));
  new Date(0).toLocaleString();
  new Intl.NumberFormat('en-US').format(1.5);
  require('util').inspect({ a: [new Map(), new Set(), Buffer.alloc(3), new Error('x'), Symbol('y'), 1n] }, { colors: false, depth: 4 });
  require('crypto').createHash('sha256').update('x').digest('hex');
  require('zlib').gunzipSync(require('zlib').gzipSync('x'));
}

// ---- what a fork is, and Node remembers otherwise

/** The guest's calls to this side of a fork. In the zygote itself they change nothing that stays. */
const forkSide = {
  /** What the process has, until applied(). */
  environment,

  /** After INIT, before the function's environment and code. */
  begin(init) {
    if (forked) {
      native.go(init.snapshot);
      limitMemory(init.memoryMb);
    } else {
      limitMemory(USUAL_MEMORY, LARGEST_MEMORY);
    }
  },

  /** After the function's environment was set. */
  applied() {
    if (!forked || process.env.NODE_PATH !== environment.NODE_PATH || process.env.HOME !== environment.HOME) {
      Module._initPaths();
    }
  },

  /** How many of the function's requests (files, names, compression ...) are not done. */
  pending() {
    return native.pending();
  },

  /** Becomes a template; returns in each fork, on a new stream. */
  template() {
    native.collect();
    const pid = native.template();
    beginLife(pid);
    renewRandomCaches();
  },
};

/** Node's own caches of entropy may have been filled before the fork; one round of each empties them. */
function renewRandomCaches() {
  const crypto = require('crypto');
  for (let i = 0; i < 128; i++) {
    crypto.randomUUID();
  }
  for (let i = 0; i < 1024; i++) { // 6 bytes each of 6 KiB
    crypto.randomInt(2);
  }
}

function beginLife(pid) {
  began = performanceNow();
  timeOrigin = Date.now();
  Object.defineProperty(process, 'pid', { value: pid, writable: false, enumerable: true, configurable: true });
}

/** The heap's limit was fixed when the zygote booted. Workers and child processes get the function's too. */
function limitMemory(memoryMb, limit = memoryMb) {
  native.limitHeap(heapOf(limit));
  const heapMb = heapOf(memoryMb);
  const semiSpaceMb = Math.max(1, Math.min(16, Math.floor(memoryMb / 64)));
  process.execArgv = language.arguments.slice(1, -1)
    .map((argument) => argument.replace('{heapMb}', heapMb).replace('{semiSpaceMb}', semiSpaceMb));
  const wanted = process.execArgv.join(' ');
  if (wanted !== flags) {
    flags = wanted;
    v8.setFlagsFromString(flags);
  }
}

function heapOf(memoryMb) {
  return Math.max(16, Math.min(Math.floor(memoryMb * language.heapPercent / 100), memoryMb - language.heapReserveMb));
}

/** What a function sees of the program is what it sees in exec mode. */
function becomeBootstrap(mainModule) {
  mainModule.filename = BOOTSTRAP;
  process.argv[1] = BOOTSTRAP;
  const { emit } = process;
  define(process, 'emit', { value: function emitAndTell(name, ...args) {
    const heard = emit.call(this, name, ...args);
    if (name === 'exit' && process._exiting) {
      native.willExit(process.exitCode ?? args[0]);
    }
    return heard;
  } }, { writable: true, enumerable: false, configurable: true });
  process.uptime = () => (performanceNow() - began) / 1000;
  const prototype = Object.getPrototypeOf(performance);
  const { mark, measure } = prototype;
  define(prototype, 'now', { value: function now() { return performanceNow() - began; } });
  define(prototype, 'timeOrigin', { get: function timeOrigin_() { return timeOrigin; } });
  define(prototype, 'mark', {
    value: function markFromStart(name, options) {
      return mark.call(this, name, { ...options, startTime: options?.startTime ?? this.now() });
    },
  });
  define(prototype, 'measure', {
    value: function measureFromStart(name, start, end) {
      if (typeof start === 'object' && start !== null) {
        return measure.call(this, name, start.end === undefined && start.duration === undefined ? { ...start, end: this.now() } : start, end);
      }
      return measure.call(this, name, { start: start ?? 0, end: end ?? this.now() });
    },
  });
}

function define(object, name, property, otherwise) {
  Object.defineProperty(object, name, { ...(Object.getOwnPropertyDescriptor(object, name) ?? otherwise), ...property });
}

module.exports = { prepare, serve, run };
