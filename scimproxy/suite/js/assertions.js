// The chain behind `expect` and `should`: the words of Chai 4 and its messages, written for scimproxy; `assert` and
// the rest of `chai` are in asserts.js. Every check that is made is counted in kit.verdicts, so that a report can list
// what a script looked at.
(function (kit) {
  "use strict";

  const config = { includeStack: false, showDiff: true, truncateThreshold: 40, useProxy: true };
  const LISTED = 200;
  let isIgnoring = kit.isIgnoring;
  let total = 0;
  const thrown = new WeakSet();

  class AssertionError extends Error {
    constructor(message, details) {
      super(message);
      Object.assign(this, details);
      this.message = message || "Unspecified AssertionError";
      thrown.add(this);
    }
  }
  Object.defineProperty(AssertionError.prototype, "name", { value: "AssertionError", configurable: true, writable: true });

  function inspect(value) { return kit.inspect(value, config.truncateThreshold || Infinity); }

  function display(value) {
    const room = config.truncateThreshold;
    const text = inspect(value);
    if (!room) return text;
    if (text.length < room) return text;
    if (typeof value === "function") return value.name ? "[Function: " + value.name + "]" : "[Function]";
    if (Array.isArray(value)) return "[ Array(" + value.length + ") ]";
    if (kit.tag(value) === "Object") {
      const names = Object.keys(value);
      return "{ Object (" + names.slice(0, 2).join(", ") + (names.length > 2 ? ", ..." : "") + ") }";
    }
    return text;
  }

  const verdicts = [];

  function note(isPassed, message) {
    total += 1;
    if (verdicts.length < LISTED) verdicts.push({ passed: isPassed, message: String(message || "").slice(0, 1000) });
  }

  // ---- one assertion: a value, and flags that its words set

  class Assertion {
    constructor(value, message) {
      Object.defineProperty(this, "flags_", { value: { object: value, message: message } });
    }

    // A failure throws, unless the script is an initial one (Runscope ignores its assertions).
    assert(isTrue, message, negated, expected, actual) {
      const flags = this.flags_;
      const isPassed = flags.negate ? !isTrue : Boolean(isTrue);
      if (isPassed) { note(true, flags.message); return; }
      fail(flags, flags.negate ? negated : message, expected, arguments.length > 4 ? actual : flags.object);
    }
  }

  function fail(flags, template, expected, actual) {
    const words = template === undefined || template === null ? "" : typeof template === "function" ? template() : String(template);
    const told = words.replace(/#\{(this|act|exp)\}/g, function (_, which) {
      return display(which === "this" ? flags.object : which === "act" ? actual : expected);
    });
    give(flags.message ? flags.message + ": " + told : told, { actual: actual, expected: expected });
  }

  function give(message, details) {
    const problem = new AssertionError(message, details);
    note(false, problem.message);
    if (!isIgnoring) throw problem;
  }

  // Wrong use of a word (".above" of a text) is a failure that "not" cannot turn round.
  function misuse(flags, message) {
    give(flags.message ? flags.message + ": " + message : message, {});
    return false;
  }

  const MAKERS = {};

  function method(names, body) {
    [].concat(names).forEach(function (name) {
      Object.defineProperty(Assertion.prototype, name, { configurable: true, writable: true, value: function () {
        const made = body.apply(this, arguments);
        return made === undefined ? this : made;
      } });
    });
  }

  function property(names, body) {
    [].concat(names).forEach(function (name) {
      Object.defineProperty(Assertion.prototype, name, { configurable: true, get() { body.call(this); return this; } });
    });
  }

  // A word that can be called and can be walked through: expect(x).to.be.a("string").that.includes("y").
  function both(names, called, walked) {
    [].concat(names).forEach(function (name) {
      MAKERS[name] = called;
      Object.defineProperty(Assertion.prototype, name, { configurable: true, get() {
        const self = this;
        if (walked) walked.call(self);
        const word = function () {
          const made = called.apply(self, arguments);
          return made === undefined ? self : made;
        };
        delete word.length;
        delete word.name;
        Object.defineProperty(word, "flags_", { value: self.flags_ });
        Object.setPrototypeOf(word, Assertion.prototype);
        return word;
      } });
    });
  }

  const take = function (flags, message) { if (message) flags.message = message; };

  ["to", "be", "been", "is", "and", "has", "have", "with", "that", "which", "at", "of", "same", "but", "does", "still",
    "also"].forEach(function (name) { property(name, function () {}); });
  property("not", function () { this.flags_.negate = true; });
  property("deep", function () { this.flags_.deep = true; });
  property("nested", function () { this.flags_.nested = true; });
  property("own", function () { this.flags_.own = true; });
  property("ordered", function () { this.flags_.ordered = true; });
  property("any", function () { this.flags_.any = true; this.flags_.all = false; });
  property("all", function () { this.flags_.all = true; this.flags_.any = false; });

  // Chai's word for the type of a value, in lower case.
  function typeName(value) {
    if (value !== null && typeof value === "object" && typeof value[Symbol.toStringTag] === "string") {
      return value[Symbol.toStringTag].toLowerCase();
    }
    if (typeof value === "function") return "function";
    return kit.tag(value).toLowerCase();
  }

  both(["a", "an"], function (name, message) {
    take(this.flags_, message);
    const type = name.toLowerCase();
    const article = "aeiou".indexOf(type.charAt(0)) >= 0 ? "an " : "a ";
    this.assert(typeName(this.flags_.object) === type, "expected #{this} to be " + article + type,
      "expected #{this} not to be " + article + type);
  });

  const loosely = function (flags) { return flags.deep ? kit.deepEqual : function (a, b) { return a === b; }; };

  function includes(value, message) {
    const flags = this.flags_;
    take(flags, message);
    const held = flags.object;
    const type = typeName(held);
    const how = flags.deep ? "deep " : "";
    let isIn = false;
    if (type === "string") isIn = held.indexOf(value) !== -1;
    else if (type === "weakset") isIn = held.has(value);
    else if (type === "map") isIn = Array.from(held.values()).some(function (one) { return loosely(flags)(one, value) || one !== one && value !== value; });
    else if (type === "set") isIn = flags.deep ? Array.from(held).some(function (one) { return kit.deepEqual(one, value); }) : held.has(value);
    else if (type === "array") isIn = held.some(function (one) { return flags.deep ? kit.deepEqual(one, value) : one === value; });
    else {
      if (value !== Object(value)) {
        misuse(flags, "the given combination of arguments (" + type + " and " + typeName(value) + ") is invalid for this "
          + "assertion. You can use an array, a map, an object, a set, a string, or a weakset instead of a " + typeName(value));
        return;
      }
      const names = Object.keys(value);
      let first = null;
      let failed = 0;
      names.forEach(function (name) {
        const one = new Assertion(held, flags.message);
        Object.assign(one.flags_, { deep: flags.deep, nested: flags.nested, own: flags.own, negate: flags.negate });
        const wasIgnoring = isIgnoring;
        const before = [verdicts.length, total];
        isIgnoring = false;
        try {
          one.property(name, value[name]);
        } catch (problem) {
          if (!thrown.has(problem)) throw problem;
          failed += 1;
          first = first || problem;
        } finally {
          isIgnoring = wasIgnoring;
          verdicts.length = before[0];
          total = before[1];
        }
      });
      if (first && (!flags.negate || names.length < 2 || failed === names.length)) {
        note(false, first.message);
        if (!isIgnoring) throw first;
      } else note(true, flags.message);
      return;
    }
    this.assert(isIn, "expected #{this} to " + how + "include " + inspect(value),
      "expected #{this} to not " + how + "include " + inspect(value));
  }
  both(["include", "includes", "contain", "contains"], includes, function () { this.flags_.contains = true; });

  // ---- words without an argument
  function simple(names, test, words, expected) {
    property(names, function () {
      const isTrue = test(this.flags_.object, this.flags_);
      if (expected === undefined) this.assert(isTrue, "expected #{this} to " + words, "expected #{this} to not " + words);
      else this.assert(isTrue, "expected #{this} to " + words, "expected #{this} to not " + words, expected);
    });
  }
  property("ok", function () {
    this.assert(this.flags_.object, "expected #{this} to be truthy", "expected #{this} to be falsy");
  });
  property("true", function () {
    this.assert(this.flags_.object === true, "expected #{this} to be true", "expected #{this} to be false", !this.flags_.negate);
  });
  property("false", function () {
    this.assert(this.flags_.object === false, "expected #{this} to be false", "expected #{this} to be true", Boolean(this.flags_.negate));
  });
  simple("null", function (value) { return value === null; }, "be null");
  simple("undefined", function (value) { return value === undefined; }, "be undefined");
  simple("NaN", function (value) { return Number.isNaN(value); }, "be NaN");
  simple(["exist", "exists"], function (value) { return value !== null && value !== undefined; }, "exist");
  simple("extensible", function (value) { return value === Object(value) && Object.isExtensible(value); }, "be extensible");
  simple("sealed", function (value) { return value !== Object(value) || Object.isSealed(value); }, "be sealed");
  simple("frozen", function (value) { return value !== Object(value) || Object.isFrozen(value); }, "be frozen");
  property("finite", function () {
    this.assert(typeof this.flags_.object === "number" && isFinite(this.flags_.object),
      "expected #{this} to be a finite number", "expected #{this} to not be a finite number");
  });
  property(["arguments", "Arguments"], function () {
    const value = this.flags_.object;
    const type = value !== null && typeof value === "object" ? kit.tag(value) : typeName(value);
    this.assert(type === "Arguments", "expected #{this} to be arguments but got " + type, "expected #{this} to not be arguments");
  });
  property("empty", function () {
    const value = this.flags_.object;
    const type = typeName(value);
    let size;
    if (type === "array" || type === "string") size = value.length;
    else if (type === "map" || type === "set") size = value.size;
    else if (type === "weakmap" || type === "weakset") { misuse(this.flags_, ".empty was passed a weak collection"); return; }
    else if (type === "function") { misuse(this.flags_, (".empty was passed a function " + (value.name || "")).trim()); return; }
    else if (value !== Object(value)) { misuse(this.flags_, ".empty was passed non-string primitive " + inspect(value)); return; }
    else size = Object.keys(value).length;
    this.assert(size === 0, "expected #{this} to be empty", "expected #{this} not to be empty");
  });

  // ---- equality
  method(["equal", "equals", "eq"], function (value, message) {
    take(this.flags_, message);
    if (this.flags_.deep) { this.eql(value); return; }
    this.assert(value === this.flags_.object, "expected #{this} to equal #{exp}", "expected #{this} to not equal #{exp}", value);
  });
  method(["eql", "eqls"], function (value, message) {
    take(this.flags_, message);
    this.assert(kit.deepEqual(value, this.flags_.object), "expected #{this} to deeply equal #{exp}",
      "expected #{this} to not deeply equal #{exp}", value);
  });

  // ---- numbers
  function comparable(value) { return typeof value === "number" || kit.tag(value) === "Date"; }

  function compared(names, test, words, negated) {
    method(names, function (limit, message) {
      const flags = this.flags_;
      take(flags, message);
      let value = flags.object;
      let what = "";
      if (flags.doLength) {
        const type = typeName(value);
        if (type === "map" || type === "set") { value = value.size; what = "size"; }
        else {
          if (!new Assertion(value, flags.message).have.property_("length")) return;
          value = value.length;
          what = "length";
        }
      }
      if (!flags.doLength && kit.tag(value) === "Date" && kit.tag(limit) !== "Date") {
        misuse(flags, "the argument to " + names[0] + " must be a date"); return;
      }
      if (!comparable(limit) && (flags.doLength || typeof value === "number")) {
        misuse(flags, "the argument to " + names[0] + " must be a number"); return;
      }
      if (!flags.doLength && !comparable(value)) {
        misuse(flags, "expected " + (typeof value === "string" ? "'" + value + "'" : value) + " to be a number or a date"); return;
      }
      const lead = what ? "expected #{this} to have a " + what + " " : "expected #{this} to be ";
      const got = what ? " but got " + display(value) : "";
      this.assert(test(value, limit), lead + words + " " + display(limit) + got,
        what && negated ? "expected #{this} to have a " + what + " " + negated + " " + display(limit)
          : "expected #{this} to be " + negated + " " + display(limit), limit, value);
    });
  }
  compared(["above", "gt", "greaterThan"], function (a, b) { return a > b; }, "above", "at most");
  compared(["least", "gte", "greaterThanOrEqual"], function (a, b) { return a >= b; }, "at least", "below");
  compared(["below", "lt", "lessThan"], function (a, b) { return a < b; }, "below", "at least");
  compared(["most", "lte", "lessThanOrEqual"], function (a, b) { return a <= b; }, "at most", "above");

  method("within", function (start, finish, message) {
    const flags = this.flags_;
    take(flags, message);
    const range = kit.tag(start) === "Date" && kit.tag(finish) === "Date"
      ? start.toISOString() + ".." + finish.toISOString() : start + ".." + finish;
    let value = flags.object;
    let lead = "expected #{this} to ";
    let tail = "be within ";
    if (flags.doLength) {
      value = value instanceof Map || value instanceof Set ? value.size : value.length;
      tail = (flags.object instanceof Map || flags.object instanceof Set ? "have a size" : "have a length") + " within ";
    } else if (!comparable(value)) {
      misuse(flags, "expected " + (typeof value === "string" ? "'" + value + "'" : value) + " to be a number or a date"); return;
    }
    if (!flags.doLength && kit.tag(value) === "Date" && (kit.tag(start) !== "Date" || kit.tag(finish) !== "Date")) {
      misuse(flags, "the arguments to within must be dates"); return;
    }
    if (!comparable(start) || !comparable(finish)) { misuse(flags, "the arguments to within must be numbers"); return; }
    this.assert(value >= start && value <= finish, lead + tail + range, lead + "not " + tail + range);
  });
  method(["closeTo", "approximately"], function (value, delta, message) {
    take(this.flags_, message);
    const held = this.flags_.object;
    if (typeof held !== "number") { misuse(this.flags_, "expected " + display(held) + " to be a number"); return; }
    if (typeof value !== "number" || typeof delta !== "number") {
      misuse(this.flags_, "the arguments to closeTo or approximately must be numbers"
        + (delta === undefined ? ", and a delta is required" : "")); return;
    }
    this.assert(Math.abs(held - value) <= delta, "expected #{this} to be close to " + value + " +/- " + delta,
      "expected #{this} not to be close to " + value + " +/- " + delta);
  });

  // ---- length
  function lengthOf(size, message) {
    const flags = this.flags_;
    take(flags, message);
    const value = flags.object;
    const isSized = value instanceof Map || value instanceof Set;
    const what = isSized ? "size" : "length";
    if (!isSized && !new Assertion(value, flags.message).have.property_("length")) return;
    const held = isSized ? value.size : value.length;
    this.assert(held == size, "expected #{this} to have a " + what + " of #{exp} but got #{act}",
      "expected #{this} to not have a " + what + " of #{act}", size, held);
  }
  both(["length", "lengthOf"], lengthOf, function () { this.flags_.doLength = true; });

  // ---- members of objects
  const holds = function (value, name) { return value !== null && value !== undefined && name in Object(value); };

  function pathSteps(path) {
    const steps = [];
    String(path).replace(/\\?\[(\d+)\\?\]|((?:\\[.\[\]]|[^.\[\]])+)/g, function (_, index, name) {
      steps.push(index !== undefined ? index : name.replace(/\\([.\[\]])/g, "$1"));
    });
    return steps;
  }

  function found(value, path) {
    let held = value;
    let parent = value;
    const steps = pathSteps(path);
    let exists = true;
    steps.forEach(function (step) {
      parent = held;
      exists = holds(held, step);
      held = held === null || held === undefined ? undefined : held[step];
    });
    return { exists: exists, value: held };
  }

  function hasProperty(name, value, message) {
    const flags = this.flags_;
    take(flags, message);
    const held = flags.object;
    if (flags.nested && typeof name !== "string") {
      misuse(flags, "the argument to property must be a string when using nested syntax"); return undefined;
    }
    if (flags.nested && flags.own) {
      misuse(flags, "The \"nested\" and \"own\" flags cannot be combined."); return undefined;
    }
    if (!flags.nested && ["string", "number", "symbol"].indexOf(typeof name) < 0) {
      misuse(flags, "the argument to property must be a string, number, or symbol"); return undefined;
    }
    if (held === null || held === undefined) {
      misuse(flags, "Target cannot be null or undefined."); return undefined;
    }
    const at = flags.nested ? found(held, name) : {
      exists: flags.own ? Object.prototype.hasOwnProperty.call(held, name) : holds(held, name), value: held[name],
    };
    const what = (flags.deep ? "deep " : "") + (flags.own ? "own " : "") + (flags.nested ? "nested " : "") + "property ";
    const isValued = arguments.length > 1;
    if (!flags.negate || !isValued) {
      this.assert(at.exists, "expected #{this} to have " + what + inspect(name),
        "expected #{this} to not have " + what + inspect(name));
      if (!at.exists && !flags.negate) return undefined;
    }
    if (isValued) {
      const isSame = flags.deep ? kit.deepEqual(value, at.value) : value === at.value;
      this.assert(at.exists && isSame, "expected #{this} to have " + what + inspect(name) + " of #{exp}, but got #{act}",
        "expected #{this} to not have " + what + inspect(name) + " of #{act}", value, at.value);
    }
    flags.object = at.value;
    return this;
  }
  method("property", hasProperty);
  // Whether there is such a member, told without counting it as a check of its own.
  method("property_", function (name) {
    const value = this.flags_.object;
    if (value === null || value === undefined) { misuse(this.flags_, "Target cannot be null or undefined."); return false; }
    if (holds(value, name)) return true;
    fail(this.flags_, "expected #{this} to have property " + inspect(name));
    return false;
  });
  method(["ownProperty", "haveOwnProperty"], function () { this.flags_.own = true; return hasProperty.apply(this, arguments); });
  method(["ownPropertyDescriptor", "haveOwnPropertyDescriptor"], function (name, descriptor, message) {
    take(this.flags_, message);
    const held = Object.getOwnPropertyDescriptor(Object(this.flags_.object), name);
    if (held && descriptor) {
      this.assert(kit.deepEqual(descriptor, held),
        "expected the own property descriptor for " + inspect(name) + " on #{this} to match " + inspect(descriptor) + ", got " + inspect(held),
        "expected the own property descriptor for " + inspect(name) + " on #{this} to not match " + inspect(descriptor), descriptor, held);
    } else {
      this.assert(held, "expected #{this} to have an own property descriptor for " + inspect(name),
        "expected #{this} to not have an own property descriptor for " + inspect(name));
    }
    this.flags_.object = held;
  });

  method(["keys", "key"], function (names) {
    const flags = this.flags_;
    const value = flags.object;
    if (value === null || value === undefined) throw new TypeError("Cannot convert undefined or null to object");
    const isMap = value instanceof Map || value instanceof Set;
    let wanted;
    if (isMap || Array.isArray(names)) wanted = Array.isArray(names) ? names : Array.prototype.slice.call(arguments);
    else if (names !== null && typeof names === "object") {
      if (arguments.length > 1) { misuse(flags, "when testing keys against an object or an array you must give a single Array|Object|String argument or multiple String arguments"); return; }
      wanted = Object.keys(names);
    } else wanted = Array.prototype.slice.call(arguments);
    if (Array.isArray(names) && arguments.length > 1 && !isMap) {
      misuse(flags, "when testing keys against an object or an array you must give a single Array|Object|String argument or multiple String arguments"); return;
    }
    if (!isMap) wanted = wanted.map(function (name) { return typeof name === "symbol" ? name : String(name); });
    if (!wanted.length) { misuse(flags, "keys required"); return; }
    const held = isMap ? Array.from(value.keys()) : Object.keys(Object(value)).concat(Object.getOwnPropertySymbols(Object(value)));
    const isIn = function (name) { return held.some(function (one) { return flags.deep ? kit.deepEqual(one, name) : one === name; }); };
    const isAny = Boolean(flags.any);
    let isTrue = isAny ? wanted.some(isIn) : wanted.every(isIn);
    if (!isAny && !flags.contains) isTrue = isTrue && wanted.length === held.length;
    const shown = wanted.map(function (name) { return inspect(name); });
    let words = shown[0];
    if (shown.length > 1) {
      const last = shown.pop();
      words = isAny ? shown.join(", ") + ", or " + last : shown.join(", ") + ", and " + last;
      shown.push(last);
    }
    words = (shown.length > 1 ? "keys " : "key ") + words;
    words = (flags.contains ? "contain " : "have ") + words;
    this.assert(isTrue, "expected #{this} to " + (flags.deep ? "deeply " : "") + words,
      "expected #{this} to not " + (flags.deep ? "deeply " : "") + words, wanted.slice().sort(), held.slice().sort());
  });

  // ---- texts and functions
  method(["match", "matches"], function (pattern, message) {
    take(this.flags_, message);
    this.assert(pattern.exec(this.flags_.object), "expected #{this} to match " + pattern, "expected #{this} not to match " + pattern);
  });
  method(["string"], function (part, message) {
    take(this.flags_, message);
    if (typeof this.flags_.object !== "string") { misuse(this.flags_, "expected " + display(this.flags_.object) + " to be a string"); return; }
    this.assert(this.flags_.object.indexOf(part) >= 0, "expected #{this} to contain " + inspect(part),
      "expected #{this} to not contain " + inspect(part));
  });
  method(["instanceof", "instanceOf"], function (maker, message) {
    take(this.flags_, message);
    if (typeof maker !== "function") {
      misuse(this.flags_, "The instanceof assertion needs a constructor but " + typeName(maker) + " was given."); return;
    }
    const name = maker.name || "an unnamed constructor";
    this.assert(this.flags_.object instanceof maker, "expected #{this} to be an instance of " + name,
      "expected #{this} to not be an instance of " + name);
  });
  method(["respondTo", "respondsTo"], function (name, message) {
    take(this.flags_, message);
    const value = this.flags_.object;
    const holder = typeof value === "function" && !this.flags_.itself ? value.prototype : value;
    this.assert(typeof holder[name] === "function", "expected #{this} to respond to " + inspect(name),
      "expected #{this} to not respond to " + inspect(name));
  });
  property("itself", function () { this.flags_.itself = true; });
  method(["satisfy", "satisfies"], function (test, message) {
    take(this.flags_, message);
    const isTrue = test(this.flags_.object);
    this.assert(isTrue, "expected #{this} to satisfy " + display(test), "expected #{this} to not satisfy " + display(test),
      !this.flags_.negate, isTrue);
  });
  method(["throw", "throws", "Throw"], function (kind, text, message) {
    const flags = this.flags_;
    take(flags, message);
    if (typeof flags.object !== "function") { misuse(flags, "expected " + display(flags.object) + " to be a function"); return; }
    let maker = kind;
    let wanted = text;
    if (kind instanceof RegExp || typeof kind === "string") { maker = null; wanted = kind; }
    let problem = null;
    let isThrown = false;
    try { flags.object(); } catch (error) { problem = error; isThrown = true; }
    const nothing = maker === undefined && wanted === undefined;
    const told = isThrown ? (problem instanceof Error ? String(problem) : display(problem)) : "";
    const label = maker instanceof Error ? display(maker) : maker ? maker.name : "an error";
    if (!isThrown || nothing) {
      this.assert(isThrown, "expected #{this} to throw " + label, isThrown ? "expected #{this} to not throw an error but " + inspect(told) + " was thrown" : "");
      flags.object = problem;
      return;
    }
    if (maker) {
      const isKind = maker instanceof Error ? problem === maker : problem instanceof maker;
      if (wanted === undefined || !isKind) {
        if (!(flags.negate && wanted !== undefined)) {
          this.assert(isKind, "expected #{this} to throw " + inspect(label) + " but " + inspect(told) + " was thrown",
            "expected #{this} to not throw " + inspect(label) + (maker instanceof Error ? "" : " but " + inspect(told) + " was thrown"));
        }
        if (!isKind) { flags.object = problem; return; }
      }
    }
    if (wanted !== undefined && wanted !== null) {
      const words = problem && problem.message !== undefined ? String(problem.message) : typeof problem === "string" ? problem : "";
      const isText = wanted instanceof RegExp ? wanted.test(words) : words.indexOf(wanted) >= 0;
      const how = wanted instanceof RegExp ? "matching" : "including";
      this.assert(isText, "expected #{this} to throw error " + how + " " + inspect(wanted) + " but got " + inspect(words),
        "expected #{this} to throw error not " + how + " " + inspect(wanted));
    }
    flags.object = problem;
  });

  // ---- lists
  method("members", function (set, message) {
    const flags = this.flags_;
    take(flags, message);
    const held = flags.object;
    if (!Array.isArray(held)) { misuse(flags, "expected " + display(held) + " to be an array"); return; }
    if (!Array.isArray(set)) { misuse(flags, "expected " + display(set) + " to be an array"); return; }
    const isSame = loosely(flags);
    let isTrue;
    if (!flags.contains && held.length !== set.length) isTrue = false;
    else if (flags.ordered) isTrue = set.every(function (value, i) { return i < held.length && isSame(value, held[i]); });
    else {
      const rest = held.slice();
      isTrue = set.every(function (value) {
        const at = rest.findIndex(function (one) { return isSame(value, one); });
        if (at >= 0 && !flags.contains) rest.splice(at, 1);
        return at >= 0;
      });
    }
    const words = flags.contains ? (flags.ordered ? "be an ordered superset of " : "be a superset of ")
      : (flags.ordered ? "have the same ordered members as " : "have the same members as ");
    this.assert(isTrue, "expected #{this} to " + words + "#{exp}", "expected #{this} to not " + words + "#{exp}", set, held);
  });
  method("oneOf", function (list, message) {
    const flags = this.flags_;
    take(flags, message);
    if (!Array.isArray(list)) { misuse(flags, "expected " + display(list) + " to be an array"); return; }
    if (flags.contains) {
      this.assert(list.some(function (one) { return flags.object.indexOf(one) > -1; }), "expected #{this} to contain one of #{exp}",
        "expected #{this} to not contain one of #{exp}", list);
    } else {
      const isSame = loosely(flags);
      this.assert(list.some(function (one) { return isSame(flags.object, one); }), "expected #{this} to be one of #{exp}",
        "expected #{this} to not be one of #{exp}", list);
    }
  });

  // ---- changes
  function changing(names, word, test) {
    method(names, function (holder, name, message) {
      const flags = this.flags_;
      take(flags, message);
      const read = typeof holder === "function" && !name ? holder : function () { return holder[name]; };
      const before = read();
      flags.object();
      const after = read();
      const label = name ? "." + name : before;
      flags.deltaWord = word;
      flags.first = before;
      flags.last = after;
      flags.delta = after - before;
      flags.object = label;
      flags.changing = true;
      const shown = typeof label === "string" && label.charAt(0) === "." ? label : inspect(label);
      this.assert(test(before, after), "expected " + shown + " to " + word, "expected " + shown + " to not " + word);
    });
  }
  changing(["change", "changes"], "change", function (a, b) { return a !== b; });
  changing(["increase", "increases"], "increase", function (a, b) { return b > a; });
  changing(["decrease", "decreases"], "decrease", function (a, b) { return b < a; });
  method("by", function (delta, message) {
    take(this.flags_, message);
    const flags = this.flags_;
    const held = flags.deltaWord === "change" ? Math.abs(flags.delta) : flags.deltaWord === "decrease" ? -flags.delta : flags.delta;
    this.assert(held === delta, "expected " + flags.object + " to " + flags.deltaWord + " by " + delta,
      "expected " + flags.object + " to not " + flags.deltaWord + " by " + delta);
  });

  // ---- names that are not there
  function distance(a, b) {
    let row = Array.from({ length: b.length + 1 }, function (_, i) { return i; });
    for (let i = 1; i <= a.length; i += 1) {
      const next = [i];
      for (let j = 1; j <= b.length; j += 1) {
        next.push(Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
      }
      row = next;
    }
    return row[b.length];
  }
  const QUIET = new Set(["then", "toJSON", "inspect", "nodeType", "prototype", "constructor", "name"]);
  Object.setPrototypeOf(Assertion.prototype, new Proxy(Object.prototype, {
    get(target, key, receiver) {
      if (typeof key === "symbol" || key in target || QUIET.has(key)) return Reflect.get(target, key, receiver);
      let best = null;
      let least = 4;
      Object.getOwnPropertyNames(Assertion.prototype).forEach(function (name) {
        const far = distance(key, name);
        if (far < least && name.slice(-1) !== "_" && !(name in target)) { best = name; least = far; }
      });
      throw new Error("Invalid Chai property: " + key + (best ? ". Did you mean \"" + best + "\"?" : ""));
    },
  }));

  kit.chain = { Assertion, AssertionError, config, give, inspect, note };
  kit.verdicts = verdicts;
  kit.counted = function () { return total; };
  kit.isAssertionError = function (problem) { return typeof problem === "object" && problem !== null && thrown.has(problem); };
});
