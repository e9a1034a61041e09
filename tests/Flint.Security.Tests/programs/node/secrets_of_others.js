// Programs that hold a secret, and programs that look for another's everywhere in their own memory and files.
'use strict';

const fs = require('node:fs');

const secret = process.env.SECRET;

exports.hold = async (event) => {
  const copies = Array.from({ length: 50 }, (_, number) => event.secret + number);
  fs.writeFileSync('/tmp/secret', event.secret);
  process.env.SECRET_COPY = event.secret;
  console.log(event.secret);
  globalThis.keptCopies = copies;
  return { worked: secret === event.secret && copies.length === 50 };
};

// The needle comes masked, and what is looked through is masked too, so that the search itself puts the text nowhere.
// Adding is not its own inverse: a masked copy of the masked text must not be the text.
const mask = (data, by = 0x35) => {
  for (let i = 0; i < data.length; i++) {
    data[i] += by;
  }
  return data;
};

exports.search = async (event) => {
  const needle = Buffer.from(event.masked, 'hex');
  if (event.own) {
    globalThis.kept = mask(Buffer.from(needle), -0x35);
  }
  const places = [];
  const memory = fs.openSync('/proc/self/mem', 'r');
  const chunk = Buffer.alloc((1 << 20) + needle.length);
  let regions = 0;
  for (const line of fs.readFileSync('/proc/self/maps', 'utf8').split('\n')) {
    const [range, rights, , , , name = ''] = line.split(/\s+/);
    if (!rights?.includes('r') || name.startsWith('[v')) {
      continue;
    }
    const [start, end] = range.split('-').map((part) => BigInt(`0x${part}`));
    regions++;
    for (let at = start; at < end; at += 1n << 20n) {
      const length = Number(end - at < BigInt(chunk.length) ? end - at : BigInt(chunk.length));
      let count;
      try {
        count = fs.readSync(memory, chunk, 0, length, at);
      } catch {
        break;
      }
      if (mask(chunk.subarray(0, count)).includes(needle)) {
        places.push(`${range} ${name}`);
        break;
      }
    }
  }
  fs.closeSync(memory);
  return { worked: places.length > 0, places: places.slice(0, 20), regions };
};
