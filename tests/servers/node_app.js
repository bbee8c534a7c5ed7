// The common answers by Node's http module.
"use strict";
const http = require("http");

function answer(response, status, body) {
  response.writeHead(status, { "Content-Length": Buffer.byteLength(body) });
  response.end(body);
}

const server = http.createServer((request, response) => {
  const url = new URL(request.url, "http://localhost");
  const path = url.pathname;
  if (path === "/ok" || path.startsWith("/users/")) return answer(response, 200, "ok\n");
  if (path === "/error") return answer(response, 500, "ok\n");
  if (path === "/slow") {
    const delay = Number(url.searchParams.get("ms") || 100);
    return setTimeout(() => answer(response, 200, "ok\n"), delay);
  }
  if (path === "/upload" && request.method === "POST") {
    let bytes = 0;
    request.on("data", (chunk) => { bytes += chunk.length; });
    request.on("end", () => answer(response, 201, String(bytes)));
    return undefined;
  }
  return answer(response, 404, "ok\n");
});
server.keepAliveTimeout = 65000;
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 1024 });
