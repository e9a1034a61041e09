'use strict';
// console.*, process.stdout and process.stderr, all sent as LOG frames in one order.

const { format } = require('util');

const STDOUT = 1;
const STDERR = 2;
const MAX_PLAIN = 1024 * 1024;
const LEVELS = { TRACE: 1, DEBUG: 2, INFO: 3, WARN: 4, ERROR: 5, FATAL: 6 };

class Logs {
  #channel;
  #streams = [];
  #json = false;
  #least = 0;
  /** A job's: as written, by Node's own console. */
  #plain = false;
  requestId = undefined;

  constructor(channel) {
    this.#channel = channel;
  }

  install() {
    this.#streams = [this.#replaceStream('stdout', STDOUT), this.#replaceStream('stderr', STDERR)];
    const methods = { log: 'INFO', info: 'INFO', debug: 'DEBUG', warn: 'WARN', error: 'ERROR', trace: 'TRACE', fatal: 'FATAL' };
    const { error } = console;
    for (const [name, level] of Object.entries(methods)) {
      const stream = LEVELS[level] >= LEVELS.WARN || name === 'trace' ? STDERR : STDOUT;
      const own = console[name] ?? error;
      console[name] = (...args) => (this.#plain ? own.apply(console, args) : this.#console(stream, level, args));
    }
    // Every way out but a signal comes through here, after the user's own exit listeners.
    const exitNow = process.reallyExit;
    process.reallyExit = (status) => {
      this.flush();
      exitNow.call(process, status);
    };
  }

  /** Reads the function's log settings; a job has none. */
  configure(plain) {
    this.#plain = plain;
    this.#json = (process.env.AWS_LAMBDA_LOG_FORMAT ?? '').toUpperCase() === 'JSON';
    this.#least = LEVELS[(process.env.AWS_LAMBDA_LOG_LEVEL ?? '').toUpperCase()] ?? 0;
  }

  /** Sends unfinished lines. */
  flush() {
    for (const stream of this.#streams) {
      stream.flush();
    }
  }

  /** Writes an uncaught error in the function's log format. */
  report(label, errorReport, thrown) {
    try {
      if (this.#plain) {
        this.#channel.log(STDERR, plainText(errorReport));
      } else if (this.#json) {
        this.#channel.log(STDERR, JSON.stringify({
          timestamp: new Date().toISOString(), level: 'ERROR', requestId: this.requestId,
          message: { errorType: errorReport.name, errorMessage: errorReport.message, stackTrace: errorReport.stackTrace },
        }));
      } else {
        this.#text(STDERR, 'ERROR', `${label} \t${require('./errors.js').logText(errorReport, thrown)}`);
      }
    } catch {
      this.#channel.log(STDERR, `${label} \t(the error cannot be shown)`);
    }
  }

  #console(stream, level, args) {
    if (LEVELS[level] < this.#least) {
      return;
    }
    // An unfinished line of the same stream was written before this event.
    this.#streams[stream - 1].flush();
    if (this.#json) {
      this.#channel.log(stream, this.#jsonLine(level, args));
    } else {
      this.#text(stream, level, args.length === 1 && typeof args[0] === 'string' ? args[0] : format(...args));
    }
  }

  #text(stream, level, message) {
    if (message.includes('\n')) {
      message = message.replaceAll('\n', '\r');
    }
    this.#channel.log(stream, `${new Date().toISOString()}\t${this.requestId}\t${level}\t${message}`);
  }

  #jsonLine(level, args) {
    const line = { timestamp: new Date().toISOString(), level, requestId: this.requestId };
    if (args.length === 1) {
      line.message = args[0] instanceof Error ? errorFields(args[0]) : args[0];
      try {
        return JSON.stringify(line, (_, value) => (value instanceof Error ? errorFields(value) : value));
      } catch {
        // Cycles and BigInts are shown as text, as with several arguments.
      }
    }
    line.message = format(...args);
    const error = args.find((arg) => arg instanceof Error);
    return JSON.stringify(error === undefined ? line : { ...line, ...errorFields(error) });
  }

  /** Puts a stream whose writes become events, one for each line, in place of process[name]. It is made when it is first touched. */
  #replaceStream(name, number) {
    const lines = new LineSender(this.#channel, number);
    let stream;
    const get = () => (stream ??= makeStream(lines, number));
    Object.defineProperty(process, name, { configurable: true, enumerable: true, get });
    return lines;
  }
}

/** Sends whole lines; keeps an unfinished one. */
class LineSender {
  #channel;
  #stream;
  #rest = '';
  // What was last sent ended no line. It is a line in the log all the same, and a line feed that follows ends just that.
  #open = false;
  #decoder = null;

  constructor(channel, stream) {
    this.#channel = channel;
    this.#stream = stream;
  }

  write(chunk) {
    let text = typeof chunk === 'string' ? chunk : this.#decode(chunk);
    if (this.#open && text !== '') {
      this.#open = false;
      text = text[0] === '\n' ? text.slice(1) : text;
    }
    const end = text.lastIndexOf('\n');
    if (end < 0) {
      this.#rest += text;
      if (this.#rest.length > 64 * 1024) {
        this.flush();
      }
      return;
    }
    this.#channel.log(this.#stream, this.#rest + text.slice(0, end + 1));
    this.#rest = text.slice(end + 1);
  }

  flush() {
    if (this.#rest !== '') {
      const rest = this.#rest;
      this.#rest = '';
      this.#open = true;
      this.#channel.log(this.#stream, rest);
    }
  }

  #decode(chunk) {
    this.#decoder ??= new (require('string_decoder').StringDecoder)('utf8');
    return this.#decoder.write(chunk);
  }
}

function makeStream(lines, fd) {
  const { Writable } = require('stream');
  const stream = new Writable({
    decodeStrings: false,
    write(chunk, encoding, done) {
      lines.write(typeof chunk === 'string' && encoding !== 'utf8' && encoding !== 'utf-8' ? Buffer.from(chunk, encoding) : chunk);
      done();
    },
  });
  stream.fd = fd;
  stream._type = 'pipe';
  // As with the process's own streams: they cannot be ended or destroyed by the user.
  stream.end = function end(chunk, encoding, done) {
    if (typeof chunk === 'function') {
      [chunk, done] = [undefined, chunk];
    }
    if (chunk !== undefined && chunk !== null) {
      this.write(chunk, typeof encoding === 'string' ? encoding : undefined);
    }
    if (typeof (done ?? encoding) === 'function') {
      process.nextTick(done ?? encoding);
    }
    return this;
  };
  stream.destroy = function destroy() {
    return this;
  };
  stream.destroySoon = stream.destroy;
  return stream;
}

/** What was thrown is told as Node would; what has one of Lambda's codes for a name tells all in its message. No log has more than so much of it. */
function plainText({ name, message, stackTrace }) {
  const lines = stackTrace.length > 0 ? stackTrace : [name.includes('.') ? message : `Uncaught ${message}`];
  return lines.map((line) => (line.length > MAX_PLAIN ? line.slice(0, MAX_PLAIN) : line)).join('\n');
}

function errorFields(error) {
  return { errorType: error.name, errorMessage: error.message, stackTrace: String(error.stack).split('\n') };
}

module.exports = { Logs };
