'use strict';
// Finds the handler (Lambda's rules): dir/file.export[.nested], as a file without extension, .js, .mjs, .cjs, or a package.

const fs = require('fs');
const path = require('path');
const { Fault, text } = require('./errors.js');

const OWN_DIRECTORY = path.dirname(__dirname) + path.sep;

/** The function. Throws Fault for what Lambda has codes for, and whatever the module throws while it is run. */
async function load(taskRoot, handler) {
  const { directory, moduleName, exportPath } = split(handler);
  enter(taskRoot);
  let userModule;
  try {
    userModule = await loadModule(taskRoot, directory, moduleName);
  } catch (error) {
    throw loadFault(error);
  }
  let found = userModule;
  for (const name of exportPath.split('.')) {
    found = found?.[name];
  }
  if (found === undefined || found === null) {
    throw new Fault('HandlerNotFound', 'Runtime.HandlerNotFound', `${handler} is undefined or not exported`);
  }
  if (typeof found !== 'function') {
    throw new Fault('HandlerNotFound', 'Runtime.HandlerNotFound', `${handler} is not a function`);
  }
  return found;
}

function enter(taskRoot) {
  try {
    process.chdir(taskRoot);
  } catch {
    // The file's absence is reported, by its name.
  }
}

function split(handler) {
  if (handler.includes('..')) {
    throw new Fault('HandlerNotFound', 'Runtime.MalformedHandlerName',
      `'${handler}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
  }
  const base = path.basename(handler);
  const match = /^([^.]*)\.(.+)$/.exec(base);
  if (match === null || match[1] === '') {
    throw new Fault('HandlerNotFound', 'Runtime.MalformedHandlerName', 'Bad handler');
  }
  return { directory: handler.slice(0, handler.length - base.length), moduleName: match[1], exportPath: match[2] };
}

async function loadModule(taskRoot, directory, moduleName) {
  const file = path.resolve(taskRoot, directory, moduleName);
  if (isFile(file)) {
    return require(file);
  }
  if (isFile(file + '.js')) {
    return isModuleScope(path.dirname(file)) ? importFile(file + '.js') : require(file + '.js');
  }
  if (isFile(file + '.mjs')) {
    return importFile(file + '.mjs');
  }
  if (isFile(file + '.cjs')) {
    return require(file + '.cjs');
  }
  const name = directory === '' ? moduleName : './' + path.join(directory, moduleName);
  return require(require.resolve(name, { paths: [taskRoot, path.resolve(taskRoot, directory)] }));
}

function importFile(file) {
  return import(require('url').pathToFileURL(file).href);
}

function isFile(file) {
  return fs.statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
}

/** Whether the nearest package.json says "type": "module". */
function isModuleScope(directory) {
  while (path.basename(directory) !== 'node_modules') {
    const file = path.join(directory, 'package.json');
    if (fs.existsSync(file)) {
      try {
        return JSON.parse(fs.readFileSync(file, 'utf8')).type === 'module';
      } catch {
        return false;
      }
    }
    const parent = path.dirname(directory);
    if (parent === directory) {
      return false;
    }
    directory = parent;
  }
  return false;
}

function loadFault(error) {
  try {
    if (error instanceof SyntaxError) {
      const stack = typeof error.stack === 'string' ? error.stack.split('\n').filter((line) => !isOwnLine(line)) : [];
      return new Fault('SyntaxError', 'Runtime.UserCodeSyntaxError', text(error), stack);
    }
    if (error?.code === 'MODULE_NOT_FOUND' || error?.code === 'ERR_MODULE_NOT_FOUND') {
      const message = text(error).split('\n').filter((line) => !isOwnLine(line)).join('\n').replace(/\nRequire stack:$/, '');
      const stack = typeof error.stack === 'string' ? error.stack.split('\n').filter((line) => !isOwnLine(line)) : [];
      return new Fault('ImportError', 'Runtime.ImportModuleError', message, stack);
    }
  } catch {
    // Hostile getters: the error goes up as it is.
  }
  return error;
}

function isOwnLine(line) {
  return line.includes(OWN_DIRECTORY) || line.includes('node:internal/modules/');
}

module.exports = { load, enter, split, isFile, isModuleScope, isOwnLine, loadFault };
