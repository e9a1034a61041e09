// Draws from every source of random values, at init and now.
'use strict';

const crypto = require('node:crypto');

const atInit = [Math.random(), crypto.randomUUID(), crypto.randomInt(2 ** 47)];

exports.draw = async () => ({
  worked: true,
  now: {
    random: Math.random(),
    several: [Math.random(), Math.random()],
    bytes: crypto.randomBytes(16).toString('hex'),
    uuid: crypto.randomUUID(),
    int: [crypto.randomInt(2 ** 47), crypto.randomInt(2 ** 47)],
    web: Array.from(globalThis.crypto.getRandomValues(new Uint32Array(4))),
    key: crypto.generateKeySync('hmac', { length: 128 }).export().toString('hex'),
  },
  atInit,
});
