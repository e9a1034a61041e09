// Programs that end in ways that are to be mistaken for something else. With {"how": "return"} they just answer.
'use strict';

const fs = require('node:fs');
const { Worker } = require('node:worker_threads');

exports.end = async (event) => {
  switch (event.how) {
    case 'exit 0':
      process.exit(0);
      break;
    case 'exit 137':
      process.exit(137);
      break;
    case 'reallyExit':
      process.reallyExit(0);
      break;
    case 'abort':
      process.abort();
      break;
    case 'sigkill':
      process.kill(process.pid, 'SIGKILL');
      await new Promise(() => {});
      break;
    case 'exit in a timer':
      setTimeout(() => process.exit(1), 10);
      await new Promise((resolve) => setTimeout(resolve, 5000));
      break;
    case 'exit hook that loops':
      process.on('exit', () => {
        for (;;);
      });
      process.exit(0);
      break;
    case 'never':
      await new Promise(() => {});
      break;
    case 'never, with a timer':
      setInterval(() => {}, 1000);
      await new Promise(() => {});
      break;
    case 'unhandled rejection':
      Promise.reject(new Error('nobody listens'));
      await new Promise((resolve) => setTimeout(resolve, 5000));
      break;
    case 'throw in a timer':
      setTimeout(() => {
        throw new Error('out of reach');
      }, 10);
      await new Promise((resolve) => setTimeout(resolve, 5000));
      break;
    case 'stack overflow':
      // V8 believes that the thread has more stack than it has.
      await new Promise((resolve) => {
        const source = 'const down = (n) => 1 + down(n + 1); down(0);';
        new Worker(source, { eval: true, resourceLimits: { stackSizeMb: 512 } }).on('exit', resolve);
      });
      break;
    case 'throw null':
      throw null;
    case 'throw a proxy':
      throw new Proxy(
        {},
        {
          get() {
            throw new Error('no');
          },
          getPrototypeOf() {
            throw new Error('no');
          },
        },
      );
    case 'error that cannot be shown': {
      const error = new Error('x');
      for (const name of ['message', 'stack', 'name']) {
        Object.defineProperty(error, name, {
          get() {
            throw new Error('no');
          },
        });
      }
      throw error;
    }
    case 'result that throws':
      return {
        toJSON() {
          throw new Error('no');
        },
      };
    case 'result that lies':
      return { toJSON: () => undefined };
    case 'thenable that never settles':
      return { then() {} };
    case 'thenable that answers twice':
      return {
        then(resolve, reject) {
          resolve({ worked: true });
          resolve({ worked: true, forged: true });
          reject(new Error('late'));
        },
      };
    default:
      break;
  }
  return { worked: true };
};

exports.callbackTwice = (event, context, callback) => {
  callback(null, { worked: true, request: context.awsRequestId });
  if (event.twice) {
    callback(null, { worked: true, forged: true });
    setTimeout(() => callback(new Error('late')), 5);
  }
};

let counter = 0;
exports.answerLater = async (event, context) => {
  counter++;
  if (event.first) {
    setTimeout(() => console.log('late words of the first'), 20);
  }
  if (!event.first) {
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
  return { worked: true, request: context.awsRequestId, count: counter };
};

exports.pollute = async (event, context) => {
  if (event.pollute) {
    Object.prototype.toJSON = () => ({ worked: false, forged: true });
    Object.prototype.type = 'SandboxLost';
    JSON.stringify = () => '{"worked":false,"forged":true}';
    JSON.parse = () => ({});
    Buffer.from = () => null;
    fs.writeSync = () => 0;
  }
  return { worked: true, request: context.awsRequestId };
};
