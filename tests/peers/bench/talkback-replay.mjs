// talkback as scripts/bench measures it where recordings are played back: it records nothing, answers 404 to what it
// has no tape of, and looks at method and URL only.
// Usage: node talkback-replay.mjs PORT FOLDER
import talkback from "talkback/es6.js";

const [port, path] = process.argv.slice(2);
const { RecordMode, FallbackMode } = talkback.default.Options;
const server = talkback.default({
  host: "http://127.0.0.1:1",
  port: Number(port),
  path,
  record: RecordMode.DISABLED,
  fallbackMode: FallbackMode.NOT_FOUND,
  allowHeaders: [],
  silent: true,
  summary: false,
});
await server.start();
