// Programs that take memory. Each answers {"worked": true} when it holds all that it asked for.
'use strict';

// Outside V8's heap: only the sandbox's own limit counts this.
exports.allocBomb = async (event) => {
  const held = [];
  for (let i = 0; i < event.mb; i++) {
    held.push(Buffer.alloc(1 << 20, 1));
  }
  return { worked: held.length === event.mb };
};

// In V8's heap: V8 gives up by itself when its limit is reached.
exports.heapBomb = async (event) => {
  const held = [];
  for (let i = 0; i < event.mb; i++) {
    const block = [];
    for (let j = 0; j < 131072; j++) {
      block.push(j + 0.5);
    }
    held.push(block);
  }
  return { worked: held.length === event.mb };
};

exports.stringBomb = async (event) => {
  const held = [];
  for (let i = 0; i < event.mb; i++) {
    held.push(Buffer.alloc(1 << 20, 97 + (i % 26)).toString('latin1'));
  }
  return { worked: held.length === event.mb };
};

exports.recursion = async (event) => {
  const down = (depth) => (depth === 0 ? 0 : 1 + down(depth - 1));
  return { worked: down(event.depth) === event.depth };
};
