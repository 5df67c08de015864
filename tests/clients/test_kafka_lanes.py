"""Kafka beside everything else: what clients produce is searchable, what a chain decides clients consume, and readers of different speeds
do not wait for each other."""

import collections
import http.server
import json
import threading
import time

import pytest
from kafka_clients import CLIENTS, Record, in_order_without_gaps
from test_shippers import CUT, Rsyslog, arrived, check

ROUTE = """
[[topics.{0}.chain]]
filter = "access-log"
[[topics.{0}.chain]]
filter = "route"
when = 'response:404'
config = {{ to = "not-found" }}
[[topics.{0}.chain]]
filter = "route"
when = 'response:404'
config = {{ to = "paths", value = "request", headers = ["response"] }}
"""


@pytest.mark.parametrize("name", ["kcat", "confluent", "kafka-python", "aiokafka", "kafkajs"])
def test_what_clients_produce_is_cut_and_found(make_box, sample, name):
    """10,000 real lines, by a client, through the chain, counted by awk."""
    box = make_box(extra=CUT.format("t-kafka")).start()
    lines = sample.read_bytes().splitlines()
    CLIENTS[name].produce(box, "t-kafka", [Record(line) for line in lines], codec="gzip", idempotent=True)
    check(box, "t-kafka", sample)
    in_order_without_gaps(CLIENTS["confluent"].consume(box, "t-kafka", 10_000))
    box.stop()


def test_rsyslog_by_omkafka(make_box, sample, tmp_path):
    """Debian's rsyslog with its Kafka output: librdkafka 2.0, as kcat has."""
    box = make_box(extra=CUT.format("t-omkafka")).start()
    action = f"""
module(load="omkafka")
template(name="line" type="string" string="%msg%")
ruleset(name="out") {{
  action(type="omkafka" broker=["{box.brokers}"] topic="t-omkafka" template="line" resubmitOnFailure="on" keepFailedMessages="on"
         failedMsgFile="{tmp_path}/failed" confParam=["compression.codec=snappy", "request.required.acks=-1"]
         queue.type="linkedList" action.resumeRetryCount="-1")
}}"""
    with Rsyslog(tmp_path, action) as shipper:
        shipper.source.write_bytes(sample.read_bytes())
        arrived(box, "t-omkafka", 10_000)
    check(box, "t-omkafka", sample)
    box.stop()


def test_from_topic_to_topic(make_box, sample):
    """A chain cuts what one client produces, and routes some of it to topics that other clients read: as it arrived, and rewritten. Each
    once, also over a kill -9."""
    box = make_box(extra=ROUTE.format("web")).start()
    lines = sample.read_bytes().splitlines()
    missing = [line for line in lines if line.split(b'"')[2].split()[0] == b"404"]
    assert 50 < len(missing) < 9_000
    producer = threading.Thread(
        target=lambda: CLIENTS["confluent"].produce(box, "web", [Record(line, b"k") for line in lines], idempotent=True)
    )
    producer.start()
    time.sleep(0.3)
    box.kill()
    box.start()
    producer.join()
    box.settle(topics=["web"])
    for name in ("confluent", "kcat", "kafka-python", "aiokafka"):
        seen = CLIENTS[name].consume(box, "not-found", len(missing))
        assert [one.record.value for one in seen] == missing, name
        in_order_without_gaps(seen)
    paths = CLIENTS["confluent"].consume(box, "paths", len(missing))
    assert [one.record.value for one in paths] == [line.split(b'"')[1].split(b" ")[1] for line in missing]
    assert all(("response", b"404") in one.record.headers for one in paths)
    # A moment later there is still no more than that.
    time.sleep(0.5)
    assert len(CLIENTS["confluent"].consume(box, "not-found", len(missing) + 1, seconds=3)) == len(missing)
    box.settle()
    assert box.count("_topic:=web") == 10_000 and box.count('_topic:="not-found"') == len(missing)
    box.stop()


class Slow(http.server.BaseHTTPRequestHandler):
    """A webhook that takes its time."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        time.sleep(1)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_readers_of_different_speeds_do_not_wait_for_each_other(make_box):
    """A group that keeps up, one that reads ten records a second, the lane, and an output whose target takes a second a request: the same
    topic, 40,000 records. The slow ones are behind at the end; the others have everything."""
    from confluent_kafka import Consumer

    hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    output = f"""
[[outputs]]
type = "webhook"
name = "slow"
topics = ["busy"]
when = '*'
url = "http://127.0.0.1:{hook.server_port}/"
batch = 100
"""
    box = make_box(top="", extra=output).start()
    many, taken, over = 40_000, collections.Counter(), threading.Event()
    CLIENTS["confluent"].produce(box, "busy", [Record(b"0")])

    def read(group, pause, size):
        config = {"group.id": group, "auto.offset.reset": "earliest", "auto.commit.interval.ms": 200}
        consumer = Consumer({"bootstrap.servers": box.brokers, **config})
        consumer.subscribe(["busy"])
        while not over.is_set():
            taken[group] += sum(1 for one in consumer.consume(size, 0.1) if not one.error())
            time.sleep(pause)
        consumer.close()

    readers = [threading.Thread(target=read, args=arguments) for arguments in (("fast", 0, 2000), ("slow", 0.1, 1))]
    for thread in readers:
        thread.start()
    for start in range(1, many, 4000):
        CLIENTS["confluent"].produce(box, "busy", [Record(f"{n}".encode()) for n in range(start, min(many, start + 4000))])
    deadline = time.monotonic() + 30
    while (taken["fast"] < many or not taken["slow"] or box.count("_topic:=busy") < many) and time.monotonic() < deadline:
        time.sleep(0.1)
    slow, stored = taken["slow"], box.count("_topic:=busy")
    over.set()
    for thread in readers:
        thread.join()
    assert taken["fast"] == stored == many, (taken, stored)
    assert 0 < slow < many / 2, "the slow group was not slow: this shows nothing"
    groups = json.dumps(box.get("/api/v1/groups"))
    assert "slow" in groups and "fast" in groups
    hook.shutdown()
    box.kill()
