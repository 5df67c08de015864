// A line of `key=value` pairs becomes fields. Start from it: change `process`, then fixtures.toml.

import { Bytes, Filter, Record, Setup, Verdict, register } from "./sawbox";
export { sawbox_abi, alloc, init, process } from "./sawbox";

const SPACE: u8 = 0x20;
const DASH: u8 = 0x2d;

class Pairs extends Filter {
  constructor(private separator: u8, private host: u32, private node: u32) {
    super();
  }

  process(record: Record, verdict: Verdict): void {
    const line = record.payload;
    let any = false;
    for (let from = 0; from < line.length; ) {
      let to = line.indexOf(SPACE, from);
      if (to < 0) to = line.length;
      const word = line.slice(from, to);
      const at = word.indexOf(this.separator);
      if (at > 0) {
        any = true;
        pair(word.slice(0, at), word.slice(at + 1), verdict);
      }
      from = to + 1;
    }
    if (!any) verdict.fail("no key=value pair in the line");

    // A field that the receiver set: `web-7` is node 7.
    const host = record.text(this.host);
    if (host !== null) {
      const dash = host.lastIndexOf(DASH);
      if (dash >= 0) verdict.set(this.node, host.slice(dash + 1));
    }
  }
}

function pair(key: Bytes, value: Bytes, verdict: Verdict): void {
  const name = verdict.name(key);
  if (isWholeNumber(value)) verdict.setInt(name, wholeNumber(value));
  else verdict.set(name, value);
  if (!key.is("level")) return;
  if (value.is("debug")) verdict.drop("debug line");
  if (value.is("fatal")) verdict.emit("alerts");
}

// `12` is a number, `12a` is not, and what has more than 18 digits stays text.
function isWholeNumber(text: Bytes): bool {
  for (let i = 0; i < text.length; i++) if (text[i] < 0x30 || text[i] > 0x39) return false;
  return text.length > 0 && text.length <= 18;
}

function wholeNumber(text: Bytes): i64 {
  let number: i64 = 0;
  for (let i = 0; i < text.length; i++) number = number * 10 + (text[i] - 0x30);
  return number;
}

register((setup: Setup): Filter | null => {
  const given = setup.get("separator");
  const separator = given === null ? "=" : given;
  if (separator.length != 1) return setup.refuse("`separator` must be one character");
  return new Pairs(<u8>separator.charCodeAt(0), setup.read("host"), setup.name("node"));
});
