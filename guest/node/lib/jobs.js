'use strict';
// A job's function: of a script or an ES module, exported or not (guest/PROTOCOL.md, "Jobs").

const fs = require('fs');
const path = require('path');
const vm = require('vm');
const Module = require('module');
const { spawnSync } = require('child_process');
const { pathToFileURL } = require('url');
const { Fault, text } = require('./errors.js');
const loader = require('./loader.js');

const ENDINGS = ['.js', '.mjs', '.cjs'];
const PARAMETERS = ['exports', 'require', 'module', '__filename', '__dirname'];
const IDENTIFIER = /^(?!default$)[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;
const MAY_BE_MODULE = /\b(?:import|export|await)\b/;
/** V8's words for what only an ES module may say; Node itself goes by them. */
const MODULE_SYNTAX = /^Cannot use import statement outside a module|^Unexpected token 'export'|^Cannot use 'import\.meta' outside a module|^await is only valid in async functions/;
/** How V8 and Node begin to tell of a text that does not parse. */
const PLACE = /^(?:file:\/\/)?(\/.*):(\d+)\n/;
const GETTER = '$flint_main';

/** A function of the payload's text that calls the job's. Throws as the loader of handlers does. */
async function load({ taskRoot, handler, globals }) {
  const { directory, moduleName, exportPath } = loader.split(handler);
  loader.enter(taskRoot);
  const base = path.resolve(taskRoot, directory, moduleName);
  const file = ENDINGS.map((ending) => base + ending).find(loader.isFile);
  if (file === undefined) {
    throw new Fault('ImportError', 'Runtime.ImportModuleError', `There is no ${moduleName}.js, ${moduleName}.mjs or ${moduleName}.cjs`);
  }
  try {
    if (globals === 'limited') {
      return caller(...require('./limited.js').load(file, exportPath, choose));
    }
    const isModule = file.endsWith('.mjs') || (file.endsWith('.js') && loader.isModuleScope(path.dirname(file)));
    return caller(await (isModule ? importModule(file, exportPath) : runScript(file, exportPath)), JSON.parse);
  } catch (error) {
    throw loadFault(error, taskRoot, file);
  }
}

function caller(main, parse) {
  return (payload) => {
    let args;
    try {
      args = parse(payload);
    } catch (error) {
      throw new Fault('Unhandled', 'Runtime.UnmarshalError', text(error));
    }
    if (!Array.isArray(args)) {
      throw new Fault('Unhandled', 'Runtime.UnmarshalError', 'The arguments are not a JSON array');
    }
    return Reflect.apply(main, undefined, args);
  };
}

/** What is exported by the name, or declared by it, or exported as the only thing. */
function choose(file, name, exported, declared) {
  let named = exported;
  for (const part of name.split('.')) {
    named = named?.[part];
  }
  const candidates = [named, declared, exported?.default?.[name], exported, exported?.default];
  const found = candidates.find((candidate) => typeof candidate === 'function');
  if (found !== undefined) {
    return found;
  }
  const what = (named ?? declared) === undefined
    ? `has no function ${name}: declare it (function ${name}(...) { ... }) or export it`
    : `: ${name} is not a function`;
  throw new Fault('HandlerNotFound', 'Runtime.HandlerNotFound', `${path.basename(file)} ${what}`.replace(' :', ':'));
}

/** As require would, but that the script's own declarations are asked too. */
function runScript(file, name) {
  const source = fs.readFileSync(file, 'utf8').replace(/^\ufeff/, '');
  if (MAY_BE_MODULE.test(source) && MODULE_SYNTAX.test(wrongIn(file, source)?.message)) {
    return importModule(file, name);
  }
  const getter = IDENTIFIER.test(name) ? `\n;return typeof ${name} === 'undefined' ? undefined : ${name};` : '';
  const module = new Module(file, null);
  module.filename = file;
  module.paths = Module._nodeModulePaths(path.dirname(file));
  Module._cache[file] = module;
  let declared;
  try {
    declared = module._compile(source + getter, file, 'commonjs');
  } catch (error) {
    // What is wrong is said of the user's own text.
    throw (error instanceof SyntaxError ? wrongIn(file, source) : null) ?? error;
  }
  module.loaded = true;
  return choose(file, name, module.exports, declared);
}

/** Why it is no script; null when it is one. */
function wrongIn(file, source) {
  try {
    vm.compileFunction(source, PARAMETERS, { filename: file });
    return null;
  } catch (error) {
    return error;
  }
}

/** An import of the file, of whose text a function that tells its declaration is made the last line. */
async function importModule(file, name) {
  const { href } = pathToFileURL(file);
  const restore = IDENTIFIER.test(name)
    ? appendTo(href, `\nexport function ${GETTER}() { return typeof ${name} === 'undefined' ? undefined : ${name}; }`)
    : () => {};
  try {
    const { [GETTER]: getter, ...exported } = await import(href);
    return choose(file, name, exported, getter?.());
  } finally {
    restore();
  }
}

/** Lets an import of the module find more than the file has; returns what ends that. */
function appendTo(href, more) {
  if (Module.registerHooks !== undefined) {
    const hooks = Module.registerHooks({
      load(url, context, next) {
        const loaded = next(url, context);
        return url === href && loaded.source ? { ...loaded, source: Buffer.from(loaded.source).toString() + more } : loaded;
      },
    });
    return () => hooks.deregister();
  }
  // Before Node 22.15: its loader of ES modules reads with this. Where it does not, what is not exported is not found.
  const { promises } = fs;
  const { readFile } = promises;
  const restore = () => {
    promises.readFile = readFile;
  };
  promises.readFile = async (from, ...rest) => {
    const data = await readFile.call(promises, from, ...rest);
    if (String(from) !== href) {
      return data;
    }
    restore();
    return data + more;
  };
  return restore;
}

/** As for handlers, with the place in the message: it is all that many see. */
function loadFault(error, taskRoot, file) {
  try {
    if (!(error instanceof SyntaxError)) {
      return loader.loadFault(error);
    }
    const told = PLACE.test(error.stack) || !/\n +at (?:async )?\S+ \(node:internal\/modules\/esm\//.test(error.stack) ? error.stack : check(file) ?? error.stack;
    const place = PLACE.exec(told);
    if (place === null) {
      // Of no source: JSON.parse throws such errors too.
      return error;
    }
    const trace = told.split('\n').filter((line) => !/\(node:|at node:/.test(line) && !loader.isOwnLine(line));
    const what = trace.findLast((line) => line.startsWith('SyntaxError')) ?? text(error);
    return new Fault('SyntaxError', 'Runtime.UserCodeSyntaxError', `${what} (${path.relative(taskRoot, place[1])}:${place[2]})`, trace);
  } catch {
    return error;
  }
}

/** Of an ES module that does not parse, Node tells the place only when it ends by it. Null when nothing is wrong with this file. */
function check(file) {
  const options = { input: fs.readFileSync(file), encoding: 'utf8', timeout: 10_000, env: {} };
  const { stderr } = spawnSync(process.execPath, ['--check', '--input-type=module', '-'], options);
  const end = stderr.indexOf('\n\nNode.js v');
  return stderr.startsWith('[stdin]:') ? stderr.slice(0, end < 0 ? undefined : end).replace('[stdin]', () => file) : null;
}

/** A report without the frames of what runs a job's script, and of what limited globals are made of. Here, so that the errors of functions cost nothing more. */
function trim(report) {
  const stackTrace = report.stackTrace.filter((line) => !line.includes('(flint:globals:'));
  while (stackTrace.at(-1)?.startsWith('    at Module._compile (node:internal/modules/')) {
    stackTrace.pop();
  }
  return { ...report, stackTrace };
}

module.exports = { load, trim };
