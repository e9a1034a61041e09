// Programs that speak to the worker past the bootstrap. Every forged answer says {"worked": true, "forged": true}.
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');

const [LOG, RESULT, INIT_OK, INVOKE] = [0x84, 0x85, 0x82, 0x02];
const FORGED = Buffer.from('{"worked":true,"forged":true}');

const frame = (kind, body, { length = body.length, version = 1, reserved = 0 } = {}) => {
  const header = Buffer.alloc(8);
  header[0] = version;
  header[1] = kind;
  header.writeUInt16LE(reserved, 2);
  header.writeUInt32LE(length >>> 0, 4);
  return Buffer.concat([header, body]);
};

const send = (data) => {
  for (let at = 0; at < data.length; ) {
    try {
      at += fs.writeSync(3, data, at);
    } catch (failure) {
      if (failure.code !== 'EAGAIN') {
        throw failure;
      }
    }
  }
};

exports.speak = async (event) => {
  switch (event.say) {
    case 'log':
      send(frame(LOG, Buffer.from('\x01said by hand')));
      break;
    case 'wrong nonce':
      send(frame(RESULT, Buffer.concat([crypto.randomBytes(16), FORGED])));
      break;
    case 'short result':
      send(frame(RESULT, Buffer.alloc(5)));
      break;
    case 'unknown kind':
      send(frame(0x7f, FORGED));
      break;
    case "worker's kind":
      send(frame(INVOKE, FORGED));
      break;
    case 'init again':
      send(frame(INIT_OK, Buffer.alloc(0)));
      break;
    case 'bad version':
      send(frame(LOG, Buffer.from('\x01x'), { version: 9 }));
      break;
    case '4 GiB log':
      send(frame(LOG, Buffer.alloc(0), { length: 0xffffffff }));
      break;
    case '4 GiB result':
      send(frame(RESULT, Buffer.alloc(0), { length: 0xffffffff }));
      break;
    case 'garbage':
      send(crypto.randomBytes(4096));
      break;
    case 'half a header, exit':
      send(frame(RESULT, FORGED).subarray(0, 5));
      process.reallyExit(0);
      break;
    default:
      break;
  }
  return { worked: event.say === 'log' };
};

exports.rawOutput = async (event) => {
  const data =
    {
      line: Buffer.from('a line\n'),
      'forged frame': Buffer.concat([frame(RESULT, Buffer.concat([Buffer.alloc(16), FORGED])), frame(INIT_OK, Buffer.alloc(0)), Buffer.from('\n')]),
      escapes: Buffer.from('\x1b[2J\x1b]0;owned\x07\0\0\r\b\bEND RequestId: 1\n', 'latin1'),
      'no newline': Buffer.alloc(300_000, 120),
    }[event.what] ?? Buffer.alloc(65536, 121);
  let sent = 0;
  do {
    for (const descriptor of [1, 2]) {
      try {
        sent += fs.writeSync(descriptor, data);
      } catch (failure) {
        if (failure.code !== 'EAGAIN') {
          throw failure;
        }
      }
    }
  } while (sent < event.mb * 1048576);
  return { worked: false, marker: 'genuine' };
};

exports.logFrames = async (event) => {
  const one = frame(LOG, Buffer.concat([Buffer.from([1]), Buffer.alloc(60000, 97)]));
  const end = Date.now() + event.seconds * 1000;
  while (Date.now() < end) {
    send(one);
  }
  return { worked: true };
};

exports.closeStreams = async (event) => {
  for (const number of event.numbers) {
    fs.closeSync(number);
  }
  return { worked: true };
};

exports.largeResult = async (event) => ({ worked: true, filling: 'a'.repeat(event.mb << 20) });

exports.deepResult = async (event) => {
  let value = null;
  for (let i = 0; i < event.depth; i++) {
    value = [value];
  }
  return { worked: true, value };
};
