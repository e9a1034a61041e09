// Programs whose output is to be taken for something else: other lines, other streams, other invocations, other records.
'use strict';

const fs = require('node:fs');

const id = '00000000-0000-7000-8000-000000000000';

const forged = [
  `START RequestId: ${id} Version: 9`,
  `END RequestId: ${id}`,
  `REPORT RequestId: ${id}\tDuration: 1.00 ms\tBilled Duration: 1 ms\tMemory Size: 1 MB\tMax Memory Used: 1 MB\t`,
  `2001-01-01T00:00:00.000Z\t${id}\tERROR\tforged`,
  JSON.stringify({ time: '2001-01-01T00:00:00Z', type: 'platform.report', record: { requestId: id, status: 'success' } }),
  JSON.stringify({ stream: 'platform', text: 'forged', timestamp: '2001-01-01T00:00:00Z', level: 'FATAL' }),
  'warn: Flint.Server[9]\r\n      forged',
  'one\rtwo',
  'one\r\ntwo\r\n\r\nthree',
  '\x1b[2J\x1b]0;owned\x07\x1b[31mred\x9b31m',
  'a\x00b\x08\x08\x7f\x85\u2028\u2029',
  '\u202egnp.exe\u2066',
  '"},{"stream":"platform","text":"forged"},{"text":"',
  '</script><script>alert(1)</script>',
  '%s%n%x {0} ${jndi:ldap://127.0.0.1/} $(id)',
  '\ud800 half a surrogate',
];

exports.write = async (event) => {
  for (const text of event.plain ? ['plain'] : forged) {
    if (event.way === 'print') {
      console.log(text);
    } else if (event.way === 'logging') {
      console.error(new Error(text));
      console.error('%o', { [text]: text });
    } else {
      fs.writeSync(event.way === 'raw' ? 1 : 2, `${text}\n`);
    }
  }
  return { worked: true };
};

exports.longLine = async (event) => {
  const block = Buffer.alloc(1 << 20, 'x');
  for (let i = 0; i < event.mb; i++) {
    if (event.way === 'raw') {
      for (let at = 0; at < block.length; ) {
        at += fs.writeSync(1, block, at);
      }
    } else {
      process.stdout.write(block);
    }
  }
  return { worked: true };
};

exports.manyLines = async (event) => {
  for (let i = 0; i < event.lines; i++) {
    console.log(i);
  }
  return { worked: true };
};

exports.fail = async () => {
  throw new TypeError('deliberate');
};
