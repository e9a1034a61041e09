'use strict';
// A job's script, as common.js is a function's.

class Refused extends Error {}

async function main(event) {
  console.log('rehearsal %s', event.number, { event });
  console.error(new Error('shown'));
  await null;
  if (event.fail) {
    throw new Refused(event.text);
  }
  return { ok: true, event, nothing: null };
}
