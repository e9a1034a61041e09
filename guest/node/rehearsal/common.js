'use strict';
// The handler that a zygote runs before it serves, so that its forks do nothing for the first time.

const fs = require('fs');
const path = require('node:path');

class Refused extends Error {}

exports.handler = async (event, context) => {
  console.log('rehearsal %s', event.number, context.awsRequestId, context.getRemainingTimeInMillis());
  console.error({ event, list: [1, 2, 3], map: new Map([[1, 2]]) }, new Error('shown'));
  process.stdout.write('written\n');
  fs.statSync(__filename);
  await null;
  await new Promise((resolve) => setTimeout(resolve, 0));
  if (event.fail) {
    throw new Refused(event.text);
  }
  return { ok: true, event, numbers: [1, 2.5, -3], text: '\u00e9', nothing: null, date: new Date(0) };
};

exports.callback = (event, context, callback) => {
  context.callbackWaitsForEmptyEventLoop = false;
  callback(null, event);
};
