'use strict';
// A job whose globals are limited: a script in a realm of its own, with the language and little else (guest/PROTOCOL.md, "Limited globals"). For teaching; the
// wall is the sandbox.

const fs = require('fs');
const path = require('path');
const vm = require('vm');
const { Console } = require('console');
const { Fault } = require('./errors.js');

const OPTIONS = { name: 'main', codeGeneration: { strings: true, wasm: false } };
const MODULE_SYNTAX = /^Cannot use import statement outside a module|^Unexpected token 'export'|^Cannot use 'import\.meta' outside a module/;

let install = null;

/** The function, and the realm's own JSON.parse. `choose` is that of jobs.js. */
function load(file, name, choose) {
  const source = fs.readFileSync(file, 'utf8');
  const context = vm.createContext(Object.create(null), OPTIONS);
  install ??= new vm.Script(fs.readFileSync(path.join(__dirname, 'limited-globals.js'), 'utf8'), { filename: 'flint:globals' });
  const { parse, module } = install.runInContext(context)(makeHost());
  compile(file, source).runInContext(context);
  const declared = /^[\w$]+$/.test(name) ? vm.runInContext(`typeof ${name} === 'undefined' ? undefined : ${name}`, context) : undefined;
  return [choose(file, name, module.exports, declared), parse];
}

function compile(file, source) {
  try {
    return new vm.Script(source, { filename: file });
  } catch (error) {
    if (file.endsWith('.mjs') || MODULE_SYNTAX.test(error.message)) {
      throw new Fault('SyntaxError', 'Runtime.UserCodeSyntaxError', 'import and export cannot be used with limited globals: declare function main(...)', []);
    }
    throw error;
  }
}

/** What limited-globals.js builds on. It hands on none of these functions, and of their results only primitive values. */
function makeHost() {
  const lines = new Console({ stdout: process.stdout, stderr: process.stderr, inspectOptions: { customInspect: false } });
  const immediates = new Map();
  let lastImmediate = 0;
  return {
    console: (name, args) => Reflect.apply(lines[name], lines, args),
    setTimeout: (callback, delay) => +setTimeout(callback, delay),
    setInterval: (callback, delay) => +setInterval(callback, delay),
    clear: (id) => clearTimeout(id),
    setImmediate(callback) {
      const id = ++lastImmediate;
      immediates.set(id, setImmediate(() => {
        immediates.delete(id);
        callback();
      }));
      return id;
    },
    clearImmediate: (id) => clearImmediate(immediates.get(id)),
    queueMicrotask,
    now: () => performance.now(),
    atob,
    btoa,
    encode: (string) => new TextEncoder().encode(string),
    decoder: (label, options) => new TextDecoder(label, options),
    url: (address, base) => new URL(address, base),
    parameters: (query) => new URLSearchParams(query),
  };
}

module.exports = { load };
