// Node's side of the relay peer: frames of a u32 LE length and a body, each answered by one frame. Usage: node relay-guest.js SOCKET
"use strict";

const net = require("node:net");
const { handler } = require("../functions/index.js");

async function answer(socket, body) {
  const result = Buffer.from(JSON.stringify(await handler(JSON.parse(body.toString()))));
  const header = Buffer.allocUnsafe(4);
  header.writeUInt32LE(result.length);
  socket.cork();
  socket.write(header);
  socket.write(result);
  socket.uncork();
}

net.createServer((socket) => {
  let pending = Buffer.alloc(0);
  socket.on("data", (chunk) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    while (pending.length >= 4 && pending.length >= 4 + pending.readUInt32LE(0)) {
      const end = 4 + pending.readUInt32LE(0);
      void answer(socket, pending.subarray(4, end));
      pending = pending.subarray(end);
    }
  });
  socket.on("error", () => socket.destroy());
}).listen(process.argv[2]);
