'use strict';
// Run in the realm of a job whose globals are limited: everything here is that realm's own, so that what user code reaches through it leads nowhere else.

((host) => {
  const CONSOLE = [
    'log', 'info', 'debug', 'warn', 'error', 'dir', 'table', 'assert', 'count', 'countReset', 'group', 'groupCollapsed', 'groupEnd', 'time', 'timeLog', 'timeEnd',
  ];
  const ERRORS = { RangeError, SyntaxError, TypeError, URIError };
  const { parse } = JSON;
  const { from } = Array;

  const define = (object, name, value) => Object.defineProperty(object, name, { value, writable: true, configurable: true, enumerable: false });

  /** The host's answer; what it throws is thrown as an error of this realm. */
  function ask(action, above) {
    try {
      return action();
    } catch (error) {
      const own = new (ERRORS[error.name] ?? Error)(error.message);
      if (typeof error.code === 'string') {
        own.code = error.code;
      }
      Error.captureStackTrace(own, above);
      throw own;
    }
  }

  function needsFunction(callback) {
    if (typeof callback !== 'function') {
      throw new TypeError('The callback is not a function');
    }
  }

  // ---- console and timers

  const console = {};
  for (const name of CONSOLE) {
    define(console, name, { [name](...args) { host.console(name, args); } }[name]);
  }
  define(console, 'trace', function trace(...args) {
    const place = {};
    Error.captureStackTrace(place, trace);
    host.console('error', ['Trace:', ...args, place.stack.slice(place.stack.indexOf('\n'))]);
  });

  const globals = {
    console,
    setTimeout(callback, delay, ...args) {
      needsFunction(callback);
      return host.setTimeout(() => { callback(...args); }, +delay);
    },
    setInterval(callback, delay, ...args) {
      needsFunction(callback);
      return host.setInterval(() => { callback(...args); }, +delay);
    },
    setImmediate(callback, ...args) {
      needsFunction(callback);
      return host.setImmediate(() => { callback(...args); });
    },
    clearTimeout(id) { host.clear(+id); },
    clearInterval(id) { host.clear(+id); },
    clearImmediate(id) { host.clearImmediate(+id); },
    queueMicrotask(callback) {
      needsFunction(callback);
      host.queueMicrotask(() => { callback(); });
    },
    performance: { now: () => host.now() },
    atob: function atob(data) { return ask(() => host.atob(`${data}`), atob); },
    btoa: function btoa(data) { return ask(() => host.btoa(`${data}`), btoa); },
    structuredClone: (value) => copy(value, new Map()),
  };

  // ---- structuredClone

  function copy(value, seen) {
    if (typeof value === 'function' || typeof value === 'symbol') {
      throw new Error(`${String(value)} could not be cloned.`);
    }
    if (typeof value !== 'object' || value === null) {
      return value;
    }
    if (seen.has(value)) {
      return seen.get(value);
    }
    const [clone, fill] = shell(value, seen);
    seen.set(value, clone);
    fill?.();
    return clone;
  }

  /** A new object of the same kind, and what fills it once it is known. */
  function shell(value, seen) {
    if (value instanceof Date) return [new Date(value)];
    if (value instanceof RegExp) return [new RegExp(value.source, value.flags)];
    if (value instanceof Boolean || value instanceof Number || value instanceof String || value instanceof BigInt) return [Object(value.valueOf())];
    if (value instanceof ArrayBuffer) return [value.slice(0)];
    if (value instanceof DataView) return [new DataView(copy(value.buffer, seen), value.byteOffset, value.byteLength)];
    if (ArrayBuffer.isView(value)) return [new value.constructor(copy(value.buffer, seen), value.byteOffset, value.length)];
    if (value instanceof Map) {
      const map = new Map();
      return [map, () => value.forEach((item, key) => map.set(copy(key, seen), copy(item, seen)))];
    }
    if (value instanceof Set) {
      const set = new Set();
      return [set, () => value.forEach((item) => set.add(copy(item, seen)))];
    }
    if (value instanceof Error) {
      const error = new (ERRORS[value.name] ?? Error)(value.message, 'cause' in value ? { cause: copy(value.cause, seen) } : undefined);
      define(error, 'stack', value.stack);
      return [error];
    }
    if (value instanceof Promise || value instanceof WeakMap || value instanceof WeakSet || value instanceof WeakRef) {
      throw new Error(`${String(value)} could not be cloned.`);
    }
    const object = Array.isArray(value) ? new Array(value.length) : {};
    return [object, () => Object.keys(value).forEach((key) => { object[key] = copy(value[key], seen); })];
  }

  // ---- text

  class TextEncoder {
    get encoding() { return 'utf-8'; }
    encode(text = '') { return Uint8Array.from(host.encode(`${text}`)); }
    encodeInto(text, target) {
      let [read, written] = [0, 0];
      for (const character of `${text}`) {
        const bytes = host.encode(character);
        if (written + bytes.length > target.length) break;
        target.set(bytes, written);
        read += character.length;
        written += bytes.length;
      }
      return { read, written };
    }
  }

  class TextDecoder {
    #decoder;
    constructor(label = 'utf-8', options = {}) { this.#decoder = ask(() => host.decoder(`${label}`, options), TextDecoder); }
    get encoding() { return this.#decoder.encoding; }
    get fatal() { return this.#decoder.fatal; }
    get ignoreBOM() { return this.#decoder.ignoreBOM; }
    decode(bytes = new Uint8Array(), options = {}) { return ask(() => this.#decoder.decode(bytes, options), this.decode); }
  }

  // ---- URL

  const TAKEN = Symbol('taken');

  class URLSearchParams {
    #own;
    constructor(init = '', taken = undefined) {
      if (init === TAKEN) {
        this.#own = taken;
      } else if (typeof init === 'object' && init !== null) {
        this.#own = host.parameters('');
        for (const [name, value] of typeof init[Symbol.iterator] === 'function' ? init : Object.entries(init)) {
          this.append(name, value);
        }
      } else {
        this.#own = host.parameters(`${init}`);
      }
    }
    get size() { return this.#pairs().length; }
    append(name, value) { this.#own.append(`${name}`, `${value}`); }
    delete(name) { this.#own.delete(`${name}`); }
    get(name) { return this.#own.get(`${name}`); }
    getAll(name) { return from(this.#own.getAll(`${name}`)); }
    has(name) { return this.#own.has(`${name}`); }
    set(name, value) { this.#own.set(`${name}`, `${value}`); }
    sort() { this.#own.sort(); }
    toString() { return this.#own.toString(); }
    forEach(callback, self) { this.#pairs().forEach(([name, value]) => { callback.call(self, value, name, this); }); }
    entries() { return this.#pairs().values(); }
    keys() { return this.#pairs().map(([name]) => name).values(); }
    values() { return this.#pairs().map(([, value]) => value).values(); }
    [Symbol.iterator]() { return this.entries(); }
    #pairs() { return from(this.#own, ([name, value]) => [name, value]); }
  }

  class URL {
    #own;
    #searchParams;
    constructor(address, base) {
      this.#own = ask(() => host.url(`${address}`, base === undefined ? undefined : `${base}`), URL);
      this.#searchParams = new URLSearchParams(TAKEN, this.#own.searchParams);
    }
    static canParse(address, base) {
      try {
        return Boolean(new URL(address, base));
      } catch {
        return false;
      }
    }
    static {
      for (const name of ['hash', 'host', 'hostname', 'href', 'password', 'pathname', 'port', 'protocol', 'search', 'username']) {
        Object.defineProperty(URL.prototype, name, {
          configurable: true, enumerable: true,
          get() { return this.#own[name]; },
          set(value) { ask(() => { this.#own[name] = `${value}`; }); },
        });
      }
    }
    get origin() { return this.#own.origin; }
    get searchParams() { return this.#searchParams; }
    toString() { return this.#own.href; }
    toJSON() { return this.#own.href; }
  }

  const module = { exports: {} };
  delete globalThis.WebAssembly;
  for (const [name, value] of Object.entries({ ...globals, TextEncoder, TextDecoder, URL, URLSearchParams, module, exports: module.exports })) {
    define(globalThis, name, value);
  }
  return { parse, module };
})
