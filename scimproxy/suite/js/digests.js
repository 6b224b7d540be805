// Digests, AES and base64, written from RFC 1321, FIPS 180-4, RFC 2104, FIPS 197 and RFC 4648, under the names
// that CryptoJS gives them. Inside everything is an array of bytes; WordArray is only how it is shown.
(function (kit) {
  "use strict";

  // ---- text and bytes

  function utf8(text) {
    const bytes = [];
    for (const sign of String(text)) {
      let code = sign.codePointAt(0);
      if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
      if (code < 0x80) bytes.push(code);
      else if (code < 0x800) bytes.push(0xc0 | code >> 6, 0x80 | code & 63);
      else if (code < 0x10000) bytes.push(0xe0 | code >> 12, 0x80 | code >> 6 & 63, 0x80 | code & 63);
      else bytes.push(0xf0 | code >> 18, 0x80 | code >> 12 & 63, 0x80 | code >> 6 & 63, 0x80 | code & 63);
    }
    return bytes;
  }

  function latin1(text) {
    return Array.from(String(text), function (sign) { return sign.charCodeAt(0) & 255; });
  }

  function binary(bytes) {
    let text = "";
    for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode.apply(null, bytes.slice(i, i + 4096));
    return text;
  }

  function fromUtf8(bytes) {
    try {
      return decodeURIComponent(bytes.map(function (b) { return "%" + (b < 16 ? "0" : "") + b.toString(16); }).join(""));
    } catch (_) {
      throw new Error("Malformed UTF-8 data");
    }
  }

  const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

  function toBase64(bytes) {
    const parts = [];
    for (let i = 0; i < bytes.length; i += 3) {
      const word = bytes[i] << 16 | (bytes[i + 1] || 0) << 8 | (bytes[i + 2] || 0);
      parts.push(LETTERS[word >> 18 & 63] + LETTERS[word >> 12 & 63]
        + (i + 1 < bytes.length ? LETTERS[word >> 6 & 63] : "=") + (i + 2 < bytes.length ? LETTERS[word & 63] : "="));
    }
    return parts.join("");
  }

  // Takes the URL alphabet and missing padding too.
  function fromBase64(text) {
    const clean = String(text).replace(/\s+/g, "").replace(/-/g, "+").replace(/_/g, "/").replace(/=+$/, "");
    if (/[^A-Za-z0-9+/]/.test(clean) || clean.length % 4 === 1) throw new Error("this is not base64");
    const bytes = [];
    let held = 0;
    let bits = 0;
    for (let i = 0; i < clean.length; i += 1) {
      held = (held << 6 | LETTERS.indexOf(clean[i])) & 0xffff;
      bits += 6;
      if (bits >= 8) {
        bits -= 8;
        bytes.push(held >> bits & 255);
      }
    }
    return bytes;
  }

  // ---- digests

  const rotl = function (x, n) { return x << n | x >>> 32 - n; };
  const rotr = function (x, n) { return x >>> n | x << 32 - n; };

  // The message with its 1 bit, its zeros and its length, as 32-bit words.
  function padded(bytes, isBig) {
    const size = (bytes.length + 8 >> 6) + 1 << 4;
    const words = new Array(size).fill(0);
    for (let i = 0; i < bytes.length; i += 1) words[i >> 2] |= bytes[i] << (isBig ? 24 - i % 4 * 8 : i % 4 * 8);
    words[bytes.length >> 2] |= 128 << (isBig ? 24 - bytes.length % 4 * 8 : bytes.length % 4 * 8);
    const high = Math.floor(bytes.length / 0x20000000);
    const low = bytes.length << 3;
    words[size - 2] = isBig ? high : low;
    words[size - 1] = isBig ? low : high;
    return words;
  }

  function spread(words, isBig) {
    const bytes = [];
    words.forEach(function (word) {
      const four = [word >>> 24, word >>> 16 & 255, word >>> 8 & 255, word & 255];
      bytes.push.apply(bytes, isBig ? four : four.reverse());
    });
    return bytes;
  }

  const MD5_TURNS = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
  const MD5_SINES = Array.from({ length: 64 }, function (_, i) { return Math.floor(Math.abs(Math.sin(i + 1)) * 4294967296) | 0; });

  function md5(bytes) {
    const words = padded(bytes, false);
    let sum = [0x67452301, 0xefcdab89 | 0, 0x98badcfe | 0, 0x10325476];
    for (let at = 0; at < words.length; at += 16) {
      let [a, b, c, d] = sum;
      for (let i = 0; i < 64; i += 1) {
        const round = i >> 4;
        const f = [b & c | ~b & d, d & b | ~d & c, b ^ c ^ d, c ^ (b | ~d)][round];
        const g = [i, 5 * i + 1, 3 * i + 5, 7 * i][round] & 15;
        const turned = rotl(a + f + MD5_SINES[i] + words[at + g] | 0, MD5_TURNS[round][i & 3]);
        [a, d, c, b] = [d, c, b, b + turned | 0];
      }
      sum = [sum[0] + a | 0, sum[1] + b | 0, sum[2] + c | 0, sum[3] + d | 0];
    }
    return spread(sum, false);
  }

  function sha1(bytes) {
    const words = padded(bytes, true);
    const sum = [0x67452301, 0xefcdab89 | 0, 0x98badcfe | 0, 0x10325476, 0xc3d2e1f0 | 0];
    const w = new Int32Array(80);
    for (let at = 0; at < words.length; at += 16) {
      for (let t = 0; t < 80; t += 1) w[t] = t < 16 ? words[at + t] : rotl(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
      let [a, b, c, d, e] = sum;
      for (let t = 0; t < 80; t += 1) {
        let f = b ^ c ^ d;
        let k = 0xca62c1d6;
        if (t < 20) { f = b & c | ~b & d; k = 0x5a827999; } else if (t < 40) k = 0x6ed9eba1;
        else if (t < 60) { f = b & c | b & d | c & d; k = 0x8f1bbcdc; }
        const next = rotl(a, 5) + f + e + k + w[t] | 0;
        e = d; d = c; c = rotl(b, 30); b = a; a = next;
      }
      [a, b, c, d, e].forEach(function (x, i) { sum[i] = sum[i] + x | 0; });
    }
    return spread(sum, true);
  }

  // The first 32 bits of the fractions of the roots of the first primes (FIPS 180-4, 4.2.2 and 5.3.3).
  const PRIMES = [];
  for (let n = 2; PRIMES.length < 64; n += 1) if (PRIMES.every(function (p) { return n % p; })) PRIMES.push(n);
  const fraction = function (x) { return (x - Math.floor(x)) * 4294967296 | 0; };
  const SHA256_K = PRIMES.map(function (p) { return fraction(Math.cbrt(p)); });
  const SHA256_H = PRIMES.slice(0, 8).map(function (p) { return fraction(Math.sqrt(p)); });

  function sha256(bytes) {
    const words = padded(bytes, true);
    const sum = SHA256_H.slice();
    const w = new Int32Array(64);
    for (let at = 0; at < words.length; at += 16) {
      for (let t = 0; t < 64; t += 1) {
        if (t < 16) { w[t] = words[at + t]; continue; }
        const x = w[t - 15];
        const y = w[t - 2];
        w[t] = w[t - 16] + (rotr(x, 7) ^ rotr(x, 18) ^ x >>> 3) + w[t - 7] + (rotr(y, 17) ^ rotr(y, 19) ^ y >>> 10);
      }
      let [a, b, c, d, e, f, g, h] = sum;
      for (let t = 0; t < 64; t += 1) {
        const one = h + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + (e & f ^ ~e & g) + SHA256_K[t] + w[t] | 0;
        const two = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + (a & b ^ a & c ^ b & c) | 0;
        h = g; g = f; f = e; e = d + one | 0; d = c; c = b; b = a; a = one + two | 0;
      }
      [a, b, c, d, e, f, g, h].forEach(function (x, i) { sum[i] = sum[i] + x | 0; });
    }
    return spread(sum, true);
  }

  function hmac(digest, message, key) {
    const block = (key.length > 64 ? digest(key) : key).slice();
    while (block.length < 64) block.push(0);
    const mixed = function (mask) { return block.map(function (b) { return b ^ mask; }); };
    return digest(mixed(0x5c).concat(digest(mixed(0x36).concat(message))));
  }

  // ---- AES (FIPS 197); the tables are computed once

  const doubled = function (x) { return x << 1 ^ (x & 128 ? 0x11b : 0); };
  const SBOX = new Uint8Array(256);
  const UNBOX = new Uint8Array(256);
  const MULTIPLES = { 2: new Uint8Array(256), 3: new Uint8Array(256), 9: new Uint8Array(256), 11: new Uint8Array(256),
    13: new Uint8Array(256), 14: new Uint8Array(256) };

  function fillTables() {
    const times = function (x, y) {
      let sum = 0;
      for (let a = x, b = y; b; b >>= 1, a = doubled(a)) if (b & 1) sum ^= a;
      return sum;
    };
    const power = [1];
    for (let i = 1; i < 255; i += 1) power.push(times(power[i - 1], 3));
    for (let i = 0; i < 256; i += 1) {
      const inverse = i === 0 ? 0 : power[(255 - power.indexOf(i)) % 255];
      let s = 0x63;
      for (let turn = 0; turn < 5; turn += 1) s ^= (inverse << turn | inverse >> 8 - turn) & 255;
      SBOX[i] = s;
      UNBOX[s] = i;
      Object.keys(MULTIPLES).forEach(function (n) { MULTIPLES[n][i] = times(i, Number(n)); });
    }
  }

  function roundKeys(key) {
    if (!SBOX[1]) fillTables();
    const n = key.length / 4;
    const words = [];
    let constant = 1;
    for (let i = 0; i < 4 * (n + 7); i += 1) {
      if (i < n) { words.push(key.slice(4 * i, 4 * i + 4)); continue; }
      let last = words[i - 1].slice();
      if (i % n === 0) {
        last = [last[1], last[2], last[3], last[0]].map(function (b) { return SBOX[b]; });
        last[0] ^= constant;
        constant = doubled(constant);
      } else if (n > 6 && i % n === 4) last = last.map(function (b) { return SBOX[b]; });
      words.push(words[i - n].map(function (b, j) { return b ^ last[j]; }));
    }
    return [].concat.apply([], words);
  }

  function addKey(block, keys, round) {
    for (let i = 0; i < 16; i += 1) block[i] ^= keys[round * 16 + i];
  }

  function mix(block, one, two, three, four) {
    for (let i = 0; i < 16; i += 4) {
      const [a, b, c, d] = block.slice(i, i + 4);
      block[i] = one[a] ^ two[b] ^ three[c] ^ four[d];
      block[i + 1] = four[a] ^ one[b] ^ two[c] ^ three[d];
      block[i + 2] = three[a] ^ four[b] ^ one[c] ^ two[d];
      block[i + 3] = two[a] ^ three[b] ^ four[c] ^ one[d];
    }
  }

  const SAME = Uint8Array.from({ length: 256 }, function (_, i) { return i; });

  function encryptBlock(given, keys) {
    let block = given.slice();
    const rounds = keys.length / 16 - 1;
    addKey(block, keys, 0);
    for (let round = 1; round <= rounds; round += 1) {
      block = block.map(function (_, i) { return SBOX[block[(i + 4 * (i % 4)) % 16]]; });
      if (round < rounds) mix(block, MULTIPLES[2], MULTIPLES[3], SAME, SAME);
      addKey(block, keys, round);
    }
    return block;
  }

  function decryptBlock(given, keys) {
    let block = given.slice();
    for (let round = keys.length / 16 - 1; round > 0; round -= 1) {
      addKey(block, keys, round);
      if (round < keys.length / 16 - 1) mix(block, MULTIPLES[14], MULTIPLES[11], MULTIPLES[13], MULTIPLES[9]);
      block = block.map(function (_, i) { return UNBOX[block[(i + 12 * (i % 4)) % 16]]; });
    }
    addKey(block, keys, 0);
    return block;
  }

  // ---- the names of CryptoJS

  function WordArray(bytes) { this.bytes_ = bytes; }
  const wordArray = function (bytes) { return new WordArray(bytes); };

  const encoders = {
    Hex: {
      stringify(words) { return bytesOf(words).map(function (b) { return (b < 16 ? "0" : "") + b.toString(16); }).join(""); },
      parse(text) {
        const bytes = [];
        for (let i = 0; i < text.length; i += 2) bytes.push(parseInt(text.substr(i, 2), 16) & 255);
        return wordArray(bytes);
      },
    },
    Base64: { stringify(words) { return toBase64(bytesOf(words)); }, parse(text) { return wordArray(fromBase64(text)); } },
    Utf8: { stringify(words) { return fromUtf8(bytesOf(words)); }, parse(text) { return wordArray(utf8(text)); } },
    Latin1: { stringify(words) { return binary(bytesOf(words)); }, parse(text) { return wordArray(latin1(text)); } },
  };

  // A WordArray, or a text in UTF-8: both are what CryptoJS takes as a message or key.
  function bytesOf(value) {
    if (value instanceof WordArray) return value.bytes_;
    if (typeof value === "string") return utf8(value);
    throw new TypeError("CryptoJS: expected a text or a WordArray, not " + kit.inspect(value, 60));
  }

  WordArray.prototype = Object.create(kit.namer("CryptoJS WordArray.", Object.prototype), {
    constructor: { value: WordArray },
    words: { get() {
      const words = [];
      this.bytes_.forEach(function (b, i) { words[i >> 2] = (words[i >> 2] || 0) | b << 24 - i % 4 * 8; });
      return words;
    } },
    sigBytes: { get() { return this.bytes_.length; }, set(size) { this.bytes_ = this.bytes_.slice(0, size); } },
    toString: { value(encoder) { return (encoder || encoders.Hex).stringify(this); } },
    concat: { value(other) { this.bytes_ = this.bytes_.concat(bytesOf(other)); return this; } },
    clone: { value() { return wordArray(this.bytes_.slice()); } },
    clamp: { value() { return this; } },
    toJSON: { value() { return this.toString(); } },
  });

  const randomBytes = function (count) {
    return Array.from({ length: count }, function () { return Math.floor(Math.random() * 256); });
  };

  const modes = { CBC: { name: "CBC" }, ECB: { name: "ECB" }, CTR: { name: "CTR" } };
  const paddings = { Pkcs7: { name: "Pkcs7" }, NoPadding: { name: "NoPadding" }, ZeroPadding: { name: "ZeroPadding" } };

  function CipherParams(members) { Object.assign(this, members); }
  CipherParams.prototype = Object.create(kit.namer("CryptoJS CipherParams.", Object.prototype), {
    constructor: { value: CipherParams },
    salt: { value: undefined, writable: true },
    toString: { value() {
      const salted = this.salt ? latin1("Salted__").concat(bytesOf(this.salt)) : [];
      return toBase64(salted.concat(bytesOf(this.ciphertext)));
    } },
    toJSON: { value() { return this.toString(); } },
  });

  // OpenSSL's way from a passphrase to a key of 256 bits and an IV.
  function derived(passphrase, salt) {
    let last = [];
    let all = [];
    while (all.length < 48) {
      last = md5(last.concat(utf8(passphrase), salt));
      all = all.concat(last);
    }
    return { key: all.slice(0, 32), iv: all.slice(32, 48) };
  }

  function settings(key, options, salt) {
    const given = options || {};
    const made = { mode: (given.mode || modes.CBC).name, padding: (given.padding || paddings.Pkcs7).name };
    if (typeof key === "string") return Object.assign(made, derived(key, salt));
    made.key = bytesOf(key);
    if ([16, 24, 32].indexOf(made.key.length) < 0) {
      throw new Error("CryptoJS.AES: a key has 16, 24 or 32 bytes, not " + made.key.length);
    }
    if (made.mode !== "ECB" && !given.iv) throw new Error("CryptoJS.AES: a key that is not a passphrase needs options.iv");
    made.iv = given.iv ? bytesOf(given.iv).slice(0, 16) : [];
    while (made.iv.length < 16) made.iv.push(0);
    return made;
  }

  const xor = function (a, b) { return a.map(function (x, i) { return x ^ b[i]; }); };

  function counted(counter) {
    const next = counter.slice();
    for (let i = 15; i >= 12; i -= 1) {
      next[i] = next[i] + 1 & 255;
      if (next[i]) break;
    }
    return next;
  }

  function ciphered(bytes, how, isDecrypting) {
    const keys = roundKeys(how.key);
    const out = [];
    let chain = how.iv;
    for (let i = 0; i < bytes.length; i += 16) {
      const block = bytes.slice(i, i + 16);
      let made;
      if (how.mode === "CTR") {
        made = xor(block, encryptBlock(chain, keys));
        chain = counted(chain);
      } else if (block.length < 16) {
        throw new Error("CryptoJS.AES: without padding the length is a multiple of 16 bytes");
      } else if (isDecrypting) {
        made = decryptBlock(block, keys);
        if (how.mode === "CBC") { made = xor(made, chain); chain = block; }
      } else {
        made = encryptBlock(how.mode === "CBC" ? xor(block, chain) : block, keys);
        chain = made;
      }
      out.push.apply(out, made);
    }
    return out;
  }

  const AES = {
    encrypt(message, key, options) {
      const salt = typeof key === "string" ? (options && options.salt ? bytesOf(options.salt) : randomBytes(8)) : null;
      const how = settings(key, options, salt);
      const bytes = bytesOf(message).slice();
      if (how.padding === "Pkcs7") {
        const missing = 16 - bytes.length % 16;
        for (let i = 0; i < missing; i += 1) bytes.push(missing);
      } else if (how.padding === "ZeroPadding") while (bytes.length % 16) bytes.push(0);
      const made = { ciphertext: wordArray(ciphered(bytes, how, false)), key: wordArray(how.key), iv: wordArray(how.iv) };
      if (salt) made.salt = wordArray(salt);
      return new CipherParams(made);
    },
    decrypt(cipher, key, options) {
      let bytes;
      let salt = [];
      if (typeof cipher === "string") bytes = fromBase64(cipher);
      else {
        bytes = bytesOf(cipher.ciphertext);
        if (cipher.salt) salt = bytesOf(cipher.salt);
      }
      if (typeof cipher === "string" && binary(bytes.slice(0, 8)) === "Salted__") {
        salt = bytes.slice(8, 16);
        bytes = bytes.slice(16);
      }
      const how = settings(key, options, salt);
      const plain = ciphered(bytes, how, true);
      if (how.padding === "Pkcs7") plain.length -= Math.min(plain.length, plain[plain.length - 1] || 0);
      if (how.padding === "ZeroPadding") while (plain.length && !plain[plain.length - 1]) plain.pop();
      return wordArray(plain);
    },
  };

  const known = {
    MD5: function (message) { return wordArray(md5(bytesOf(message))); },
    SHA1: function (message) { return wordArray(sha1(bytesOf(message))); },
    SHA256: function (message) { return wordArray(sha256(bytesOf(message))); },
    HmacMD5: function (message, key) { return wordArray(hmac(md5, bytesOf(message), bytesOf(key))); },
    HmacSHA1: function (message, key) { return wordArray(hmac(sha1, bytesOf(message), bytesOf(key))); },
    HmacSHA256: function (message, key) { return wordArray(hmac(sha256, bytesOf(message), bytesOf(key))); },
    AES: named("CryptoJS.AES.", AES),
    enc: named("CryptoJS.enc.", encoders),
    mode: named("CryptoJS.mode.", modes),
    pad: named("CryptoJS.pad.", paddings),
    lib: named("CryptoJS.lib.", {
      WordArray: {
        create(words, size) {
          const all = spread(words || [], true);
          return wordArray(size === undefined ? all : all.slice(0, size));
        },
        random(count) { return wordArray(randomBytes(count)); },
      },
      CipherParams: { create(members) { return new CipherParams(members); } },
    }),
  };

  function named(prefix, members) { return Object.assign(Object.create(kit.namer(prefix, Object.prototype)), members); }

  kit.CryptoJS = named("CryptoJS.", known);
  kit.encodeBase64 = function (value) { return toBase64(utf8(value)); };
  kit.decodeBase64 = function (value) {
    const bytes = fromBase64(value);
    try { return fromUtf8(bytes); } catch (_) { return binary(bytes); }
  };
  kit.btoa = function (value) {
    const text = String(value);
    return toBase64(/[^\u0000-\u00ff]/.test(text) ? utf8(text) : latin1(text));
  };
  kit.atob = function (value) { return binary(fromBase64(value)); };
});
