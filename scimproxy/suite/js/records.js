// xmltojson: an XML document as JSON text. Elements become members (a list where they repeat), attributes members
// with a "-" before their name, text beside them "#text". Names keep their prefixes; entities are never fetched.
(function (kit) {
  "use strict";

  const NAMED = { lt: "<", gt: ">", amp: "&", quot: "\"", apos: "'" };
  const DEEPEST = 200;

  function plain(text) {
    return text.replace(/&(?:#x([0-9a-fA-F]{1,6})|#(\d{1,7})|(\w+));/g, function (whole, hex, decimal, name) {
      if (name) return Object.prototype.hasOwnProperty.call(NAMED, name) ? NAMED[name] : whole;
      const code = hex ? parseInt(hex, 16) : Number(decimal);
      return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    });
  }

  function add(holder, name, value) {
    if (!Object.prototype.hasOwnProperty.call(holder, name)) {
      Object.defineProperty(holder, name, { value: value, enumerable: true, writable: true, configurable: true });
    } else if (Array.isArray(holder[name])) holder[name].push(value);
    else holder[name] = [holder[name], value];
  }

  function wrong(what, at) { return new Error("xmltojson: " + what + " at character " + at); }

  function read(text) {
    const root = { name: "", members: {}, text: "" };
    const open = [root];
    const pattern = /<!--[\s\S]*?-->|<!\[CDATA\[([\s\S]*?)\]\]>|<\?[\s\S]*?\?>|<!DOCTYPE[^>\[]*(?:\[[^\]]*\])?[^>]*>|<(\/?)([^\s<>\/=]+)((?:[^<>"']|"[^"]*"|'[^']*')*?)(\/?)>|([^<]+)/gy;
    let at = 0;
    while (at < text.length) {
      pattern.lastIndex = at;
      const found = pattern.exec(text);
      if (!found) throw wrong("this is not XML", at);
      const holder = open[open.length - 1];
      if (found[1] !== undefined) holder.text += found[1];
      else if (found[6] !== undefined) holder.text += plain(found[6]);
      else if (found[2]) {
        if (open.length === 1 || holder.name !== found[3]) throw wrong("</" + found[3] + "> closes nothing", at);
        open.pop();
        add(open[open.length - 1].members, holder.name, finished(holder));
      } else if (found[3] !== undefined) {
        const made = { name: found[3], members: {}, text: "" };
        found[4].replace(/([^\s=]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g, function (_, name, a, b) {
          add(made.members, "-" + name, plain(a !== undefined ? a : b));
        });
        if (found[5]) add(holder.members, made.name, finished(made));
        else open.push(made);
        if (open.length > DEEPEST) throw wrong("elements are nested deeper than " + DEEPEST, at);
      }
      at = pattern.lastIndex;
    }
    if (open.length > 1) throw wrong("<" + open[open.length - 1].name + "> is not closed", at);
    if (!Object.keys(root.members).length || root.text.trim()) throw wrong("there is no single root element", 0);
    return root.members;
  }

  function finished(element) {
    const text = element.text.trim();
    if (!Object.keys(element.members).length) return text;
    if (text) add(element.members, "#text", text);
    return element.members;
  }

  kit.xmltojson = function (text) { return JSON.stringify(read(String(text).replace(/^\ufeff/, "").trim())); };
});
