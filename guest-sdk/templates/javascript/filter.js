// A line of `key=value` pairs becomes fields. Start from it: change what is done to a record, then fixtures.toml.

import { filter, text } from "./sawbox.js";

const SPACE = 0x20;
const DASH = 0x2d;

export const guest = filter((setup) => {
  const given = setup.config.separator ?? "=";
  if (typeof given !== "string" || given.length !== 1) throw new Error("`separator` must be one character");
  const separator = given.charCodeAt(0);
  const host = setup.read("host");

  return (record, verdict) => {
    const line = record.payload;
    let any = false;
    for (let from = 0; from < line.length; ) {
      let to = line.indexOf(SPACE, from);
      if (to < 0) to = line.length;
      const word = line.subarray(from, to);
      const at = word.indexOf(separator);
      if (at > 0) {
        any = true;
        pair(text(word.subarray(0, at)), word.subarray(at + 1), verdict);
      }
      from = to + 1;
    }
    if (!any) verdict.fail("no key=value pair in the line");

    // A field that the receiver set: `web-7` is node 7.
    const name = record.get(host);
    if (name) {
      const dash = name.lastIndexOf(DASH);
      if (dash >= 0) verdict.set("node", name.subarray(dash + 1));
    }
  };
});

// `12` is a number, `12a` is not, and what has more than 18 digits stays text.
const WHOLE_NUMBER = /^[0-9]{1,18}$/;

function pair(key, value, verdict) {
  // The engine is fast at what it does in one go: so text and patterns, and no loop over bytes.
  const level = value.length <= 18 ? text(value) : "";
  verdict.set(key, WHOLE_NUMBER.test(level) ? BigInt(level) : value);
  if (key !== "level") return;
  if (level === "debug") verdict.drop("debug line");
  if (level === "fatal") verdict.emit("alerts");
}
