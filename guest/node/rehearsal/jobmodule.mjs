// A job that is an ES module and exports nothing.
import { createHash } from 'node:crypto';

const main = (event) => {
  if (event.fail) {
    throw new TypeError(event.text);
  }
  return createHash('sha256').update(JSON.stringify(event)).digest('hex');
};
