"""A topic that filters route to gets more partitions while records flow and the box is killed: each record is there once, and those of
a key in order within their partition."""

import collections
import json
import threading
import time
import urllib.error
import urllib.request

TOPICS = """
[topics.src]
partitions = 3
[[topics.src.chain]]
filter = "route"
config = { to = "dst" }
"""
KILLS = 5


def read(box, topic):
    """All records of a topic: partition, key, value."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": box.brokers, "group.id": "none", "enable.auto.commit": False})
    records = []
    for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
        at, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        consumer.assign([TopicPartition(topic, partition, at)])
        while at < end:
            message = consumer.poll(10)
            assert message is not None and message.error() is None, (topic, partition, at, end)
            at = message.offset() + 1
            records.append((partition, message.key(), int(message.value())))
    consumer.close()
    return records


class Grower(threading.Thread):
    """Asks for one more partition, again and again."""

    def __init__(self, box):
        super().__init__()
        self.box, self.over, self.grown = box, threading.Event(), 0
        self.start()

    def run(self):
        while not self.over.wait(0.3):
            try:
                have = len(self.box.get("/api/v1/topics/dst")["partitions"])
                body = json.dumps({"partitions": min(have + 1, 200)}).encode()
                request = urllib.request.Request(f"{self.box.url}/api/v1/topics/dst", data=body, method="PATCH")
                urllib.request.urlopen(request, timeout=60).read()
                self.grown += 1
            except (OSError, urllib.error.URLError):
                # It is not there yet, or the box was killed in between.
                pass


def test_a_target_grows_under_load_and_kills(make_box):
    from confluent_kafka import Producer

    box = make_box(extra=TOPICS).start()
    config = {"enable.idempotence": True, "message.timeout.ms": 120_000, "linger.ms": 5, "batch.num.messages": 200}
    producer = Producer({"bootstrap.servers": box.brokers, "reconnect.backoff.max.ms": 300, **config})
    failed, sent = [], 0
    grower = Grower(box)
    for kill in range(KILLS + 1):
        until = time.monotonic() + 3
        while time.monotonic() < until:
            for _ in range(100):
                key = f"{sent % 97}"
                producer.produce("src", f"{sent}", key, on_delivery=lambda error, _: error and failed.append(error))
                sent += 1
            producer.poll(0)
            time.sleep(0.02)
        if kill < KILLS:
            box.kill()
            box.start()
    assert producer.flush(120) == 0
    grower.over.set()
    grower.join()
    box.settle(["src"])
    records = read(box, "dst")
    values = collections.Counter(value for _, _, value in records)
    assert not failed
    assert [value for value, times in values.items() if times > 1] == [], "twice"
    assert set(values) == set(range(sent)), "missing"
    last = {}
    for partition, key, value in records:
        assert last.get((partition, key), -1) < value, "out of order"
        last[partition, key] = value
    assert grower.grown > 5
    assert box.count("_topic:src") == sent
    box.stop()
