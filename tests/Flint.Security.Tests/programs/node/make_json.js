// Results that a parser of JSON may choke on, or that are no JSON at all.
'use strict';

exports.handler = async (event) => {
  switch (event.what) {
    case 'cyclic': {
      const value = [];
      value.push({ again: value });
      return value;
    }
    case 'deep': {
      let value = 1;
      for (let i = 0; i < event.depth; i++) {
        value = [value];
      }
      return value;
    }
    case 'nan':
      return { value: NaN };
    case 'infinity':
      return -Infinity;
    case 'lone surrogate':
      return { '\ud800': '\udfff' };
    case 'many keys':
      return Object.fromEntries(Array.from({ length: event.count }, (_, number) => [`key${number}`, number]));
    case 'large number':
      return 10n ** 4000n;
    case 'proto':
      return JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}');
    case 'headers':
      return {
        statusCode: 204,
        headers: { 'X-A': 'a\r\nX-Injected: 1\r\n\r\nHTTP/1.1 200 OK', 'Transfer-Encoding': 'chunked', Connection: 'close' },
        body: '\r\n0\r\n\r\n',
      };
    case 'error': {
      const error = new Error('a\r\nX-Injected: 1\r\n\r\nbody');
      error.name = 'Bad\r\nX-Injected: 1';
      throw error;
    }
    default:
      return { plain: true };
  }
};
