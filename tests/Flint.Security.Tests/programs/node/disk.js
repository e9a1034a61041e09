// Programs that fill the private /tmp, or write where they must not.
'use strict';

const fs = require('node:fs');

exports.fillTmp = async (event) => {
  const block = Buffer.alloc(1 << 20, 1);
  const descriptor = fs.openSync('/tmp/fill', 'w');
  let written = 0;
  let error = null;
  try {
    while (written < event.mb << 20) {
      written += fs.writeSync(descriptor, block);
    }
  } catch (failure) {
    error = failure.code;
  }
  fs.closeSync(descriptor);
  return { worked: written >= event.mb << 20, mb: written >> 20, error };
};

exports.inodeBomb = async (event) => {
  fs.mkdirSync('/tmp/inodes');
  let made = 0;
  let error = null;
  try {
    for (; made < event.files; made++) {
      fs.closeSync(fs.openSync(`/tmp/inodes/${made}`, 'w'));
    }
  } catch (failure) {
    error = failure.code;
  }
  return { worked: made >= event.files, files: made, error };
};

exports.plantInCode = async (event) => {
  try {
    // A name of its own: where it succeeds the file stays, and is another user's to the next.
    fs.writeFileSync(event.path + require('node:crypto').randomUUID(), 'planted');
    return { worked: true };
  } catch (failure) {
    return { worked: false, error: failure.code };
  }
};

exports.deepTree = async (event) => {
  process.chdir('/tmp');
  for (let i = 0; i < event.levels; i++) {
    fs.mkdirSync('d');
    process.chdir('d');
  }
  fs.writeFileSync('bottom', 'x');
  return { worked: fs.existsSync('bottom') };
};

exports.leaveANote = async () => {
  const found = ['/tmp/note', '/dev/shm/note', '/var/tmp/note'].filter((path) => fs.existsSync(path));
  for (const path of ['/tmp/note', '/dev/shm/note', '/var/tmp/note']) {
    try {
      fs.writeFileSync(path, 'here');
    } catch {
      // Not every place exists.
    }
  }
  return { worked: found.length > 0, found };
};
