'use strict';
// A function's faults in Lambda's shape. Nothing here may throw: each step falls back to a plainer one.

const path = require('path');
const { MAX_ERROR_BODY } = require('./protocol.js');

const OWN_DIRECTORY = path.dirname(__dirname) + path.sep;
const MAX_MESSAGE = 32 * 1024;
const MAX_FRAMES = 200;

/** A fault that is known by one of Lambda's codes. */
class Fault extends Error {
  constructor(type, name, message, trace) {
    super(message);
    this.type = type;
    this.name = name;
    this.trace = trace ?? [];
  }
}

/** What is told to the worker and written to the log about anything that was thrown. */
function report(thrown) {
  try {
    if (thrown instanceof Fault) {
      return { type: thrown.type, name: thrown.name, message: thrown.message, stackTrace: thrown.trace };
    }
    if (isError(thrown)) {
      return { type: 'Unhandled', name: text(thrown.name) || 'Error', message: text(thrown.message), stackTrace: frames(thrown.stack) };
    }
    return { type: 'Unhandled', name: typeof thrown, message: text(thrown), stackTrace: [] };
  } catch {
    return { type: 'Unhandled', name: 'Unknown', message: '(the error cannot be shown)', stackTrace: [] };
  }
}

/** The error JSON, cut until it fits. `fatal`: the process ends after this answer. */
function encode(errorReport, fatal) {
  let { message, stackTrace } = errorReport;
  message = shorten(message, MAX_MESSAGE);
  while (true) {
    const name = wellFormed(shorten(errorReport.name, 256));
    const error = { type: errorReport.type, name, message: wellFormed(message), stackTrace: stackTrace.map(wellFormed) };
    const body = JSON.stringify(fatal ? { ...error, fatal: true } : error);
    if (Buffer.byteLength(body) <= MAX_ERROR_BODY) {
      return body;
    }
    if (stackTrace.length > 0) {
      stackTrace = stackTrace.slice(0, stackTrace.length >> 1);
    } else {
      message = shorten(message, message.length >> 1);
    }
  }
}

/** The text after `label` in the log, as Lambda's runtime writes it; with an error's own further properties where they can be shown. */
function logText(errorReport, thrown) {
  const shown = { errorType: errorReport.name, errorMessage: errorReport.message };
  try {
    if (isError(thrown) && !(thrown instanceof Fault)) {
      for (const key of Object.keys(thrown)) {
        shown[key] ??= thrown[key];
      }
    }
    return JSON.stringify({ ...shown, stack: errorReport.stackTrace });
  } catch {
    return JSON.stringify({ errorType: errorReport.name, errorMessage: errorReport.message, stack: errorReport.stackTrace });
  }
}

/** The lines of a stack, first the error itself as the language prints it, without the bootstrap's frames and what called them. */
function frames(stack) {
  if (typeof stack !== 'string') {
    return [];
  }
  const lines = stack.split('\n');
  const own = lines.findIndex((line) => line.includes(OWN_DIRECTORY));
  return lines.slice(0, Math.min(own < 0 ? lines.length : own, MAX_FRAMES));
}

/** Also errors of another realm (node:vm), and what only looks like one. */
function isError(value) {
  return value instanceof Error || require('util').types.isNativeError(value)
    || (typeof value === 'object' && value !== null && ['name', 'message', 'stack'].every((key) => typeof value[key] === 'string'));
}

function text(value) {
  try {
    return String(value);
  } catch {
    return '(text that cannot be made)';
  }
}

function shorten(value, limit) {
  return value.length <= limit ? value : value.slice(0, Math.max(0, limit - 1)) + '\u2026';
}

function wellFormed(value) {
  return value.toWellFormed ? value.toWellFormed() : Buffer.from(value).toString();
}

module.exports = { Fault, report, encode, logText, text };
