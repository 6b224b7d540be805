// `_`: the functions for lists, objects and functions that scripts know from Underscore 1.13, written for scimproxy.
// docs/scripts.md lists them; a name that is not here fails with a sentence that says so.
(function (kit) {
  "use strict";

  const has = function (object, key) { return object != null && Object.prototype.hasOwnProperty.call(object, key); };
  const isObject = function (value) { return typeof value === "function" || typeof value === "object" && value !== null; };
  const isList = function (value) {
    return value != null && typeof value !== "function" && typeof value.length === "number" && value.length >= 0;
  };
  const keys = function (object) { return isObject(object) ? Object.keys(object) : []; };
  const identity = function (value) { return value; };
  const entries = function (value) { return isList(value) ? Array.from(value) : keys(value).map(function (key) { return value[key]; }); };
  const labels = function (value) { return isList(value) ? Array.from(value, function (_, i) { return i; }) : keys(value); };

  function deepGet(object, path, fallback) {
    const steps = Array.isArray(path) ? path : [path];
    let held = object;
    for (const step of steps) {
      if (held == null) return fallback;
      held = held[step];
    }
    return held === undefined || !steps.length ? fallback : held;
  }

  // What may stand for a function: a function, an object to match, a name or path of a member, or nothing.
  function iteratee(value, context) {
    if (value == null) return identity;
    if (typeof value === "function") return context === undefined ? value : value.bind(context);
    if (isObject(value) && !Array.isArray(value)) return _.matcher(value);
    return function (object) { return deepGet(object, value); };
  }

  function walk(list, turn) {
    const names = labels(list);
    const isPlain = !isList(list);
    for (let i = 0; i < names.length; i += 1) {
      const key = names[i];
      if (turn(list[key], isPlain ? key : i, list) === false) return;
    }
  }

  function fold(list, turn, start, isGiven, names) {
    let held = start;
    let from = 0;
    if (!isGiven) { held = names.length ? list[names[0]] : undefined; from = 1; }
    for (let i = from; i < names.length; i += 1) held = turn(held, list[names[i]], names[i], list);
    return held;
  }

  function extreme(list, how, context, isBetter, start) {
    const rank = iteratee(how, context);
    let best = start;
    let bestRank = start;
    walk(list, function (value, key) {
      const one = how == null ? value : rank(value, key, list);
      if (how == null && (value == null || value !== value)) return;
      if (isBetter(one, bestRank) || one === start && best === start) { best = value; bestRank = one; }
    });
    return best;
  }

  function grouped(add, isPair) {
    return function (list, how, context) {
      const rank = iteratee(how, context);
      const made = isPair ? [[], []] : {};
      walk(list, function (value, key) { add(made, value, rank(value, key, list)); });
      return made;
    };
  }

  const flat = function (list, depth, strict) {
    return entries(list).reduce(function (made, value) {
      if (!isObject(value) || !isList(value)) { if (!strict) made.push(value); return made; }
      return made.concat(depth > 1 ? flat(value, depth - 1, strict) : Array.from(value));
    }, []);
  };

  const assigner = function (list, isDefaults) {
    return function (target) {
      const made = isDefaults || target == null ? Object(target) : target;
      for (let i = 1; i < arguments.length; i += 1) {
        const from = arguments[i];
        if (from == null) continue;
        list(from).forEach(function (key) { if (!isDefaults || made[key] === undefined) made[key] = from[key]; });
      }
      return made;
    };
  };

  const allKeys = function (object) {
    const found = [];
    if (isObject(object)) for (const key in object) found.push(key);
    return found;
  };

  // Equality as Underscore has it: 0 and -0 differ, NaN equals itself, objects of different makers differ.
  function isEqual(a, b, path) {
    if (a === b) return a !== 0 || 1 / a === 1 / b;
    if (a == null || b == null) return false;
    if (a !== a) return b !== b;
    if (!isObject(a) && !isObject(b)) return false;
    const kind = kit.tag(a);
    if (kind !== kit.tag(b)) return false;
    if (kind === "String" || kind === "RegExp") return String(a) === String(b);
    if (kind === "Number") return isEqual(Number(a), Number(b));
    if (kind === "Date" || kind === "Boolean") return Number(a) === Number(b);
    if (!isObject(a) || !isObject(b) || typeof a === "function" || typeof b === "function") return false;
    const seen = path || [];
    for (const pair of seen) if (pair[0] === a) return pair[1] === b;
    const deeper = seen.concat([[a, b]]);
    if (kind === "Map" || kind === "Set") return a.size === b.size && kit.deepEqual(a, b);
    if (Array.isArray(a)) {
      return a.length === b.length && a.every(function (value, i) { return isEqual(value, b[i], deeper); });
    }
    const makers = [a.constructor, b.constructor];
    if (makers[0] !== makers[1] && "constructor" in a && "constructor" in b
        && !makers.every(function (m) { return typeof m === "function" && m instanceof m; })) return false;
    const names = Object.keys(a);
    return names.length === Object.keys(b).length
      && names.every(function (key) { return has(b, key) && isEqual(a[key], b[key], deeper); });
  }

  const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&quot;", "'": "&#x27;", "`": "&#x60;" };
  const CHARACTERS = {};
  Object.keys(ENTITIES).forEach(function (sign) { CHARACTERS[ENTITIES[sign]] = sign; });
  let lastId = 0;

  const slice = Array.prototype.slice;
  const sorted = function (list, how, context) {
    const rank = iteratee(how, context);
    const rows = [];
    walk(list, function (value, key) { rows.push({ value: value, at: rows.length, rank: rank(value, key, list) }); });
    rows.sort(function (x, y) {
      if (x.rank !== y.rank) {
        if (x.rank > y.rank || x.rank === undefined) return 1;
        if (x.rank < y.rank || y.rank === undefined) return -1;
      }
      return x.at - y.at;
    });
    return rows.map(function (row) { return row.value; });
  };

  function finder(step, isIndex) {
    return function (list, how, context) {
      const test = iteratee(how, context);
      const size = list == null ? 0 : list.length;
      for (let i = step > 0 ? 0 : size - 1; i >= 0 && i < size; i += step) if (test(list[i], i, list)) return i;
      return isIndex ? -1 : undefined;
    };
  }
  const findIndex = finder(1, true);
  const findLastIndex = finder(-1, true);
  const findKey = function (object, how, context) {
    const test = iteratee(how, context);
    return keys(object).find(function (key) { return test(object[key], key, object); });
  };

  const random = function (low, high) {
    const [from, to] = high == null ? [0, low] : [low, high];
    return from + Math.floor(Math.random() * (to - from + 1));
  };

  const same = function (x, y) { return x === y || x !== x && y !== y; };
  const within = function (list, value) { return list.some(function (other) { return same(other, value); }); };

  function uniq(list, isSorted, how, context) {
    let by = how;
    let bound = context;
    if (typeof isSorted !== "boolean") { by = isSorted; bound = how; }
    const rank = by == null ? null : iteratee(by, bound);
    const seen = [];
    return entries(list).filter(function (value, i) {
      const one = rank ? rank(value, i, list) : value;
      if (within(seen, one)) return false;
      seen.push(one);
      return true;
    });
  }

  const members = {
    // ---- collections
    each(list, turn, context) { const f = iteratee(turn, context); walk(list, function (v, k) { f(v, k, list); }); return list; },
    map(list, how, context) {
      const f = iteratee(how, context);
      const made = [];
      walk(list, function (value, key) { made.push(f(value, key, list)); });
      return made;
    },
    reduce(list, turn, start, context) {
      return fold(list, iteratee(turn, context), start, arguments.length >= 3, labels(list));
    },
    reduceRight(list, turn, start, context) {
      return fold(list, iteratee(turn, context), start, arguments.length >= 3, labels(list).reverse());
    },
    find(list, how, context) {
      if (isList(list)) { const at = findIndex(list, how, context); return at < 0 ? undefined : list[at]; }
      const key = findKey(list, how, context);
      return key === undefined ? undefined : list[key];
    },
    filter(list, how, context) {
      const test = iteratee(how, context);
      const made = [];
      walk(list, function (value, key) { if (test(value, key, list)) made.push(value); });
      return made;
    },
    reject(list, how, context) {
      const test = iteratee(how, context);
      return _.filter(list, function (value, key, all) { return !test(value, key, all); });
    },
    every(list, how, context) {
      const test = iteratee(how, context);
      return labels(list).every(function (key) { return test(list[key], key, list); });
    },
    some(list, how, context) {
      const test = iteratee(how, context);
      return labels(list).some(function (key) { return Boolean(test(list[key], key, list)); });
    },
    contains(list, value, from) {
      if (typeof list === "string") return list.indexOf(value, from) >= 0;
      return entries(list).slice(from || 0).some(function (other) { return same(other, value); });
    },
    invoke(list, path) {
      const given = slice.call(arguments, 2);
      return _.map(list, function (item) {
        if (typeof path === "function") return path.apply(item, given);
        const steps = [].concat(path);
        const holder = steps.length > 1 ? deepGet(item, steps.slice(0, -1)) : item;
        const method = holder == null ? undefined : holder[steps[steps.length - 1]];
        return method == null ? method : method.apply(holder, given);
      });
    },
    pluck(list, name) { return _.map(list, function (item) { return deepGet(item, name); }); },
    where(list, attributes) { return _.filter(list, _.matcher(attributes)); },
    findWhere(list, attributes) { return _.find(list, _.matcher(attributes)); },
    max(list, how, context) { return extreme(list, how, context, function (a, b) { return a > b; }, -Infinity); },
    min(list, how, context) { return extreme(list, how, context, function (a, b) { return a < b; }, Infinity); },
    sortBy: sorted,
    groupBy: grouped(function (made, value, key) { if (has(made, key)) made[key].push(value); else made[key] = [value]; }),
    indexBy: grouped(function (made, value, key) { made[key] = value; }),
    countBy: grouped(function (made, value, key) { made[key] = has(made, key) ? made[key] + 1 : 1; }),
    partition: grouped(function (made, value, pass) { made[pass ? 0 : 1].push(value); }, true),
    shuffle(list) {
      const made = entries(list);
      for (let i = made.length - 1; i > 0; i -= 1) {
        const j = random(i);
        [made[i], made[j]] = [made[j], made[i]];
      }
      return made;
    },
    sample(list, count) {
      const all = _.shuffle(list);
      return count == null ? all[0] : all.slice(0, Math.max(0, count));
    },
    toArray(list) { return list == null ? [] : typeof list === "string" ? Array.from(list) : entries(list); },
    size(list) { return list == null ? 0 : isList(list) ? list.length : keys(list).length; },

    // ---- arrays
    first(list, count, guard) {
      if (list == null || list.length < 1) return count == null || guard ? undefined : [];
      return count == null || guard ? list[0] : slice.call(list, 0, Math.max(0, count));
    },
    initial(list, count, guard) { return slice.call(list, 0, Math.max(0, list.length - (count == null || guard ? 1 : count))); },
    last(list, count, guard) {
      if (list == null || list.length < 1) return count == null || guard ? undefined : [];
      return count == null || guard ? list[list.length - 1] : slice.call(list, Math.max(0, list.length - count));
    },
    rest(list, count, guard) { return slice.call(list, count == null || guard ? 1 : count); },
    compact(list) { return _.filter(list, Boolean); },
    flatten(list, depth) { return flat(list, depth === true ? 1 : !depth ? Infinity : depth, false); },
    without(list) { return _.difference(list, slice.call(arguments, 1)); },
    union() { return uniq(flat(arguments, 1, true)); },
    intersection(list) {
      const others = slice.call(arguments, 1);
      return uniq(list).filter(function (value) { return others.every(function (other) { return _.contains(other, value); }); });
    },
    difference(list) {
      const others = flat(slice.call(arguments, 1), 1, true);
      return entries(list).filter(function (value) { return !within(others, value); });
    },
    uniq: uniq,
    zip() { return _.unzip(slice.call(arguments)); },
    unzip(lists) {
      const size = lists && lists.length ? Math.max.apply(null, lists.map(function (one) { return one.length; })) : 0;
      return Array.from({ length: size }, function (_x, i) { return lists.map(function (one) { return one[i]; }); });
    },
    object(list, values) {
      const made = {};
      entries(list).forEach(function (key, i) { if (values) made[key] = values[i]; else made[key[0]] = key[1]; });
      return made;
    },
    range(start, stop, step) {
      const [from, to] = stop == null ? [0, start || 0] : [start, stop];
      const by = step || (to < from ? -1 : 1);
      return Array.from({ length: Math.max(0, Math.ceil((to - from) / by)) }, function (_x, i) { return from + i * by; });
    },
    chunk(list, count) {
      const made = [];
      if (count == null || count < 1) return made;
      for (let i = 0; i < list.length; i += count) made.push(slice.call(list, i, i + count));
      return made;
    },
    indexOf(list, value, from) {
      if (list == null) return -1;
      if (value !== value) return findIndex(list, Number.isNaN);
      return Array.prototype.indexOf.call(list, value, typeof from === "number" ? from : 0);
    },
    lastIndexOf(list, value, from) {
      if (list == null) return -1;
      if (value !== value) return findLastIndex(list, Number.isNaN);
      return Array.prototype.lastIndexOf.call(list, value, from == null ? list.length - 1 : from);
    },
    sortedIndex(list, value, how, context) {
      const rank = iteratee(how, context);
      const target = rank(value);
      let [low, high] = [0, list.length];
      while (low < high) {
        const middle = Math.floor((low + high) / 2);
        if (rank(list[middle]) < target) low = middle + 1; else high = middle;
      }
      return low;
    },
    findIndex: findIndex,
    findLastIndex: findLastIndex,

    // ---- objects
    keys: keys,
    allKeys: allKeys,
    values(object) { return keys(object).map(function (key) { return object[key]; }); },
    mapObject(object, how, context) {
      const f = iteratee(how, context);
      const made = {};
      keys(object).forEach(function (key) { made[key] = f(object[key], key, object); });
      return made;
    },
    pairs(object) { return keys(object).map(function (key) { return [key, object[key]]; }); },
    invert(object) { const made = {}; keys(object).forEach(function (key) { made[object[key]] = key; }); return made; },
    create(prototype, own) { return Object.assign(Object.create(isObject(prototype) ? prototype : Object.prototype), own); },
    functions(object) { return allKeys(object).filter(function (key) { return typeof object[key] === "function"; }).sort(); },
    findKey: findKey,
    extend: assigner(allKeys, false),
    extendOwn: assigner(keys, false),
    defaults: assigner(allKeys, true),
    pick(object) {
      const wanted = slice.call(arguments, 1);
      const made = {};
      if (object == null) return made;
      if (typeof wanted[0] === "function") {
        const test = iteratee(wanted[0], wanted[1]);
        allKeys(object).forEach(function (key) { if (test(object[key], key, object)) made[key] = object[key]; });
      } else flat(wanted, Infinity, false).forEach(function (key) { if (key in Object(object)) made[key] = object[key]; });
      return made;
    },
    omit(object) {
      const unwanted = slice.call(arguments, 1);
      if (typeof unwanted[0] === "function") {
        const test = iteratee(unwanted[0], unwanted[1]);
        return _.pick(object, function (value, key, all) { return !test(value, key, all); });
      }
      const names = flat(unwanted, Infinity, false).map(String);
      return _.pick(object, function (_x, key) { return names.indexOf(key) < 0; });
    },
    clone(object) { return !isObject(object) ? object : Array.isArray(object) ? object.slice() : Object.assign({}, object); },
    tap(object, interceptor) { interceptor(object); return object; },
    has(object, path) {
      const steps = [].concat(path);
      let held = object;
      for (const step of steps) {
        if (!has(held, step)) return false;
        held = held[step];
      }
      return steps.length > 0;
    },
    get: deepGet,
    property(path) { return function (object) { return deepGet(object, path); }; },
    propertyOf(object) { return function (path) { return deepGet(object, path); }; },
    matcher(attributes) {
      const wanted = Object.assign({}, attributes);
      return function (object) { return _.isMatch(object, wanted); };
    },
    isMatch(object, attributes) {
      return keys(attributes).every(function (key) {
        return object != null && attributes[key] === object[key] && key in Object(object);
      });
    },
    isEqual(a, b) { return isEqual(a, b); },
    isEmpty(value) {
      if (value == null) return true;
      if (isList(value) && (Array.isArray(value) || typeof value === "string" || kit.tag(value) === "Arguments")) return value.length === 0;
      return keys(value).length === 0;
    },
    isElement() { return false; },
    isArray: Array.isArray,
    isObject: isObject,
    isArguments(value) { return kit.tag(value) === "Arguments"; },
    isFunction(value) { return typeof value === "function"; },
    isString(value) { return kit.tag(value) === "String"; },
    isNumber(value) { return kit.tag(value) === "Number"; },
    isFinite(value) { return typeof value !== "symbol" && isFinite(value) && !isNaN(parseFloat(value)); },
    isBoolean(value) { return kit.tag(value) === "Boolean"; },
    isDate(value) { return kit.tag(value) === "Date"; },
    isRegExp(value) { return kit.tag(value) === "RegExp"; },
    isError(value) { return value instanceof Error; },
    isSymbol(value) { return typeof value === "symbol"; },
    isMap(value) { return kit.tag(value) === "Map"; },
    isSet(value) { return kit.tag(value) === "Set"; },
    isNaN(value) { return _.isNumber(value) && isNaN(value); },
    isNull(value) { return value === null; },
    isUndefined(value) { return value === undefined; },

    // ---- functions
    bind(f, context) { return f.bind.apply(f, [context].concat(slice.call(arguments, 2))); },
    partial(f) {
      const held = slice.call(arguments, 1);
      return function () {
        const given = slice.call(arguments);
        const all = held.map(function (value) { return value === _ ? given.shift() : value; });
        return f.apply(this, all.concat(given));
      };
    },
    memoize(f, hasher) {
      const made = function (key) {
        const address = String(hasher ? hasher.apply(this, arguments) : key);
        if (!has(made.cache, address)) made.cache[address] = f.apply(this, arguments);
        return made.cache[address];
      };
      made.cache = {};
      return made;
    },
    once(f) { return _.before(2, f); },
    after(count, f) { let left = count; return function () { left -= 1; return left < 1 ? f.apply(this, arguments) : undefined; }; },
    before(count, f) {
      let left = count;
      let held;
      return function () { left -= 1; if (left > 0) held = f.apply(this, arguments); return held; };
    },
    negate(f) { return function () { return !f.apply(this, arguments); }; },
    compose() {
      const all = slice.call(arguments);
      return function () {
        let held = all[all.length - 1].apply(this, arguments);
        for (let i = all.length - 2; i >= 0; i -= 1) held = all[i].call(this, held);
        return held;
      };
    },
    wrap(f, wrapper) { return _.partial(wrapper, f); },

    // ---- the rest
    identity: identity,
    constant(value) { return function () { return value; }; },
    noop() {},
    times(count, f, context) { const turn = iteratee(f, context); return Array.from({ length: Math.max(0, count) }, function (_x, i) { return turn(i); }); },
    random: random,
    mixin(object) { keys(object).forEach(function (name) { add(name, object[name]); }); return _; },
    iteratee: iteratee,
    uniqueId(prefix) { lastId += 1; return prefix ? prefix + lastId : String(lastId); },
    escape(text) { return text == null ? "" : String(text).replace(/[&<>"'`]/g, function (sign) { return ENTITIES[sign]; }); },
    unescape(text) {
      return text == null ? "" : String(text).replace(/&(?:amp|lt|gt|quot|#x27|#x60);/g, function (name) { return CHARACTERS[name]; });
    },
    result(object, path, fallback) {
      let held = object;
      const steps = [].concat(path);
      if (!steps.length) return typeof fallback === "function" ? fallback.call(object) : fallback;
      for (const step of steps) {
        const next = held == null ? undefined : held[step];
        const value = next === undefined ? fallback : next;
        held = typeof value === "function" ? value.call(held) : value;
      }
      return held;
    },
    now: Date.now,
    chain(value) { const made = new Wrapped(value); made.isChained_ = true; return made; },
    noConflict() { return _; },
    toPath(path) { return [].concat(path); },
  };

  const ALIASES = { forEach: "each", collect: "map", foldl: "reduce", inject: "reduce", foldr: "reduceRight",
    detect: "find", select: "filter", all: "every", any: "some", include: "contains", includes: "contains",
    head: "first", take: "first", tail: "rest", drop: "rest", unique: "uniq", transpose: "unzip", methods: "functions",
    assign: "extendOwn", matches: "matcher" };

  // _(list).map(...) answers the list; _.chain(list).map(...) answers what goes on until value().
  function Wrapped(value) { this.value_ = value; }

  function _(value) { return value instanceof Wrapped ? value : new Wrapped(value); }

  Wrapped.prototype = Object.create(kit.namer("_.", Object.prototype), {
    constructor: { value: Wrapped },
    isChained_: { value: false, writable: true },
    value: { value() { return this.value_; } },
    valueOf: { value() { return this.value_; } },
    toJSON: { value() { return this.value_; } },
    toString: { value() { return String(this.value_); } },
    chain: { value() { return _.chain(this.value_); } },
  });

  function add(name, f) {
    Object.defineProperty(_, name, { value: f, enumerable: true, writable: true, configurable: true });
    if (name === "chain") return;
    Object.defineProperty(Wrapped.prototype, name, { configurable: true, writable: true, value: function () {
      const made = f.apply(_, [this.value_].concat(slice.call(arguments)));
      return this.isChained_ ? _.chain(made) : made;
    } });
  }

  Object.keys(members).forEach(function (name) { add(name, members[name]); });
  Object.keys(ALIASES).forEach(function (name) { add(name, members[ALIASES[name]]); });
  ["pop", "push", "reverse", "shift", "sort", "splice", "unshift", "concat", "join", "slice"].forEach(function (name) {
    Object.defineProperty(Wrapped.prototype, name, { configurable: true, value: function () {
      const list = this.value_;
      const isReading = ["concat", "join", "slice"].indexOf(name) >= 0;
      const made = list == null ? list : Array.prototype[name].apply(list, arguments);
      const result = isReading ? made : list;
      return this.isChained_ ? _.chain(result) : result;
    } });
  });
  _.VERSION = "1.13.6";
  Object.setPrototypeOf(_, kit.namer("_.", Function.prototype));

  kit._ = _;
});
