'use strict';
// The guest's life: READY, INIT, then one INVOKE after the other. prepare() loads and exercises what every invocation needs and may run in a
// zygote, before a fork; run() is a sandbox's own life.

const { isUtf8 } = require('buffer');
const errors = require('./errors.js');
const loader = require('./loader.js');
const protocol = require('./protocol.js');
const { makeContext } = require('./context.js');
const { Invocation } = require('./invocation.js');
const { Logs } = require('./logs.js');

const TEXTS = ['handler', 'taskRoot', 'functionName', 'functionVersion', 'invokedFunctionArn', 'call', 'globals'];
const NUMBERS = ['memoryMb', 'maxResultBytes'];
/** What is called, and with which globals: two members of INIT, of which not all pairs make sense. */
const CALLS = ['handler full', 'main full', 'main limited'];
const UNHANDLED_REJECTION = 128;
const UNCAUGHT_EXCEPTION = 129;
const PROTOCOL_FAULT = 130;
/** Node's own status for a promise that nothing can settle any more. */
const UNSETTLED = 13;

/** Milliseconds, about. The launcher gives a template ten seconds. */
const PENDING_WAITS = 2000;
const later = setTimeout;

/** Everything that is the same for every function. Reads no tenant's data, opens nothing, draws no random number. */
function prepare() {
  JSON.parse(JSON.stringify({ warm: [1, 2.5, '\u00e9', null, true] }));
  errors.encode(errors.report(new Error('warm')), false);
  require('stream');
}

/** Serves the worker until it closes the stream. */
function run(fd) {
  new Guest(new protocol.Channel(fd), null).start();
}

class Guest {
  #channel;
  #forkSide;
  #logs;
  #installed = false;
  /** In a zygote before it serves: {left: answers to come, done(), failed(error)}. */
  #rehearsal = null;
  #hooks = [];
  #init = null;
  #handler = null;
  /** The invocation that is waited for, or null while initialising. */
  #current = null;
  #loaded = false;
  #failed = false;

  /** `forkSide`: what a fork of a zygote must do (zygote.js); null in exec mode. */
  constructor(channel, forkSide) {
    this.#channel = channel;
    this.#forkSide = forkSide;
    this.#logs = new Logs(channel);
  }

  /** Serves a whole life of `invokes` events, all of which the channel has ready, that `start` starts, and leaves no trace of it but the process's own listeners. */
  rehearse(invokes, start) {
    return new Promise((resolve, reject) => {
      this.#rehearsal = { left: invokes, done: resolve, failed: reject };
      start();
    }).then(() => {
      this.#rehearsal = null;
      this.#init = this.#handler = this.#current = null;
      this.#loaded = false;
      this.#logs.requestId = undefined;
    });
  }

  start() {
    const version = process.versions.node.split('.')[0];
    this.#channel.ready(JSON.stringify({ protocol: 1, runtime: `nodejs${version}`, pid: process.pid }));
    const frame = this.#receive(protocol.INIT);
    this.#init = parseInit(frame.buffer.subarray(frame.start, frame.end), this.#forkSide !== null);
    if (this.#init === null) {
      this.#leave(PROTOCOL_FAULT);
    }
    if (this.#init.environment !== null) {
      this.#forkSide.begin(this.#init);
      applyEnvironment(this.#forkSide.environment, this.#init.environment);
      this.#forkSide.applied();
    }
    const isJob = this.#init.call === 'main';
    this.#logs.configure(isJob);
    this.#install();
    (isJob ? require('./jobs.js').load(this.#init) : loader.load(this.#init.taskRoot, this.#init.handler)).then(
      (handler) => {
        this.#handler = handler;
        // After the rejections of the module's own code have come up.
        setImmediate(() => {
          this.#logs.flush();
          this.#loaded = true;
          this.#channel.initOk();
          if (this.#init.snapshot) {
            this.#serveForks();
          } else {
            this.#serveNext();
          }
        });
      },
      (error) => this.#failInit(error));
  }

  #install() {
    if (this.#installed) {
      return;
    }
    this.#installed = true;
    this.#logs.install();
    installStreaming();
    const flint = { afterFork: (callback) => this.#addHook(callback) };
    Object.defineProperty(globalThis, 'flint', { value: flint, writable: true, configurable: true, enumerable: false });
    process.on('uncaughtException', (error) => this.#uncaught(error, 'Uncaught Exception', UNCAUGHT_EXCEPTION));
    process.on('unhandledRejection', (reason) => this.#uncaught(rejectionFault(reason), 'Unhandled Promise Rejection', UNHANDLED_REJECTION));
    process.on('beforeExit', () => this.#loopIsEmpty());
  }

  #addHook(callback) {
    if (typeof callback !== 'function') {
      throw new TypeError('flint.afterFork: the callback is not a function');
    }
    this.#hooks.push(callback);
  }

  /**
   * The snapshot's process stays in here for ever; what comes out are its forks, each with one event. What init has begun and not awaited is
   * let finish first, since no fork would hear of it; what does not in good time is left to the launcher's judgement.
   */
  #serveForks(waits = PENDING_WAITS) {
    if (waits > 0 && this.#forkSide.pending() > 0) {
      later(() => this.#serveForks(waits - 1), 1);
      return;
    }
    this.#forkSide.template();
    this.#channel.reset(3);
    this.#serveNext();
  }

  /** The user's after-fork hooks come before the event; one that fails is the function's fault. */
  async #runHooks() {
    const hooks = this.#hooks;
    this.#hooks = [];
    for (const hook of hooks) {
      await hook();
    }
  }

  #serveNext() {
    const frame = this.#receive(protocol.INVOKE);
    const { buffer, start, end } = frame;
    const payload = start + 20 + buffer.readUInt32LE(start + 16);
    if (payload > end) {
      this.#leave(PROTOCOL_FAULT);
    }
    const meta = JSON.parse(buffer.utf8Slice(start + 20, payload));
    const invocation = new Invocation(Buffer.from(buffer.subarray(start, start + 16)), this);
    this.#current = invocation;
    this.#logs.requestId = meta.requestId;
    setTrace(meta.traceId);
    if (this.#init.call === 'main') {
      invocation.startMain(this.#handler, buffer.utf8Slice(payload, end));
      return;
    }
    let event;
    try {
      event = JSON.parse(buffer.utf8Slice(payload, end));
    } catch (error) {
      invocation.settle(false, new errors.Fault('Unhandled', 'Runtime.UnmarshalError', errors.text(error)));
      return;
    }
    const context = makeContext(this.#init, meta, invocation);
    if (this.#init.snapshot && this.#hooks.length > 0) {
      invocation.isAsync = true;
      this.#runHooks().then(() => {
        invocation.isAsync = false;
        invocation.start(this.#handler, event, context);
      }, invocation.fail);
    } else {
      invocation.start(this.#handler, event, context);
    }
  }

  /** Sends the invocation's answer and takes the next one. Called from the event loop itself, so that the stack does not grow. */
  answer(invocation) {
    this.#logs.flush();
    if (invocation.failed) {
      this.#answerError(invocation, invocation.value, 'Invoke Error', false);
    } else {
      this.#answerResult(invocation);
    }
    this.#current = null;
    if (this.#rehearsal !== null && --this.#rehearsal.left === 0) {
      this.#rehearsal.done();
    } else {
      this.#serveNext();
    }
  }

  #answerResult(invocation) {
    let body;
    try {
      body = JSON.stringify(invocation.value) ?? 'null';
    } catch (error) {
      const message = `Unable to stringify response body: ${errors.text(error)}`;
      this.#answerError(invocation, new errors.Fault('InvalidResponse', 'Runtime.MarshalError', message), 'Invoke Error', false);
      return;
    }
    if (!this.#channel.result(invocation.nonce, body, this.#init.maxResultBytes)) {
      const message = `Response payload size exceeded maximum allowed payload size (${this.#init.maxResultBytes} bytes).`;
      this.#answerError(invocation, new errors.Fault('ResponseTooLarge', 'Function.ResponseSizeTooLarge', message), 'Invoke Error', false);
    }
  }

  #answerError(invocation, thrown, label, fatal) {
    const report = this.#report(thrown);
    this.#logs.report(label, report, thrown);
    this.#channel.error(invocation.nonce, errors.encode(report, fatal));
  }

  #report(thrown) {
    const report = errors.report(thrown);
    return this.#init?.call === 'main' ? require('./jobs.js').trim(report) : report;
  }

  /** What no one caught ends the process, as on Lambda; the answer goes first. */
  #uncaught(thrown, label, status) {
    this.#logs.flush();
    const invocation = this.#current;
    if (invocation !== null) {
      this.#current = null;
      this.#answerError(invocation, thrown, label, true);
    } else if (!this.#loaded) {
      this.#failInit(thrown);
    } else {
      this.#logs.report(label, this.#report(thrown), thrown);
    }
    this.#leave(status);
  }

  #failInit(thrown) {
    if (this.#rehearsal !== null) {
      this.#rehearsal.failed(thrown);
      return;
    }
    if (!this.#failed) {
      this.#failed = true;
      this.#logs.flush();
      const report = this.#report(thrown);
      this.#logs.report('Uncaught Exception', report, thrown);
      this.#channel.initError(errors.encode(report, false));
    }
    this.#receive(0);
  }

  /** Nothing is left that could run. What was waiting for this goes on; what waits for anything else waits for ever. */
  #loopIsEmpty() {
    const invocation = this.#current;
    if (invocation === null) {
      if (this.#handler === null) {
        this.#failInit(unsettledFault('a top-level await of the handler\'s module'));
      }
      return;
    }
    if (invocation.settled || !invocation.isAsync) {
      // A handler that neither returned a promise nor called back has no result: null.
      setImmediate(() => this.answer(invocation));
      return;
    }
    this.#uncaught(unsettledFault(`the promise that ${this.#init.call === 'main' ? 'main' : 'the handler'} returned`), 'Invoke Error', UNSETTLED);
  }

  #receive(kind) {
    try {
      const frame = this.#channel.receive();
      if (frame === null) {
        this.#leave(0);
      }
      if (frame.kind !== kind) {
        this.#leave(PROTOCOL_FAULT);
      }
      return frame;
    } catch (error) {
      if (error instanceof protocol.ProtocolError) {
        this.#leave(PROTOCOL_FAULT);
      }
      throw error;
    }
  }

  /** Ends at once: a forked child must not run Node's own exit. */
  #leave(status) {
    process.reallyExit(status);
  }
}

function rejectionFault(reason) {
  const report = errors.report(reason);
  const message = report.name === 'Error' || report.stackTrace.length > 0 ? `${report.name}: ${report.message}` : report.message;
  return new errors.Fault('Unhandled', 'Runtime.UnhandledPromiseRejection', message, report.stackTrace);
}

function unsettledFault(what) {
  return new errors.Fault('ExitedEarly', 'Runtime.NodeJsExit', `Nothing is left to run, and ${what} was never settled.`);
}

function setTrace(traceId) {
  if (traceId !== null) {
    process.env._X_AMZN_TRACE_ID = traceId;
  } else if (process.env._X_AMZN_TRACE_ID !== undefined) {
    delete process.env._X_AMZN_TRACE_ID;
  }
}

/** INIT, or null for what it cannot be: nothing of a function is touched with settings that are not all there. */
function parseInit(bytes, forked) {
  let init;
  try {
    init = isUtf8(bytes) ? JSON.parse(bytes.utf8Slice()) : null;
  } catch {
    return null;
  }
  return isInit(init, forked) ? init : null;
}

/** `forked`: the environment comes in INIT. */
function isInit(init, forked) {
  if (init === null || typeof init !== 'object' || Array.isArray(init) || typeof init.snapshot !== 'boolean' || (init.snapshot && !forked)) {
    return false;
  }
  if (!CALLS.includes(`${init.call} ${init.globals}`) || (init.snapshot && init.call === 'main')) {
    return false;
  }
  if (!TEXTS.every((name) => isText(init[name])) || !NUMBERS.every((name) => Number.isInteger(init[name]) && init[name] > 0 && init[name] < 2 ** 31)) {
    return false;
  }
  const environment = init.environment;
  if (!forked) {
    return environment === null;
  }
  return environment !== null && typeof environment === 'object' && !Array.isArray(environment) &&
    Object.keys(environment).every((name) => name !== '' && !name.includes('=') && isText(name) && isText(environment[name]));
}

function isText(value) {
  return typeof value === 'string' && !value.includes('\0') && value.isWellFormed();
}

/** After a fork: the function's environment replaces the zygote's (guest/PROTOCOL.md, "Environment after a fork"). */
function applyEnvironment(before, environment) {
  for (const name of Object.keys(before)) {
    if (environment[name] === undefined) {
      delete process.env[name];
    }
  }
  for (const name of Object.keys(environment)) {
    if (environment[name] !== before[name]) {
      process.env[name] = environment[name];
    }
  }
}

/** Response streaming is not offered: a function that asks for it hears so at once. */
function installStreaming() {
  globalThis.awslambda = {
    streamifyResponse() {
      throw new errors.Fault(
        'Unhandled', 'Runtime.InvalidStreamingOperation', 'Response streaming is not supported: awslambda.streamifyResponse cannot be used.');
    },
  };
}

module.exports = { prepare, run, Guest };
