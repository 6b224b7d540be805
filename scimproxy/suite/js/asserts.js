// `assert`, `should` and `chai`: Chai 4's functions, each made of a chain of assertions.js; `assert.x(value, ...)`
// says what `expect(value).to.x(...)` says.
(function (kit) {
  "use strict";

  const { Assertion, AssertionError, config, give, inspect, note } = kit.chain;

  const expect = function (value, message) { return new Assertion(value, message); };
  expect.fail = function (actual, expected, message, operator) {
    const words = arguments.length < 2 ? (arguments.length ? actual : "expect.fail()") : message || "expect.fail()";
    give(words, { actual: actual, expected: expected, operator: operator });
  };

  const assert = function (value, message) {
    const isTrue = Boolean(value);
    if (isTrue) note(true, message);
    else give(message === undefined ? undefined : String(message), { actual: value, expected: true, operator: "==" });
  };
  assert.fail = function (actual, expected, message, operator) {
    const words = arguments.length < 2 ? (arguments.length ? actual : "assert.fail()") : message || "assert.fail()";
    give(words, { actual: actual, expected: expected, operator: operator });
  };

  // name: what the chain is; each takes the value first and a message last
  const of = function (names, walk, count) {
    [].concat(names).forEach(function (name) {
      assert[name] = function () {
        const given = Array.prototype.slice.call(arguments, 1, 1 + count);
        while (given.length < count) given.push(undefined);
        walk.apply(null, [expect(arguments[0], arguments[1 + count])].concat(given));
      };
    });
  };
  const pair = function (name, opposite, walk, count) {
    of(name, walk, count);
    of(opposite, function (chain) { walk.apply(null, [chain.not].concat(Array.prototype.slice.call(arguments, 1))); }, count);
  };
  pair(["ok", "isOk"], ["notOk", "isNotOk"], function (e) { e.is.ok; }, 0);
  of("equal", function (e, v) { e.assert(v == e.flags_.object, "expected #{this} to equal #{exp}", "expected #{this} to not equal #{act}", v, e.flags_.object); }, 1);
  of("notEqual", function (e, v) { e.assert(v != e.flags_.object, "expected #{this} to not equal #{exp}", "expected #{this} to equal #{act}", v, e.flags_.object); }, 1);
  pair("strictEqual", "notStrictEqual", function (e, v) { e.to.equal(v); }, 1);
  pair(["deepEqual", "deepStrictEqual"], "notDeepEqual", function (e, v) { e.to.eql(v); }, 1);
  of("isAbove", function (e, v) { e.to.be.above(v); }, 1);
  of("isAtLeast", function (e, v) { e.to.be.least(v); }, 1);
  of("isBelow", function (e, v) { e.to.be.below(v); }, 1);
  of("isAtMost", function (e, v) { e.to.be.most(v); }, 1);
  of("isTrue", function (e) { e.is.true; }, 0);
  of("isNotTrue", function (e) { e.to.not.equal(true); }, 0);
  of("isFalse", function (e) { e.is.false; }, 0);
  of("isNotFalse", function (e) { e.to.not.equal(false); }, 0);
  of("isNull", function (e) { e.to.equal(null); }, 0);
  of("isNotNull", function (e) { e.to.not.equal(null); }, 0);
  of("isNaN", function (e) { e.to.be.NaN; }, 0);
  of("isNotNaN", function (e) { e.assert(!Number.isNaN(e.flags_.object), "expected #{this} not to be NaN"); }, 0);
  pair("exists", "notExists", function (e) { e.to.exist; }, 0);
  of("isUndefined", function (e) { e.to.equal(undefined); }, 0);
  of("isDefined", function (e) { e.to.not.equal(undefined); }, 0);
  ["function", "object", "array", "string", "number", "boolean"].forEach(function (type) {
    const name = type.charAt(0).toUpperCase() + type.slice(1);
    pair("is" + name, "isNot" + name, function (e) { e.to.be.a(type); }, 0);
  });
  pair("isFinite", "isNotFinite", function (e) { e.to.be.finite; }, 0);
  pair("typeOf", "notTypeOf", function (e, t) { e.to.be.a(t); }, 1);
  pair("instanceOf", "notInstanceOf", function (e, t) { e.to.be.instanceOf(t); }, 1);
  pair("include", "notInclude", function (e, v) { e.include(v); }, 1);
  pair("deepInclude", "notDeepInclude", function (e, v) { e.deep.include(v); }, 1);
  pair("nestedInclude", "notNestedInclude", function (e, v) { e.nested.include(v); }, 1);
  pair("deepNestedInclude", "notDeepNestedInclude", function (e, v) { e.deep.nested.include(v); }, 1);
  pair("ownInclude", "notOwnInclude", function (e, v) { e.own.include(v); }, 1);
  pair("deepOwnInclude", "notDeepOwnInclude", function (e, v) { e.deep.own.include(v); }, 1);
  pair("match", "notMatch", function (e, p) { e.to.match(p); }, 1);
  pair("property", "notProperty", function (e, p) { e.to.have.property(p); }, 1);
  pair("propertyVal", "notPropertyVal", function (e, p, v) { e.to.have.property(p, v); }, 2);
  pair("deepPropertyVal", "notDeepPropertyVal", function (e, p, v) { e.to.have.deep.property(p, v); }, 2);
  pair("ownProperty", "notOwnProperty", function (e, p) { e.to.have.own.property(p); }, 1);
  pair("ownPropertyVal", "notOwnPropertyVal", function (e, p, v) { e.to.have.own.property(p, v); }, 2);
  pair("deepOwnPropertyVal", "notDeepOwnPropertyVal", function (e, p, v) { e.to.have.deep.own.property(p, v); }, 2);
  pair("nestedProperty", "notNestedProperty", function (e, p) { e.to.have.nested.property(p); }, 1);
  pair("nestedPropertyVal", "notNestedPropertyVal", function (e, p, v) { e.to.have.nested.property(p, v); }, 2);
  pair("deepNestedPropertyVal", "notDeepNestedPropertyVal", function (e, p, v) { e.to.have.deep.nested.property(p, v); }, 2);
  of("lengthOf", function (e, n) { e.to.have.lengthOf(n); }, 1);
  of("hasAnyKeys", function (e, k) { e.to.have.any.keys(k); }, 1);
  of("hasAllKeys", function (e, k) { e.to.have.all.keys(k); }, 1);
  of("containsAllKeys", function (e, k) { e.to.contain.all.keys(k); }, 1);
  of("doesNotHaveAnyKeys", function (e, k) { e.to.not.have.any.keys(k); }, 1);
  of("doesNotHaveAllKeys", function (e, k) { e.to.not.have.all.keys(k); }, 1);
  of("hasAnyDeepKeys", function (e, k) { e.to.have.any.deep.keys(k); }, 1);
  of("hasAllDeepKeys", function (e, k) { e.to.have.all.deep.keys(k); }, 1);
  of("containsAllDeepKeys", function (e, k) { e.to.contain.all.deep.keys(k); }, 1);
  of("doesNotHaveAnyDeepKeys", function (e, k) { e.to.not.have.any.deep.keys(k); }, 1);
  of("doesNotHaveAllDeepKeys", function (e, k) { e.to.not.have.all.deep.keys(k); }, 1);
  ["throws", "throw", "Throw"].forEach(function (name) {
    assert[name] = function (f, kind, text, message) {
      const isText = typeof kind === "string" || kind instanceof RegExp;
      const chain = expect(f, message);
      if (isText) chain.to.throw(kind); else chain.to.throw(kind, text);
      return chain.flags_.object;
    };
  });
  assert.doesNotThrow = function (f, kind, text, message) {
    const isText = typeof kind === "string" || kind instanceof RegExp;
    if (isText) expect(f, message).to.not.throw(kind); else expect(f, message).to.not.throw(kind, text);
  };
  const OPERATORS = { "==": function (a, b) { return a == b; }, "===": function (a, b) { return a === b; },
    ">": function (a, b) { return a > b; }, ">=": function (a, b) { return a >= b; }, "<": function (a, b) { return a < b; },
    "<=": function (a, b) { return a <= b; }, "!=": function (a, b) { return a != b; }, "!==": function (a, b) { return a !== b; } };
  assert.operator = function (value, operator, other, message) {
    if (!Object.prototype.hasOwnProperty.call(OPERATORS, operator)) {
      give((message ? message + ": " : "") + "Invalid operator \"" + operator + "\"", {});
      return;
    }
    const chain = expect(OPERATORS[operator](value, other), message);
    chain.assert(chain.flags_.object === true, "expected " + inspect(value) + " to be " + operator + " " + inspect(other),
      "expected " + inspect(value) + " to not be " + operator + " " + inspect(other));
  };
  of(["closeTo", "approximately"], function (e, v, d) { e.to.be.closeTo(v, d); }, 2);
  pair("sameMembers", "notSameMembers", function (e, s) { e.to.have.same.members(s); }, 1);
  pair("sameDeepMembers", "notSameDeepMembers", function (e, s) { e.to.have.same.deep.members(s); }, 1);
  pair("sameOrderedMembers", "notSameOrderedMembers", function (e, s) { e.to.have.same.ordered.members(s); }, 1);
  pair("sameDeepOrderedMembers", "notSameDeepOrderedMembers", function (e, s) { e.to.have.same.deep.ordered.members(s); }, 1);
  pair("includeMembers", "notIncludeMembers", function (e, s) { e.to.include.members(s); }, 1);
  pair("includeDeepMembers", "notIncludeDeepMembers", function (e, s) { e.to.include.deep.members(s); }, 1);
  pair("includeOrderedMembers", "notIncludeOrderedMembers", function (e, s) { e.to.include.ordered.members(s); }, 1);
  pair("includeDeepOrderedMembers", "notIncludeDeepOrderedMembers", function (e, s) { e.to.include.deep.ordered.members(s); }, 1);
  of("oneOf", function (e, l) { e.to.be.oneOf(l); }, 1);
  pair("changes", "doesNotChange", function (e, o, p) { e.to.change(o, p); }, 2);
  pair("increases", "doesNotIncrease", function (e, o, p) { e.to.increase(o, p); }, 2);
  pair("decreases", "doesNotDecrease", function (e, o, p) { e.to.decrease(o, p); }, 2);
  of(["changesBy"], function (e, o, p, d) { e.to.change(o, p).by(d); }, 3);
  of(["increasesBy"], function (e, o, p, d) { e.to.increase(o, p).by(d); }, 3);
  of(["decreasesBy"], function (e, o, p, d) { e.to.decrease(o, p).by(d); }, 3);
  assert.ifError = function (value) { if (value) throw value; };
  pair(["isExtensible", "extensible"], ["isNotExtensible", "notExtensible"], function (e) { e.to.be.extensible; }, 0);
  pair(["isSealed", "sealed"], ["isNotSealed", "notSealed"], function (e) { e.to.be.sealed; }, 0);
  pair(["isFrozen", "frozen"], ["isNotFrozen", "notFrozen"], function (e) { e.to.be.frozen; }, 0);
  pair("isEmpty", "isNotEmpty", function (e) { e.to.be.empty; }, 0);
  Object.setPrototypeOf(assert, kit.namer("assert.", Function.prototype));
  Object.setPrototypeOf(expect, kit.namer("expect.", Function.prototype));

  // ---- should: on every value, and as functions of its own
  const should = function () { return should; };
  const shouldly = function (target, isNot) {
    const start = function (value, message) { const e = expect(value, message); return isNot ? e.not : e; };
    target.equal = function (a, b, message) { start(a, message).to.equal(b); };
    target.exist = function (value, message) { void start(value, message).to.exist; };
    target.Throw = target.throw = function (f, kind, text, message) { start(f, message).to.throw(kind, text); };
    return target;
  };
  shouldly(should, false).not = shouldly({}, true);
  should.fail = assert.fail;
  Object.defineProperty(Object.prototype, "should", {
    configurable: true,
    get() {
      return new Assertion(this instanceof String || this instanceof Number || this instanceof Boolean || this instanceof Symbol
        ? this.valueOf() : this);
    },
    set(value) { Object.defineProperty(this, "should", { value: value, enumerable: true, configurable: true, writable: true }); },
  });

  const chai = Object.assign(Object.create(kit.namer("chai.", Object.prototype)), {
    version: "4.3.8", config, assert, expect, Assertion, AssertionError, should() { return should; },
    use() { return chai; }, // plug-ins cannot be loaded; what they would add fails by name when it is called
  });

  kit.chai = chai;
  kit.should = should;
});
