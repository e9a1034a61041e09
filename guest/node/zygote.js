'use strict';
// Entry point of the Node zygote: node --single-threaded ... /var/runtime/node/zygote.js, preloaded and started by the launcher.

const zygote = require('./lib/zygote.js');

if (require.main === module) {
  zygote.prepare(module).then(() => setImmediate(() => {
    zygote.serve();
    zygote.run(3);
  }));
}
