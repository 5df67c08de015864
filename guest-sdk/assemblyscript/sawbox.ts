// Write a sawbox filter in AssemblyScript: this one file is all there is. A filter extends `Filter`, and the entry file says
//
//   export { sawbox_abi, alloc, init, process } from "./sawbox";
//   register((setup: Setup): Filter | null => new Mine(setup));
//
// Build: asc filter.ts -o filter.wasm -O3 --noAssert --use abort=sawbox/abort_
//
// Cut, do not copy: `Bytes` of the payload, or of a field that the filter reads, go back to the box as a place. `Bytes` are good until
// `process` returns. Strings are copied, and are UTF-16 here: making one costs more than cutting.
// Remember nothing from one record to the next: use `record.stateGet` and `statePut`. There is no clock but `record.arrivalNs`.
// The bytes that go to and fro are described in guest-sdk/src/abi. Names that end with _ are this file's own.

/** Some bytes of a payload or a field. */
@final
export class Bytes {
  constructor(public at: usize, public length: i32) {}
  @operator("[]") get(index: i32): u8 {
    return <u32>index < <u32>this.length ? load<u8>(this.at + index) : 0;
  }
  /** Where a byte is, or -1. */
  indexOf(byte: u8, from: i32 = 0): i32 {
    for (let i = from; i < this.length; i++) if (load<u8>(this.at + i) == byte) return i;
    return -1;
  }
  /** Where a byte is last, or -1. */
  lastIndexOf(byte: u8): i32 {
    for (let i = this.length; i-- > 0; ) if (load<u8>(this.at + i) == byte) return i;
    return -1;
  }
  slice(from: i32, to: i32 = i32.MAX_VALUE): Bytes {
    to = min(to, this.length);
    return new Bytes(this.at + from, max(to - from, 0));
  }
  /** Whether they are this text, of ASCII characters. */
  is(text: string): bool {
    if (text.length != this.length) return false;
    for (let i = 0; i < this.length; i++) if (text.charCodeAt(i) != load<u8>(this.at + i)) return false;
    return true;
  }
  toString(): string {
    return String.UTF8.decodeUnsafe(this.at, this.length);
  }
}

/** What a filter is. */
export abstract class Filter {
  abstract process(record: Record, verdict: Verdict): void;
}

/** Says how the filter is made; null refuses the configuration, see `Setup.refuse`. */
export function register(create: (setup: Setup) => Filter | null): void {
  create_ = create;
}

/** What a filter is made from, and where it declares what it reads and sets. */
@final
export class Setup {
  why_: string = "no reason given";
  payload_: bool = true;

  /** The value at a dotted path of the configuration; anything but a string is JSON text. Null where it is not there. */
  get(path: string): string | null {
    const key = String.UTF8.encode(path);
    let out = new ArrayBuffer(256);
    let length = hostConfig(changetype<usize>(key), key.byteLength, changetype<usize>(out), out.byteLength);
    if (length > out.byteLength) {
      out = new ArrayBuffer(length);
      hostConfig(changetype<usize>(key), key.byteLength, changetype<usize>(out), length);
    }
    return length < 0 ? null : String.UTF8.decodeUnsafe(changetype<usize>(out), length);
  }
  /** Declares a field name that is set often. */
  name(text: string): u32 {
    return nameOf(text);
  }
  /** Declares a field that the filter looks at; only those are given to it. */
  read(text: string): u32 {
    const bytes = String.UTF8.encode(text);
    store<u16>(reads.grow(2), <u16>bytes.byteLength);
    reads.append(changetype<usize>(bytes), bytes.byteLength);
    return readsCount++;
  }
  /** Whether the filter looks at payloads; without a word it does. */
  needsPayload(needs: bool): void {
    this.payload_ = needs;
  }
  /** `return setup.refuse("why")`: the configuration makes no sense. */
  refuse(why: string): Filter | null {
    this.why_ = why;
    return null;
  }
  /** Compiles a pattern: kind 0 grok, 1 regex, 2 grok with ECS names. A handle, or -1: see `lastError`. */
  pattern(kind: i32, expression: string): i32 {
    const text = String.UTF8.encode(expression);
    return hostPatternCompile(changetype<usize>(text), text.byteLength, kind);
  }
  /** Opens a table of the host's: kinds `table`, `geoip`, `dns`. A handle, or -1: see `lastError`. */
  lookup(kind: string, argument: string): i32 {
    const text = String.UTF8.encode(kind + "\0" + argument);
    return hostLookupOpen(changetype<usize>(text), text.byteLength);
  }
}

/** Why the last call of the host gave -1. */
export function lastError(): string {
  const out = new ArrayBuffer(1024);
  const length = hostLastError(changetype<usize>(out), 1024);
  return String.UTF8.decodeUnsafe(changetype<usize>(out), length < 0 || length > 1024 ? 0 : length);
}

/** Writes spans (group, start, end, …) of the named groups that captured something. How many; -1 = no match, -2 = gave up. */
export function find(pattern: i32, text: Bytes, spans: StaticArray<u32>): i32 {
  return hostPatternMatch(pattern, text.at, text.length, changetype<usize>(spans), spans.length / 3);
}

/** One record, and the fields that it has so far. */
@final
export class Record {
  index_: u32 = 0;
  entry_: usize = 0;
  values_: usize = 0;
  count_: u32 = 0;
  /** The bytes that arrived. */
  payload: Bytes = new Bytes(0, 0);

  /** When it arrived, nanoseconds since 1970. */
  get arrivalNs(): i64 {
    return load<i64>(this.entry_, 8);
  }
  /** Its place in the partition. */
  get offset(): u64 {
    return load<u64>(this.entry_);
  }
  /** The (first) value of a field that was declared as read, where it is a string. */
  text(field: u32): Bytes | null {
    const entry = this.find_(field);
    return entry != 0 && kindOf(entry) == 1 ? strOf(entry) : null;
  }
  /** The same, where it is a whole number; else `otherwise`. */
  int(field: u32, otherwise: i64 = 0): i64 {
    const entry = this.find_(field);
    return entry != 0 && kindOf(entry) == 2 ? load<i64>(entry, 8) : otherwise;
  }
  /** The same, where it is a decimal number; else `otherwise`. */
  float(field: u32, otherwise: f64 = 0): f64 {
    const entry = this.find_(field);
    return entry != 0 && kindOf(entry) == 3 ? load<f64>(entry, 8) : otherwise;
  }
  /** What an earlier record left under this key. */
  stateGet(key: string): ArrayBuffer | null {
    const bytes = String.UTF8.encode(key);
    let out = new ArrayBuffer(256);
    let length = hostStateGet(this.index_, changetype<usize>(bytes), bytes.byteLength, changetype<usize>(out), 256);
    if (length < 0) return null;
    if (length > 256) {
      out = new ArrayBuffer(length);
      hostStateGet(this.index_, changetype<usize>(bytes), bytes.byteLength, changetype<usize>(out), length);
    }
    return out.slice(0, length);
  }
  /** Leaves a value under a key; false when the topic's state is full. */
  statePut(key: string, value: ArrayBuffer, ttlMs: i64): bool {
    const bytes = String.UTF8.encode(key);
    return hostStatePut(this.index_, changetype<usize>(bytes), bytes.byteLength, changetype<usize>(value), value.byteLength, ttlMs) >= 0;
  }
  /** As `statePut`; but when its time is over it comes back as a record, see `isExpired`. */
  stateWait(key: string, value: ArrayBuffer, waitMs: i64): bool {
    const bytes = String.UTF8.encode(key);
    return hostStateWait(this.index_, changetype<usize>(bytes), bytes.byteLength, changetype<usize>(value), value.byteLength, waitMs) >= 0;
  }
  /** Whether this is what waited, and not a record. */
  get isExpired(): bool {
    return this.index_ < load<u32>(frameAt, 20);
  }
  /** Forgets a key. */
  stateRemove(key: string): void {
    const bytes = String.UTF8.encode(key);
    hostStateRemove(this.index_, changetype<usize>(bytes), bytes.byteLength);
  }
  /** Looks a key up; null where nothing is known, or there was no answer in time. */
  lookup(table: i32, key: Bytes): ArrayBuffer | null {
    let out = new ArrayBuffer(256);
    let length = hostLookupGet(table, this.index_, key.at, key.length, changetype<usize>(out), 256);
    if (length < 0) return null;
    if (length > 256) {
      out = new ArrayBuffer(length);
      hostLookupGet(table, this.index_, key.at, key.length, changetype<usize>(out), length);
    }
    return out.slice(0, length);
  }

  find_(field: u32): usize {
    for (let i: u32 = 0; i < this.count_; i++) {
      const entry = this.values_ + i * 16;
      if ((load<u32>(entry) & 0xffffff) == field) return entry;
    }
    return 0;
  }
}

/** The verdict on one record. Left alone it means: store, with the fields as they were. */
@final
export class Verdict {
  record_: Record;
  kind_: u32 = 0;
  flags_: u32 = 0;
  count_: u32 = 0;
  emissions_: u32 = 0;
  reason_: u32 = 0;
  reasonLength_: u32 = 0;
  constructor(record: Record) {
    this.record_ = record;
  }

  /** A name that comes out of the data; good for this call. */
  name(bytes: Bytes): u32 {
    return number(bytes.at, bytes.length);
  }
  set(name: u32, value: Bytes): void {
    this.str_(name, 0, value.at, value.length);
  }
  setString(name: u32, value: string): void {
    const bytes = String.UTF8.encode(value);
    this.str_(name, 0, changetype<usize>(bytes), bytes.byteLength);
  }
  setInt(name: u32, value: i64): void {
    this.push_(name, 2, 0, 0, value);
  }
  setFloat(name: u32, value: f64): void {
    this.push_(name, 3, 0, 0, reinterpret<i64>(value));
  }
  setBool(name: u32, value: bool): void {
    this.push_(name, 4, 0, 0, value ? 1 : 0);
  }
  /** Adds a value to a field: a second one makes it a list. */
  add(name: u32, value: Bytes): void {
    this.str_(name, 1, value.at, value.length);
  }
  /** Adds a tag, unless it is there. */
  tag(text: string): void {
    const bytes = String.UTF8.encode(text);
    this.str_(nameOf("tags"), 3, changetype<usize>(bytes), bytes.byteLength);
  }
  remove(name: u32): void {
    this.push_(name, 0, 2, 0, 0);
  }
  /** Sets the row's time, nanoseconds since 1970. */
  setTime(ns: i64): void {
    this.setInt(nameOf("_time"), ns);
  }
  /** Leaves the record out. */
  drop(reason: string): void {
    this.end_(1, reason);
  }
  /** The record could not be handled: to the topic's dead letters. */
  fail(reason: string): void {
    this.end_(2, reason);
  }
  /** No row of it now: the filter keeps it in its state. */
  hold(): void {
    this.kind_ = 3;
  }
  /** The fields say all that the payload says: no message is made of it. */
  payloadConsumed(): void {
    this.flags_ |= 1;
  }
  /** Appends a record to another topic; without a payload, the record's own. `emitHeader` adds headers to it. */
  emit(topic: string, payload: Bytes | null = null, withHeaders: bool = true): void {
    const bytes = String.UTF8.encode(topic);
    const at = arena.append(changetype<usize>(bytes), bytes.byteLength);
    if (payload === null) place(0, 0, u32.MAX_VALUE);
    else this.place_(payload.at, payload.length);
    const entry = emissions.grow(32);
    store<u32>(entry, at);
    store<u32>(entry, bytes.byteLength, 4);
    store<u32>(entry, slot, 8);
    store<u32>(entry, slotAt, 12);
    store<u32>(entry, slotLength, 16);
    store<u32>(entry, 0, 20);
    store<u32>(entry, withHeaders ? 1 : 0, 24);
    store<u32>(entry, 0, 28);
    this.emissions_++;
  }
  /** A header of the last emission. */
  emitHeader(name: string, value: Bytes): void {
    if (this.emissions_ == 0) return;
    const bytes = String.UTF8.encode(name);
    const at = arena.append(changetype<usize>(bytes), bytes.byteLength);
    this.place_(value.at, value.length);
    const entry = headers.grow(24);
    store<u32>(entry, at);
    store<u32>(entry, bytes.byteLength, 4);
    store<u32>(entry, slot, 8);
    store<u32>(entry, slotAt, 12);
    store<u32>(entry, slotLength, 16);
    store<u32>(entry, 0, 20);
    const count = emissions.at + emissions.length - 12;
    store<u32>(count, load<u32>(count) + 1);
  }

  str_(name: u32, operation: u32, at: usize, length: u32): void {
    this.place_(at, length);
    this.push_(name, 1, operation, slotLength, <i64>slot | (<i64>slotAt << 32));
  }
  push_(name: u32, kind: u32, operation: u32, length: u32, body: i64): void {
    const entry = values.grow(16);
    store<u32>(entry, name | (kind << 24) | (operation << 28));
    store<u32>(entry, length, 4);
    store<i64>(entry, body, 8);
    this.count_++;
  }
  end_(kind: u32, reason: string): void {
    const bytes = String.UTF8.encode(reason);
    this.kind_ = kind;
    this.reason_ = arena.append(changetype<usize>(bytes), bytes.byteLength);
    this.reasonLength_ = bytes.byteLength;
  }
  /** Where bytes lie, as the host sees it: in the payload, in a value that was read, or, copied, in the arena. */
  place_(at: usize, length: u32): void {
    const record = this.record_;
    if (within(record.payload.at, record.payload.length, at, length)) return place(0, <u32>(at - record.payload.at), length);
    if (within(frameAt, frameLength, at, length)) {
      for (let i: u32 = 0; i < record.count_; i++) {
        const entry = record.values_ + i * 16;
        const whole = frameAt + load<u32>(entry, 12);
        if (kindOf(entry) == 1 && within(whole, load<u32>(entry, 4), at, length)) return place(2 + i, <u32>(at - whole), length);
      }
    }
    place(1, arena.append(at, length), length);
  }
}

/** Levels: 1 error, 2 warning, 3 information, 4 for the author. */
export function log(level: i32, text: string): void {
  const bytes = String.UTF8.encode(text);
  hostLog(level, changetype<usize>(bytes), bytes.byteLength);
}

// A buffer that grows, outside of what is collected, and keeps its memory from call to call.
@final
class Buffer_ {
  at: usize = 0;
  length: u32 = 0;
  room: u32 = 0;
  grow(more: u32): usize {
    if (this.room - this.length < more) {
      let room = max<u32>(this.room * 2, 1024);
      while (room - this.length < more) room *= 2;
      this.at = this.at == 0 ? heap.alloc(room) : heap.realloc(this.at, room);
      this.room = room;
    }
    const place = this.at + this.length;
    this.length += more;
    return place;
  }
  append(at: usize, length: u32): u32 {
    const from = this.length;
    memory.copy(this.grow(length), at, length);
    return from;
  }
}

const input = new Buffer_();
const ready = new Buffer_();
const reads = new Buffer_();
const verdicts = new Buffer_();
const values = new Buffer_();
const emissions = new Buffer_();
const headers = new Buffer_();
const arena = new Buffer_();
const names = new Buffer_();
const places = new Buffer_();
const head = new Buffer_();
let create_: ((setup: Setup) => Filter | null) | null = null;
let filter: Filter | null = null;
let readsCount: u32 = 0;
let frameAt: usize = 0;
let frameLength: u32 = 0;
let slot: u32 = 0;
let slotAt: u32 = 0;
let slotLength: u32 = 0;
let slots: StaticArray<u32> = new StaticArray<u32>(64);
let count: u32 = 0;
let declared: u32 = 0;
let declaredBytes: u32 = 0;

function place(which: u32, at: u32, length: u32): void {
  slot = which;
  slotAt = at;
  slotLength = length;
}
function kindOf(entry: usize): u32 {
  return (load<u32>(entry) >> 24) & 15;
}
function strOf(entry: usize): Bytes {
  return new Bytes(frameAt + load<u32>(entry, 12), load<u32>(entry, 4));
}
function within(whole: usize, length: u32, part: usize, partLength: u32): bool {
  return part >= whole && part + partLength <= whole + length;
}

// Names by number: those of the setup keep theirs, those of a call are forgotten with it.
function hash(at: usize, length: u32): u32 {
  let sum: u32 = 0x811c9dc5;
  for (let i: u32 = 0; i < length; i++) sum = (sum ^ load<u8>(at + i)) * 0x01000193;
  return sum ^ (sum >> 15);
}
function number(at: usize, length: u32): u32 {
  length = min<u32>(length, 300); // no field name is longer; the host says so
  let place = hash(at, length) & (slots.length - 1);
  for (; slots[place] != 0; place = (place + 1) & (slots.length - 1)) {
    const known = names.at + load<u32>(places.at + (slots[place] - 1) * 4);
    if (load<u16>(known - 2) == length && memory.compare(known, at, length) == 0) return slots[place] - 1;
  }
  store<u16>(names.grow(2), <u16>length);
  const from = names.append(at, length);
  store<u32>(places.grow(4), from);
  slots[place] = ++count;
  const made = count - 1;
  if (count * 2 > <u32>slots.length) rehash(slots.length * 2);
  return made;
}
function nameOf(text: string): u32 {
  const bytes = String.UTF8.encode(text);
  return number(changetype<usize>(bytes), bytes.byteLength);
}
function rehash(length: i32): void {
  slots = new StaticArray<u32>(length);
  for (let which: u32 = 0; which < count; which++) {
    const at = names.at + load<u32>(places.at + which * 4);
    let place = hash(at, load<u16>(at - 2)) & (length - 1);
    while (slots[place] != 0) place = (place + 1) & (length - 1);
    slots[place] = which + 1;
  }
}

export function sawbox_abi(): i32 {
  return 1;
}
export function alloc(length: i32): usize {
  input.length = 0;
  return input.grow(max(length, 1));
}
export function init(at: usize, length: i32): i64 {
  const setup = new Setup();
  const create = create_;
  filter = create === null ? setup.refuse("the filter registers nothing: call register(…)") : create(setup);
  declared = count;
  declaredBytes = names.length;
  const start = ready.grow(4);
  const refused = filter === null;
  store<u32>(start, refused ? 1 : (setup.payload_ ? 1 : 0) << 8 | readsCount << 16);
  if (refused) {
    const why = String.UTF8.encode(setup.why_);
    ready.append(changetype<usize>(why), why.byteLength);
  } else {
    ready.append(reads.at, reads.length);
  }
  return <i64>ready.at | (<i64>ready.length << 32);
}
export function process(at: usize, length: i32): i64 {
  verdicts.length = values.length = emissions.length = headers.length = arena.length = 0;
  if (count > declared) {
    count = declared;
    names.length = declaredBytes;
    places.length = declared * 4;
    let room = 64;
    while (room < <i32>declared * 4) room *= 2;
    rehash(room);
  }
  frameAt = at;
  frameLength = length;
  const records = load<u32>(at, 4);
  const record = new Record();
  const first = at + 24 + records * 48;
  const mine = filter!;
  for (let i: u32 = 0; i < records; i++) {
    const entry = at + 24 + i * 48;
    record.index_ = i;
    record.entry_ = entry;
    record.values_ = first + load<u32>(entry, 40) * 16;
    record.count_ = load<u32>(entry, 44);
    record.payload = new Bytes(at + load<u32>(entry, 32), load<u32>(entry, 36));
    const verdict = new Verdict(record);
    mine.process(record, verdict);
    const out = verdicts.grow(24);
    store<u32>(out, verdict.kind_ | (verdict.flags_ << 8));
    store<u32>(out, verdict.count_, 4);
    store<u32>(out, verdict.reason_, 8);
    store<u32>(out, verdict.reasonLength_, 12);
    store<u32>(out, verdict.emissions_, 16);
    store<u32>(out, 0, 20);
  }
  head.length = 0;
  const out = head.grow(64);
  memory.fill(out, 0, 64);
  store<u32>(out, 1);
  store<u32>(out, records, 4);
  section(out + 8, verdicts);
  section(out + 16, values);
  section(out + 24, names);
  section(out + 32, emissions);
  section(out + 40, headers);
  section(out + 48, arena);
  return <i64>out | (<i64>64 << 32);
}
function section(out: usize, part: Buffer_): void {
  store<u32>(out, part.at);
  store<u32>(out, part.length, 4);
}

/** What the compiler calls when something is wrong: says why, and traps. */
export function abort_(message: string | null, file: string | null, line: u32, column: u32): void {
  const where = (file === null ? "" : " at " + file) + ":" + line.toString();
  log(0, (message === null ? "abort" : message) + where);
  unreachable();
}

// @ts-ignore: decorators
@external("sawbox", "log") declare function hostLog(level: i32, at: usize, length: i32): void;
// @ts-ignore: decorators
@external("sawbox", "last_error") declare function hostLastError(out: usize, room: i32): i32;
// @ts-ignore: decorators
@external("sawbox", "config") declare function hostConfig(at: usize, length: i32, out: usize, room: i32): i32;
// @ts-ignore: decorators
@external("sawbox", "pattern_compile") declare function hostPatternCompile(at: usize, length: i32, kind: i32): i32;
// @ts-ignore: decorators
@external("sawbox", "pattern_match") declare function hostPatternMatch(handle: i32, at: usize, length: i32, out: usize, room: i32): i32;
// @ts-ignore: decorators
@external("sawbox", "lookup_open") declare function hostLookupOpen(at: usize, length: i32): i32;
// @ts-ignore: decorators
@external("sawbox", "lookup_get") declare function hostLookupGet(handle: i32, record: u32, at: usize, length: i32, out: usize, room: i32): i32;
// @ts-ignore: decorators
@external("sawbox", "state_get") declare function hostStateGet(record: u32, at: usize, length: i32, out: usize, room: i32): i32;
// @ts-ignore: decorators
@external("sawbox", "state_put") declare function hostStatePut(record: u32, at: usize, length: i32, value: usize, valueLength: i32, ttlMs: i64): i32;
// @ts-ignore: decorators
@external("sawbox", "state_wait") declare function hostStateWait(record: u32, at: usize, length: i32, value: usize, valueLength: i32, waitMs: i64): i32;
// @ts-ignore: decorators
@external("sawbox", "state_remove") declare function hostStateRemove(record: u32, at: usize, length: i32): i32;
