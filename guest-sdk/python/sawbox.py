"""Write a sawbox filter in Python: this one file is all there is. The module `filter.py` says

    import sawbox

    class Mine(sawbox.Filter):
        def __init__(self, setup): ...                 # once, with the configuration; an exception refuses it
        def process(self, record, verdict): ...        # for every record

    Guest = sawbox.guest(Mine)

Build: componentize-py --wit-path sawbox.wit --world filter componentize --stub-wasi filter -o filter.wasm

Cut, do not copy: `record.cut(start, end)` of the payload goes back to the box as a place, and so does a `Cut` of a field. What is `bytes`
or `str` is copied. An exception in `process` sends the record to the topic's dead letters, with its text.
Remember nothing from one record to the next: use `record.state_get` and `state_put`. There is no clock but `record.arrival_ns`, no
randomness, no files and no network; modules that need them do not work.
The bytes that go to and fro are described in guest-sdk/src/abi.
"""

import json
import struct

try:
    from wit_world.imports import host
except ImportError:  # outside of the sandbox: the author's own tests
    host = None

_ENTRY = struct.Struct("<QqqqIIII")
_VALUE = struct.Struct("<IIQ")
_VERDICT = struct.Struct("<IIIIII")
_WHOLE = 0xFFFFFFFF
_KINDS = {"grok": 0, "regex": 1, "grok-ecs": 2}


class Cut:
    """A piece of the payload or of a field: a place, not a copy. `bytes(cut)` is what is there."""

    __slots__ = ("_of", "_slot", "start", "end")

    def __init__(self, of, slot, start, end):
        self._of, self._slot, self.start, self.end = of, slot, start, end

    def __bytes__(self):
        return self._of[self.start : self.end]

    def __len__(self):
        return self.end - self.start

    def __eq__(self, other):
        return bytes(self) == (bytes(other) if isinstance(other, Cut) else other)

    __hash__ = None

    def __repr__(self):
        return f"Cut({bytes(self)!r})"

    def cut(self, start, end=None):
        """A piece of this piece."""
        end = len(self) if end is None else end
        return Cut(self._of, self._slot, self.start + start, self.start + min(end, len(self)))


class Filter:
    """What a filter is."""

    def process(self, record, verdict):
        raise NotImplementedError


class Setup:
    """What a filter is made from, and where it declares what it reads."""

    def __init__(self, config):
        #: The configuration: a dictionary.
        self.config = config
        self._reads, self._payload = [], True

    def read(self, name):
        """Declares a field that the filter looks at; only those are given to it."""
        self._reads.append(name.encode())
        return len(self._reads) - 1

    def needs_payload(self, needs):
        """Whether the filter looks at payloads; without a word it does."""
        self._payload = needs

    def pattern(self, kind, expression, names=None):
        """Compiles a pattern in the host: "grok", "regex" or "grok-ecs"."""
        return Pattern(host.pattern_compile(host.PatternKind(_KINDS[kind]), expression, list((names or {}).items())))

    def lookup(self, kind, argument):
        """Opens a table of the host's: kinds "table", "geoip", "dns"."""
        return host.lookup_open(kind, argument)


class Pattern:
    """A pattern that the host compiled."""

    def __init__(self, handle):
        self._handle = handle
        self.groups = dict(host.pattern_groups(handle))

    def find(self, data):
        """[(name, start, end)] of the named groups that captured something; None where it does not match."""
        spans = host.pattern_match(self._handle, data)
        return None if spans is None else [(self.groups[span.group], span.start, span.end) for span in spans]


class Record:
    """One record, and the fields that it has so far."""

    __slots__ = ("_frame", "_index", "_values", "payload", "offset", "arrival_ns", "timestamp_ms")

    def __init__(self, frame, index, values):
        entry = _ENTRY.unpack_from(frame, 24 + index * 48)
        self._frame, self._index = frame, index
        #: Its place in the partition; when it arrived, nanoseconds; the producer's own time, milliseconds.
        self.offset, self.arrival_ns, self.timestamp_ms = entry[0], entry[1], entry[2]
        #: The bytes that arrived.
        self.payload = frame[entry[4] : entry[4] + entry[5]]
        self._values = (values + entry[6] * 16, entry[7])

    def cut(self, start, end=None):
        """A piece of the payload, not copied."""
        return Cut(self.payload, 0, start, len(self.payload) if end is None else end)

    def get(self, field):
        """The (first) value of a declared field: a Cut, an int, a float, a bool, or None."""
        at, count = self._values
        for index in range(count):
            head, length, body = _VALUE.unpack_from(self._frame, at + index * 16)
            if head & 0xFFFFFF != field:
                continue
            kind = head >> 24 & 15
            if kind == 1:
                start = body >> 32
                return Cut(self._frame[start : start + length], 2 + index, 0, length)
            if kind == 2:
                return body - (1 << 64) if body >> 63 else body
            if kind == 3:
                return struct.unpack("<d", struct.pack("<Q", body))[0]
            if kind == 4:
                return body != 0
        return None

    def state_get(self, key):
        """What an earlier record left under this key, or None."""
        return host.state_get(self._index, _bytes(key))

    def state_put(self, key, value, ttl_ms):
        """Leaves a value under a key, for so many milliseconds (negative: without end)."""
        host.state_put(self._index, _bytes(key), _bytes(value), ttl_ms)

    def state_wait(self, key, value, wait_ms):
        """As `state_put`; but when its time is over it comes back as a record, see `is_expired`."""
        host.state_wait(self._index, _bytes(key), _bytes(value), wait_ms)

    @property
    def is_expired(self):
        """Whether this is what waited, and not a record."""
        return self._index < struct.unpack_from("<I", self._frame, 20)[0]

    def state_remove(self, key):
        host.state_remove(self._index, _bytes(key))

    def lookup(self, table, key):
        """Looks a key up; None where nothing is known. Raises where there was no answer in time."""
        return host.lookup_get(table, self._index, _bytes(key))


class Verdict:
    """The verdict on one record. Left alone it means: store, with the fields as they were."""

    __slots__ = ("_answer", "_kind", "_flags", "_values", "_emissions", "_reason")

    def __init__(self, answer):
        self._answer = answer
        self._kind = self._flags = self._values = self._emissions = 0
        self._reason = (0, 0)

    def set(self, name, value):
        """Sets a field to a Cut, bytes, str, int, float or bool."""
        self._push(name, 0, value)

    def add(self, name, value):
        """Adds a value to a field: a second one makes it a list."""
        self._push(name, 1, value)

    def tag(self, tag):
        """Adds a tag, unless it is there."""
        self._push("tags", 3, tag)

    def remove(self, name):
        self._entry(name, 0, 2, 0, 0)

    def set_time(self, ns):
        """Sets the row's time, nanoseconds since 1970."""
        self._push("_time", 0, ns)

    def drop(self, reason):
        """Leaves the record out."""
        self._kind, self._reason = 1, self._answer.built(reason.encode())

    def fail(self, reason):
        """The record could not be handled: to the topic's dead letters."""
        self._kind, self._reason = 2, self._answer.built(reason.encode())

    def hold(self):
        """No row of it now: the filter keeps it in its state."""
        self._kind = 3

    def payload_consumed(self):
        """The fields say all that the payload says: no message is made of it."""
        self._flags = 1

    def emit(self, topic, payload=None, with_headers=True, headers=None):
        """Appends a record to another topic; without a payload, the record's own."""
        answer = self._answer
        to = answer.built(topic.encode())
        place = (0, 0, _WHOLE) if payload is None else answer.place(payload)
        headers = headers or {}
        for name, value in headers.items():
            answer.headers += struct.pack("<6I", *answer.built(name.encode()), *answer.place(value), 0)
        answer.emissions += struct.pack("<8I", *to, *place, len(headers), 1 if with_headers else 0, 0)
        self._emissions += 1

    def _push(self, name, operation, value):
        if isinstance(value, bool):
            self._entry(name, 4, operation, 0, 1 if value else 0)
        elif isinstance(value, int):
            self._entry(name, 2, operation, 0, value & 0xFFFFFFFFFFFFFFFF)
        elif isinstance(value, float):
            self._entry(name, 3, operation, 0, struct.unpack("<Q", struct.pack("<d", value))[0])
        else:
            slot, at, length = self._answer.place(value)
            self._entry(name, 1, operation, length, slot | at << 32)

    def _entry(self, name, kind, operation, length, body):
        self._answer.values += _VALUE.pack(self._answer.name(name) | kind << 24 | operation << 28, length, body)
        self._values += 1


class _Answer:
    def __init__(self):
        self.verdicts, self.values, self.names = bytearray(), bytearray(), bytearray()
        self.emissions, self.headers, self.arena = bytearray(), bytearray(), bytearray()
        self.numbers = {}

    def name(self, name):
        number = self.numbers.get(name)
        if number is None:
            number = self.numbers[name] = len(self.numbers)
            data = _bytes(name)[:300]
            self.names += struct.pack("<H", len(data)) + data
        return number

    def built(self, data):
        at = len(self.arena)
        self.arena += data
        return at, len(data)

    def place(self, value):
        if isinstance(value, Cut):
            return value._slot, value.start, len(value)
        return 1, *self.built(_bytes(value))

    def finish(self, records):
        """One string of bytes: the head, whose addresses count from its start, and the sections."""
        sections = (self.verdicts, self.values, self.names, self.emissions, self.headers, self.arena)
        head, at = [1, records], 64
        for section in sections:
            head += (at, len(section))
            at += len(section)
        return b"".join((struct.pack("<16I", *head, 0, 0), *sections))


def _bytes(value):
    if isinstance(value, str):
        return value.encode()
    return bytes(value)


def log(level, text):
    """Writes a line to the box's log: "error", "warn", "info" or "debug"."""
    host.log({"error": 1, "warn": 2, "info": 3, "debug": 4}[level], text)


def guest(make):
    """Makes the exports of a filter, which componentize-py looks for under the name `Guest`."""

    class Guest:
        def init(self, config):
            setup = Setup(json.loads(bytes(config)))
            try:
                Guest.filter = make(setup)
            except Exception as error:
                return b"\1\0\0\0" + str(error).encode()
            reads = b"".join(struct.pack("<H", len(name)) + name for name in setup._reads)
            return struct.pack("<BBH", 0, 1 if setup._payload else 0, len(setup._reads)) + reads

        def process(self, frame):
            frame = bytes(frame)
            (records,) = struct.unpack_from("<I", frame, 4)
            values, answer, decide = 24 + records * 48, _Answer(), Guest.filter.process
            for index in range(records):
                verdict = Verdict(answer)
                try:
                    decide(Record(frame, index, values), verdict)
                except Exception as error:
                    verdict.fail(f"{type(error).__name__}: {error}")
                answer.verdicts += _VERDICT.pack(
                    verdict._kind | verdict._flags << 8, verdict._values, *verdict._reason, verdict._emissions, 0
                )
            return answer.finish(records)

    return Guest
