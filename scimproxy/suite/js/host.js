// What a script of a Runscope test finds around it (variables, request, response, log, ...), and the door through
// which scimproxy starts it and takes its results. Everything that leaves is JSON text.
(function (kit) {
  "use strict";

  const stringify = JSON.stringify;
  const parse = JSON.parse;
  const evaluate = eval;
  const world = globalThis;
  const OURS = 20000; // the worker has our own lines start there
  const define = Object.defineProperty;
  const has = Object.prototype.hasOwnProperty;

  const state = {
    kind: "post", variables: Object.create(null), changed: Object.create(null), log: [], logSize: 0, logLimit: 0,
    valueSize: 0, valueLimit: 0, overflow: null, secrets: Object.create(null), request: null, response: null,
    before: { request: null, response: null },
  };

  function TooMuch(message) {
    if (!state.overflow) state.overflow = message;
    return new RangeError(message);
  }

  // ---- the libraries, which are compiled when a script first names them: most scripts name one or none

  const loaded = {};

  function need(name) {
    if (!loaded[name]) {
      loaded[name] = true;
      evaluate(kit.libraries[name])(kit);
    }
    return kit;
  }

  kit.verdicts = [];
  kit.counted = function () { return 0; };
  kit.isAssertionError = function () { return false; };
  kit.isIgnoring = false;

  // ---- log

  function shown(value) {
    if (typeof value === "string") return value;
    if (value === undefined) return "undefined";
    if (value instanceof Error) return String(value);
    if (typeof value === "function") return kit.inspect(value);
    try {
      const text = stringify(value, null, 2);
      return text === undefined ? String(value) : text;
    } catch (problem) {
      if (state.overflow) throw problem;
      return kit.inspect(value);
    }
  }

  function log() {
    const text = Array.prototype.map.call(arguments, shown).join(" ");
    if (state.overflow) return;
    state.logSize += text.length + 1;
    if (state.logSize > state.logLimit) {
      throw TooMuch("the script's log is longer than " + state.logLimit + " characters; it was stopped there");
    }
    state.log.push(text);
  }

  const console = { log: log, info: log, warn: log, error: log, debug: log, trace: log, dir: log };

  // ---- variables: a value goes in as a copy, so that what is kept is what was there when it was set

  const variables = {
    get(name) {
      const value = state.variables[String(name)];
      return value !== null && typeof value === "object" ? parse(stringify(value)) : value;
    },
    set(name, value) {
      const key = String(name);
      let text;
      try {
        text = stringify(value === undefined ? null : value);
      } catch (problem) {
        throw new TypeError("variables.set(" + stringify(key) + "): the value cannot be kept: " + problem.message);
      }
      if (text === undefined) throw new TypeError("variables.set(" + stringify(key) + "): a function cannot be kept");
      state.valueSize += text.length + key.length;
      if (state.valueSize > state.valueLimit) {
        throw TooMuch("the values given to variables.set are longer than " + state.valueLimit + " characters together");
      }
      state.variables[key] = parse(text);
      state.changed[key] = true;
    },
  };

  // ---- request and response

  // Names are found in any letter case; the first spelling is kept.
  function headersOf(values) {
    const spelling = function (target, key) {
      if (typeof key !== "string" || has.call(target, key)) return key;
      const low = key.toLowerCase();
      const found = Object.keys(target).find(function (name) { return name.toLowerCase() === low; });
      return found === undefined ? key : found;
    };
    return new Proxy(Object.assign(Object.create(Object.prototype), values), {
      get(target, key) { return Reflect.get(target, spelling(target, key)); },
      has(target, key) { return Reflect.has(target, spelling(target, key)); },
      set(target, key, value) { target[spelling(target, key)] = value; return true; },
      deleteProperty(target, key) { delete target[spelling(target, key)]; return true; },
      getOwnPropertyDescriptor(target, key) {
        return Reflect.getOwnPropertyDescriptor(target, spelling(target, key));
      },
    });
  }

  function message(values) {
    if (!values) return null;
    const made = Object.assign({}, values);
    if (made.headers) made.headers = headersOf(made.headers);
    return made;
  }

  const text = function (value) {
    return typeof value === "string" ? value : value === null || value === undefined ? "" : shown(value);
  };

  // {name: [values]} from {name: value} or {name: [values]}
  function lists(value) {
    const made = {};
    Object.keys(value || {}).forEach(function (name) {
      const held = value[name];
      if (held === null || held === undefined) return;
      made[name] = (Array.isArray(held) ? held : [held]).map(text);
    });
    return made;
  }

  // [[name, value]] from an array of {name, value} or a plain object
  function pairs(value) {
    if (Array.isArray(value)) {
      return value.filter(function (row) { return row && typeof row === "object"; })
        .map(function (row) { return [text(row.name), text(row.value)]; });
    }
    const named = lists(value);
    return [].concat.apply([], Object.keys(named).map(function (name) {
      return named[name].map(function (one) { return [name, one]; });
    }));
  }

  const READERS = {
    request: { method: text, url: text, scheme: text, host: text, path: text, params: pairs, headers: lists,
      form: lists, body: text, content_type: text },
    response: { body: text, headers: lists, reason: text, status: function (value) {
      return typeof value === "number" ? value : text(value); } },
  };

  function reading(which) {
    const from = state[which];
    if (!from) return null;
    const made = {};
    Object.keys(READERS[which]).forEach(function (name) {
      if (from[name] !== undefined && from[name] !== null) made[name] = READERS[which][name](from[name]);
    });
    return made;
  }

  function changesOf(which) {
    const before = state.before[which];
    const now = reading(which);
    if (!now) return null;
    const made = {};
    let any = false;
    Object.keys(now).forEach(function (name) {
      if (stringify(now[name]) === stringify(before[name])) return;
      made[name] = now[name];
      any = true;
    });
    return any ? made : null;
  }

  // ---- the end of a script

  function described(problem) {
    try {
      if (problem instanceof Error) {
        const lines = String(problem.stack).slice(0, 4000).match(/<input>:\d+/g) || [];
        const line = lines.map(function (at) { return Number(at.slice(8)); }).find(function (n) { return n < OURS; });
        return String(problem.name) + ": " + String(problem.message) + (line ? " (line " + line + ")" : "");
      }
      return "the script threw " + kit.inspect(problem, 200);
    } catch (_) {
      return "the script threw something that cannot be described";
    }
  }

  function causeOf(problem) {
    try {
      if (!(problem instanceof Error)) return "other";
      if (/out of memory/.test(problem.message)) return "memory";
      if (/stack (overflow|size)/.test(problem.message)) return "stack";
    } catch (_) { /* a trap of the script's; its error is like any other */ }
    return "other";
  }

  function answer(status, error, cause) {
    const changed = {};
    Object.keys(state.changed).forEach(function (name) {
      Object.defineProperty(changed, name, {
        value: state.variables[name], enumerable: true, configurable: true, writable: true,
      });
    });
    const full = {
      status: state.overflow ? "errored" : status, cause: state.overflow ? "size" : cause,
      error: state.overflow || error, log: state.log, variables: changed, assertions: kit.verdicts,
      assertion_count: kit.counted(), request: null, response: null,
    };
    try {
      full.request = changesOf("request");
      full.response = changesOf("response");
    } catch (problem) {
      full.status = "errored";
      full.error = full.error || "the request or response that the script left cannot be read: " + described(problem);
    }
    return stringify(full);
  }

  function run(call) {
    const given = parse(call);
    state.kind = given.kind;
    state.logLimit = given.log_limit;
    state.valueLimit = given.value_limit;
    Object.keys(given.variables).forEach(function (name) { state.variables[name] = given.variables[name]; });
    Object.keys(given.secrets).forEach(function (name) { state.secrets[name] = given.secrets[name]; });
    ["request", "response"].forEach(function (which) {
      state[which] = message(given[which]);
      state.before[which] = reading(which);
      if (state[which]) world[which] = state[which];
    });
    world.runscope_bucket = given.bucket;
    kit.isIgnoring = given.kind === "initial"; // Runscope ignores the assertions of an initial script
    const source = given.source;
    try {
      evaluate(source);
    } catch (problem) {
      if (kit.isAssertionError(problem)) return answer("failed", String(problem.message), "assertion");
      return answer("errored", described(problem), causeOf(problem));
    }
    // An assertion that failed inside an async function vanishes in its promise; a pass would be a lie.
    if (/\basync\b/.test(source) && kit.verdicts.some(function (one) { return !one.passed; })) return promised();
    return answer("passed", null, null);
  }

  function promised() {
    return answer("errored", "promises and async functions are not run (a script is one block, from top to bottom); "
      + "write it without them", "promise");
  }

  kit.door = function (operation, text_) {
    if (operation === "run") return run(text_);
    if (operation === "promised") return promised();
    const why = parse(text_);
    return answer("errored", why.problem, why.cause);
  };

  // ---- the other names

  function require(name) {
    const known = { underscore: "_", lodash: "_", chai: "chai", moment: "moment", "crypto-js": "CryptoJS" };
    if (has.call(known, name)) return world[known[name]];
    throw kit.absent("require(" + kit.inspect(name) + ")");
  }

  function get_secret(key) {
    const name = String(key);
    if (name in state.secrets) return state.secrets[name];
    throw new Error("get_secret(" + kit.inspect(name) + "): there is no secret of that name");
  }

  function refusing(name) {
    return new Proxy(function () {}, {
      get(target, key) { if (typeof key === "symbol") return undefined; throw kit.absent(name + "." + String(key)); },
      apply() { throw kit.absent(name); },
      construct() { throw kit.absent(name); },
    });
  }

  const through = function (library, name) { return function (value) { return need(library)[name](value); }; };
  const names = {
    variables, log, console, require, get_secret, runscope_bucket: "",
    encode_base64: through("digests", "encodeBase64"), decode_base64: through("digests", "decodeBase64"),
    btoa: through("digests", "btoa"), atob: through("digests", "atob"), xmltojson: through("records", "xmltojson"),
    marknote: refusing("marknote"), tv4: refusing("tv4"), setTimeout: refusing("setTimeout"),
    setInterval: refusing("setInterval"), XMLHttpRequest: refusing("XMLHttpRequest"), fetch: refusing("fetch"),
  };
  const LATE = {
    chai: function () { return need("assertions").chai; }, assert: function () { return need("assertions").chai.assert; },
    expect: function () { return need("assertions").chai.expect; }, should: function () { return need("assertions").should; },
    _: function () { return need("collections")._; }, moment: function () { return need("dates").moment; },
    CryptoJS: function () { return need("digests").CryptoJS; },
  };

  function place(where, name, value, isShown) {
    define(where, name, { value: value, writable: true, configurable: true, enumerable: isShown });
  }

  Object.keys(names).forEach(function (name) { place(world, name, names[name], false); });
  Object.keys(LATE).forEach(function (name) {
    define(world, name, {
      configurable: true, enumerable: false,
      get() { const made = LATE[name](); place(world, name, made, false); return made; },
      set(value) { place(world, name, value, false); },
    });
  });
  define(Object.prototype, "should", {
    configurable: true,
    get() { need("assertions"); return this.should; }, // theirs has taken the place of this one
    set(value) { place(this, "should", value, true); },
  });
  if (typeof world.performance === "object") delete world.performance;
});
