"""A thousand small topics cost next to nothing. SAWBOX_TOPICS_SECONDS sets how long the load lasts (600 for the full claim)."""

import http.client
import os
import pathlib
import re
import threading
import time

TOPICS = 1000
SECONDS = int(os.environ.get("SAWBOX_TOPICS_SECONDS", "60"))


def process(box):
    status = pathlib.Path(f"/proc/{box.pid}/status").read_text()
    number = lambda name: int(next(line.split()[1] for line in status.splitlines() if line.startswith(name)))
    return {"threads": number("Threads:"), "rss_anon_mib": number("RssAnon:") // 1024}


def synced(box):
    """Segments made durable so far, as the box says."""
    return int(re.search(r"(?m)^sawbox_queue_syncs_total(?:{})? (\d+)$", box.get("/metrics", raw=True).decode())[1])


def test_1000_topics_at_a_record_a_second(make_box, tmp_path):
    """strace counts every call that makes something durable, of whatever file, and stops the box at no other."""
    counts = tmp_path / "counts"
    calls = "trace=fsync,fdatasync,msync,sync_file_range,syncfs"
    wrap = ["strace", "-f", "--seccomp-bpf", "-c", "-e", calls, "-o", str(counts)]
    box = make_box(extra="[queue]\nmax_topics = 3000\n", wrap=wrap).start()
    over = time.monotonic() + SECONDS
    failed = []

    def load(share):
        connection = http.client.HTTPConnection("127.0.0.1", box.page, timeout=60)
        rounds = 0
        while time.monotonic() < over:
            begun = time.monotonic()
            for n in share:
                connection.request("POST", f"/api/v1/ingest/t{n:04}", body=b"one record a second of a small service")
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    failed.append((n, answer.status))
            rounds += 1
            time.sleep(max(0, 1 - (time.monotonic() - begun)))
        sent.append((len(share), rounds))

    sent = []
    threads = [threading.Thread(target=load, args=(range(n, TOPICS, 8),)) for n in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(SECONDS / 2)
    middle = process(box)
    for thread in threads:
        thread.join()
    box.settle(seconds=60)
    end = process(box)
    records = sum(topics * rounds for topics, rounds in sent)
    assert not failed, failed[:5]
    assert box.count("*") == records
    topics = box.get("/api/v1/topics")["topics"]
    parts = sum(topic["parts"] for topic in topics)
    segments = synced(box)
    box.stop(seconds=120)
    syncs = int(next(line.split()[3] for line in counts.read_text().splitlines() if line.endswith(" total")))
    print(
        f"\n{records} records in {SECONDS} s over {TOPICS} topics: {parts} parts, {segments} syncs of segments, {syncs} of all files, "
        f"in the middle {middle}, at the end {end}"
    )
    assert end["threads"] < 60, "threads grow with topics"
    assert parts <= 2 * TOPICS, "parts grow with topics and time"
    assert end["rss_anon_mib"] < 500
    # A record that comes alone into its topic needs one of its own, and nothing else may grow with topics and time.
    assert segments <= records
    assert segments <= syncs <= 1.05 * records + 12 * TOPICS, "syncs grow with topics and time"

    # What was in memory is one part a topic now, and all of it is there.
    box.start()
    box.settle()
    flushed = sum(topic["parts"] for topic in box.get("/api/v1/topics")["topics"])
    assert box.count("*") == records
    assert flushed <= parts + TOPICS, "more than a part a topic at the stop"
    print(f"after a restart: {flushed} parts, {process(box)}")
    box.stop(seconds=120)
