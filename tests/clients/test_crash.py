"""Power cuts: kill -9 at random moments, and, since that proves nothing about fsync, the order of system calls."""

import random
import re
import socket
import struct
import threading
import time
import urllib.error

import pytest

from conftest import Box

ROUNDS = 50


def lumberjack(port, lines, sequence=1):
    """Sends one v1 window and returns the sequence that was acknowledged, or None where the box went away."""
    frames = b"".join(
        b"1D" + struct.pack(">II", sequence + n, 2)
        + b"".join(struct.pack(">I", len(part)) + part for part in (b"line", line.encode(), b"host", b"h1"))
        for n, line in enumerate(lines)
    )
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"1W" + struct.pack(">I", len(lines)) + frames)
            answer = b""
            while len(answer) < 6:
                some = connection.recv(6 - len(answer))
                if not some:
                    return None
                answer += some
            assert answer[:2] == b"1A"
            return struct.unpack(">I", answer[2:])[0]
    except OSError:
        return None


def test_kill_9_at_random_moments_loses_and_doubles_nothing(make_box):
    """Every line has its own number. What was acknowledged must be there once; what was not may be there, once."""
    box = make_box(extra="[store]\nmemtable_bytes = \"1MiB\"\n")
    dice = random.Random(1)
    acknowledged, sent = set(), set()
    lock = threading.Lock()
    numbers = iter(range(10**9))

    def shipper(over):
        while not over.is_set():
            with lock:
                window = [next(numbers) for _ in range(dice.randint(1, 400))]
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
    stored = [int(re.fullmatch(r"line (\d+) end", row["message"]).group(1)) for row in box.query("* | fields message")]
    assert len(acknowledged) > 1000, "the load was too small to show anything"
    assert not acknowledged - set(stored), "acknowledged and lost"
    assert len(stored) == len(set(stored)), "doubled"
    assert set(stored) <= sent
    origins = [(row["_partition"], row["_offset"], row["_n"]) for row in box.query("_topic:=web")]
    assert len(origins) == len(set(origins)) == len(stored)
    box.stop()


def test_every_acknowledgement_follows_an_fdatasync_that_covers_it(make_box, tmp_path):
    """Under strace: between the write of a record into a segment and the acknowledgement of its window lies a finished fdatasync of
    that segment which began after the write."""
    trace = tmp_path / "trace"
    calls = "pwrite64,pwritev,pwritev2,fdatasync,fsync,sendto,sendmsg,write,writev"
    box = make_box(wrap=["strace", "-f", "-ttt", "-yy", "-s", "64", "-e", f"trace={calls}", "-o", str(trace)])
    box.start(seconds=120)
    for n in range(100):
        assert lumberjack(box.beats, [f"line {n}.{k}" for k in range(3)]) == 3
    box.process.send_signal(2)
    box.process.wait(30)
    writes, began, unsynced, acknowledged = {}, {}, set(), 0
    for line in trace.read_text(errors="replace").splitlines():
        pid, _, call = line.partition(" ")
        call = call.strip().partition(" ")[2]
        segment = re.search(r"<([^>]*/queue/[^>]*\.log)>", call)
        if segment and re.match(r"pwrite", call):
            unsynced.add(segment.group(1))
        elif segment and re.match(r"f(data)?sync\(", call):
            if "unfinished" in call:
                # It covers what was written before it began, and nothing later.
                began[pid] = {segment.group(1)} & unsynced
            elif call.rstrip().endswith("= 0"):
                unsynced.discard(segment.group(1))
            unsynced -= began[pid] if pid in began else set()
        elif re.match(r"<\.\.\. f(data)?sync resumed", call):
            began.pop(pid, None)
        elif f"127.0.0.1:{box.beats}->" in call and re.search(r'"1A\\0', call):
            pending = set().union(*began.values()) if began else set()
            assert not unsynced and not pending, f"acknowledged before it was durable: {line}"
            acknowledged += 1
    assert acknowledged == 100, f"saw {acknowledged} acknowledgements"


@pytest.mark.parametrize("signal_number", [15, 2])
def test_a_clean_stop_keeps_everything_and_ends_with_0(make_box, signal_number):
    box = make_box().start()
    assert box.ingest("web", [f"line {n}" for n in range(1000)])["accepted"] == 1000
    box.process.send_signal(signal_number)
    assert box.process.wait(30) == 0
    box.start()
    box.settle()
    assert box.count("_topic:=web") == 1000
    box.stop()
