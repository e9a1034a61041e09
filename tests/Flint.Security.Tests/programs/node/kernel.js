// Programs that write to the kernel's settings, or look at their own rights.
'use strict';

const fs = require('node:fs');

exports.writeSettings = async (event) => {
  const written = [];
  for (const path of event.paths) {
    try {
      fs.writeFileSync(path, event.value);
      written.push(path);
    } catch {
      // Refused.
    }
  }
  return { worked: written.length > 0, written };
};

exports.rights = async (event) => {
  const status = Object.fromEntries(
    fs
      .readFileSync('/proc/self/status', 'utf8')
      .split('\n')
      .map((line) => line.split(':\t')),
  );
  const held = ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].filter((name) => BigInt(`0x${status[name]}`) !== 0n);
  if (event.look === 'capabilities') {
    return { worked: held.length > 0, held };
  }
  if (event.look === 'new privileges') {
    return { worked: status.NoNewPrivs.trim() !== '1' };
  }
  if (event.look === 'root') {
    try {
      process.setuid(0);
    } catch {
      // Refused.
    }
    return { worked: process.getuid() === 0 };
  }
  if (event.look === 'groups') {
    return { worked: process.getgid() === 0 || process.getgroups().includes(0) };
  }
  return { worked: Number(status.Pid) === process.pid };
};
