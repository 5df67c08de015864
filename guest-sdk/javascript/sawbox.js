// Write a sawbox filter in JavaScript: this one file is all there is. The entry file says
//
//   import { filter } from "./sawbox.js";
//   export const guest = filter((setup) => { …; return (record, verdict) => { … }; });
//
// Build: jco componentize filter.js --wit sawbox.wit -n filter --backend quickjs --backend-qjs-stub-wasi -o filter.wasm
//
// Cut, do not copy: a `subarray` of the payload, or of a field that the filter reads, goes back to the box as a place. Strings and other
// arrays are copied. An exception sends the record to the topic's dead letters, with its message.
// Whole numbers are BigInt or integral Numbers; write 1.5 for a decimal one, or `float(2)` where it may be integral.
// Remember nothing from one record to the next: use `record.stateGet` and `statePut`. There is no clock but `record.arrivalNs`;
// Date.now() and Math.random() always say the same.
// The bytes that go to and fro are described in guest-sdk/src/abi.

import * as host from "sawbox:filter/host@1.0.0";

/** Bytes as text: UTF-8, and what is none as U+FFFD. */
export function text(bytes) {
  // What the engine does in one go costs an interpreter far less than a loop.
  if (bytes.length <= 4096) {
    const ascii = String.fromCharCode.apply(null, bytes);
    if (!/[^\x00-\x7f]/.test(ascii)) return ascii;
  }
  let line = "";
  for (let i = 0; i < bytes.length; ) {
    const first = bytes[i++];
    if (first < 0x80) {
      line += String.fromCharCode(first);
      continue;
    }
    const more = first >= 0xf0 && first < 0xf5 ? 3 : first >= 0xe0 ? 2 : first >= 0xc2 ? 1 : 0;
    let code = more === 0 || first >= 0xf5 ? -1 : first & (0x3f >> more);
    for (let n = 0; n < more && code >= 0; n++) code = (bytes[i + n] & 0xc0) === 0x80 ? (code << 6) | (bytes[i + n] & 0x3f) : -1;
    const least = [0, 0x80, 0x800, 0x10000][more];
    if (code < least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
      line += "\ufffd";
    } else {
      line += String.fromCodePoint(code);
      i += more;
    }
  }
  return line;
}

/** Text as bytes. */
export function bytes(text) {
  const out = new Uint8Array(text.length * 3);
  let length = 0;
  for (const character of text) {
    const code = character.codePointAt(0);
    if (code < 0x80) {
      out[length++] = code;
    } else if (code < 0x800) {
      out[length++] = 0xc0 | (code >> 6);
      out[length++] = 0x80 | (code & 0x3f);
    } else if (code < 0x10000) {
      out[length++] = 0xe0 | (code >> 12);
      out[length++] = 0x80 | ((code >> 6) & 0x3f);
      out[length++] = 0x80 | (code & 0x3f);
    } else {
      out[length++] = 0xf0 | (code >> 18);
      out[length++] = 0x80 | ((code >> 12) & 0x3f);
      out[length++] = 0x80 | ((code >> 6) & 0x3f);
      out[length++] = 0x80 | (code & 0x3f);
    }
  }
  return out.subarray(0, length);
}

/** A decimal number, even if it is integral. */
export const float = (value) => new Float(value);
class Float {
  constructor(value) {
    this.value = value;
  }
}

/** Writes a line to the box's log: "error", "warn", "info" or "debug". */
export function log(level, line) {
  host.log({ error: 1, warn: 2, info: 3, debug: 4 }[level] ?? 3, line);
}

/** What a filter is made from, and where it declares what it reads. */
class Setup {
  reads = [];
  payload = true;
  constructor(config) {
    /** The configuration: an object. */
    this.config = config;
  }
  /** Declares a field that the filter looks at; only those are given to it. */
  read(name) {
    return this.reads.push(name) - 1;
  }
  /** Whether the filter looks at payloads; without a word it does. */
  needsPayload(needs) {
    this.payload = needs;
  }
  /** Compiles a pattern: "grok", "regex" or "grok-ecs". */
  pattern(kind, expression, names = {}) {
    return new Pattern(host.patternCompile(kind, expression, Object.entries(names)));
  }
  /** Opens a table of the host's: kinds "table", "geoip", "dns". */
  lookup(kind, argument) {
    return host.lookupOpen(kind, argument);
  }
}

class Pattern {
  constructor(handle) {
    this.handle = handle;
    this.groups = new Map(host.patternGroups(handle));
  }
  /** The named groups that captured something, [[name, bytes], …]; null where it does not match. Throws where the engine gave up. */
  find(line) {
    const spans = host.patternMatch(this.handle, line);
    return spans ? spans.map(({ group, start, end }) => [this.groups.get(group), line.subarray(start, end)]) : null;
  }
}

class Record {
  constructor(frame, index) {
    const at = 24 + index * 48;
    const view = frame.view;
    this.frame = frame;
    this.index = index;
    this.entry = at;
    const from = view.getUint32(at + 32, true);
    /** The bytes that arrived. */
    this.payload = frame.bytes.subarray(from, from + view.getUint32(at + 36, true));
    this.values = frame.values + view.getUint32(at + 40, true) * 16;
    this.count = view.getUint32(at + 44, true);
  }
  /** Its place in the partition, a BigInt. */
  get offset() {
    return this.frame.view.getBigUint64(this.entry, true);
  }
  /** When it arrived, nanoseconds since 1970, a BigInt. */
  get arrivalNs() {
    return this.frame.view.getBigInt64(this.entry + 8, true);
  }
  /** The (first) value of a declared field: bytes, a BigInt, a number, a boolean, or undefined. */
  get(field) {
    for (let i = 0; i < this.count; i++) {
      if ((this.frame.view.getUint32(this.values + i * 16, true) & 0xffffff) === field) return this.value(i);
    }
  }
  value(i) {
    const view = this.frame.view;
    const at = this.values + i * 16;
    switch ((view.getUint32(at, true) >>> 24) & 15) {
      case 1: {
        const from = view.getUint32(at + 12, true);
        return this.frame.bytes.subarray(from, from + view.getUint32(at + 4, true));
      }
      case 2:
        return view.getBigInt64(at + 8, true);
      case 3:
        return view.getFloat64(at + 8, true);
      case 4:
        return view.getUint8(at + 8) !== 0;
    }
  }
  /** What an earlier record left under this key; undefined where there is nothing. */
  stateGet(key) {
    return host.stateGet(this.index, some(key));
  }
  /** Leaves a value under a key, for so many milliseconds (negative: without end). */
  statePut(key, value, ttlMs) {
    host.statePut(this.index, some(key), some(value), BigInt(ttlMs));
  }
  /** As `statePut`; but when its time is over it comes back as a record, see `isExpired`. */
  stateWait(key, value, waitMs) {
    host.stateWait(this.index, some(key), some(value), BigInt(waitMs));
  }
  /** Whether this is what waited, and not a record. */
  get isExpired() {
    return this.index < this.frame.view.getUint32(20, true);
  }
  stateRemove(key) {
    host.stateRemove(this.index, some(key));
  }
  /** Looks a key up; undefined where nothing is known. Throws where there was no answer in time. */
  lookup(table, key) {
    return host.lookupGet(table, this.index, some(key));
  }
}

const some = (value) => (typeof value === "string" ? bytes(value) : value);
const WHOLE = 0xffffffff;

/** The verdict on one record. Left alone it means: store, with the fields as they were. */
class Verdict {
  kind = 0;
  values = 0;
  emissions = 0;
  reason = [0, 0];
  constructor(answer, record) {
    this.answer = answer;
    this.record = record;
  }
  /** Sets a field to bytes, a string, a number, a BigInt or a boolean. */
  set(name, value) {
    this.push(name, 0, value);
  }
  /** Adds a value to a field: a second one makes it a list. */
  add(name, value) {
    this.push(name, 1, value);
  }
  /** Adds a tag, unless it is there. */
  tag(tag) {
    this.push("tags", 3, tag);
  }
  remove(name) {
    this.entry(name, 0, 2, 0, 0, 0);
  }
  /** Sets the row's time, nanoseconds since 1970, a BigInt. */
  setTime(ns) {
    this.push("_time", 0, BigInt(ns));
  }
  /** Leaves the record out. */
  drop(reason) {
    this.end(1, reason);
  }
  /** The record could not be handled: to the topic's dead letters. */
  fail(reason) {
    this.end(2, reason);
  }
  /** No row of it now: the filter keeps it in its state. */
  hold() {
    this.kind = (this.kind & ~0xff) | 3;
  }
  /** The fields say all that the payload says: no message is made of it. */
  payloadConsumed() {
    this.kind |= 0x100;
  }
  /** Appends a record to another topic; without a payload, the record's own. `headers` are names and values. */
  emit(topic, { payload, withHeaders = true, headers = {} } = {}) {
    const [, at, length] = this.answer.built(bytes(topic));
    const place = payload === undefined ? [0, 0, WHOLE] : this.place(some(payload));
    const all = Object.entries(headers);
    for (const [name, value] of all) {
      const [, at, length] = this.answer.built(bytes(name));
      this.answer.headers.words(at, length, ...this.place(some(value)), 0);
    }
    this.answer.emissions.words(at, length, ...place, all.length, withHeaders ? 1 : 0, 0);
    this.emissions++;
  }

  end(kind, reason) {
    this.kind = (this.kind & ~0xff) | kind;
    const [, at, length] = this.answer.built(bytes(reason));
    this.reason = [at, length];
  }
  push(name, operation, value) {
    switch (typeof value) {
      case "string":
        value = bytes(value);
        break;
      case "boolean":
        return this.entry(name, 4, operation, 0, value ? 1 : 0, 0);
      case "number":
        if (!Number.isInteger(value)) return this.float(name, operation, value);
        value = BigInt(value);
      // falls through
      case "bigint":
        return this.entry(name, 2, operation, 0, Number(value & 0xffffffffn), Number((value >> 32n) & 0xffffffffn));
    }
    if (value instanceof Float) return this.float(name, operation, value.value);
    const [slot, at, length] = this.place(value);
    this.entry(name, 1, operation, length, slot, at);
  }
  float(name, operation, value) {
    scratch.setFloat64(0, value, true);
    this.entry(name, 3, operation, 0, scratch.getUint32(0, true), scratch.getUint32(4, true));
  }
  entry(name, kind, operation, length, low, high) {
    this.answer.values.four(this.answer.name(name) | (kind << 24) | (operation << 28), length, low, high);
    this.values++;
  }
  /** Where bytes lie, as the host sees it: in the payload, in a value that was read, or, copied, in the arena. */
  place(value) {
    const frame = this.record.frame.bytes;
    if (value.buffer !== frame.buffer) return this.answer.built(value);
    const payload = this.record.payload;
    const at = value.byteOffset - payload.byteOffset;
    if (at >= 0 && at + value.length <= payload.length) return [0, at, value.length];
    const within = (whole) =>
      value.byteOffset >= whole.byteOffset && value.byteOffset + value.length <= whole.byteOffset + whole.length;
    for (let i = 0; i < this.record.count; i++) {
      const whole = this.record.value(i);
      if (whole instanceof Uint8Array && within(whole)) return [2 + i, value.byteOffset - whole.byteOffset, value.length];
    }
    return this.answer.built(value);
  }
}

const scratch = new DataView(new ArrayBuffer(8));

/** A buffer that grows, and keeps its memory from call to call. */
class Section {
  bytes = new Uint8Array(4096);
  u32 = new Uint32Array(this.bytes.buffer);
  length = 0;
  room(more) {
    if (this.length + more <= this.bytes.length) return;
    const bytes = new Uint8Array((Math.max(this.bytes.length * 2, this.length + more) + 3) & ~3);
    bytes.set(this.bytes.subarray(0, this.length));
    this.bytes = bytes;
    this.u32 = new Uint32Array(bytes.buffer);
  }
  /** Words, in a section that has nothing else. WebAssembly is little-endian. */
  words(...all) {
    this.room(all.length * 4);
    let at = this.length >> 2;
    for (const word of all) this.u32[at++] = word;
    this.length = at << 2;
  }
  four(a, b, c, d) {
    if (this.length + 16 > this.bytes.length) this.room(16);
    const at = this.length >> 2;
    this.u32[at] = a;
    this.u32[at + 1] = b;
    this.u32[at + 2] = c;
    this.u32[at + 3] = d;
    this.length += 16;
  }
  append(bytes) {
    this.room(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }
}

class Answer {
  verdicts = new Section();
  values = new Section();
  names = new Section();
  emissions = new Section();
  headers = new Section();
  arena = new Section();
  numbers = new Map();
  encoded = new Map();

  begin() {
    for (const section of this.sections()) section.length = 0;
    this.numbers.clear();
  }
  sections() {
    return [this.verdicts, this.values, this.names, this.emissions, this.headers, this.arena];
  }
  name(name) {
    let number = this.numbers.get(name);
    if (number === undefined) {
      number = this.numbers.size;
      this.numbers.set(name, number);
      let entry = this.encoded.get(name);
      if (entry === undefined) {
        const utf8 = bytes(name).subarray(0, 300);
        entry = Uint8Array.of(utf8.length & 255, utf8.length >> 8, ...utf8);
        // Names that are made of data must not fill the memory.
        if (this.encoded.size >= 1000) this.encoded.clear();
        this.encoded.set(name, entry);
      }
      this.names.append(entry);
    }
    return number;
  }
  built(bytes) {
    const at = this.arena.length;
    this.arena.append(bytes);
    return [1, at, bytes.length];
  }
  /** One list of bytes: the head, whose addresses count from its start, and the sections. */
  finish(records) {
    const sections = this.sections();
    const all = new Uint8Array(64 + sections.reduce((sum, section) => sum + section.length, 0));
    const view = new DataView(all.buffer);
    view.setUint32(0, 1, true);
    view.setUint32(4, records, true);
    let at = 64;
    sections.forEach((section, number) => {
      view.setUint32(8 + number * 8, at, true);
      view.setUint32(12 + number * 8, section.length, true);
      all.set(section.bytes.subarray(0, section.length), at);
      at += section.length;
    });
    return all;
  }
}

/** Makes the exports of a filter. `create(setup)` gives back what is called for every record; what it throws refuses the configuration. */
export function filter(create) {
  let decide;
  const answer = new Answer();

  function init(config) {
    const setup = new Setup(JSON.parse(text(config)));
    try {
      decide = create(setup);
    } catch (error) {
      const why = bytes(String(error?.message ?? error));
      return Uint8Array.of(1, 0, 0, 0, ...why);
    }
    const parts = [0, setup.payload ? 1 : 0, setup.reads.length & 255, setup.reads.length >> 8];
    for (const name of setup.reads) {
      const utf8 = bytes(name);
      parts.push(utf8.length & 255, utf8.length >> 8, ...utf8);
    }
    return Uint8Array.from(parts);
  }

  function process(list) {
    answer.begin();
    const view = new DataView(list.buffer, list.byteOffset, list.byteLength);
    const count = view.getUint32(4, true);
    const frame = { bytes: list, view, values: 24 + count * 48 };
    for (let index = 0; index < count; index++) {
      const record = new Record(frame, index);
      const verdict = new Verdict(answer, record);
      try {
        decide(record, verdict);
      } catch (error) {
        verdict.fail(String(error?.message ?? error));
      }
      answer.verdicts.words(verdict.kind, verdict.values, verdict.reason[0], verdict.reason[1], verdict.emissions, 0);
    }
    return answer.finish(count);
  }

  return { init, process };
}
