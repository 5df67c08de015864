"""kill -9 of the box under Kafka's producers: an idempotent one finds each of its records there once and in order; any other finds nothing
missing that was acknowledged."""

import asyncio
import collections
import json
import random
import subprocess
import threading
import time

import pytest
from kafka_clients import CLIENTS, NODE, node_modules

ROUNDS = 8


class Confluent:
    def __init__(self, box, topic, idempotent):
        from confluent_kafka import Producer

        config = {"enable.idempotence": idempotent, "acks": "all", "message.timeout.ms": 120_000, "linger.ms": 1}
        config |= {"retry.backoff.ms": 50, "reconnect.backoff.max.ms": 300, "batch.num.messages": 50}
        self.producer = Producer({"bootstrap.servers": box.brokers, **config})
        self.topic, self.sent, self.acknowledged, self.failed = topic, 0, set(), []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def report(self, error, message):
        if error:
            self.failed.append(str(error))
        else:
            self.acknowledged.add(int(message.value()))

    def run(self):
        while not self.over.is_set():
            for _ in range(50):
                self.producer.produce(self.topic, str(self.sent), on_delivery=self.report)
                self.sent += 1
            self.producer.poll(0)
            time.sleep(0.005)
        assert self.producer.flush(120) == 0

    def end(self):
        self.over.set()
        self.thread.join()


class KafkaPython(Confluent):
    def __init__(self, box, topic, idempotent):
        from kafka import KafkaProducer

        config = {"enable_idempotence": idempotent, "acks": "all", "linger_ms": 1, "batch_size": 1000, "retry_backoff_ms": 50}
        config |= {"reconnect_backoff_max_ms": 300, "max_block_ms": 120_000, "max_in_flight_requests_per_connection": 5 if idempotent else 1}
        self.producer = KafkaProducer(bootstrap_servers=box.brokers, **config)
        self.topic, self.sent, self.acknowledged, self.failed = topic, 0, set(), []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over.is_set():
            for _ in range(50):
                n = self.sent
                self.sent += 1
                future = self.producer.send(self.topic, str(n).encode())
                future.add_callback(lambda _, n=n: self.acknowledged.add(n))
                future.add_errback(lambda error: self.failed.append(str(error)))
            time.sleep(0.02)
        self.producer.flush(120)
        self.producer.close()


class AioKafka(Confluent):
    def __init__(self, box, topic, idempotent):
        self.box, self.topic, self.idempotent = box, topic, idempotent
        self.sent, self.acknowledged, self.failed = 0, set(), []
        self.over = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.go()))
        self.thread.start()

    async def go(self):
        from aiokafka import AIOKafkaProducer
        from aiokafka.errors import KafkaConnectionError

        config = {"enable_idempotence": self.idempotent, "acks": "all", "linger_ms": 1, "max_batch_size": 1000}
        while True:
            producer = AIOKafkaProducer(bootstrap_servers=self.box.brokers, request_timeout_ms=120_000, retry_backoff_ms=50, **config)
            try:
                await producer.start()
                break
            except KafkaConnectionError:  # the box was dead just then
                await producer.stop()
                await asyncio.sleep(0.1)
        waiting = []

        while not self.over.is_set():
            # One after another into the client's buffer: its order is the order of the calls.
            for _ in range(50):
                future = await producer.send(self.topic, str(self.sent).encode())
                waiting.append((self.sent, future))
                self.sent += 1
            await asyncio.sleep(0.02)
        for n, future in waiting:
            try:
                await future
                self.acknowledged.add(n)
            except Exception as error:
                self.failed.append(repr(error))
        await producer.stop()


class KafkaJs(Confluent):
    def __init__(self, box, topic, idempotent):
        node_modules()
        request = {"brokers": [box.brokers], "topic": topic, "idempotent": idempotent}
        self.process = subprocess.Popen(["node", NODE / "endless.js"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.process.stdin.write(json.dumps(request))
        self.process.stdin.close()
        self.sent, self.acknowledged, self.failed, self.errors = 0, set(), [], []
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True).start()

    def run(self):
        for line in self.process.stdout:
            row = json.loads(line)
            self.sent = max(self.sent, row["to"])
            if "failed" in row:
                self.failed.append(row["failed"])
            else:
                self.acknowledged.update(range(row["from"], row["to"]))

    def end(self):
        self.process.terminate()
        assert self.process.wait(60) == 0, "".join(self.errors[-20:])
        self.thread.join()


PRODUCERS = {"confluent": Confluent, "kafka-python": KafkaPython, "aiokafka": AioKafka, "kafkajs": KafkaJs}


@pytest.mark.parametrize("idempotent", [True, False], ids=["idempotent", "plain"])
def test_kill_9_under_producers(make_box, idempotent):
    """All libraries at once, each into a topic of its own; the box dies at random moments, also while it starts."""
    box = make_box(top="web.query_rows = 20000000").start()
    dice = random.Random(7)
    producers = {name: make(box, f"crash-{name}", idempotent) for name, make in PRODUCERS.items()}
    try:
        for n in range(ROUNDS):
            time.sleep(dice.uniform(0.1, 1.2))
            box.kill()
            if n % 3 == 2:
                # It dies again before it is ready.
                box.process = subprocess.Popen([*box.process.args], stderr=subprocess.DEVNULL, cwd=box.folder)
                time.sleep(dice.uniform(0.01, 0.2))
                box.kill()
            box.start()
        time.sleep(1)
    finally:
        for producer in producers.values():
            producer.end()
    for name, producer in producers.items():
        # To the end: what was sent again because nobody had answered is there twice.
        there = sum(partition["high_watermark"] for partition in box.topic(f"crash-{name}")["partitions"])
        seen = CLIENTS["confluent"].consume(box, f"crash-{name}", there, seconds=30)
        numbers = [int(one.record.value) for one in seen]
        counts = collections.Counter(numbers)
        assert len(producer.acknowledged) > 1000, f"{name}: the load was too small to show anything"
        assert not (missing := producer.acknowledged - set(counts)), f"{name}: {len(missing)} acknowledged records are lost: {sorted(missing)[:5]}"
        offsets = [one.offset for one in seen]
        assert offsets == sorted(set(offsets)), f"{name}: offsets go back"
        if idempotent:
            # kafkajs opens a new producer id when a request failed for good; the others never give up here.
            assert not producer.failed, f"{name}: {producer.failed[:3]}"
            twice = [n for n, times in counts.items() if times > 1]
            assert not twice, f"{name}: {len(twice)} records are there twice: {twice[:5]}"
            assert numbers == sorted(numbers), f"{name}: out of order"
            assert numbers == list(range(producer.sent)), f"{name}: {producer.sent} sent, {len(numbers)} there"
    # What clients could read became rows, once each.
    box.settle()
    for name in producers:
        end = box.topic(f"crash-{name}")["partitions"][0]
        rows = box.query(f'_topic:="crash-{name}" | fields message, _offset, _n')
        assert len({(row["_offset"], row["_n"]) for row in rows}) == len(rows)
        if idempotent:
            assert sorted(int(row["message"]) for row in rows) == list(range(producers[name].sent)), (name, end)
    box.stop()
