// node http-proxy as scripts/bench measures it: kept-alive connections to the upstream, nothing recorded.
// Usage: node http-proxy.mjs PORT TARGET
import http from "node:http";
import https from "node:https";
import httpProxy from "http-proxy";

const [port, target] = process.argv.slice(2);
const { Agent } = target.startsWith("https:") ? https : http;
const proxy = httpProxy.createProxyServer({ target, agent: new Agent({ keepAlive: true, maxSockets: 256 }), secure: true });
proxy.on("error", (error, _request, response) => {
  if (response.writeHead && !response.headersSent) response.writeHead(502);
  response.end(String(error));
});
http.createServer((request, response) => proxy.web(request, response)).listen(Number(port), "127.0.0.1");
