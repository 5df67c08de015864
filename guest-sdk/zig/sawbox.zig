//! Write a sawbox filter in Zig: this one file is all there is. A filter is a struct:
//!
//!     const sawbox = @import("sawbox.zig");
//!     const Filter = struct {
//!         level: sawbox.Name,
//!         pub fn init(setup: *sawbox.Setup) !Filter { … }                                 // once, with the configuration
//!         pub fn process(self: *Filter, record: sawbox.Record, verdict: *sawbox.Verdict) !void { … }   // for every record
//!     };
//!     comptime { sawbox.filter(Filter); }
//!
//! Build: zig build-exe filter.zig -target wasm32-freestanding -O ReleaseFast -fstrip -fno-entry -rdynamic
//!
//! Cut, do not copy: a slice of the payload, or of a field that the filter reads, goes back to the box as a place. Any other slice is
//! copied at once, so it may be on the stack. An error that `process` gives back sends the record to the topic's dead letters, with
//! the error's name. Remember nothing from one record to the next: use `record.stateGet` and `statePut`. There is no clock but
//! `record.arrivalNs()`. The bytes that go to and fro are described in guest-sdk/src/abi.

const std = @import("std");
const gpa = std.heap.wasm_allocator;
const Buffer = std.ArrayList(u8);

/// A name of a field that is set: declared in `init`, or `verdict.name(…)`.
pub const Name = enum(u32) { _ };
/// A field that is read.
pub const Field = enum(u32) { _ };
/// A value of a field. Strings are bytes, and not always UTF-8.
pub const Value = union(enum) { str: []const u8, int: i64, float: f64, boolean: bool };
/// What an emission carries: the payload as it arrived, or other bytes.
pub const Payload = union(enum) { original, bytes: []const u8 };
pub const Header = struct { name: []const u8, value: []const u8 };
pub const Level = enum(i32) { err = 1, warn = 2, info = 3, debug = 4 };

/// Writes a line to the box's log.
pub fn log(level: Level, text: []const u8) void {
    import.log(@intFromEnum(level), text.ptr, text.len);
}

/// What `init` is given.
pub const Setup = struct {
    /// The configuration, JSON text.
    config: []const u8,
    why: []const u8 = "no reason given",
    payload: bool = true,
    reads: Buffer = .empty,
    reads_count: u16 = 0,

    /// Declares a field name that is set often.
    pub fn name(_: *Setup, text: []const u8) Name {
        return names.number(text);
    }
    /// Declares a field that the filter looks at; only those are given to it.
    pub fn read(setup: *Setup, text: []const u8) Field {
        u16At(setup.reads.addManyAsArray(gpa, 2) catch oom(), @intCast(text.len));
        setup.reads.appendSlice(gpa, text) catch oom();
        setup.reads_count += 1;
        return @enumFromInt(setup.reads_count - 1);
    }
    /// Whether the filter looks at payloads; without a word it does.
    pub fn needsPayload(setup: *Setup, needs: bool) void {
        setup.payload = needs;
    }
    /// The value at a dotted path of the configuration; anything but a string is JSON text.
    pub fn get(_: *Setup, path: []const u8) ?[]const u8 {
        var out = gpa.alloc(u8, 256) catch oom();
        const len = import.config(path.ptr, path.len, out.ptr, out.len);
        if (len < 0) return null;
        const need: usize = @intCast(len);
        if (need > out.len) {
            out = gpa.alloc(u8, need) catch oom();
            _ = import.config(path.ptr, path.len, out.ptr, out.len);
        }
        return out[0..need];
    }
    /// `return setup.refuse("why")`: the configuration makes no sense.
    pub fn refuse(setup: *Setup, why: []const u8) error{Refused} {
        setup.why = why;
        return error.Refused;
    }
};

/// One record, and the fields that it has so far.
pub const Record = struct {
    index: u32,
    entry: [*]const u8,
    values: []const [16]u8,
    /// The bytes that arrived.
    payload: []const u8,

    /// When it arrived, nanoseconds since 1970.
    pub fn arrivalNs(record: Record) i64 {
        return @bitCast(u64Of(record.entry + 8));
    }
    /// Its place in the partition.
    pub fn offset(record: Record) u64 {
        return u64Of(record.entry);
    }
    /// The first value of a field that was declared as read.
    pub fn get(record: Record, field: Field) ?Value {
        for (record.values) |*entry| {
            if (u32Of(entry) & 0xff_ffff == @intFromEnum(field)) return valueOf(entry);
        }
        return null;
    }
    /// The same, where it is a string.
    pub fn text(record: Record, field: Field) ?[]const u8 {
        const value = record.get(field) orelse return null;
        return if (value == .str) value.str else null;
    }
    /// What an earlier record left under this key; a slice of `out`. Null where there is nothing, or no room for it.
    pub fn stateGet(record: Record, key: []const u8, out: []u8) ?[]u8 {
        return found(import.state_get(record.index, key.ptr, key.len, out.ptr, out.len), out);
    }
    /// Leaves a value under a key.
    pub fn statePut(record: Record, key: []const u8, value: []const u8, ttl_ms: i64) error{StateFull}!void {
        if (import.state_put(record.index, key.ptr, key.len, value.ptr, value.len, ttl_ms) < 0) return error.StateFull;
    }
    /// As `statePut`; but when its time is over it comes back as a record: see `isExpired`.
    pub fn stateWait(record: Record, key: []const u8, value: []const u8, wait_ms: i64) error{StateFull}!void {
        if (import.state_wait(record.index, key.ptr, key.len, value.ptr, value.len, wait_ms) < 0) return error.StateFull;
    }
    /// Whether this is what waited, and not a record.
    pub fn isExpired(record: Record) bool {
        return record.index < u32Of(frame[20..].ptr);
    }
    pub fn stateRemove(record: Record, key: []const u8) void {
        _ = import.state_remove(record.index, key.ptr, key.len);
    }
    /// Looks a key up in a table of `Lookup.open`.
    pub fn lookup(record: Record, table: Lookup, key: []const u8, out: []u8) error{NoAnswerInTime}!?[]u8 {
        const len = import.lookup_get(table.handle, record.index, key.ptr, key.len, out.ptr, out.len);
        return if (len == -2) error.NoAnswerInTime else found(len, out);
    }
};

fn found(len: i32, out: []u8) ?[]u8 {
    return if (len < 0 or len > out.len) null else out[0..@intCast(len)];
}

/// A table of the host's: kinds `table`, `geoip`, `dns`. In `init`.
pub const Lookup = struct {
    handle: i32,
    pub fn open(comptime kind: []const u8, comptime argument: []const u8) error{NoSuchLookup}!Lookup {
        const both = kind ++ "\x00" ++ argument;
        const handle = import.lookup_open(both.ptr, both.len);
        return if (handle < 0) error.NoSuchLookup else .{ .handle = handle };
    }
};

/// A pattern that the host compiles; in `init`.
pub const Pattern = struct {
    handle: i32,
    pub const Kind = enum(i32) { grok = 0, regex = 1, grok_ecs = 2 };
    pub const Span = extern struct { group: u32, start: u32, end: u32 };

    pub fn compile(kind: Kind, expression: []const u8) error{BadPattern}!Pattern {
        const handle = import.pattern_compile(expression.ptr, expression.len, @intFromEnum(kind));
        return if (handle < 0) error.BadPattern else .{ .handle = handle };
    }
    /// Spans of the named groups that captured something; null = no match.
    pub fn find(pattern: Pattern, text: []const u8, spans: []Span) error{GaveUp}!?[]Span {
        const count = import.pattern_match(pattern.handle, text.ptr, text.len, spans.ptr, spans.len);
        if (count == -2) return error.GaveUp;
        return if (count < 0) null else spans[0..@intCast(count)];
    }
    /// The groups: each u16 number, u16 length, name.
    pub fn describe(pattern: Pattern, out: []u8) ?[]u8 {
        return found(import.pattern_describe(pattern.handle, out.ptr, out.len), out);
    }
};

/// The verdict on one record. Left alone it means: store, with the fields as they were.
pub const Verdict = struct {
    record: Record,
    kind: u32 = 0,
    flags: u32 = 0,
    values: u32 = 0,
    emissions: u32 = 0,
    reason: Place = .{ .slot = 1, .at = 0, .len = 0 },

    /// A name that comes out of the data; good for this call.
    pub fn name(_: *Verdict, text: []const u8) Name {
        return names.number(text);
    }
    /// Sets a field to a string, a whole or decimal number, or a bool.
    pub fn set(verdict: *Verdict, field: Name, value: anytype) void {
        verdict.push(field, 0, value);
    }
    /// Adds a value to a field: a second one makes it a list.
    pub fn add(verdict: *Verdict, field: Name, value: anytype) void {
        verdict.push(field, 1, value);
    }
    /// Adds a tag, unless it is there.
    pub fn tag(verdict: *Verdict, text: []const u8) void {
        verdict.push(names.number("tags"), 3, text);
    }
    pub fn remove(verdict: *Verdict, field: Name) void {
        verdict.entry(field, 0, 2, 0, 0);
    }
    /// Sets the row's time, nanoseconds since 1970.
    pub fn setTime(verdict: *Verdict, ns: i64) void {
        verdict.push(names.number("_time"), 0, ns);
    }
    /// Leaves the record out.
    pub fn drop(verdict: *Verdict, reason: []const u8) void {
        verdict.kind = 1;
        verdict.reason = built(reason);
    }
    /// The record could not be handled: to the topic's dead letters.
    pub fn fail(verdict: *Verdict, reason: []const u8) void {
        verdict.kind = 2;
        verdict.reason = built(reason);
    }
    /// No row of it now: the filter keeps it in its state.
    pub fn hold(verdict: *Verdict) void {
        verdict.kind = 3;
    }
    /// The fields say all that the payload says: no message is made of it.
    pub fn payloadConsumed(verdict: *Verdict) void {
        verdict.flags |= 1;
    }
    /// Appends a record to another topic. With `with_headers` the record's own headers go before `headers`.
    pub fn emit(verdict: *Verdict, topic: []const u8, payload: Payload, with_headers: bool, headers: []const Header) void {
        const to = built(topic);
        const what: Place = switch (payload) {
            .original => .{ .slot = 0, .at = 0, .len = std.math.maxInt(u32) },
            .bytes => |bytes| verdict.place(bytes),
        };
        for (headers) |header| {
            const of = built(header.name);
            const value = verdict.place(header.value);
            words(&answer.headers, &.{ of.at, of.len, value.slot, value.at, value.len, 0 });
        }
        words(&answer.emissions, &.{ to.at, to.len, what.slot, what.at, what.len, @intCast(headers.len), @intFromBool(with_headers), 0 });
        verdict.emissions += 1;
    }

    fn push(verdict: *Verdict, field: Name, operation: u32, value: anytype) void {
        switch (@typeInfo(@TypeOf(value))) {
            .int, .comptime_int => verdict.entry(field, 2, operation, 0, @bitCast(@as(i64, @intCast(value)))),
            .float, .comptime_float => verdict.entry(field, 3, operation, 0, @bitCast(@as(f64, value))),
            .bool => verdict.entry(field, 4, operation, 0, @intFromBool(value)),
            else => {
                const where = verdict.place(value);
                verdict.entry(field, 1, operation, where.len, where.slot | @as(u64, where.at) << 32);
            },
        }
    }
    fn entry(verdict: *Verdict, field: Name, kind: u32, operation: u32, len: u32, body: u64) void {
        words(&answer.values, &.{ @intFromEnum(field) | kind << 24 | operation << 28, len, @truncate(body), @truncate(body >> 32) });
        verdict.values += 1;
    }
    /// Where bytes lie, as the host sees it: in the payload, in a value that was read, or, copied, in the arena.
    fn place(verdict: *Verdict, bytes: []const u8) Place {
        if (within(verdict.record.payload, bytes)) |at| return .{ .slot = 0, .at = at, .len = bytes.len };
        if (within(frame, bytes) != null) {
            for (verdict.record.values, 2..) |*value, slot| {
                const whole = valueOf(value) orelse continue;
                if (whole != .str) continue;
                if (within(whole.str, bytes)) |at| return .{ .slot = slot, .at = at, .len = bytes.len };
            }
        }
        return built(bytes);
    }
};

/// Makes the exports of a filter.
pub fn filter(comptime Filter: type) void {
    const Exports = struct {
        var input: Buffer = .empty;
        var made: Filter = undefined;
        var ready: Buffer = .empty;

        fn abi() callconv(.c) i32 {
            return 1;
        }
        fn alloc(len: usize) callconv(.c) [*]u8 {
            input.ensureTotalCapacity(gpa, len + 1) catch oom();
            return input.items.ptr;
        }
        fn init(at: [*]const u8, len: usize) callconv(.c) u64 {
            var setup = Setup{ .config = at[0..len] };
            if (Filter.init(&setup)) |value| {
                made = value;
                names.declared = names.count;
                names.declared_bytes = names.section.items.len;
                ready.appendSlice(gpa, &.{ 0, @intFromBool(setup.payload), @truncate(setup.reads_count), @truncate(setup.reads_count >> 8) }) catch oom();
                ready.appendSlice(gpa, setup.reads.items) catch oom();
            } else |err| {
                ready.appendSlice(gpa, &.{ 1, 0, 0, 0 }) catch oom();
                ready.appendSlice(gpa, if (err == error.Refused) setup.why else @errorName(err)) catch oom();
            }
            return pack(ready.items);
        }
        fn process(at: [*]const u8, len: usize) callconv(.c) u64 {
            answer.clear();
            names.beginCall();
            frame = at[0..len];
            const records = u32Of(at + 4);
            const values: [*]const [16]u8 = @ptrCast(at + 24 + records * 48);
            for (0..records) |index| {
                const entry = at + 24 + index * 48;
                const record = Record{
                    .index = index,
                    .entry = entry,
                    .values = values[u32Of(entry + 40)..][0..u32Of(entry + 44)],
                    .payload = at[u32Of(entry + 32)..][0..u32Of(entry + 36)],
                };
                var verdict = Verdict{ .record = record };
                Filter.process(&made, record, &verdict) catch |err| verdict.fail(@errorName(err));
                words(&answer.verdicts, &.{ verdict.kind | verdict.flags << 8, verdict.values, verdict.reason.at, verdict.reason.len, verdict.emissions, 0 });
            }
            head = @splat(0);
            head[0] = 1;
            head[1] = records;
            const sections = [_]*const Buffer{ &answer.verdicts, &answer.values, &names.section, &answer.emissions, &answer.headers, &answer.arena };
            for (sections, 0..) |section, number| {
                head[2 + number * 2] = @intFromPtr(section.items.ptr);
                head[3 + number * 2] = section.items.len;
            }
            return pack(std.mem.asBytes(&head));
        }
    };
    @export(&Exports.abi, .{ .name = "sawbox_abi" });
    @export(&Exports.alloc, .{ .name = "alloc" });
    @export(&Exports.init, .{ .name = "init" });
    @export(&Exports.process, .{ .name = "process" });
}

const Place = struct { slot: u32, at: u32, len: u32 };

var frame: []const u8 = &.{};
var head: [16]u32 = undefined;

const answer = struct {
    var verdicts: Buffer = .empty;
    var values: Buffer = .empty;
    var emissions: Buffer = .empty;
    var headers: Buffer = .empty;
    var arena: Buffer = .empty;

    fn clear() void {
        for ([_]*Buffer{ &verdicts, &values, &emissions, &headers, &arena }) |buffer| buffer.clearRetainingCapacity();
    }
};

/// Names by number: those of `init` keep theirs, those of a call are forgotten with it.
const names = struct {
    var section: Buffer = .empty;
    var places: std.ArrayList(u32) = .empty;
    var slots: []u32 = &.{};
    var count: u32 = 0;
    var declared: u32 = 0;
    var declared_bytes: usize = 0;

    fn text(of: u32) []const u8 {
        const at = places.items[of];
        return section.items[at..][0..std.mem.readInt(u16, section.items[at - 2 ..][0..2], .little)];
    }
    fn number(given: []const u8) Name {
        // No field name is longer; the host says so.
        const wanted = given[0..@min(given.len, 300)];
        if (slots.len == 0) rehash(64);
        var slot = hash(wanted) & (slots.len - 1);
        while (slots[slot] != 0) : (slot = (slot + 1) & (slots.len - 1)) {
            if (std.mem.eql(u8, text(slots[slot] - 1), wanted)) return @enumFromInt(slots[slot] - 1);
        }
        u16At(section.addManyAsArray(gpa, 2) catch oom(), @intCast(wanted.len));
        places.append(gpa, section.items.len) catch oom();
        section.appendSlice(gpa, wanted) catch oom();
        count += 1;
        slots[slot] = count;
        const made: Name = @enumFromInt(count - 1);
        if (count * 2 > slots.len) rehash(slots.len * 2);
        return made;
    }
    fn rehash(len: usize) void {
        if (len != slots.len) slots = gpa.realloc(slots, len) catch oom();
        @memset(slots, 0);
        for (0..count) |of| {
            var slot = hash(text(of)) & (len - 1);
            while (slots[slot] != 0) slot = (slot + 1) & (len - 1);
            slots[slot] = of + 1;
        }
    }
    fn beginCall() void {
        if (count == declared) return;
        count = declared;
        places.shrinkRetainingCapacity(declared);
        section.shrinkRetainingCapacity(declared_bytes);
        var len: usize = 64;
        while (len < declared * 4) len *= 2;
        rehash(len);
    }
    fn hash(bytes: []const u8) u32 {
        var sum: u32 = 0x811c9dc5;
        for (bytes) |byte| sum = (sum ^ byte) *% 0x01000193;
        return sum ^ sum >> 15;
    }
};

fn oom() noreturn {
    @trap();
}
fn built(bytes: []const u8) Place {
    const at = answer.arena.items.len;
    answer.arena.appendSlice(gpa, bytes) catch oom();
    return .{ .slot = 1, .at = at, .len = bytes.len };
}
fn words(buffer: *Buffer, all: []const u32) void {
    buffer.appendSlice(gpa, std.mem.sliceAsBytes(all)) catch oom();
}
fn within(whole: []const u8, part: []const u8) ?u32 {
    const at = @intFromPtr(part.ptr) -% @intFromPtr(whole.ptr);
    return if (at <= whole.len and part.len <= whole.len - at) at else null;
}
fn valueOf(entry: *const [16]u8) ?Value {
    const body = u64Of(entry[8..]);
    return switch (u32Of(entry) >> 24 & 15) {
        1 => .{ .str = frame[@as(u32, @truncate(body >> 32))..][0..u32Of(entry[4..])] },
        2 => .{ .int = @bitCast(body) },
        3 => .{ .float = @bitCast(body) },
        4 => .{ .boolean = body != 0 },
        else => null,
    };
}
fn u16At(at: *[2]u8, value: u16) void {
    std.mem.writeInt(u16, at, value, .little);
}
fn u32Of(at: [*]const u8) u32 {
    return std.mem.readInt(u32, at[0..4], .little);
}
fn u64Of(at: [*]const u8) u64 {
    return std.mem.readInt(u64, at[0..8], .little);
}
fn pack(bytes: []const u8) u64 {
    return @intFromPtr(bytes.ptr) | @as(u64, bytes.len) << 32;
}

const import = struct {
    extern "sawbox" fn log(level: i32, at: [*]const u8, len: usize) void;
    extern "sawbox" fn config(at: [*]const u8, len: usize, out: [*]u8, cap: usize) i32;
    extern "sawbox" fn pattern_compile(at: [*]const u8, len: usize, kind: i32) i32;
    extern "sawbox" fn pattern_describe(handle: i32, out: [*]u8, cap: usize) i32;
    extern "sawbox" fn pattern_match(handle: i32, at: [*]const u8, len: usize, out: [*]Pattern.Span, cap: usize) i32;
    extern "sawbox" fn lookup_open(at: [*]const u8, len: usize) i32;
    extern "sawbox" fn lookup_get(handle: i32, record: u32, at: [*]const u8, len: usize, out: [*]u8, cap: usize) i32;
    extern "sawbox" fn state_get(record: u32, at: [*]const u8, len: usize, out: [*]u8, cap: usize) i32;
    extern "sawbox" fn state_put(record: u32, at: [*]const u8, len: usize, value: [*]const u8, value_len: usize, ttl_ms: i64) i32;
    extern "sawbox" fn state_wait(record: u32, at: [*]const u8, len: usize, value: [*]const u8, value_len: usize, wait_ms: i64) i32;
    extern "sawbox" fn state_remove(record: u32, at: [*]const u8, len: usize) i32;
};
