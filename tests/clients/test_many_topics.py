"""A thousand small topics cost next to nothing. SAWBOX_TOPICS_SECONDS sets how long the load lasts (600 for the full claim)."""

import os
import pathlib
import threading
import time
import urllib.request

TOPICS = 1000
SECONDS = int(os.environ.get("SAWBOX_TOPICS_SECONDS", "60"))


def process(box):
    status = pathlib.Path(f"/proc/{box.process.pid}/status").read_text()
    number = lambda name: int(next(line.split()[1] for line in status.splitlines() if line.startswith(name)))
    return {"threads": number("Threads:"), "rss_anon_mib": number("RssAnon:") // 1024}


def test_1000_topics_at_a_record_a_second(make_box):
    box = make_box(extra="[queue]\nmax_topics = 3000\n").start()
    over = time.monotonic() + SECONDS
    failed = []

    def load(share):
        import http.client

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
    print(f"\n{records} records in {SECONDS} s over {TOPICS} topics: {parts} parts, in the middle {middle}, at the end {end}")
    assert end["threads"] < 60, "threads grow with topics"
    assert parts <= 2 * TOPICS, "parts grow with topics and time"
    assert end["rss_anon_mib"] < 500
    box.stop(seconds=120)
