// A real SCIM server that is not ours: scimmy-routers with two Maps behind it. It listens on a free loopback port
// and prints one line of JSON, {"port": N, "express": "5.x"}; it ends when its standard input ends.
import { createRequire } from "node:module";
import { randomUUID } from "node:crypto";
import express from "express";
import SCIMMY from "scimmy";
import SCIMMYRouters from "scimmy-routers";

const token = process.env.SCIM_TOKEN ?? "peer-token";
const require = createRequire(import.meta.url);

function declare(Resource, unique) {
  const store = new Map();
  SCIMMY.Resources.declare(Resource, {
    egress: (resource) => {
      if (resource.id) {
        const found = store.get(resource.id);
        if (!found) throw new SCIMMY.Types.Error(404, null, `${resource.id} is not known`);
        return found;
      }
      const all = [...store.values()];
      return resource.filter ? resource.filter.match(all) : all;
    },
    ingress: (resource, instance) => {
      const now = new Date().toISOString();
      const clash = [...store.values()].find((have) => have[unique] === instance[unique] && have.id !== resource.id);
      if (clash) throw new SCIMMY.Types.Error(409, "uniqueness", `${unique} ${instance[unique]} is taken`);
      if (resource.id && !store.has(resource.id)) throw new SCIMMY.Types.Error(404, null, `${resource.id} is not known`);
      const id = resource.id ?? randomUUID();
      const created = store.get(id)?.meta?.created ?? now;
      const kept = { ...JSON.parse(JSON.stringify(instance)), id, meta: { created, lastModified: now } };
      delete kept.password;
      store.set(id, kept);
      return kept;
    },
    degress: (resource) => {
      if (!store.delete(resource.id)) throw new SCIMMY.Types.Error(404, null, `${resource.id} is not known`);
    },
  });
}

declare(SCIMMY.Resources.User, "userName");
declare(SCIMMY.Resources.Group, "displayName");

const app = express();
app.use("/scim/v2", new SCIMMYRouters({
  type: "bearer",
  handler: (request) => {
    if (request.header("Authorization") !== `Bearer ${token}`) throw new Error("wrong or missing token");
    return "someone";
  },
}));

const server = app.listen(Number(process.env.PORT ?? 0), "127.0.0.1", (error) => {
  if (error) throw error;
  console.log(JSON.stringify({ port: server.address().port, express: require("express/package.json").version }));
});
if (process.env.KEEP_ALIVE_MS) server.keepAliveTimeout = Number(process.env.KEEP_ALIVE_MS);
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
