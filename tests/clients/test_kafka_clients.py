"""What one Kafka client produces, every other reads: keys, values, headers, timestamps, in every codec, with every kind of acknowledgement."""

import itertools
import subprocess
import time

import pytest
from kafka_clients import CLIENTS, Record, in_order_without_gaps

BASE = 1_700_000_000_000
# Debian's kcat sends no record of 1 MB without being told so, and neither do the others: the limit is theirs, the box's default is above.
BIG = b"b" * 1_000_000


def ways(client):
    """Each codec with each way to be acknowledged; idempotence wants acks=all."""
    for codec, (idempotent, acks) in itertools.product(client.codecs, [(False, "0"), (False, "1"), (False, "all"), (True, "all")]):
        yield codec, idempotent, acks


def some_records(client, tag, many=40):
    """Records that differ in everything a record has, as far as the client can say it."""
    for n in range(many):
        key = None if n % 3 == 0 and client.name != "kcat" else f"{tag}-key-{n % 7}".encode()
        value = b"" if n == 5 else f"{tag} value {n} ".encode() + b"x" * (n * 13 % 400)
        headers = (("first", f"{n}".encode()), ("second", b"\xc3\xa4")) if client.headers and n % 2 else ()
        yield Record(value, key, headers, BASE + n * 1000 if client.timestamps else None)


def alike(sent, seen, stamps):
    """The same records, whatever their order: by key, value, headers, and time where the producer set one. (kcat shows an empty key as
    none.)"""
    shape = lambda record: (record.key or b"", record.value, record.headers, record.timestamp if stamps else None)
    return sorted(map(shape, sent)) == sorted(shape(one.record) for one in seen)


@pytest.mark.parametrize("name", CLIENTS)
def test_what_one_client_produces_every_other_reads(shared_box, name):
    producer, box = CLIENTS[name], shared_box
    # Two topics, since kafkajs reads gzip and nothing else.
    topics = {f"all-{name}": [], f"js-{name}": []}
    for codec, idempotent, acks in ways(producer):
        tag = f"{codec}-{'idempotent' if idempotent else 'plain'}-{acks}"
        records = list(some_records(producer, tag))
        topic = f"js-{name}" if codec in CLIENTS["kafkajs"].reads else f"all-{name}"
        producer.produce(box, topic, records, codec=codec, idempotent=idempotent, acks=acks)
        topics[topic] += records
    begun = int(time.time() * 1000)
    for topic, sent in topics.items():
        for reader in CLIENTS.values():
            if not sent or (reader.name == "kafkajs" and topic.startswith("all-")):
                continue
            seen = reader.consume(box, topic, len(sent))
            assert alike(sent, seen, producer.timestamps), f"{reader.name} reads {topic}"
            in_order_without_gaps(seen)
            if not producer.timestamps:
                assert all(abs(one.record.timestamp - begun) < 600_000 for one in seen)


@pytest.mark.parametrize("name", CLIENTS)
def test_large_and_empty_values(shared_box, name):
    client, topic = CLIENTS[name], f"large-{name}"
    sent = [Record(BIG, b"big"), Record(b"", b"empty"), Record(b"\xf0\x9f\xa6\x8a" * 3, b"fox")]
    client.produce(shared_box, topic, sent)
    for reader in (client, CLIENTS["confluent"]):
        assert alike(sent, reader.consume(shared_box, topic, 3), False), reader.name


def test_a_null_value_stays_null(shared_box):
    """A record without a value is not one with an empty value."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

    producer = Producer({"bootstrap.servers": shared_box.brokers})
    producer.produce("nulls", None, key=b"gone")
    producer.produce("nulls", b"", key=b"empty")
    assert producer.flush(30) == 0
    consumer = Consumer({"bootstrap.servers": shared_box.brokers, "group.id": "nobody"})
    consumer.assign([TopicPartition("nulls", 0, OFFSET_BEGINNING)])
    seen = []
    while len(seen) < 2:
        seen += consumer.consume(2, 10)
    assert [(one.key(), one.value()) for one in seen] == [(b"gone", None), (b"empty", b"")]
    consumer.close()


def test_kafkajs_cannot_read_snappy_and_a_topic_can_spare_it_that(shared_box):
    """Without a plug-in kafkajs stops at a batch in snappy. A topic that recompresses at the door serves it all the same."""
    from confluent_kafka.admin import AdminClient, NewTopic

    records = [Record(f"value {n}".encode(), b"key") for n in range(50)]
    CLIENTS["confluent"].produce(shared_box, "in-snappy", records, codec="snappy")
    with pytest.raises(AssertionError, match="Snappy compression not implemented"):
        CLIENTS["kafkajs"].consume(shared_box, "in-snappy", 50, seconds=20)
    assert len(CLIENTS["confluent"].consume(shared_box, "in-snappy", 50)) == 50

    admin = AdminClient({"bootstrap.servers": shared_box.brokers})
    admin.create_topics([NewTopic("for-kafkajs", 1, 1, config={"compression.type": "gzip"})])["for-kafkajs"].result(10)
    for codec in ("none", "snappy", "lz4", "zstd"):
        CLIENTS["confluent"].produce(shared_box, "for-kafkajs", records, codec=codec)
    seen = CLIENTS["kafkajs"].consume(shared_box, "for-kafkajs", 200, seconds=30)
    assert alike(records * 4, seen, False)
    in_order_without_gaps(seen)


def test_keys_choose_the_partitions_that_the_clients_agree_on(shared_box):
    """murmur2, the same for librdkafka's `murmur2_random`, kafka-python, aiokafka, kafkajs and Java: one key, one partition."""
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": shared_box.brokers})
    admin.create_topics([NewTopic("keyed", 7, 1)])["keyed"].result(10)
    keys = [f"key-{n}".encode() for n in range(60)]
    records = [Record(b"value of " + key, key) for key in keys]
    CLIENTS["confluent"].produce(shared_box, "keyed", records, partitioner="murmur2_random")
    CLIENTS["kcat"].produce(shared_box, "keyed", records, options=["-X", "topic.partitioner=murmur2_random"])
    for name in ("kafka-python", "aiokafka", "kafkajs", "java"):
        CLIENTS[name].produce(shared_box, "keyed", records)
    # … and as the box chooses for receivers that are not Kafka.
    seen = CLIENTS["confluent"].consume(shared_box, "keyed", 6 * len(keys))
    places = {(one.record.key, one.partition) for one in seen}
    assert len(seen) == 6 * len(keys) and len(places) == len(keys), "a key has two partitions"
    assert len({partition for _, partition in places}) == 7


def test_order_in_a_partition_holds_with_many_requests_under_way(shared_box):
    """50,000 numbered records of an idempotent producer with five requests in flight, in small batches."""
    records = [Record(f"{n}".encode()) for n in range(50_000)]
    more = {"linger.ms": 0, "batch.num.messages": 100}
    CLIENTS["confluent"].produce(shared_box, "ordered", records, idempotent=True, **more)
    seen = CLIENTS["confluent"].consume(shared_box, "ordered", len(records))
    assert [int(one.record.value) for one in sorted(seen)] == list(range(len(records)))
    in_order_without_gaps(seen)


def test_kcat_lists_and_queries_offsets(shared_box):
    """What people do first: -L, and -Q for the offset of a time."""
    CLIENTS["confluent"].produce(shared_box, "listed", [Record(b"v", None, (), BASE + n) for n in range(100)])
    out = subprocess.run(["kcat", "-b", shared_box.brokers, "-L", "-J", "-t", "listed"], stdout=subprocess.PIPE, check=True, text=True).stdout
    assert '"topic":"listed"' in out and '"partition":0' in out
    query = ["kcat", "-b", shared_box.brokers, "-Q", "-t", f"listed:0:{BASE + 42}"]
    out = subprocess.run(query, stdout=subprocess.PIPE, check=True, text=True).stdout
    assert "offset 42" in out, out


@pytest.mark.parametrize("name", ["confluent", "kafka-python", "aiokafka"])
def test_seek_by_timestamp(shared_box, name):
    """ListOffsets by record time, also where time is not in order: the first record at or after it."""
    topic = f"times-{name}"
    stamps = [BASE + 1000 * n for n in range(200)]
    stamps[50], stamps[60] = stamps[60], stamps[50]
    CLIENTS["confluent"].produce(shared_box, topic, [Record(f"{n}".encode(), None, (), stamp) for n, stamp in enumerate(stamps)])
    cases = {BASE - 5: 0, BASE: 0, BASE + 1: 1, BASE + 50_000: 50, BASE + 55_000: 50, BASE + 61_000: 61, BASE + 199_000: 199}
    assert {at: offset_at(name, shared_box, topic, at) for at in cases} == cases
    assert offset_at(name, shared_box, topic, BASE + 199_001) in (None, 200, -1)


def offset_at(name, box, topic, at):
    if name == "confluent":
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({"bootstrap.servers": box.brokers, "group.id": "nobody"})
        offset = consumer.offsets_for_times([TopicPartition(topic, 0, at)], timeout=10)[0].offset
        consumer.close()
        return offset
    if name == "kafka-python":
        from kafka import KafkaConsumer, TopicPartition

        consumer = KafkaConsumer(bootstrap_servers=box.brokers)
        found = consumer.offsets_for_times({TopicPartition(topic, 0): at})[TopicPartition(topic, 0)]
        consumer.close()
        return found and found.offset
    import asyncio

    from aiokafka import AIOKafkaConsumer, TopicPartition

    async def ask():
        consumer = AIOKafkaConsumer(bootstrap_servers=box.brokers)
        await consumer.start()
        found = (await consumer.offsets_for_times({TopicPartition(topic, 0): at}))[TopicPartition(topic, 0)]
        await consumer.stop()
        return found and found.offset

    return asyncio.run(ask())
