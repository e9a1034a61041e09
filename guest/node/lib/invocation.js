'use strict';
// What a handler may do to answer: return, return a promise, call back, or use the context's methods.

/** One event and its one answer. */
class Invocation {
  #guest;
  #context = null;
  settled = false;
  isAsync = false;
  failed = false;
  value = undefined;

  constructor(nonce, guest) {
    this.nonce = nonce;
    this.#guest = guest;
    this.succeed = (result) => this.settle(true, result);
    this.fail = (error) => this.settle(false, error);
    this.done = (error, result) => this.settle(error === null || error === undefined, error ?? result);
  }

  start(handler, event, context) {
    this.#context = context;
    let result;
    try {
      result = handler(event, context, (error, value) => this.#callBack(error, value));
    } catch (error) {
      this.settle(false, error);
      return;
    }
    this.#await(result);
  }

  /** A job's: what it returns is the answer, at once or when the promise is settled. */
  startMain(main, payload) {
    let result;
    try {
      result = main(payload);
    } catch (error) {
      this.settle(false, error);
      return;
    }
    if (!this.#await(result)) {
      this.settle(true, result);
    }
  }

  /** False for what is no promise. */
  #await(result) {
    if (!isThenable(result)) {
      return false;
    }
    this.isAsync = true;
    try {
      result.then(this.succeed, this.fail);
    } catch (error) {
      this.settle(false, error);
    }
    return true;
  }

  #callBack(error, value) {
    if (this.settled) {
      return;
    }
    if (this.#context.callbackWaitsForEmptyEventLoop !== false && (error === null || error === undefined) && !this.isAsync) {
      // The answer waits until nothing is left to run: Guest.#loopIsEmpty.
      this.settled = true;
      this.value = value;
      return;
    }
    this.done(error, value);
  }

  /** The first answer counts. It is sent from the event loop, after the rejections that came up with it. */
  settle(succeeded, value) {
    if (this.settled) {
      return;
    }
    this.settled = true;
    this.failed = !succeeded;
    this.value = value;
    setImmediate(answerNow, this, this.#guest);
  }
}

function answerNow(invocation, guest) {
  guest.answer(invocation);
}

function isThenable(value) {
  try {
    return value !== null && typeof value === 'object' && typeof value.then === 'function';
  } catch {
    return false;
  }
}

module.exports = { Invocation };
