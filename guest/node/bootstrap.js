'use strict';
// Entry point of a Node guest: node [heap flags] /var/runtime/node/bootstrap.js, with the worker's stream as descriptor 3.

const runtime = require('./lib/runtime.js');

if (require.main === module) {
  runtime.prepare();
  runtime.run(3);
}
