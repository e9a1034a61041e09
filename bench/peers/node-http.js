// The peer without any isolation: Node's own HTTP server running the same function. Usage: node node-http.js PORT
"use strict";

const http = require("node:http");
const { handler } = require("../functions/index.js");

const server = http.createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", async () => {
    const body = Buffer.from(JSON.stringify(await handler(JSON.parse(Buffer.concat(chunks).toString()))));
    response.writeHead(200, { "content-type": "application/json", "content-length": body.length });
    response.end(body);
  });
});
server.keepAliveTimeout = 0;
server.listen(Number(process.argv[2]), "127.0.0.1");
