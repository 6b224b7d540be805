// How a value looks in a message, what kind of value it is, and whether two are equal through and through.
// The words follow the display rules that Chai's users know: 'text', [ 1, 2 ], { a: 1 }, [Function: f].
(function (kit) {
  "use strict";

  const ELLIPSIS = "\u2026";
  const toStringOf = Object.prototype.toString;
  const ownKeys = Object.keys;

  function absent(what) {
    return new Error(what + " is not available in scimproxy; see docs/scripts.md");
  }

  // An object to inherit from: a name that is found nowhere below it is told by name instead of being undefined.
  function namer(prefix, beyond) {
    const silent = new Set(["then", "toJSON", "inspect", "nodeType", "tagName", "length", "size", "should",
      "prototype", "constructor", "callee", "calc", "window", "name", "message", "stack", "cause"]);
    return new Proxy(beyond, {
      get(target, key, receiver) {
        if (typeof key === "symbol" || key in target || silent.has(key)) return Reflect.get(target, key, receiver);
        throw absent(prefix + key);
      },
    });
  }

  // "Array", "null", "Date", ...: the word after "[object ".
  function tag(value) {
    if (value === null) return "null";
    if (value === undefined) return "undefined";
    return toStringOf.call(value).slice(8, -1);
  }

  function cut(text, room, tail) {
    const end = tail === undefined ? ELLIPSIS : tail;
    if (text.length <= room || text.length <= end.length) return text;
    return end.length > room ? end : text.slice(0, room - end.length) + end;
  }

  function quoted(text, room) {
    const escaped = text.replace(/['\u0000-\u001f\u007f-\u009f\\]/g, function (c) {
      const short = { "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", "'": "\\'", "\\": "\\\\" };
      return short[c] || "\\u" + ("000" + c.charCodeAt(0).toString(16)).slice(-4);
    });
    return "'" + cut(escaped, room - 2) + "'";
  }

  // Show as many items as fit in `room`, and count the rest.
  function listed(items, room, show) {
    const whole = [];
    let used = 0;
    for (let i = 0; i < items.length; i += 1) {
      const left = items.length - i;
      const separator = left > 1 ? 2 : 0;
      const text = show(items[i], room - used - separator);
      const rest = left > 1 ? (ELLIPSIS + "(" + (left - 1) + ")").length : 0;
      const isLastThatFits = left > 1 && used + text.length + separator + rest > room;
      if (used + text.length > room || isLastThatFits) {
        if (left === 2 && used + text.length + 2 <= room) {
          const last = show(items[i + 1], room - used - text.length - 2);
          if (used + text.length + 2 + last.length <= room) return whole.concat([text, last]).join(", ");
        }
        return whole.concat([""]).join(", ") + ELLIPSIS + "(" + left + ")";
      }
      whole.push(text);
      used += text.length + separator;
    }
    return whole.join(", ");
  }

  function keyText(key, room) {
    if (typeof key === "symbol") return "[" + key.toString() + "]";
    return /^[A-Za-z_][A-Za-z_0-9]*$/.test(key) ? key : quoted(key, room);
  }

  function inspect(value, room, seen) {
    const space = room === undefined ? Infinity : room;
    const path = seen || [];
    switch (typeof value) {
      case "string": return quoted(value, space);
      case "number": return value === 0 ? (1 / value < 0 ? "-0" : "+0") : cut(String(value), space);
      case "bigint": return cut(String(value) + "n", space);
      case "boolean": case "undefined": return cut(String(value), space);
      case "symbol": return value.toString();
      case "function": return cut("[Function" + (value.name ? " " + value.name : "") + "]", space);
      default:
    }
    if (value === null) return "null";
    if (path.length > 20) return "[" + ELLIPSIS + "]";
    if (path.indexOf(value) >= 0) return "[Circular]";
    const deeper = path.concat([value]);
    const kind = tag(value);
    const one = function (item, left) { return inspect(item, left, deeper); };
    const member = function (key, left) {
      const name = keyText(key, left) + ": ";
      return name + inspect(value[key], left - name.length, deeper);
    };
    if (Array.isArray(value)) {
      const extra = ownKeys(value).filter(function (key) { return !/^\d+$/.test(key); });
      if (!value.length && !extra.length) return "[]";
      const items = listed(Array.from(value), space - 4, one);
      return "[ " + items + (extra.length ? ", " + listed(extra, space - 6 - items.length, member) : "") + " ]";
    }
    if (kind === "Date") {
      if (isNaN(value.getTime())) return "Invalid Date";
      return value.toJSON();
    }
    if (kind === "RegExp") return value.toString();
    if (kind === "Error" || value instanceof Error) {
      const words = value.message ? value.name + ": " + value.message : String(value.name);
      return words;
    }
    if (kind === "String") return "String {" + quoted(String(value), space) + "}";
    if (kind === "Number" || kind === "Boolean") return kind + " {" + String(value) + "}";
    if (kind === "Map") {
      if (!value.size) return "Map{}";
      return "Map{ " + listed(Array.from(value), space - 7, function (pair, left) {
        const name = inspect(pair[0], left, deeper) + " => ";
        return name + inspect(pair[1], left - name.length, deeper);
      }) + " }";
    }
    if (kind === "Set") return value.size ? "Set{ " + listed(Array.from(value), space - 7, one) + " }" : "Set{}";
    if (kind === "Arguments") return "Arguments[ " + listed(Array.from(value), space - 13, one) + " ]";
    const names = ownKeys(value);
    const symbols = Object.getOwnPropertySymbols(value).filter(function (key) {
      return Object.prototype.propertyIsEnumerable.call(value, key);
    });
    const all = names.concat(symbols);
    const maker = Object.getPrototypeOf(value) && value.constructor;
    const label = maker && typeof maker === "function" && maker !== Object && maker.name ? maker.name : "";
    if (!all.length) return label ? label + "{}" : "{}";
    return label + "{ " + listed(all, space - 4 - label.length, member) + " }";
  }

  // Equality of everything inside, with one member of `memory` for each pair on the way (cycles).
  function deepEqual(a, b, memory) {
    if (a === b) return a !== 0 || 1 / a === 1 / b;
    if (a !== a && b !== b) return true;
    if (a === null || b === null || typeof a !== "object" && typeof a !== "function"
        || typeof b !== "object" && typeof b !== "function") return false;
    const kind = tag(a);
    if (kind !== tag(b)) return false;
    if (kind === "Function" || kind === "Promise" || kind === "WeakMap" || kind === "WeakSet") return false;
    if (kind === "String" || kind === "Number" || kind === "Boolean") return deepEqual(a.valueOf(), b.valueOf(), memory);
    if (kind === "Date") return deepEqual(a.getTime(), b.getTime(), memory);
    if (kind === "RegExp") return a.toString() === b.toString();
    const pairs = memory || [];
    for (let i = 0; i < pairs.length; i += 1) if (pairs[i][0] === a && pairs[i][1] === b) return true;
    pairs.push([a, b]);
    try {
      if (kind === "Error") return a.name === b.name && a.message === b.message && a.code === b.code;
      if (kind === "Map" || kind === "Set") return equalCollections(a, b, pairs);
      if (Array.isArray(a) || ArrayBuffer.isView(a)) {
        if (a.length !== b.length) return false;
        for (let i = 0; i < a.length; i += 1) if (!deepEqual(a[i], b[i], pairs)) return false;
        return true;
      }
      const left = allKeys(a);
      const right = allKeys(b);
      if (left.length !== right.length) return false;
      const known = new Set(right);
      return left.every(function (key) { return known.has(key) && deepEqual(a[key], b[key], pairs); });
    } finally {
      pairs.pop();
    }
  }

  function equalCollections(a, b, pairs) {
    if (a.size !== b.size) return false;
    const rest = Array.from(b);
    return Array.from(a).every(function (item) {
      const at = rest.findIndex(function (other) { return deepEqual(item, other, pairs); });
      if (at >= 0) rest.splice(at, 1);
      return at >= 0;
    });
  }

  function allKeys(value) {
    const keys = [];
    for (const key in value) keys.push(key);
    return keys.concat(Object.getOwnPropertySymbols(value).filter(function (key) {
      return Object.prototype.propertyIsEnumerable.call(value, key);
    }));
  }

  kit.absent = absent;
  kit.namer = namer;
  kit.tag = tag;
  kit.inspect = inspect;
  kit.deepEqual = deepEqual;
});
