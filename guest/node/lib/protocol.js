'use strict';
// Frames over the worker's stream (guest/PROTOCOL.md, "Frame"). All reads and writes block: nothing else may run between two invocations, and
// what is logged is on its way before the next statement runs, whatever ends the process.

const fs = require('fs');

// As it is before logs.js wraps it.
const exitNow = process.reallyExit.bind(process);

const INIT = 0x01;
const INVOKE = 0x02;
const READY = 0x81;
const INIT_OK = 0x82;
const INIT_ERROR = 0x83;
const LOG = 0x84;
const RESULT = 0x85;
const ERROR = 0x86;

const HEADER = 8;
const NONCE = 16;
const MAX_LOG_TEXT = 64 * 1024 - 1;
const MAX_ERROR_BODY = 256 * 1024 - NONCE;
const MAX_INCOMING = 64 * 1024 * 1024;
const BUFFER = 64 * 1024;
// Of UTF-16 code units, whose UTF-8 fits the buffer in any case.
const SHORT_TEXT = ((BUFFER - HEADER - NONCE) / 3) | 0;

class ProtocolError extends Error {}

class Channel {
  #fd;
  #in = Buffer.allocUnsafeSlow(BUFFER);
  #start = 0;
  #end = 0;
  #out = Buffer.allocUnsafeSlow(BUFFER);
  #receive;

  /** `receive(fd, buffer, at)` waits for bytes and answers how many came, 0 at the end; by default through fs. */
  constructor(fd, receive = receiveThroughFs) {
    this.#fd = fd;
    this.#receive = receive;
  }

  /** Goes on with another stream. */
  reset(fd) {
    this.#fd = fd;
    this.#start = this.#end = 0;
  }

  // ---- to the worker

  ready(body) {
    this.#sendText(READY, null, 0, body);
  }

  initOk() {
    this.#sendText(INIT_OK, null, 0, '');
  }

  initError(body) {
    this.#sendText(INIT_ERROR, null, 0, body);
  }

  error(nonce, body) {
    this.#sendText(ERROR, nonce, 0, body);
  }

  /** Sends a result unless it has more than `limit` bytes; then nothing is sent and false is returned. */
  result(nonce, body, limit) {
    if (body.length * 3 > limit && (body.length > limit || Buffer.byteLength(body) > limit)) {
      return false;
    }
    this.#sendText(RESULT, nonce, 0, body);
    return true;
  }

  /** Sends one event, a string or a Uint8Array; UTF-8 longer than a frame is split between characters. */
  log(stream, text) {
    if (typeof text === 'string') {
      if (text.length <= SHORT_TEXT) {
        this.#sendText(LOG, null, stream, text);
        return;
      }
      text = Buffer.from(text);
    }
    let start = 0;
    do {
      let end = Math.min(start + MAX_LOG_TEXT, text.length);
      for (let back = 0; back < 3 && end < text.length && (text[end] & 0xc0) === 0x80; back++) {
        end--;
      }
      const length = end - start;
      const frame = length + HEADER + 1 <= BUFFER ? this.#out : Buffer.allocUnsafe(length + HEADER + 1);
      header(frame, LOG, length + 1);
      frame[HEADER] = stream;
      frame.set(text.subarray(start, end), HEADER + 1);
      this.#write(frame, length + HEADER + 1);
      start = end;
    } while (start < text.length);
  }

  #sendText(kind, nonce, stream, text) {
    let at = HEADER;
    let frame = this.#out;
    if (text.length > SHORT_TEXT) {
      frame = Buffer.allocUnsafe(HEADER + NONCE + Buffer.byteLength(text));
    }
    if (nonce !== null) {
      frame.set(nonce, at);
      at += NONCE;
    } else if (stream !== 0) {
      frame[at++] = stream;
    }
    if (text.length !== 0) {
      at += frame.utf8Write(text, at);
    }
    header(frame, kind, at - HEADER);
    this.#write(frame, at);
  }

  #write(frame, length) {
    let done = 0;
    while (done < length) {
      try {
        done += fs.writeSync(this.#fd, frame, done, length - done);
      } catch (error) {
        if (error.code === 'EPIPE' || error.code === 'ECONNRESET') {
          // The worker is gone: there is no one left to serve.
          exitNow(0);
        }
        if (error.code !== 'EINTR' && error.code !== 'EAGAIN') {
          throw error;
        }
      }
    }
  }

  // ---- from the worker

  /** The next frame as {kind, buffer, start, end}, valid until the next call. Null at the end of the stream. */
  receive() {
    while (this.#end - this.#start < HEADER) {
      if (!this.#fill()) {
        return null;
      }
    }
    const at = this.#start;
    const input = this.#in;
    if (input[at] !== 1 || input[at + 2] !== 0 || input[at + 3] !== 0) {
      throw new ProtocolError('bad frame header');
    }
    const length = input.readUInt32LE(at + 4);
    const total = HEADER + length;
    if (length > MAX_INCOMING) {
      throw new ProtocolError('oversized frame');
    }
    const kind = input[at + 1];
    if (total > BUFFER) {
      return this.#receiveLarge(kind, length);
    }
    while (this.#end - this.#start < total) {
      if (!this.#fill()) {
        return null;
      }
    }
    const start = this.#start + HEADER;
    this.#start += total;
    return { kind, buffer: input, start, end: start + length };
  }

  #receiveLarge(kind, length) {
    const body = Buffer.allocUnsafeSlow(length);
    let have = this.#in.copy(body, 0, this.#start + HEADER, this.#end);
    this.#start = this.#end = 0;
    while (have < length) {
      const count = this.#read(body, have);
      if (count === 0) {
        return null;
      }
      have += count;
    }
    return { kind, buffer: body, start: 0, end: length };
  }

  #fill() {
    if (this.#start === this.#end) {
      this.#start = this.#end = 0;
    } else if (this.#start !== 0) {
      this.#in.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    const count = this.#read(this.#in, this.#end);
    this.#end += count;
    return count !== 0;
  }

  #read(buffer, at) {
    while (true) {
      try {
        return this.#receive(this.#fd, buffer, at);
      } catch (error) {
        if (error.code === 'ECONNRESET') {
          return 0;
        }
        if (error.code !== 'EINTR') {
          throw error;
        }
      }
    }
  }
}

function receiveThroughFs(fd, buffer, at) {
  return fs.readSync(fd, buffer, at, buffer.length - at, null);
}

function header(frame, kind, length) {
  frame[0] = 1;
  frame[1] = kind;
  frame[2] = 0;
  frame[3] = 0;
  frame[4] = length & 0xff;
  frame[5] = (length >>> 8) & 0xff;
  frame[6] = (length >>> 16) & 0xff;
  frame[7] = length >>> 24;
}

module.exports = { Channel, ProtocolError, INIT, INVOKE, HEADER, NONCE, MAX_ERROR_BODY };
