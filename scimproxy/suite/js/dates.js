// `moment`: dates in the words of Moment 2, English only, written for scimproxy. A date is a count of milliseconds
// and an offset (null: the machine's own zone, which is UTC where scripts run); durations know months, days and
// milliseconds. What is not here fails by name.
(function (kit) {
  "use strict";

  const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December"];
  const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
  const LONG = { LTS: "h:mm:ss A", LT: "h:mm A", LLLL: "dddd, MMMM D, YYYY h:mm A", LLL: "MMMM D, YYYY h:mm A",
    LL: "MMMM D, YYYY", L: "MM/DD/YYYY", llll: "ddd, MMM D, YYYY h:mm A", lll: "MMM D, YYYY h:mm A", ll: "MMM D, YYYY",
    l: "M/D/YYYY" };
  const MS = { millisecond: 1, second: 1e3, minute: 6e4, hour: 36e5, day: 864e5, week: 6048e5 };
  const UNITS = { y: "year", years: "year", Q: "quarter", quarters: "quarter", M: "month", months: "month", w: "week",
    weeks: "week", W: "isoWeek", isoweek: "isoWeek", isoweeks: "isoWeek", isoWeeks: "isoWeek", d: "day", days: "day",
    D: "date", dates: "date", h: "hour", hours: "hour", m: "minute", minutes: "minute", s: "second", seconds: "second",
    ms: "millisecond", milliseconds: "millisecond", dayofyear: "dayOfYear", weekdays: "weekday", e: "weekday" };

  function unit(name) {
    const text = String(name);
    return UNITS[text] || UNITS[text.toLowerCase()] || (text in UNITS ? text : text.toLowerCase());
  }

  const pad = function (value, width) {
    const text = String(Math.abs(Math.trunc(value)));
    return (value < 0 ? "-" : "") + "0".repeat(Math.max(0, width - text.length)) + text;
  };
  const ordinal = function (n) {
    const ten = n % 100;
    if (ten >= 11 && ten <= 13) return n + "th";
    return n + (["th", "st", "nd", "rd"][n % 10] || "th");
  };
  const utc = function (y, mo, d, h, mi, s, ms) {
    const made = new Date(0);
    made.setUTCFullYear(y, mo, d);
    made.setUTCHours(h || 0, mi || 0, s || 0, ms || 0);
    return made.getTime();
  };
  const daysIn = function (year, month) { return new Date(utc(year, month + 1, 0)).getUTCDate(); };
  const localOffset = function (time) { return -new Date(time).getTimezoneOffset(); };
  // The instant of a wall-clock time in the local zone.
  const fromLocal = function (wall) {
    const guess = wall - localOffset(wall) * 6e4;
    return wall - localOffset(guess) * 6e4;
  };

  // ---- reading texts

  const ISO = /^\s*([+-]\d{6}|\d{4})(?:-?(\d{2})(?:-?(\d{2}))?|-?W(\d{2})(?:-?(\d))?|-(\d{3}))?(?:[T ](\d{2})(?::?(\d{2})(?::?(\d{2})(?:[.,](\d{1,9}))?)?)?\s*(Z|[+-]\d{2}(?::?\d{2})?)?)?\s*$/;

  const zoneOf = function (text) {
    if (!text) return null;
    if (text === "Z" || text === "z") return 0;
    const found = /([+-])(\d{2}):?(\d{2})?/.exec(text);
    return (found[1] === "-" ? -1 : 1) * (Number(found[2]) * 60 + Number(found[3] || 0));
  };

  const fraction = function (digits) { return digits ? Math.trunc(Number("0." + digits) * 1000 + 1e-9) : 0; };

  function checked(y, mo, d, h, mi, s, ms, zone) {
    const isRight = mo >= 0 && mo < 12 && d >= 1 && d <= daysIn(y, mo) && mi < 60 && s < 60
      && (h < 24 || h === 24 && mi === 0 && s === 0 && ms === 0);
    return { wall: isRight ? utc(y, mo, d, h, mi, s, ms) : NaN, zone: zone };
  }

  function readIso(text) {
    const found = ISO.exec(text);
    if (!found) return null;
    const [, y, mo, d, week, weekday, yearday, h, mi, s, part, zone] = found;
    const year = Number(y);
    const rest = [Number(h || 0), Number(mi || 0), Number(s || 0), fraction(part), zoneOf(zone)];
    if (week) {
      const at = new Date(firstIsoWeek(year) + (Number(week) - 1) * MS.week + (Number(weekday || 1) - 1) * MS.day);
      return checked(at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate(), ...rest);
    }
    if (yearday) {
      const at = new Date(utc(year, 0, Number(yearday)));
      return checked(year, at.getUTCMonth(), at.getUTCDate(), ...rest);
    }
    return checked(year, Number(mo || 1) - 1, Number(d || 1), ...rest);
  }

  const RFC2822 = /^(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),?\s)?(\d{1,2})\s(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\s(\d{2,4})\s(\d\d):(\d\d)(?::(\d\d))?\s(?:(UT|GMT|Z)|([+-]\d{4}))$/;

  function readRfc(text) {
    const found = RFC2822.exec(text.trim());
    if (!found) return null;
    const month = MONTHS.findIndex(function (name) { return name.slice(0, 3) === found[2]; });
    const year = Number(found[3]) + (found[3].length > 2 ? 0 : Number(found[3]) <= 49 ? 2000 : 1900);
    return checked(year, month, Number(found[1]), Number(found[4]), Number(found[5]), Number(found[6] || 0), 0,
      found[7] ? 0 : zoneOf(found[8]));
  }

  const TOKENS = /\[[^\]]*\]|\\.|YYYYYY|YYYYY|YYYY|YY|Qo|Q|MMMM|MMM|Mo|MM|M|DDDD|DDDo|DDD|Do|DD|D|dddd|ddd|dd|do|d|e|E|ww|wo|w|WW|Wo|W|GGGG|gggg|A|a|HH|H|hh|h|kk|k|mm|m|ss|s|S{1,9}|x|X|ZZ|Z|z|LTS|LT|L{1,4}|l{1,4}|./g;

  const expanded = function (format) {
    return format.replace(/\[[^\]]*\]|LTS|LT|L{1,4}|l{1,4}/g, function (part) { return LONG[part] || part; });
  };

  const amongst = function (names) {
    const all = names.concat(names.map(function (name) { return name.slice(0, 3); }));
    return "(" + all.sort(function (a, b) { return b.length - a.length; }).join("|") + ")";
  };
  const NUMERALS = { YYYY: 4, YY: 2, MM: 2, M: 2, DD: 2, D: 2, HH: 2, H: 2, hh: 2, h: 2, mm: 2, m: 2, ss: 2, s: 2, Q: 1,
    DDDD: 3, DDD: 3, kk: 2, k: 2, E: 1, e: 1, d: 1 };

  function readAs(text, format, isStrict) {
    const got = {};
    let rest = text;
    const pieces = expanded(format).match(TOKENS) || [];
    for (const piece of pieces) {
      let pattern;
      if (piece in NUMERALS) {
        const isExact = isStrict && piece.length > 1;
        const wide = NUMERALS[piece];
        pattern = "([+-]?\\d{" + (isExact ? wide : 1) + "," + wide + "})";
      } else if (piece === "MMMM" || piece === "MMM") pattern = amongst(MONTHS);
      else if (piece === "dddd" || piece === "ddd") pattern = amongst(DAYS);
      else if (piece === "A" || piece === "a") pattern = "([ap]\\.?m?\\.?)";
      else if (piece === "Do") pattern = "(\\d{1,2})(?:st|nd|rd|th)";
      else if (/^S+$/.test(piece)) pattern = isStrict ? "(\\d{" + piece.length + "})" : "(\\d{1,9})";
      else if (piece === "Z" || piece === "ZZ") pattern = "(Z|[+-]\\d\\d:?\\d\\d)";
      else if (piece === "X") pattern = "([+-]?\\d+(?:\\.\\d{1,3})?)";
      else if (piece === "x") pattern = "([+-]?\\d+)";
      else {
        const literal = piece.replace(/^\[|\]$/g, "").replace(/^\\(.)/, "$1");
        if (isStrict) {
          if (rest.indexOf(literal) !== 0) return { wall: NaN, zone: null };
          rest = rest.slice(literal.length);
        } else if (rest.indexOf(literal) === 0) rest = rest.slice(literal.length);
        continue;
      }
      const found = new RegExp((isStrict ? "^" : "^[^0-9A-Za-z+-]*?") + pattern, "i").exec(rest);
      if (!found) {
        if (isStrict || rest && !Object.keys(got).length) return { wall: NaN, zone: null };
        continue;
      }
      got[piece.replace(/^S+$/, "S")] = found[1];
      rest = rest.slice(found[0].length);
    }
    if (isStrict && rest) return { wall: NaN, zone: null };
    if (!Object.keys(got).length) return { wall: NaN, zone: null };
    return assembled(got);
  }

  const number = function (got, names, fallback) {
    for (const name of names) if (got[name] !== undefined) return Number(got[name]);
    return fallback;
  };

  function assembled(got) {
    if (got.X !== undefined) return { wall: Number(got.X) * 1000, zone: 0 };
    if (got.x !== undefined) return { wall: Number(got.x), zone: 0 };
    const now = new Date(Date.now() + localOffset(Date.now()) * 6e4);
    let year = number(got, ["YYYY"], null);
    if (got.YY !== undefined) year = Number(got.YY) + (Number(got.YY) > 68 ? 1900 : 2000);
    let month = number(got, ["MM", "M"], null);
    const word = got.MMMM || got.MMM;
    if (word) month = 1 + MONTHS.findIndex(function (name) { return name.slice(0, 3).toLowerCase() === word.slice(0, 3).toLowerCase(); });
    if (got.Q !== undefined && month === null) month = (Number(got.Q) - 1) * 3 + 1;
    let day = number(got, ["DD", "D", "Do"], null);
    if (day === null) day = year !== null || month !== null ? 1 : now.getUTCDate();
    if (month === null) month = year !== null ? 1 : now.getUTCMonth() + 1;
    if (year === null) year = now.getUTCFullYear();
    let hour = number(got, ["HH", "H", "kk", "k", "hh", "h"], 0);
    const half = (got.A || got.a || "").charAt(0).toLowerCase();
    if ((got.hh !== undefined || got.h !== undefined) && (hour > 12 || hour < 1)) hour = 99;
    if (half === "p" && hour < 12) hour += 12;
    if (half === "a" && hour === 12) hour = 0;
    const yearday = number(got, ["DDDD", "DDD"], null);
    if (yearday !== null) {
      const at = new Date(utc(year, 0, yearday));
      month = at.getUTCMonth() + 1;
      day = at.getUTCDate();
    }
    return checked(year, month - 1, day, hour, number(got, ["mm", "m"], 0), number(got, ["ss", "s"], 0),
      fraction(got.S), zoneOf(got.Z || got.ZZ));
  }

  // ---- weeks

  function firstIsoWeek(year) {
    const fourth = utc(year, 0, 4);
    return fourth - (new Date(fourth).getUTCDay() + 6) % 7 * MS.day;
  }
  function isoWeek(wall) {
    const thursday = new Date(wall - (new Date(wall).getUTCDay() + 6) % 7 * MS.day + 3 * MS.day);
    const year = thursday.getUTCFullYear();
    return { year: year, week: 1 + Math.floor((thursday.getTime() - firstIsoWeek(year)) / MS.week) };
  }
  function week(wall) { // of the United States: from Sunday, the first has the 1st of January
    const at = new Date(wall);
    const saturday = new Date(wall + (6 - at.getUTCDay()) * MS.day);
    const year = saturday.getUTCFullYear();
    const first = utc(year, 0, 1);
    const start = first - new Date(first).getUTCDay() * MS.day;
    return { year: year, week: 1 + Math.floor((wall - start) / MS.week) };
  }

  // ---- the object

  function Moment(time, zone) {
    this.time_ = time;
    this.zone_ = zone; // minutes east of UTC, or null: local
    this.utc_ = false;
  }

  const made = function (time, zone, isUtc) { const one = new Moment(time, zone); one.utc_ = Boolean(isUtc); return one; };
  const offsetOf = function (m) { return m.zone_ === null ? (isNaN(m.time_) ? 0 : localOffset(m.time_)) : m.zone_; };
  const wallOf = function (m) { return m.time_ + offsetOf(m) * 6e4; };
  const setWall = function (m, wall) { m.time_ = m.zone_ === null ? fromLocal(wall) : wall - m.zone_ * 6e4; };

  function create(input, format, strict, isUtc) {
    const zone = isUtc ? 0 : null;
    const place = function (read) {
      if (read.zone !== null) return made(read.wall - read.zone * 6e4, zone, isUtc);
      const one = made(0, zone, isUtc);
      setWall(one, read.wall);
      return one;
    };
    let how = format;
    let isStrict = strict === true;
    if (typeof how === "boolean") { isStrict = how; how = undefined; }
    if (input === undefined && how === undefined) return made(Date.now(), zone, isUtc);
    if (input === null || input === undefined) return made(NaN, zone, isUtc);
    if (input instanceof Moment) return isUtc ? made(input.time_, 0, true) : made(input.time_, input.zone_, input.utc_);
    if (input instanceof Date) return made(input.getTime(), zone, isUtc);
    if (how !== undefined && (typeof input === "string" || typeof input === "number")) {
      const text = String(input);
      const readers = Array.isArray(how) ? how : [how];
      for (const one of readers) {
        const read = one === moment.ISO_8601 ? readIso(text) || { wall: NaN, zone: null }
          : one === moment.RFC_2822 ? readRfc(text) || { wall: NaN, zone: null } : readAs(text, String(one), isStrict);
        if (!isNaN(read.wall)) return place(read);
      }
      return made(NaN, zone, isUtc);
    }
    if (typeof input === "number") return made(new Date(input).getTime(), zone, isUtc);
    if (typeof input === "string") {
      const asp = /^\/?Date\((-?\d+)/i.exec(input);
      if (asp) return made(Number(asp[1]), zone, isUtc);
      const read = readIso(input) || readRfc(input);
      if (read) return place(read);
      return made(new Date(input).getTime(), zone, isUtc);
    }
    let parts = null;
    if (Array.isArray(input)) parts = input;
    else if (typeof input === "object") {
      const get = function (names, fallback) {
        for (const name of names) if (input[name] !== undefined) return Number(input[name]);
        return fallback;
      };
      const now = new Date();
      parts = [get(["year", "years", "y"], now.getFullYear()), get(["month", "months", "M"], now.getMonth()),
        get(["day", "days", "date", "dates", "D"], now.getDate()), get(["hour", "hours", "h"], 0),
        get(["minute", "minutes", "m"], 0), get(["second", "seconds", "s"], 0), get(["millisecond", "milliseconds", "ms"], 0)];
    }
    if (!parts) return made(NaN, zone, isUtc);
    return place(checked(parts[0], parts[1] || 0, parts[2] === undefined ? 1 : parts[2], parts[3] || 0, parts[4] || 0,
      parts[5] || 0, parts[6] || 0, null));
  }

  const zoneText = function (minutes, separator) {
    const size = Math.abs(minutes);
    return (minutes < 0 ? "-" : "+") + pad(Math.floor(size / 60), 2) + separator + pad(size % 60, 2);
  };

  const yearText = function (y) { return y > 9999 ? "+" + y : pad(y, 4); };

  function formatted(m, format) {
    if (isNaN(m.time_)) return "Invalid date";
    const wall = wallOf(m);
    const at = new Date(wall);
    const [y, mo, d, w] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate(), at.getUTCDay()];
    const [h, mi, s, ms] = [at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds(), at.getUTCMilliseconds()];
    const yearday = Math.floor((wall - utc(y, 0, 1)) / MS.day) + 1;
    const quarter = Math.floor(mo / 3) + 1;
    const twelve = h % 12 || 12;
    const parts = {
      YYYYYY: function () { return (y < 0 ? "-" : "+") + pad(Math.abs(y), 6); }, YYYYY: function () { return pad(y, 5); },
      YYYY: function () { return yearText(y); }, YY: function () { return pad(y % 100, 2); },
      Q: function () { return quarter; }, Qo: function () { return ordinal(quarter); },
      MMMM: function () { return MONTHS[mo]; }, MMM: function () { return MONTHS[mo].slice(0, 3); },
      MM: function () { return pad(mo + 1, 2); }, M: function () { return mo + 1; }, Mo: function () { return ordinal(mo + 1); },
      DDDD: function () { return pad(yearday, 3); }, DDD: function () { return yearday; }, DDDo: function () { return ordinal(yearday); },
      DD: function () { return pad(d, 2); }, D: function () { return d; }, Do: function () { return ordinal(d); },
      dddd: function () { return DAYS[w]; }, ddd: function () { return DAYS[w].slice(0, 3); }, dd: function () { return DAYS[w].slice(0, 2); },
      d: function () { return w; }, do: function () { return ordinal(w); }, e: function () { return w; }, E: function () { return w || 7; },
      w: function () { return week(wall).week; }, wo: function () { return ordinal(week(wall).week); }, ww: function () { return pad(week(wall).week, 2); },
      W: function () { return isoWeek(wall).week; }, Wo: function () { return ordinal(isoWeek(wall).week); }, WW: function () { return pad(isoWeek(wall).week, 2); },
      GGGG: function () { return yearText(isoWeek(wall).year); }, gggg: function () { return yearText(week(wall).year); },
      A: function () { return h < 12 ? "AM" : "PM"; }, a: function () { return h < 12 ? "am" : "pm"; },
      HH: function () { return pad(h, 2); }, H: function () { return h; }, hh: function () { return pad(twelve, 2); }, h: function () { return twelve; },
      kk: function () { return pad(h || 24, 2); }, k: function () { return h || 24; },
      mm: function () { return pad(mi, 2); }, m: function () { return mi; }, ss: function () { return pad(s, 2); }, s: function () { return s; },
      x: function () { return m.time_; }, X: function () { return Math.floor(m.time_ / 1000); },
      Z: function () { return zoneText(offsetOf(m), ":"); }, ZZ: function () { return zoneText(offsetOf(m), ""); },
      z: function () { return m.utc_ ? "UTC" : ""; },
    };
    return expanded(format).replace(TOKENS, function (piece) {
      if (piece.charAt(0) === "[" && piece.length > 1) return piece.slice(1, -1);
      if (piece.charAt(0) === "\\") return piece.slice(1);
      if (/^S+$/.test(piece)) return (pad(ms, 3) + "000000").slice(0, piece.length);
      return Object.prototype.hasOwnProperty.call(parts, piece) ? String(parts[piece]()) : piece;
    });
  }

  function addMonths(m, count) {
    const at = new Date(wallOf(m));
    const total = at.getUTCFullYear() * 12 + at.getUTCMonth() + count;
    const [year, month] = [Math.floor(total / 12), (total % 12 + 12) % 12];
    const day = Math.min(at.getUTCDate(), daysIn(year, month));
    setWall(m, utc(year, month, day, at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds(), at.getUTCMilliseconds()));
  }

  function shift(m, amount, name, sign) {
    let held = amount;
    if (typeof amount === "string" && typeof name === "number") return shift(m, name, amount, sign);
    if (typeof amount === "string" && name !== undefined) held = Number(amount);
    const d = held instanceof Duration ? held : duration(held, name);
    const months = Math.round(d.months_);
    if (months) addMonths(m, sign * months);
    if (d.days_) setWall(m, wallOf(m) + sign * Math.round(d.days_) * MS.day);
    m.time_ += sign * d.ms_;
    return m;
  }

  function startOf(m, name) {
    const u = unit(name);
    const wall = wallOf(m);
    const at = new Date(wall);
    const [y, mo, d] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()];
    if (u === "year") return utc(y, 0, 1);
    if (u === "quarter") return utc(y, mo - mo % 3, 1);
    if (u === "month") return utc(y, mo, 1);
    if (u === "week") return utc(y, mo, d - at.getUTCDay());
    if (u === "isoWeek") return utc(y, mo, d - (at.getUTCDay() + 6) % 7);
    if (u === "day" || u === "date") return utc(y, mo, d);
    if (u in MS) return Math.floor(wall / MS[u]) * MS[u];
    return wall;
  }

  function monthsBetween(a, b) {
    const [x, y] = [new Date(wallOf(a)), new Date(wallOf(b))];
    if (x.getUTCDate() < y.getUTCDate()) return -monthsBetween(b, a);
    const whole = (y.getUTCFullYear() - x.getUTCFullYear()) * 12 + y.getUTCMonth() - x.getUTCMonth();
    const anchor = a.clone();
    addMonths(anchor, whole);
    const other = a.clone();
    const isBefore = b.time_ - anchor.time_ < 0;
    addMonths(other, whole + (isBefore ? -1 : 1));
    const span = isBefore ? anchor.time_ - other.time_ : other.time_ - anchor.time_;
    return -(whole + (b.time_ - anchor.time_) / span) || 0;
  }

  const whole = function (value) { return value < 0 ? Math.ceil(value) || 0 : Math.floor(value); };

  function like(m, input) {
    const other = input instanceof Moment ? input : create(input, undefined, false, m.utc_);
    return made(other.time_, m.zone_, m.utc_);
  }

  const RELATIVE = function (seconds, minutes, hours, days, months, years) {
    if (seconds < 45) return "a few seconds";
    if (minutes <= 1) return "a minute";
    if (minutes < 45) return minutes + " minutes";
    if (hours <= 1) return "an hour";
    if (hours < 22) return hours + " hours";
    if (days <= 1) return "a day";
    if (days < 26) return days + " days";
    if (months <= 1) return "a month";
    if (months < 11) return months + " months";
    if (years <= 1) return "a year";
    return years + " years";
  };

  const FIELDS = {
    year: function (at) { return at.getUTCFullYear(); }, month: function (at) { return at.getUTCMonth(); },
    date: function (at) { return at.getUTCDate(); }, day: function (at) { return at.getUTCDay(); },
    hour: function (at) { return at.getUTCHours(); }, minute: function (at) { return at.getUTCMinutes(); },
    second: function (at) { return at.getUTCSeconds(); }, millisecond: function (at) { return at.getUTCMilliseconds(); },
    quarter: function (at) { return Math.floor(at.getUTCMonth() / 3) + 1; },
    week: function (at) { return week(at.getTime()).week; }, isoWeek: function (at) { return isoWeek(at.getTime()).week; },
    weekday: function (at) { return at.getUTCDay(); }, isoWeekday: function (at) { return at.getUTCDay() || 7; },
    weekYear: function (at) { return week(at.getTime()).year; }, isoWeekYear: function (at) { return isoWeek(at.getTime()).year; },
    dayOfYear: function (at) { return Math.floor((at.getTime() - utc(at.getUTCFullYear(), 0, 1)) / MS.day) + 1; },
  };

  function setField(m, name, given) {
    const at = new Date(wallOf(m));
    let value = given;
    const index = function (names) { return names.findIndex(function (n) { return n.slice(0, 3).toLowerCase() === String(given).slice(0, 3).toLowerCase(); }); };
    if (typeof given === "string" && isNaN(given)) value = name === "month" ? index(MONTHS) : index(DAYS);
    value = Number(value);
    const held = FIELDS[name](at);
    if (name === "month") addMonths(m, value - held);
    else if (name === "year") addMonths(m, (value - held) * 12);
    else if (name === "quarter") addMonths(m, (value - held) * 3);
    else if (["date", "day", "weekday", "isoWeekday", "dayOfYear"].indexOf(name) >= 0) setWall(m, wallOf(m) + (value - held) * MS.day);
    else if (name === "week" || name === "isoWeek") setWall(m, wallOf(m) + (value - held) * MS.week);
    else if (name in MS) setWall(m, wallOf(m) + (value - held) * MS[name]);
    else throw kit.absent("moment().set(" + kit.inspect(name) + ")");
    return m;
  }

  const methods = {
    clone() { return made(this.time_, this.zone_, this.utc_); },
    isValid() { return !isNaN(this.time_); },
    valueOf() { return this.time_; },
    unix() { return Math.floor(this.time_ / 1000); },
    toDate() { return new Date(this.time_); },
    toISOString(keepOffset) {
      if (isNaN(this.time_)) return null;
      return keepOffset === true ? formatted(this, "YYYY-MM-DD[T]HH:mm:ss.SSSZ") : new Date(this.time_).toISOString();
    },
    toJSON() { return this.toISOString(); },
    toString() { return formatted(this, "ddd MMM DD YYYY HH:mm:ss [GMT]ZZ"); },
    inspect() {
      if (!this.utc_) return "moment(\"" + this.format("YYYY-MM-DD[T]HH:mm:ss.SSS") + "\")";
      return (this.isUTC() ? "moment.utc" : "moment.parseZone") + "(\"" + this.format("YYYY-MM-DD[T]HH:mm:ss.SSSZ") + "\")";
    },
    toArray() { const m = this; return ["year", "month", "date", "hour", "minute", "second", "millisecond"].map(function (n) { return m.get(n); }); },
    toObject() {
      const [years, months, date, hours, minutes, seconds, milliseconds] = this.toArray();
      return { years, months, date, hours, minutes, seconds, milliseconds };
    },
    format(text) { return formatted(this, !text ? (this.isUTC() ? "YYYY-MM-DD[T]HH:mm:ss[Z]" : "YYYY-MM-DD[T]HH:mm:ssZ") : String(text)); },
    add(amount, name) { return shift(this, amount, name, 1); },
    subtract(amount, name) { return shift(this, amount, name, -1); },
    startOf(name) { setWall(this, startOf(this, name)); return this; },
    endOf(name) {
      const u = unit(name);
      const next = this.clone().startOf(u);
      shift(next, 1, u === "isoWeek" ? "week" : u === "date" ? "day" : u, 1);
      this.time_ = next.time_ - 1;
      return this;
    },
    diff(input, name, isExact) {
      const other = like(this, input);
      const u = name === undefined ? "millisecond" : unit(name);
      let held;
      if (u === "year") held = monthsBetween(this, other) / 12;
      else if (u === "quarter") held = monthsBetween(this, other) / 3;
      else if (u === "month") held = monthsBetween(this, other);
      else if (u === "day" || u === "week") held = (wallOf(this) - wallOf(other)) / MS[u];
      else held = (this.time_ - other.time_) / (MS[u] || 1);
      return isExact ? held : whole(held);
    },
    isBefore(input, name) {
      const other = like(this, input);
      return name == null ? this.time_ < other.time_ : this.clone().endOf(name).time_ < other.time_;
    },
    isAfter(input, name) {
      const other = like(this, input);
      return name == null ? this.time_ > other.time_ : this.clone().startOf(name).time_ > other.time_;
    },
    isSame(input, name) {
      const other = like(this, input);
      if (name == null) return this.time_ === other.time_;
      return this.clone().startOf(name).time_ <= other.time_ && other.time_ <= this.clone().endOf(name).time_;
    },
    isSameOrBefore(input, name) { return this.isSame(input, name) || this.isBefore(input, name); },
    isSameOrAfter(input, name) { return this.isSame(input, name) || this.isAfter(input, name); },
    isBetween(from, to, name, ends) {
      const edges = ends || "()";
      const isIn = edges[0] === "(" ? this.isAfter(from, name) : !this.isBefore(from, name);
      return isIn && (edges[1] === ")" ? this.isBefore(to, name) : !this.isAfter(to, name));
    },
    utc(keep) { const wall = wallOf(this); this.zone_ = 0; this.utc_ = true; if (keep) setWall(this, wall); return this; },
    local(keep) { const wall = wallOf(this); this.zone_ = null; this.utc_ = false; if (keep) setWall(this, wall); return this; },
    utcOffset(minutes, keep) {
      if (minutes === undefined) return offsetOf(this);
      const wall = wallOf(this);
      this.zone_ = typeof minutes === "string" ? zoneOf(minutes) : Math.abs(minutes) < 16 ? minutes * 60 : minutes;
      this.utc_ = true;
      if (keep) setWall(this, wall);
      return this;
    },
    parseZone() { return this; },
    isUTC() { return this.utc_ && this.zone_ === 0; },
    isUtc() { return this.isUTC(); },
    isLocal() { return this.zone_ === null; },
    isDST() { return false; },
    isLeapYear() { return daysIn(this.year(), 1) === 29; },
    daysInMonth() { return daysIn(this.year(), this.month()); },
    weeksInYear() { return week(utc(this.weekYear() + 1, 0, 1) - MS.week).week; },
    isoWeeksInYear() { return isoWeek(utc(this.year(), 11, 28)).week; },
    locale(name) { return name === undefined ? "en" : this; },
    get(name) { const u = unit(name); return this[u](); },
    set(name, value) {
      const m = this;
      if (typeof name === "object") { Object.keys(name).forEach(function (key) { m.set(key, name[key]); }); return m; }
      return setField(m, unit(name), value);
    },
    from(input, isBare) { return duration(this.time_ - like(this, input).time_).humanize(!isBare); },
    to(input, isBare) { return duration(like(this, input).time_ - this.time_).humanize(!isBare); },
    fromNow(isBare) { return this.from(Date.now(), isBare); },
    toNow(isBare) { return this.to(Date.now(), isBare); },
  };

  Moment.prototype = Object.create(kit.namer("moment().", Object.prototype), { constructor: { value: Moment } });
  const install = function (target, name, value) {
    Object.defineProperty(target, name, { value: value, writable: true, configurable: true });
  };
  Object.keys(methods).forEach(function (name) { install(Moment.prototype, name, methods[name]); });
  Object.keys(FIELDS).forEach(function (name) {
    const access = function (value) {
      return value === undefined ? (isNaN(this.time_) ? NaN : FIELDS[name](new Date(wallOf(this)))) : setField(this, name, value);
    };
    install(Moment.prototype, name, access);
    install(Moment.prototype, name + "s", access);
  });
  ["weekdays", "isoWeekdays", "weekYears", "isoWeekYears", "dayOfYears"].forEach(function (name) { delete Moment.prototype[name]; });

  // ---- durations

  function Duration(months, days, ms) { this.months_ = months; this.days_ = days; this.ms_ = ms; }

  const ISO_DURATION = /^(-|\+)?P(?:([-+]?[\d.,]+)Y)?(?:([-+]?[\d.,]+)M)?(?:([-+]?[\d.,]+)W)?(?:([-+]?[\d.,]+)D)?(?:T(?:([-+]?[\d.,]+)H)?(?:([-+]?[\d.,]+)M)?(?:([-+]?[\d.,]+)S)?)?$/;

  function duration(amount, name) {
    const d = new Duration(0, 0, 0);
    const more = function (value, key) {
      const u = unit(key);
      const n = Number(value) || 0;
      if (u === "year") d.months_ += n * 12;
      else if (u === "quarter") d.months_ += n * 3;
      else if (u === "month") d.months_ += n;
      else if (u === "week" || u === "isoWeek") d.days_ += n * 7;
      else if (u === "day" || u === "date") d.days_ += n;
      else if (u in MS) d.ms_ += n * MS[u];
    };
    if (amount instanceof Duration) return new Duration(amount.months_, amount.days_, amount.ms_);
    if (amount !== null && typeof amount === "object") Object.keys(amount).forEach(function (key) { more(amount[key], key); });
    else if (typeof amount === "string" && name === undefined) {
      const iso = ISO_DURATION.exec(amount);
      const clock = /^(-)?(?:(\d+)[. ])?(\d+):(\d+)(?::(\d+)(?:\.(\d+))?)?$/.exec(amount);
      const sign = (iso || clock || [])[1] === "-" ? -1 : 1;
      if (iso) ["year", "month", "week", "day", "hour", "minute", "second"].forEach(function (u, i) { more(sign * Number(String(iso[i + 2] || 0).replace(",", ".")), u); });
      else if (clock) {
        ["day", "hour", "minute", "second"].forEach(function (u, i) { more(sign * Number(clock[i + 2] || 0), u); });
        d.ms_ += sign * fraction(clock[6]);
      } else more(amount, "ms");
    } else more(amount === undefined ? 0 : amount, name === undefined ? "ms" : name);
    return d;
  }

  const monthsOfDays = function (days) { return days * 4800 / 146097; };
  const daysOfMonths = function (months) { return months * 146097 / 4800; };
  const sizeIn = function (d, name) {
    const u = unit(name);
    const days = d.days_ + d.ms_ / MS.day;
    if (u === "month" || u === "quarter" || u === "year") return (d.months_ + monthsOfDays(days)) / { month: 1, quarter: 3, year: 12 }[u];
    return (d.days_ + Math.round(daysOfMonths(d.months_))) * MS.day / (MS[u] || 1) + d.ms_ / (MS[u] || 1);
  };
  // Years, months, days, hours, ... as Moment lets one bubble up into the next.
  const bubbled = function (d) {
    let [months, days, ms] = [d.months_, d.days_, d.ms_];
    if (!(ms >= 0 && days >= 0 && months >= 0 || ms <= 0 && days <= 0 && months <= 0)) {
      ms += Math.ceil(daysOfMonths(months) + days) * MS.day;
      days = 0;
      months = 0;
    }
    days += whole(ms / MS.day);
    ms %= MS.day;
    const more = whole(monthsOfDays(days));
    months += more;
    days -= (more < 0 ? -1 : 1) * Math.ceil(Math.abs(daysOfMonths(more)));
    return { years: whole(months / 12), months: months % 12, days: days, hours: whole(ms / MS.hour),
      minutes: whole(ms / MS.minute) % 60, seconds: whole(ms / MS.second) % 60, milliseconds: ms % 1000 };
  };

  const durationMethods = {
    clone() { return duration(this); },
    add(amount, name) { const o = duration(amount, name); this.months_ += o.months_; this.days_ += o.days_; this.ms_ += o.ms_; return this; },
    subtract(amount, name) { const o = duration(amount, name); this.months_ -= o.months_; this.days_ -= o.days_; this.ms_ -= o.ms_; return this; },
    as(name) { return sizeIn(this, name); },
    get(name) { return this[unit(name) + "s"](); },
    weeks() { return whole(bubbled(this).days / 7); },
    valueOf() { return sizeIn(this, "ms"); },
    abs() { return new Duration(Math.abs(this.months_), Math.abs(this.days_), Math.abs(this.ms_)); },
    isValid() { return true; },
    humanize(isSuffixed) {
      const size = duration(this).abs();
      const text = RELATIVE.apply(null, ["s", "m", "h", "d", "M", "y"].map(function (u) { return Math.round(sizeIn(size, u)); }));
      if (isSuffixed !== true) return text;
      return sizeIn(this, "ms") > 0 ? "in " + text : text + " ago";
    },
    toISOString() {
      const size = this.abs();
      if (!sizeIn(this, "ms")) return "P0D";
      const b = { years: whole(size.months_ / 12), months: size.months_ % 12, days: size.days_,
        hours: whole(size.ms_ / MS.hour), minutes: whole(size.ms_ / MS.minute) % 60, seconds: whole(size.ms_ / 1000) % 60,
        milliseconds: size.ms_ % 1000 };
      const seconds = b.seconds + b.milliseconds / 1000;
      const clock = (b.hours ? b.hours + "H" : "") + (b.minutes ? b.minutes + "M" : "") + (seconds ? String(Number(seconds.toFixed(3))) + "S" : "");
      return (sizeIn(this, "ms") < 0 ? "-" : "") + "P" + (b.years ? b.years + "Y" : "") + (b.months ? b.months + "M" : "")
        + (b.days ? b.days + "D" : "") + (clock ? "T" + clock : "");
    },
    toJSON() { return this.toISOString(); },
    toString() { return this.toISOString(); },
  };
  Duration.prototype = Object.create(kit.namer("moment.duration().", Object.prototype), { constructor: { value: Duration } });
  Object.keys(durationMethods).forEach(function (name) { install(Duration.prototype, name, durationMethods[name]); });
  ["years", "months", "days", "hours", "minutes", "seconds", "milliseconds"].forEach(function (name) {
    install(Duration.prototype, name, function () { return bubbled(this)[name]; });
  });
  ["Years", "Quarters", "Months", "Weeks", "Days", "Hours", "Minutes", "Seconds", "Milliseconds"].forEach(function (name) {
    install(Duration.prototype, "as" + name, function () { return sizeIn(this, name.toLowerCase()); });
  });

  // ---- moment itself

  const pickFormat = function (args) { return args.filter(function (one) { return typeof one !== "string" || one.length !== 2 || one !== "en"; }); };
  function moment(input, format) {
    const rest = pickFormat(Array.prototype.slice.call(arguments, 2));
    return create(input, format, rest.indexOf(true) >= 0, false);
  }
  const extremeOf = function (isBetter) {
    return function () {
      const all = Array.isArray(arguments[0]) ? arguments[0] : Array.prototype.slice.call(arguments);
      return all.reduce(function (best, one) { return isBetter(one.time_, best.time_) ? one : best; });
    };
  };
  const listing = function (names, width) { return function (at) { const all = names.map(function (n) { return n.slice(0, width); }); return at === undefined ? all : all[at]; }; };
  Object.assign(moment, {
    version: "2.29.4",
    ISO_8601: function () {},
    RFC_2822: function () {},
    HTML5_FMT: { DATETIME_LOCAL: "YYYY-MM-DDTHH:mm", DATE: "YYYY-MM-DD", TIME: "HH:mm", MONTH: "YYYY-MM", WEEK: "GGGG-[W]WW" },
    utc: function (input, format) { return create(input, format, Array.prototype.slice.call(arguments, 2).indexOf(true) >= 0, true); },
    unix: function (seconds) { return made(seconds * 1000, null, false); },
    parseZone: function (text) {
      const read = readIso(String(text)) || readRfc(String(text)) || { wall: NaN, zone: null };
      const zone = read.zone === null ? 0 : read.zone;
      return made(read.wall - zone * 6e4, zone, true);
    },
    now: function () { return Date.now(); },
    duration: duration,
    isMoment: function (value) { return value instanceof Moment; },
    isDuration: function (value) { return value instanceof Duration; },
    isDate: function (value) { return value instanceof Date; },
    invalid: function () { return made(NaN, null, false); },
    max: extremeOf(function (a, b) { return a > b; }),
    min: extremeOf(function (a, b) { return a < b; }),
    locale: function () { return "en"; },
    months: listing(MONTHS, 20), monthsShort: listing(MONTHS, 3),
    weekdays: listing(DAYS, 20), weekdaysShort: listing(DAYS, 3), weekdaysMin: listing(DAYS, 2),
    normalizeUnits: function (name) { return unit(name); },
  });
  Object.setPrototypeOf(moment, kit.namer("moment.", Function.prototype));
  moment.fn = Moment.prototype;

  kit.moment = moment;
});
