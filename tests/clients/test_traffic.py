"""Quotas, routes and a full disk, as real Kafka clients and the command line see them."""

import collections
import json
import os
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from conftest import BINARY

PARTITIONS = 2


def sawbox(box, *arguments, ok=True):
    done = subprocess.run([BINARY, *arguments, "--url", box.url], capture_output=True, text=True, timeout=60)
    assert (done.returncode == 0) == ok, done.stderr
    return done.stdout if ok else done.stderr


def producer(box, **options):
    return Producer({"bootstrap.servers": box.brokers, "linger.ms": 5, "message.timeout.ms": 60_000, **options})


def consume(box, topic, many, seconds=60):
    """All records of a topic, in the order of each partition."""
    consumer = Consumer({"bootstrap.servers": box.brokers, "group.id": "nobody", "enable.auto.commit": False})
    partitions = len(box.topic(topic)["partitions"])
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(partitions)])
    seen, deadline = [], time.monotonic() + seconds
    while len(seen) < many and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            seen.append((message.key(), message.value()))
    consumer.close()
    return seen


def counters(box, name):
    """A metric's values, by rule."""
    text = box.get("/metrics", raw=True).decode()
    found = collections.Counter()
    for line in text.splitlines():
        if line.startswith(f"sawbox_{name}_total{{"):
            rule = line.split('rule="')[1].split('"')[0]
            found[rule] += int(line.rsplit(" ", 1)[1])
    return found


def watermarks(box, topic):
    found = box.topic(topic)
    return sum(partition["high_watermark"] for partition in found["partitions"]) if found else 0


def test_an_idempotent_producer_is_moved_back_and_forth(make_box):
    """Rules come and go while batches are in flight: each record is in one of the topics, once, and a key's are in order there."""
    box = make_box(extra=f'[topics.web]\npartitions = {PARTITIONS}\n').start()
    sawbox(box, "quota", "set", "noisy", "--topic", "web", "--rate", "50KB", "--action", "divert", "--to", "web.bursty")
    stop = threading.Event()

    def by_hand():
        while not stop.wait(0.05):
            sawbox(box, "route", "add", "web", "_client:noisy*", "web.moved", "--name", "hand")
            stop.wait(0.05)
            sawbox(box, "route", "rm", "hand")

    hand = threading.Thread(target=by_hand)
    hand.start()
    failed = []
    sender = producer(box, **{"enable.idempotence": True, "client.id": "noisy-1", "batch.num.messages": 50})
    many = 20_000
    for number in range(many):
        sender.produce("web", f"{number:06} {'x' * 80}", key=f"k{number % 7}", on_delivery=lambda error, _: error and failed.append(error))
        sender.poll(0)
        if number % 500 == 0:
            time.sleep(0.02)
    assert sender.flush(60) == 0
    stop.set()
    hand.join()
    assert failed == []
    seen = {topic: consume(box, topic, watermarks(box, topic)) for topic in ("web", "web.bursty", "web.moved")}
    assert all(seen.values()), {topic: len(records) for topic, records in seen.items()}
    values = collections.Counter(value for records in seen.values() for _, value in records)
    assert len(values) == many and set(values.values()) == {1}
    for topic, records in seen.items():
        by_key = collections.defaultdict(list)
        for key, value in records:
            by_key[key].append(value)
        assert all(list(some) == sorted(some) for some in by_key.values()), topic
    assert counters(box, "traffic_diverted_records")["noisy"] > 0


def test_quotas_throttle_and_refuse(make_box):
    box = make_box(extra='[[quotas]]\nname = "own"\ntopic = "web"\nbytes_per_second = 1\nburst = 1\naction = "refuse"\n', top="").start()
    outcomes = []
    sender = producer(box)
    for _ in range(3):
        sender.produce("web", b"x", on_delivery=lambda error, _: outcomes.append(error and error.code()))
        sender.flush(10)
    assert outcomes == [None, KafkaError.POLICY_VIOLATION, KafkaError.POLICY_VIOLATION]
    assert "configuration file" in sawbox(box, "quota", "rm", "own", ok=False)
    assert "circle" in sawbox(box, "route", "add", "a", "*", "a", ok=False)

    sawbox(box, "quota", "set", "slow", "--topic", "slow", "--rate", "100KB", "--burst", "50KB")
    failed = []
    for number in range(200):
        sender.produce("slow", f"{number} {'y' * 1000}", on_delivery=lambda error, _: error and failed.append(error))
        sender.flush(30)
    assert failed == [] and len(consume(box, "slow", 200)) == 200
    assert counters(box, "traffic_throttled_milliseconds")["slow"] > 500
    listed = json.loads(sawbox(box, "quota", "ls", "--json"))["quotas"]
    assert [(one["name"], one["fixed"]) for one in listed] == [("own", True), ("slow", False)]
    assert "slow" in sawbox(box, "quota", "ls")

    # What was put survives; what was removed does not come back.
    sawbox(box, "route", "add", "web", "host:web-7", "web.bursty")
    sawbox(box, "quota", "rm", "slow")
    box.stop()
    box.start()
    assert [one["name"] for one in box.get("/api/v1/quotas")["quotas"]] == ["own"]
    assert [(one["topic"], one["when"], one["to"]) for one in box.get("/api/v1/routes")["routes"]] == [("web", "host:web-7", "web.bursty")]
    with pytest.raises(urllib.error.HTTPError) as refused:
        for _ in range(2):
            box.ingest("web", ["line"])
    assert refused.value.code == 429 and int(refused.value.headers["retry-after"]) >= 1
    assert box.ingest("web2", ["line"], **{"field.host": "web-7"})["accepted"] == 1


@pytest.fixture
def small_disk(tmp_path):
    """A filesystem of 96 MiB where a box will have its data."""
    data = tmp_path / "box0" / "data"
    data.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", data], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small filesystem: {mounted.stderr.strip()}")
    yield data
    # Lazily: the box is killed only after this.
    subprocess.run(["umount", "-l", data], check=True)


def test_a_full_disk_is_a_pause(small_disk, make_box):
    """No acknowledgement while there is no room; search, listing and deletion go on; with room again everything does, by itself."""
    box = make_box().start()
    box.ingest("web", [f"line {number}" for number in range(100)])
    box.ingest("old", ["x" * 1000] * 5000)
    box.settle()
    # Half of what the box leaves to others (a twentieth) remains: not for the queue, but for what makes room.
    filler = small_disk / "filler"
    stat = os.statvfs(small_disk)
    spare = stat.f_blocks * stat.f_frsize // 20 * 3 // 4
    with open(filler, "wb") as file:
        left = stat.f_bavail * stat.f_frsize - spare
        while left > 0:
            some = min(left, 1 << 20)
            file.write(b"\1" * some)
            left -= some
    deadline = time.monotonic() + 20
    while b"\nsawbox_queue_full 1\n" not in box.get("/metrics", raw=True):
        assert time.monotonic() < deadline, "the box does not see that it is full"
        time.sleep(0.1)

    delivered = []
    sender = producer(box, **{"enable.idempotence": True})
    for number in range(100):
        sender.produce("web", f"kafka {number}", on_delivery=lambda error, _: delivered.append(error))
    left = sender.flush(3)
    assert left == 100 and delivered == [], f"nothing is acknowledged: {left} left, {delivered[:3]}"
    with pytest.raises(urllib.error.HTTPError) as refused:
        box.ingest("web", ["refused"])
    assert refused.value.code == 429 and refused.value.headers["retry-after"]
    assert box.count("_topic:=web") == 100, "search works"
    assert {"web", "old"} <= {topic["name"] for topic in box.get("/api/v1/topics")["topics"]}
    with urllib.request.urlopen(f"{box.url}/", timeout=10) as page:
        assert page.status == 200
    sawbox(box, "quota", "set", "any", "--topic", "other", "--rate", "1MiB")
    request = urllib.request.Request(f"{box.url}/api/v1/topics/old", method="DELETE")
    urllib.request.urlopen(request, timeout=10).close()
    assert box.topic("old") is None

    filler.unlink()
    assert sender.flush(60) == 0
    assert delivered == [None] * 100
    assert box.ingest("web", ["after"])["accepted"] == 1
    box.settle(["web"])
    assert box.count("_topic:=web") == 201, "each once, and what was refused is not there"
