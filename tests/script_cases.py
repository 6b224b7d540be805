"""JavaScript expressions whose value (or failure) must be the same in scimproxy's scripts and in the real packages.

Chai 4.3.8, Underscore 1.13.6, Moment 2.29.4 and CryptoJS 3.1 are the oracles, run by Node in UTC.
"""

from __future__ import annotations

VALUES = (
    "0", "1", "-1", "1.5", "NaN", "Infinity", "''", "'a'", "'true'", "true", "false", "null", "undefined", "[]", "[1]",
    "[1,2,3]", "['a']", "({})", "({a:1})", "({a:{b:[1,{c:2}]}})", "new Date(0)", "/x/g", "(function f(){})",
)  # fmt: skip

CHAI_WORDS = (
    "to.be.ok", "to.not.be.ok", "to.be.true", "to.be.false", "to.be.null", "to.be.undefined", "to.be.NaN", "to.exist",
    "to.be.empty", "to.not.be.empty", "to.be.a('string')", "to.be.an('array')", "to.not.be.a('number')",
    "to.be.an('object')", "to.equal(1)", "to.not.equal(1)", "to.eql([1])", "to.deep.equal({a:1})", "to.not.eql({})",
    "to.be.above(0)", "to.be.at.least(1)", "to.be.below(1)", "to.be.at.most(0)", "to.be.within(0,1)",
    "to.have.lengthOf(1)", "to.have.length(3)", "to.have.length.above(1)", "to.have.property('a')",
    "to.have.property('a',1)", "to.not.have.property('a')", "to.have.nested.property('a.b[1].c',2)",
    "to.have.own.property('a')", "to.have.deep.property('a',{b:[1,{c:2}]})", "to.include(1)", "to.not.include('a')",
    "to.deep.include({a:1})", "to.include({a:1})", "to.match(/a/)", "to.be.oneOf([1,'a',true])", "to.have.keys('a')",
    "to.have.any.keys('a','z')", "to.contain.all.keys('a')", "to.have.all.keys(['a','b'])", "to.be.a('function')",
    "to.be.closeTo(1,0.5)", "to.be.finite", "to.have.members([1])", "to.include.members([1,2])",
    "to.have.ordered.members([1,2,3])", "to.have.deep.members([1])", "to.satisfy(function big(x){return x>0})",
    "to.be.an.instanceof(Array)", "to.have.string('a')", "to.respondTo('toString')", "to.be.arguments", "to.be.frozen",
    "to.be.extensible", "to.be.sealed", "to.throw()", "to.be.an('array').that.includes(2)", "to.be.a('date')",
    "to.be.a('null')", "to.be.a('regexp')",
)  # fmt: skip

CHAI = (
    *(f"expect({value}).{words}" for value in VALUES for words in CHAI_WORDS),
    *(f"expect({value}, 'words').to.equal({other})" for value in VALUES for other in VALUES),
    *(f"expect({value}).to.eql({other})" for value in VALUES for other in VALUES),
    *(f"assert.equal({value}, {other}, 'm')" for value in VALUES for other in VALUES),
    *(
        f"assert.{name}({value})"
        for value in VALUES
        for name in (
            "ok", "isOk", "notOk", "isTrue", "isNotTrue", "isFalse", "isNotFalse", "isNull", "isNotNull", "isNaN",
            "isNotNaN", "exists", "notExists", "isUndefined", "isDefined", "isFunction", "isNotFunction", "isObject",
            "isNotObject", "isArray", "isNotArray", "isString", "isNotString", "isNumber", "isNotNumber", "isBoolean",
            "isNotBoolean", "isFinite", "isEmpty", "isNotEmpty", "isFrozen", "isSealed", "isExtensible",
        )
    ),
    *(
        f"assert.{name}({value}, {other}, 'm')"
        for value, other in (
            ("1", "1"), ("1", "'1'"), ("2", "1"), ("[1,2]", "1"), ("[{a:1}]", "{a:1}"), ("'abc'", "'b'"), ("'abc'", "'z'"),
            ("{a:1,b:2}", "{a:1}"), ("{a:1}", "'a'"), ("{a:1}", "['a']"), ("[1,2,3]", "[3,2,1]"), ("[1,2]", "[1]"),
            ("null", "undefined"), ("[1]", "1"),
        )
        for name in (
            "equal", "notEqual", "strictEqual", "notStrictEqual", "deepEqual", "notDeepEqual", "isAbove", "isAtLeast",
            "isBelow", "isAtMost", "include", "notInclude", "deepInclude", "notDeepInclude", "property", "notProperty",
            "lengthOf", "hasAnyKeys", "hasAllKeys", "containsAllKeys", "doesNotHaveAnyKeys", "doesNotHaveAllKeys",
            "sameMembers", "notSameMembers", "sameDeepMembers", "sameOrderedMembers", "includeMembers",
            "notIncludeMembers", "oneOf", "typeOf", "ownProperty", "nestedProperty", "notNestedProperty",
        )
    ),
    "assert(true)", "assert(false)", "assert(false, 'no')", "assert('nogroups', 'No Groups found in the endpoint')",
    "assert.fail()", "assert.fail('boo')", "assert.fail(1, 2, 'm')", "expect.fail()", "expect.fail('x')",
    "assert.propertyVal({a:1}, 'a', 2)", "assert.notPropertyVal({a:1}, 'a', 1)", "assert.match('abc', /z/)",
    "assert.deepPropertyVal({a:{b:1}}, 'a', {b:2})", "assert.nestedPropertyVal({a:{b:1}}, 'a.b', 2)",
    "assert.notMatch('abc', /b/, 'm')", "assert.instanceOf([], Date)", "assert.notInstanceOf([], Array)",
    "assert.operator(1, '<', 2)", "assert.operator(1, '>', 2)", "assert.closeTo(1, 2, .5)",
    "assert.throws(function f(){})", "assert.throws(function f(){throw new Error('abc')}, /z/)",
    "assert.throws(function f(){throw new Error('abc')}, 'b')", "assert.throws(function f(){throw new TypeError('t')}, Error)",
    "assert.throws(function f(){throw new Error('e')}, TypeError)", "assert.doesNotThrow(function f(){throw new Error('q')})",
    "expect(function f(){throw new Error('q')}).to.not.throw()", "assert.ifError(null)",
    "assert.throws(function f(){throw new TypeError('e')}, TypeError, 'zz')",
    "expect([1,2,3]).to.have.length.within(1,2)", "expect('abc').to.have.lengthOf.at.least(4)",
    "expect({a:1,b:2,c:3}).to.include.all.keys('a','b')", "expect({a:1,b:2}).to.have.keys('a','c')",
    "expect({a:1,b:2}).to.not.have.any.keys('a','c')", "expect({a:1,b:2}).to.have.all.keys({a:1,b:1})",
    "expect(new Map([['a',1]])).to.have.keys('a')", "expect(new Set([1,2])).to.include(3)", "expect(new Map()).to.be.empty",
    "expect([{a:1}]).to.deep.include({a:1})", "expect({a:{b:1}}).to.nested.include({'a.b':2})",
    "(5).should.equal(6)", "'a'.should.be.a('number')", "[1,2].should.include(3)", "({a:1}).should.have.property('b')",
    "expect(5).to.be.above('4')", "expect('5').to.be.above(4)", "expect(5).to.be.within(1,4)", "expect(new Date(5)).to.be.above(new Date(9))",
    "expect('a').to.not.be.oneOf(['a'])", "expect([1,2]).to.include.oneOf([3,4])", "expect(1).foo", "expect(1).to.euqal(1)",
    "expect(1).to.be.truee", "expect('x'.repeat(100)).to.equal('y')", "expect([1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]).to.eql([])",
    "expect({alpha:1,beta:2,gamma:3,delta:4,epsilon:5}).to.eql({})", "expect('it\\'s').to.equal('')", "expect(-0).to.equal(1)",
    "expect({'a-b':1,2:3}).to.eql(1)", "expect([,1]).to.eql(1)", "expect(Symbol('q')).to.equal(1)", "expect([undefined,null]).to.eql(1)",
    "expect(new Error('boom')).to.eql(1)", "expect(Object.create(null)).to.eql(1)", "expect(class Foo{}).to.eql(1)",
    "expect(new (class Foo{constructor(){this.a=1}})).to.eql(1)", "expect([[[[1]]]]).to.eql(1)", "expect(new Set([1])).to.eql(new Set([2]))",
    "expect(10).to.satisfy(function(n){return n<5})",
)  # fmt: skip

PEOPLE = "[{n:'bob',a:3,t:['x']},{n:'amy',a:1,t:[]},{n:'cid',a:2,t:['y','x']},{n:'bob',a:9,t:['z']}]"

UNDERSCORE = (
    *(
        f"_.{call.replace('P', PEOPLE)}"
        for call in (
            "map(P,'n')", "map({a:1,b:2},function(v,k){return k+v})", "map(P,['t',0])", "reduce([1,2,3],function(m,v){return m+v})",
            "reduce([1,2,3],function(m,v){return m+v},10)", "reduceRight(['a','b','c'],function(m,v){return m+v})",
            "reduce({a:1,b:2},function(m,v,k){return m+k+v},'')", "reduce([],function(){},undefined)", "find(P,{n:'bob'})", "find(P,function(p){return p.a>2})", "find({a:1,b:2},function(v){return v==2})",
            "filter(P,{n:'bob'})", "reject(P,'a')", "reject(P,{n:'bob'})", "every([1,2,0])", "every([],_.identity)", "some([0,null,3])", "some({a:0})",
            "contains([1,2,NaN],NaN)", "contains({a:5},5)", "contains([1,2,3],1,1)", "includes('abc','b')", "invoke([[3,1],[2,1]],'sort')", "invoke(['a','b'],'toUpperCase')", "pluck(P,'a')", "where(P,{n:'bob',a:9})",
            "findWhere(P,{a:2})", "findWhere(P,{a:99})", "max([3,1,9])", "min([3,1,9])", "max(P,'a')", "min(P,function(p){return p.a})", "max([])", "min({})", "max({a:1,b:7})",
            "sortBy(P,'a')", "sortBy(P,'n')", "sortBy([3,undefined,1,null,2])", "sortBy({z:2,y:1})", "groupBy(P,'n')", "groupBy([1.2,1.7,2],Math.floor)", "indexBy(P,'n')", "countBy(P,'n')", "countBy([1,2,3],function(n){return n%2?'odd':'even'})",
            "partition([1,2,3,4],function(n){return n%2})", "toArray({a:1,b:2})", "toArray('abc')", "size({a:1,b:2})", "size('abc')", "size(null)", "first([1,2,3])", "first([1,2,3],2)", "first([])", "first([],2)", "initial([1,2,3])",
            "initial([1,2,3],2)", "last([1,2,3])", "last([1,2,3],2)", "rest([1,2,3])", "rest([1,2,3],2)", "head([7])", "tail([7,8])", "take([1,2,3],1)", "drop([1,2,3],1)", "compact([0,1,'',null,2,NaN,false])", "flatten([1,[2,[3,[4]]]])",
            "flatten([1,[2,[3,[4]]]],true)", "flatten([1,[2,[3,[4]]]],2)", "without([1,2,1,0,3],0,1)", "union([1,2],[2,3],[3,4])", "intersection([1,2,3],[2,3,4],[3])", "difference([1,2,3,4],[2],[4])", "uniq([1,2,1,4,1,3])",
            "uniq([1,1,2,2],true)", "uniq([{a:1},{a:1},{a:2}],'a')", "uniq([1,2,3,4],false,function(n){return n%2})", "zip(['a','b'],[1,2],[true])", "unzip([['a',1],['b',2]])", "object(['a','b'],[1,2])", "object([['a',1],['b',2]])", "range(4)", "range(1,5)",
            "range(0,10,3)", "range(0,-4,-1)", "range(0)", "range(5,2)", "chunk([1,2,3,4,5],2)", "chunk([1],0)", "indexOf([1,2,3],2)", "indexOf([NaN],NaN)", "indexOf([1,1],1,1)", "indexOf(null,1)", "lastIndexOf([1,2,1],1)", "sortedIndex([10,20,30],25)", "sortedIndex([{a:1},{a:5}],{a:3},'a')",
            "findIndex(P,{n:'cid'})", "findLastIndex(P,{n:'bob'})", "findIndex([],{})", "keys({a:1,b:2})", "keys(null)", "keys('abc')", "allKeys(Object.create({a:1},{b:{value:2,enumerable:true}}))", "values({a:1,b:2})", "mapObject({a:1,b:2},function(v){return v*2})",
            "pairs({a:1,b:2})", "invert({a:'x',b:'y'})", "functions({b:function(){},a:function(){},c:1})", "findKey({a:1,b:2},function(v){return v==2})", "extend({a:1},{b:2},{a:3})", "extendOwn({a:1},{b:2})", "assign({a:1},null,{b:2})", "pick({a:1,b:2,c:3},'a','c')",
            "pick({a:1,b:2},['b'])", "pick({a:1,b:'x'},function(v){return _.isNumber(v)})", "omit({a:1,b:2,c:3},'a')", "omit({a:1,b:'x'},_.isString)", "omit({a:1,b:2},['b'])", "defaults({a:1},{a:2,b:3})", "defaults({},{a:1},{a:2})", "clone({a:1})", "clone([1])", "clone(1)",
            "has({a:1},'a')", "has({a:{b:1}},['a','b'])", "has({},'toString')", "get({a:{b:1}},['a','b'])", "get({},['x','y'],'def')", "get(null,'a',5)", "property('a')({a:5})", "property(['a','b'])({a:{b:6}})", "propertyOf({a:7})('a')", "matcher({a:1})({a:1,b:2})",
            "isMatch({a:1,b:2},{b:2})", "isMatch(null,{a:1})", "isMatch(null,{})", "isEqual({a:[1,{b:2}]},{a:[1,{b:2}]})", "isEqual(0,-0)", "isEqual(NaN,NaN)", "isEqual('a',new String('a'))", "isEqual([1],{0:1,length:1})", "isEqual({a:undefined},{})", "isEqual(new Date(5),new Date(5))", "isEqual(/a/g,/a/i)", "isEqual(null,undefined)", "isEqual(1,true)",
            "isEmpty({})", "isEmpty([])", "isEmpty('')", "isEmpty(0)", "isEmpty({a:1})", "isEmpty(null)", "isArray([])", "isObject(null)", "isObject(function(){})", "isString('')", "isNumber(NaN)", "isFinite('5')", "isFinite(Infinity)", "isFinite('x')", "isBoolean(false)", "isDate(new Date())", "isRegExp(/a/)", "isNaN(NaN)",
            "isNaN(undefined)", "isNull(null)", "isUndefined(undefined)", "isFunction(_)", "isError(new Error())", "isElement({})", "isArguments([])", "isSymbol(1)", "isMap(new Map())", "isSet(1)", "times(3,function(i){return i*i})", "escape('<a href=\"x\">&\\'`')", "unescape('&lt;a&gt;&amp;')", "result({a:function(){return 5}},'a')", "result({},'x','d')",
            "result({a:1},'a')", "constant(3)()", "identity(9)", "noop()", "negate(function(){return true})()", "compose(function(x){return x+1},function(x){return x*2})(5)", "partial(function(a,b){return a+b},1)(2)", "partial(function(a,b){return a+'-'+b},_,1)(2)", "memoize(function(x){return x*2})(4)", "once(function(){return 1})()",
            "after(2,function(){return 'x'})()", "before(3,function(){return 'y'})()", "wrap(function(n){return n},function(f,x){return '<'+f(x)+'>'})(1)", "bind(function(a){return this.x+a},{x:1},2)()", "chain([3,1,2]).sortBy().map(function(x){return x*2}).value()", "chain(P).pluck('a').max().value()",
            "chain(P).filter({n:'bob'}).map('a').reduce(function(m,v){return m+v},0).value()", "chain([1,[2]]).flatten().value()", "chain({a:1}).extend({b:2}).keys().value()", "chain([1,2]).push(3).value()", "chain([1,2,3]).first(2).last().value()", "chain([3,4]).join('-').value()", "iteratee('a')({a:1})", "iteratee({a:1})({a:1})",
            "toPath('a.b')", "create({a:1},{b:2}).a", "tap([1],function(l){l.push(2)})", "collect([1],_.identity)", "inject([1,2],function(a,b){return a+b})", "foldl([1,2],function(a,b){return a-b})", "foldr([1,2],function(a,b){return a-b})", "detect([1,2],function(x){return x>1})", "select([1,2],function(x){return x>1})", "all([1])", "any([])",
            "include([1],1)", "unique([1,1])", "methods({f:function(){}})", "each([1],_.noop)", "forEach({a:1},_.noop)", "size([1,2])", "VERSION",
        )
    ),
    f"_({PEOPLE}).pluck('n')", "_([1,2]).map(function(x){return x+1})", "_('abc').size()", "_([1,2]).contains(2)", "_([3,1]).value()", "typeof _.uniqueId()", "_.sample([5])", "_.shuffle([1])", "_.random(3,3)",
)  # fmt: skip

M = "moment.utc('2024-02-29T13:04:05.678Z')"
MOMENT = (
    *(f"{M}.format('{text}')" for text in ("YYYY-MM-DD", "YY M D", "MMM Do YY", "MMMM", "dddd, MMMM Do YYYY, h:mm:ss a", "ddd dd d do", "HH:mm:ss.SSS", "hh A", "H k kk", "DDD DDDD DDDo", "Q Qo", "W WW Wo", "w ww wo", "GGGG gggg", "E e", "X", "x", "Z ZZ", "z", "[at] HH", "L", "LT", "LTS", "LL", "LLL", "LLLL", "l ll lll llll", "S SS SSSS SSSSSS", "YYYYYY", "", "YYYY-MM-DDTHH:mm:ss[Z]", "MMDDYYYYHHmmss")),
    *(
        f"{M}.{call}"
        for call in (
            "format()", "toISOString()", "valueOf()", "unix()", "toDate().getTime()", "toArray()", "toObject()", "year()", "month()", "date()", "day()", "hour()", "hours()", "minute()", "second()", "millisecond()", "quarter()", "week()", "isoWeek()", "dayOfYear()", "isoWeekday()", "weekday()",
            "daysInMonth()", "isLeapYear()", "isValid()", "utcOffset()", "isUTC()", "toString()", "toJSON()", "inspect()", "weekYear()", "isoWeekYear()", "get('year')", "get('M')", "isoWeeksInYear()",
            *(f"add({args}).format()" for args in ("1,'day'", "1,'month'", "-1,'years'", "12,'M'", "1,'y'", "2,'weeks'", "36,'h'", "90,'m'", "100,'s'", "1,'Q'", "{days:1,hours:2}", "5,'ms'", "'1','d'", "1.5,'d'", "moment.duration(1,'day')", "1000")),
            *(f"subtract({args}).format()" for args in ("1,'day'", "1,'month'", "1,'year'", "30,'minutes'", "7,'days'", "{months:1}")),
            *(f"startOf('{u}').format()" for u in ("year", "month", "quarter", "week", "isoWeek", "day", "hour", "minute", "second", "date", "M")),
            *(f"endOf('{u}').format('x')" for u in ("year", "month", "quarter", "week", "isoWeek", "day", "hour", "minute", "second")),
            *(f"diff('{o}','{u}'{x})" for o in ("2023-01-31T00:00:00Z", "2024-02-28T13:04:05Z", "2030-12-31T23:59:59Z") for u in ("years", "months", "quarters", "weeks", "days", "hours", "minutes", "seconds", "ms") for x in ("", ",true")),
            "diff('2024-02-28')", *(f"{n}('2024-02-29T13:04:05.678Z')" for n in ("isBefore", "isAfter", "isSame", "isSameOrBefore", "isSameOrAfter")),
            *(f"{n}('2024-02-01','{u}')" for n in ("isBefore", "isAfter", "isSame", "isSameOrBefore", "isSameOrAfter") for u in ("year", "month", "day")),
            "isBetween('2024-01-01','2025-01-01')", "isBetween('2024-02-29T13:04:05.678Z','2025-01-01')", "isBetween('2024-02-29T13:04:05.678Z','2025-01-01',null,'[]')", "isBetween('2024-02-29','2024-02-29','day','[]')",
            "set('year',2023).format()", "set({year:2020,month:0}).format()", "month(0).format()", "month('March').format()", "date(1).format()", "day(0).format()", "day('Monday').format()", "hour(25).format()", "year(2023).format()", "isoWeekday(1).format()", "dayOfYear(1).format()", "week(1).format()", "quarter(1).format()", "minutes(0).seconds(0).format()",
            "utcOffset(120).format()", "utcOffset('+05:30').format()", "utcOffset(-8).format()", "utcOffset(60,true).format()", "clone().add(1,'d').format()", "from('2024-02-28T13:04:05Z')", "from('2024-03-28')", "to('2024-02-29T14:04:05Z')", "from('2023-02-28',true)", "locale()",
        )
    ),
    *(f"moment.utc('{text}').format('YYYY-MM-DD HH:mm:ss.SSS Z')" for text in ("2024-01-02", "2024-01-02T03", "2024-01-02T03:04", "2024-01-02T03:04:05", "2024-01-02 03:04:05", "2024-01-02T03:04:05.6", "2024-01-02T03:04:05.6789Z", "2024-01-02T03:04:05+02:00", "2024-01-02T03:04:05-0530", "20240102", "20240102T030405Z", "2024-W05", "2024-W05-3", "2024W053", "2024-060", "2024-01", "2024", "2024-13-01", "2024-02-30", "2024-01-02T25:00", "2024-01-02T24:00:00", "Mon, 25 Dec 1995 13:30:00 GMT", "Mon, 25 Dec 1995 13:30:00 +0430", "/Date(1198908717056)/")),
    *(f"moment.utc({args}).format()" for args in ("'12-25-1995','MM-DD-YYYY'", "'1995-12-25','YYYY-MM-DD',true", "'1995/12/25','YYYY-MM-DD',true", "'1995/12/25','YYYY-MM-DD'", "'25 Dec 1995','D MMM YYYY'", "'December 25, 1995','MMMM D, YYYY'", "'1:05 PM 2/3/2020','h:mm A M/D/YYYY'", "'2020-01-02 23:04','YYYY-MM-DD HH:mm'", "'12/25/95','MM/DD/YY'", "'1318874398','X'", "'1318874398806','x'", "'2020-01-02T03:04:05+02:00','YYYY-MM-DDTHH:mm:ssZ'", "'nope','YYYY'", "'2020-13-01','YYYY-MM-DD'", "'2020-06-01',['MM/DD/YYYY','YYYY-MM-DD']", "'2020-01-01',moment.ISO_8601", "[2020,1,3,4,5]", "[2020]", "{year:2020,month:2,day:5}", "1318874398806", "new Date(5000)", "null", "'2020-100','YYYY-DDDD'", "'1st Feb 2020','Do MMM YYYY'", "'20200304','YYYYMMDD'", "'2020','YYYY'", "'10.02.2020','DD.MM.YYYY'", "'13:45:06.789 2020-01-01','HH:mm:ss.SSS YYYY-MM-DD'")),
    "moment('2020-01-01T00:00:00').format()", "moment.unix(1318781876).format()", "moment(1318781876406).format()", "moment([2010,6,10]).format()", "moment('2020-01-01').isSame(moment.utc('2020-01-01'))", "moment(null).isValid()", "moment('2016-01-01T25:00').isValid()", "moment.utc(NaN).format()", "moment.invalid().toISOString()", "moment.isMoment(moment())", "moment.isMoment(5)", "moment.isDate(new Date())", "moment.max(moment.utc(1),moment.utc(5)).valueOf()", "moment.min([moment.utc(1),moment.utc(5)]).valueOf()", "moment.parseZone('2013-01-01T00:00:00-13:00').format()", "moment.parseZone('2013-01-01T00:00:00-13:00').utcOffset()", "moment.months()", "moment.weekdaysShort()", "moment.weekdays(1)", "moment.locale()", "typeof moment.now()", "JSON.stringify({d:moment.utc(0)})", "moment.utc(5)-moment.utc(3)", "moment.utc('2020-01-01')<moment.utc('2020-01-02')", "moment.normalizeUnits('y')", "moment().add(1,'d').isAfter()",
    *(f"moment.duration({args}).{call}" for args in ("1,'hour'", "90,'minutes'", "{days:1,hours:2,minutes:3}", "'PT1H30M'", "'P1Y2M3DT4H5M6S'", "100000000", "'1.02:03:04.5'", "-5,'days'", "0", "2,'weeks'", "45,'days'", "14,'months'") for call in ("asHours()", "asDays()", "asMonths()", "asMilliseconds()", "hours()", "minutes()", "days()", "months()", "years()", "seconds()", "humanize()", "humanize(true)", "toISOString()", "as('weeks')", "get('hours')", "weeks()")),
    "moment.isDuration(moment.duration())", "moment.duration(1,'d').add(2,'h').asHours()", "moment.duration(5,'h').subtract(moment.duration(1,'h')).asHours()", "moment.duration(moment.utc('2020-01-05').diff(moment.utc('2020-01-01'))).asDays()", "moment.duration(-1,'d').abs().asDays()",
)  # fmt: skip

TEXTS = (
    "''",
    "'a'",
    "'message'",
    "'The quick brown fox jumps over the lazy dog'",
    "'\\u00e4\\u20ac\\ud83d\\ude00'",
    "'x'.repeat(55)",
    "'x'.repeat(56)",
    "'x'.repeat(64)",
    "'y'.repeat(1000)",
)
KEY = "CryptoJS.enc.Hex.parse('000102030405060708090a0b0c0d0e0f')"
KEY32 = "CryptoJS.enc.Utf8.parse('0123456789abcdef0123456789abcdef')"
IV = "{iv: CryptoJS.enc.Hex.parse('101112131415161718191a1b1c1d1e1f')}"
CRYPTO = (
    *(f"CryptoJS.{name}({text}).toString({enc})" for name in ("MD5", "SHA1", "SHA256") for text in TEXTS for enc in ("", "CryptoJS.enc.Base64", "CryptoJS.enc.Latin1")),
    *(f"CryptoJS.Hmac{name}({text}, {key}).toString()" for name in ("MD5", "SHA1", "SHA256") for text in TEXTS for key in ("'k'", "'k'.repeat(100)", "CryptoJS.enc.Hex.parse('00ff')")),
    *(f"CryptoJS.AES.encrypt({text}, {key}, {IV}).toString()" for text in TEXTS for key in (KEY, KEY32, "CryptoJS.enc.Utf8.parse('0123456789abcdef01234567')")),
    *(f"CryptoJS.AES.decrypt(CryptoJS.AES.encrypt({text}, {key}, {IV}).toString(), {key}, {IV}).toString(CryptoJS.enc.Utf8)" for text in TEXTS for key in (KEY, KEY32)),
    *(f"CryptoJS.AES.decrypt(CryptoJS.AES.encrypt({text}, 'secret').toString(), 'secret').toString(CryptoJS.enc.Utf8)" for text in TEXTS),
    "CryptoJS.AES.decrypt('U2FsdGVkX1+qtU8KEGmMJwGgKcPUK3XBTdM+KhNRLHk=', 'Secret Passphrase').toString()",
    f"CryptoJS.AES.encrypt('0123456789abcdef', {KEY}, {{mode: CryptoJS.mode.ECB, padding: CryptoJS.pad.NoPadding}}).ciphertext.toString()",
    f"CryptoJS.AES.encrypt('hello', {KEY}, {{mode: CryptoJS.mode.CTR, iv: {KEY}}}).toString()",
    f"CryptoJS.AES.encrypt('hello', {KEY}, {{mode: CryptoJS.mode.ECB}}).toString()",
    "CryptoJS.enc.Utf8.parse('hello').toString()", "CryptoJS.enc.Hex.parse('48656c').toString(CryptoJS.enc.Utf8)", "CryptoJS.enc.Base64.parse('aGk=').toString(CryptoJS.enc.Utf8)", "CryptoJS.enc.Base64.stringify(CryptoJS.enc.Utf8.parse('a?b>'))", "CryptoJS.enc.Latin1.parse('\\u00ff').toString()", "CryptoJS.SHA256('a').words", "CryptoJS.SHA1('a').sigBytes", "CryptoJS.lib.WordArray.create([1,2]).toString()", "String(CryptoJS.MD5('a'))", "CryptoJS.MD5('a') + ''", "CryptoJS.HmacSHA256(CryptoJS.enc.Utf8.parse('m'), 'k').toString(CryptoJS.enc.Base64)", "CryptoJS.enc.Utf8.parse('a').concat(CryptoJS.enc.Utf8.parse('b')).toString(CryptoJS.enc.Utf8)", "CryptoJS.lib.WordArray.random(16).sigBytes",
)  # fmt: skip

ALL = (*CHAI, *UNDERSCORE, *MOMENT, *CRYPTO)

# Evaluates every case and gives [kind, text] for each; the same text runs in both worlds.
HARNESS = """
function told(value) {
  if (typeof value === "function") return "function";
  if (value !== null && typeof value === "object" && value.flags_ || value && value.__flags) return "assertion";
  var text = JSON.stringify(value, function (key, one) {
    return typeof one === "number" && !isFinite(one) ? String(one) : one === undefined ? "undefined" : one;
  });
  return text === undefined ? String(value) : text;
}
var answers = CASES.map(function (source) {
  try {
    var value = (0, eval)("(" + source + ")");
    return ["value", source.indexOf("expect") === 0 || source.indexOf(".should") > 0 ? "" : told(value)];
  } catch (problem) {
    var kind = problem.name === "AssertionError" ? "AssertionError" : "error";
    var isOurs = kind === "AssertionError" || /^Invalid Chai/.test(problem.message);
    return [kind, isOurs ? problem.message : ""];
  }
});
"""
