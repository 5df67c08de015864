"""Power cuts: kill -9 at random moments, and, since that proves nothing about fsync, the order of system calls."""

import random
import re
import socket
import struct
import threading
import time
import urllib.error

import pytest

ROUNDS = 50


def exchange(connection, lines):
    """Sends one v1 window and returns the sequence that was acknowledged, or None where the box went away."""
    frames = b"".join(
        b"1D" + struct.pack(">II", 1 + n, 2)
        + b"".join(struct.pack(">I", len(part)) + part for part in (b"line", line.encode(), b"host", b"h1"))
        for n, line in enumerate(lines)
    )
    connection.sendall(b"1W" + struct.pack(">I", len(lines)) + frames)
    answer = b""
    while len(answer) < 6:
        some = connection.recv(6 - len(answer))
        if not some:
            return None
        answer += some
    assert answer[:2] == b"1A"
    return struct.unpack(">I", answer[2:])[0]


def lumberjack(port, lines):
    """Sends one v1 window over a connection of its own; None where the box went away."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            return exchange(connection, lines)
    except OSError:
        return None


def test_kill_9_at_random_moments_loses_and_doubles_nothing(make_box):
    """Every line has its own number. What was acknowledged must be there once; what was not may be there, once."""
    # Parts are written and merged all the time, so that the box also dies amid those.
    box = make_box(top="web.query_rows = 20000000", extra='[store]\nmemory = "4MiB"\nreplay_records = 2000\nmerge_parts = 2\n')
    dice = random.Random(1)
    acknowledged, sent = set(), set()
    lock = threading.Lock()
    numbers = iter(range(10**9))

    def shipper(over):
        while not over.is_set():
            with lock:
                window = [next(numbers) for _ in range(dice.randint(1, 60))]
            sent.update(window)
            lines = [f"line {n} end" for n in window]
            if dice.random() < 0.5:
                if lumberjack(box.beats, lines) == len(lines):
                    acknowledged.update(window)
            else:
                try:
                    if box.ingest("web", lines)["accepted"] == len(lines):
                        acknowledged.update(window)
                except (OSError, urllib.error.URLError):
                    pass

    for _ in range(ROUNDS):
        box.start()
        over = threading.Event()
        shippers = [threading.Thread(target=shipper, args=(over,)) for _ in range(3)]
        for thread in shippers:
            thread.start()
        time.sleep(dice.uniform(0.02, 0.6))
        box.kill()
        over.set()
        for thread in shippers:
            thread.join()
    box.start()
    box.settle()
    rows = box.query("* | fields message, _topic, _partition, _offset, _n", limit=20_000_000)
    assert len(rows) == box.count("*"), "the query was cut"
    stored = [int(re.fullmatch(r"line (\d+) end", row["message"]).group(1)) for row in rows]
    assert len(acknowledged) > 1000, "the load was too small to show anything"
    assert not acknowledged - set(stored), "acknowledged and lost"
    assert len(stored) == len(set(stored)), "doubled"
    assert set(stored) <= sent
    origins = {(row["_topic"], row["_partition"], row["_offset"], row["_n"]) for row in rows}
    assert len(origins) == len(rows), "an origin is there twice"
    box.stop()


def events(trace):
    """The calls of strace's output as (thread, "begin" or "end", call, its text, its result), in the order in which strace saw them: a
    call that no other thread's interrupted begins and ends on one line."""
    open_calls = {}
    for line in trace.splitlines():
        thread, _, rest = line.split(None, 2)
        if whole := re.match(r"(\w+)\((.*)\)\s+= (-?\d+)", rest):
            yield thread, "begin", whole[1], whole[2], None
            yield thread, "end", whole[1], whole[2], int(whole[3])
        elif begun := re.match(r"(\w+)\((.*) <unfinished \.\.\.>$", rest):
            open_calls[thread] = begun[2]
            yield thread, "begin", begun[1], begun[2], None
        elif ended := re.match(r"<\.\.\. (\w+) resumed>(.*)\)\s+= (-?\d+)", rest):
            yield thread, "end", ended[1], open_calls.pop(thread) + ended[2], int(ended[3])


def too_early(calls, windows):
    """Acknowledgements among calls that came before their records were durable, and how many there were in all.

    `windows` says by the shipper's port which records an acknowledgement stands for. A record is durable when a write into a segment
    that holds it has ended, then an fdatasync of that segment has begun, and has ended well; and when the segment's name, and those of
    the directories above it, are durable by an fsync of the directory they stand in, begun after they were made."""
    written, unnamed, durable, covered, segments, known = {}, set(), set(), {}, {}, set()
    early, acknowledged = [], 0
    for thread, moment, call, text, result in calls:
        named = re.match(r"\d+<([^>]*)>", text)
        path = named[1] if named else None
        if call.startswith("pwrite") and moment == "end" and path.endswith(".log"):
            records = set(re.findall(r"record-(\d+\.\d+);", text))
            assert not records or result >= 0
            written.setdefault(path, set()).update(records)
            segments.update(dict.fromkeys(records, path))
        elif call in ("fdatasync", "fsync") and moment == "begin":
            names = {made for made in unnamed if made.rpartition("/")[0] == path}
            covered[thread] = set(written.get(path, ())), names
        elif call in ("fdatasync", "fsync") and result == 0:
            records, names = covered.pop(thread)
            durable |= records
            unnamed -= names
        elif call in ("openat", "mkdir", "mkdirat") and moment == "end" and result >= 0:
            made = re.search(r'"([^"]*)"', text)[1]
            if (call != "openat" or "O_CREAT" in text) and made not in known:
                known.add(made)
                unnamed.add(made)
        elif call in ("sendto", "sendmsg", "write", "writev") and moment == "begin" and '"1A' in text:
            acknowledged += 1
            records = windows[int(re.search(r"->[^>]*:(\d+)\]", text)[1])]
            missing = records - durable
            missing |= {record for record in records & durable if any(f"{segments[record]}/".startswith(f"{made}/") for made in unnamed)}
            if missing:
                early.append((text, missing))
    return early, acknowledged


def test_every_acknowledgement_follows_an_fdatasync_that_covers_it(make_box, tmp_path):
    """Under strace: between the end of the write of a record into a segment and the acknowledgement of its window lies a finished
    fdatasync of that segment which began after the write."""
    trace = tmp_path / "trace"
    calls = "openat,mkdir,mkdirat,pwrite64,pwritev,pwritev2,fdatasync,fsync,sendto,sendmsg,write,writev"
    box = make_box(wrap=["strace", "-f", "-ttt", "-yy", "-s", "8192", "-e", f"trace={calls}", "-o", str(trace)])
    box.start(seconds=120)
    windows = {}

    def shipper(first):
        for n in range(first, first + 50):
            records = [f"{n}.{k}" for k in range(3)]
            with socket.create_connection(("127.0.0.1", box.beats), timeout=30) as connection:
                assert windows.setdefault(connection.getsockname()[1], set(records)) == set(records), "a port was used again"
                got.append(exchange(connection, [f"record-{record};" for record in records]))

    got = []
    # One alone, whose commits are its own; then four at once, whose appends share them.
    shipper(0)
    shippers = [threading.Thread(target=shipper, args=(n * 100,)) for n in range(1, 5)]
    for thread in shippers:
        thread.start()
    for thread in shippers:
        thread.join()
    assert got == [3] * 250
    box.stop()
    seen = list(events(trace.read_text(errors="replace")))
    early, acknowledged = too_early(seen, windows)
    assert not early, f"acknowledged before it was durable: {early[:3]}"
    assert acknowledged == 250, f"saw {acknowledged} acknowledgements"

    # What this test is worth: the same calls, were the box to sync nothing, to sync in vain, to make no name durable, or to sync while
    # it writes. (The records of the last may be covered by the next sync, but where the shipper was alone there was none.)
    assert len(too_early([event for event in seen if event[2] != "fdatasync"], windows)[0]) == 250
    failed = [(*event[:4], -1) if event[1:3] == ("end", "fdatasync") else event for event in seen]
    assert len(too_early(failed, windows)[0]) == 250
    assert len(too_early([event for event in seen if event[2] != "fsync"], windows)[0]) == 250
    late, waiting = [], {}
    for event in seen:
        if event[1] == "end" and event[2].startswith("pwrite") and "record-" in event[3]:
            waiting[event[0]] = event
            continue
        late.append(event)
        if event[1:3] == ("end", "fdatasync") and event[0] in waiting:
            late.append(waiting.pop(event[0]))
    assert len(too_early(late, windows)[0]) >= 50


@pytest.mark.parametrize("signal_number", [15, 2])
def test_a_clean_stop_keeps_everything_and_ends_with_0(make_box, signal_number):
    box = make_box().start()
    assert box.ingest("web", [f"line {n}" for n in range(1000)])["accepted"] == 1000
    box.stop(signal_number)
    box.start()
    box.settle()
    assert box.count("_topic:=web") == 1000
    box.stop()
