"""A line of `key=value` pairs becomes fields. Start from it: change `process`, then fixtures.toml."""

import sawbox


class Pairs(sawbox.Filter):
    def __init__(self, setup):
        separator = setup.config.get("separator", "=")
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError("`separator` must be one character")
        self.separator = separator.encode()
        self.host = setup.read("host")

    def process(self, record, verdict):
        line, start, found = record.payload, 0, False
        for word in line.split(b" "):
            at = word.find(self.separator)
            if at > 0:
                found = True
                pair(word[:at].decode(), word[at + 1 :], record.cut(start + at + 1, start + len(word)), verdict)
            start += len(word) + 1
        if not found:
            verdict.fail("no key=value pair in the line")

        # A field that the receiver set: `web-7` is node 7.
        host = record.get(self.host)
        if isinstance(host, sawbox.Cut):
            dash = bytes(host).rfind(b"-")
            if dash >= 0:
                verdict.set("node", host.cut(dash + 1))


def pair(key, value, cut, verdict):
    # `12` is a number, `12a` is not, and what has more than 18 digits stays text.
    verdict.set(key, int(value) if value.isdigit() and len(value) <= 18 else cut)
    if key == "level" and value == b"debug":
        verdict.drop("debug line")
    if key == "level" and value == b"fatal":
        verdict.emit("alerts")


Guest = sawbox.guest(Pairs)
