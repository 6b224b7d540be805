// talkback as scripts/bench measures it: as its README sets it up, recording what is new (every request is). Before
// each request it searches its list of recordings from the start; the list is emptied when nothing came for half a
// second, as a new start would do, so that each turn of the bench finds it fresh.
// Usage: node talkback.mjs PORT TARGET FOLDER
import http from "node:http";
import https from "node:https";
import talkback from "talkback/es6.js";

const [port, target, path] = process.argv.slice(2);
const { Agent } = target.startsWith("https:") ? https : http;
let last = 0;
const server = talkback.default({
  host: target,
  port: Number(port),
  path,
  record: talkback.default.Options.RecordMode.NEW,
  httpClient: { fetchOptions: { agent: new Agent({ keepAlive: true, maxSockets: 256 }) } },
  requestDecorator: (request) => {
    const now = Date.now();
    if (now - last > 500) server.tapeStore.tapes.length = 0;
    last = now;
    return request;
  },
  silent: true,
  summary: false,
});
await server.start();
