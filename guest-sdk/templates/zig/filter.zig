//! A line of `key=value` pairs becomes fields. Start from it: change `process`, then fixtures.toml.

const std = @import("std");
const sawbox = @import("sawbox.zig");

const Filter = struct {
    separator: u8,
    host: sawbox.Field,
    node: sawbox.Name,

    pub fn init(setup: *sawbox.Setup) !Filter {
        const separator = setup.get("separator") orelse "=";
        if (separator.len != 1) return setup.refuse("`separator` must be one character");
        return .{ .separator = separator[0], .host = setup.read("host"), .node = setup.name("node") };
    }

    pub fn process(self: *Filter, record: sawbox.Record, verdict: *sawbox.Verdict) !void {
        var any = false;
        var words = std.mem.splitScalar(u8, record.payload, ' ');
        while (words.next()) |word| {
            const at = std.mem.indexOfScalar(u8, word, self.separator) orelse continue;
            if (at == 0) continue;
            any = true;
            pair(word[0..at], word[at + 1 ..], verdict);
        }
        if (!any) verdict.fail("no key=value pair in the line");

        // A field that the receiver set: `web-7` is node 7.
        if (record.text(self.host)) |host| {
            if (std.mem.lastIndexOfScalar(u8, host, '-')) |dash| verdict.set(self.node, host[dash + 1 ..]);
        }
    }

    fn pair(key: []const u8, value: []const u8, verdict: *sawbox.Verdict) void {
        const name = verdict.name(key);
        if (wholeNumber(value)) |number| verdict.set(name, number) else verdict.set(name, value);
        if (!std.mem.eql(u8, key, "level")) return;
        if (std.mem.eql(u8, value, "debug")) verdict.drop("debug line");
        if (std.mem.eql(u8, value, "fatal")) verdict.emit("alerts", .original, true, &.{});
    }

    /// `12` is a number, `12a` is not, and what has more than 18 digits stays text.
    fn wholeNumber(text: []const u8) ?i64 {
        if (text.len == 0 or text.len > 18) return null;
        var number: i64 = 0;
        for (text) |digit| {
            if (digit < '0' or digit > '9') return null;
            number = number * 10 + (digit - '0');
        }
        return number;
    }
};

comptime {
    sawbox.filter(Filter);
}
