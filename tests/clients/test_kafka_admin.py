"""Kafka's admin clients: topics, configuration, records and groups; and what every client is told when it asks for what cannot be."""

import socket
import struct
import subprocess
import time

import pytest
from kafka_clients import CLIENTS, Record, in_order_without_gaps
from kafka_groups import Member, until
from test_kafka_groups import make_topic

NAMES = ("confluent", "kafka-python", "aiokafka", "kafkajs", "java")


def confluent_admin(box):
    """One for each process of a box: what it has under way ends with it, and it knows no leaders while it finds that its broker died."""
    from confluent_kafka.admin import AdminClient

    if getattr(box, "admin", (None, None))[0] != box.pid:
        box.admin = box.pid, AdminClient({"bootstrap.servers": box.brokers})
    return box.admin[1]


def numbers(many, start=0):
    return [Record(f"{n}".encode()) for n in range(start, start + many)]


def partitions_of(box, topic):
    found = confluent_admin(box).list_topics(timeout=10).topics.get(topic)
    return found and len(found.partitions)


class Admin:
    """create, grow, delete: in the words of each library."""

    def __init__(self, name, box):
        self.name, self.box = name, box

    def create(self, topic, partitions, config):
        if self.name == "confluent":
            from confluent_kafka.admin import NewTopic

            confluent_admin(self.box).create_topics([NewTopic(topic, partitions, 1, config=config)])[topic].result(10)
        elif self.name == "kafka-python":
            from kafka.admin import NewTopic

            self.kafka_python(lambda admin: admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=config)]))
        elif self.name == "aiokafka":
            from aiokafka.admin import NewTopic

            self.aiokafka(lambda admin: admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=config)]))
        elif self.name == "java":
            self.java(do="create", topic=topic, partitions=partitions, settings=config)
        else:
            self.kafkajs({"do": "create", "topic": topic, "partitions": partitions, "config": config})

    def grow(self, topic, partitions):
        if self.name == "confluent":
            from confluent_kafka.admin import NewPartitions

            confluent_admin(self.box).create_partitions([NewPartitions(topic, partitions)])[topic].result(10)
        elif self.name == "kafka-python":
            self.kafka_python(lambda admin: admin.create_partitions({topic: partitions}))
        elif self.name == "aiokafka":
            from aiokafka.admin import NewPartitions

            self.aiokafka(lambda admin: admin.create_partitions({topic: NewPartitions(partitions)}))
        elif self.name == "java":
            self.java(do="grow", topic=topic, partitions=partitions)
        else:
            self.kafkajs({"do": "grow", "topic": topic, "partitions": partitions})

    def delete(self, topic):
        if self.name == "confluent":
            confluent_admin(self.box).delete_topics([topic])[topic].result(10)
        elif self.name == "kafka-python":
            self.kafka_python(lambda admin: admin.delete_topics([topic]))
        elif self.name == "aiokafka":
            self.aiokafka(lambda admin: admin.delete_topics([topic]))
        elif self.name == "java":
            self.java(do="delete", topic=topic)
        else:
            self.kafkajs({"do": "delete", "topic": topic})

    def kafka_python(self, do):
        from kafka.admin import KafkaAdminClient

        admin = KafkaAdminClient(bootstrap_servers=self.box.brokers)
        try:
            return do(admin)
        finally:
            admin.close()

    def aiokafka(self, do):
        import asyncio

        from aiokafka.admin import AIOKafkaAdminClient

        async def run():
            admin = AIOKafkaAdminClient(bootstrap_servers=self.box.brokers)
            await admin.start()
            try:
                return await do(admin)
            finally:
                await admin.close()

        return asyncio.run(run())

    def java(self, **request):
        return CLIENTS["java"].run("admin", self.box, request)

    def kafkajs(self, request):
        return CLIENTS["kafkajs"].script("admin", {"brokers": [self.box.brokers], **request})


@pytest.mark.parametrize("name", NAMES)
def test_topics_are_made_grown_and_deleted(shared_box, name):
    box, admin, topic = shared_box, Admin(name, shared_box), f"managed-{name}"
    admin.create(topic, 3, {"retention.ms": "3600000"})
    assert partitions_of(box, topic) == 3
    CLIENTS["confluent"].produce(box, topic, numbers(30))
    admin.grow(topic, 5)
    assert partitions_of(box, topic) == 5
    CLIENTS["confluent"].produce(box, topic, numbers(300, 30), **{"sticky.partitioning.linger.ms": 0})
    assert sorted(int(one.record.value) for one in CLIENTS["confluent"].consume(box, topic, 330)) == list(range(330))
    box.settle(topics=[topic])
    assert box.count(f'_topic:="{topic}"') == 330, "partitions that came later have lanes, too"
    admin.delete(topic)
    until(lambda: partitions_of(box, topic) is None, "the topic is still there", 10)
    # A topic of the same name is another one: nothing of the old one is in it.
    admin.create(topic, 1, {})
    CLIENTS["confluent"].produce(box, topic, numbers(3))
    seen = CLIENTS["confluent"].consume(box, topic, 3)
    assert [(one.offset, one.record.value) for one in seen] == [(0, b"0"), (1, b"1"), (2, b"2")]


def test_what_javas_admin_client_asks_and_changes(make_box):
    """Descriptions, offsets, configuration, deleted records, groups and their offsets, by the client that most tools for Kafka are made of."""
    box, java = make_box().start(), CLIENTS["java"]
    admin = lambda **request: java.run("admin", box, {"topic": "told", **request})
    admin(do="create", partitions=3, settings={"retention.ms": "3600000"})
    java.produce(box, "told", [Record(f"{n}".encode(), b"one key") for n in range(50)], idempotent=True)
    (place,) = {one.partition for one in java.consume(box, "told", 50, group="told-group")}
    admin(do="alter", settings={"retention.ms": "7200000", "max.message.bytes": "5000"})
    (told,) = admin(do="describe")
    assert (told["nodes"], told["partitions"], told["topics"]) == (1, 3, ["told"]) and len(told["cluster"]) > 10
    assert (told["settings"]["retention.ms"], told["settings"]["max.message.bytes"]) == ("7200000", "5000")
    assert (told["earliest"], told["latest"]) == (0, 50 if place == 0 else 0)
    # What it consumed without a group is no group's; what it committed is there for who comes next.
    (groups,) = admin(do="groups")
    assert groups["told-group"] == {f"told-{place}": 50}
    java.produce(box, "told", [Record(b"50", b"one key")])
    assert [one.record.value for one in java.consume(box, "told", 1, group="told-group", seconds=20)] == [b"50"]
    CLIENTS["confluent"].produce(box, "single", [Record(f"{n}".encode()) for n in range(20)])
    java.run("admin", box, {"do": "trim", "topic": "single", "before": 5})
    (told,) = java.run("admin", box, {"do": "describe", "topic": "single"})
    assert (told["earliest"], told["latest"]) == (5, 20)
    java.run("admin", box, {"do": "reset", "topic": "single", "group": "later", "offset": 15})
    assert [int(one.record.value) for one in java.consume(box, "single", 5, group="later")] == list(range(15, 20))
    box.stop()


def test_creating_what_is_there_or_makes_no_sense(shared_box):
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import NewTopic

    make_topic(shared_box, "there", 1)
    cases = [
        (NewTopic("there", 1, 1), "TOPIC_ALREADY_EXISTS"),
        (NewTopic("no/slashes", 1, 1), "TOPIC_EXCEPTION"),
        (NewTopic("compacted", 1, 1, config={"cleanup.policy": "compact"}), "INVALID_CONFIG"),
        (NewTopic("odd", 1, 1, config={"retention.ms": "soon"}), "INVALID_CONFIG"),
        (NewTopic("odd", 1, 1, config={"no.such.config": "1"}), "INVALID_CONFIG"),
        (NewTopic("odd", 1, 3), "INVALID_REPLICATION_FACTOR"),
        (NewTopic("odd", 100_000, 1), "INVALID_PARTITIONS"),
    ]
    for topic, expected in cases:
        with pytest.raises(KafkaException) as refused:
            confluent_admin(shared_box).create_topics([topic])[topic.topic].result(10)
        assert refused.value.args[0].name() == expected, (topic.topic, refused.value)
        assert len(refused.value.args[0].str()) > 10, "an error says what is wrong"
    done = confluent_admin(shared_box).create_topics([NewTopic("only-tried", 1, 1)], validate_only=True)
    done["only-tried"].result(10)
    assert partitions_of(shared_box, "only-tried") is None


def test_configuration_is_read_and_changed_while_it_runs(make_box):
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    box = make_box().start()
    make_topic(box, "settings", 1)
    resource = lambda *entries: ConfigResource(ResourceType.TOPIC, "settings", incremental_configs=list(entries) or None)

    def read():
        asked = ConfigResource(ResourceType.TOPIC, "settings")
        return {name: entry.value for name, entry in confluent_admin(box).describe_configs([asked])[asked].result(10).items()}

    def change(name, value, how=AlterConfigOpType.SET):
        changed = resource(ConfigEntry(name, value, incremental_operation=how))
        return list(confluent_admin(box).incremental_alter_configs([changed]).values())[0].result(10)

    before = read()
    assert before["cleanup.policy"] == "delete" and before["compression.type"] == "producer"
    change("retention.ms", "7200000")
    change("max.message.bytes", "5000")
    change("compression.type", "zstd")
    assert (read()["retention.ms"], read()["max.message.bytes"], read()["compression.type"]) == ("7200000", "5000", "zstd")
    # What it says holds at once.
    CLIENTS["confluent"].produce(box, "settings", [Record(b"x" * 3000)])
    with pytest.raises(AssertionError, match="MSG_SIZE_TOO_LARGE|too large|Message size"):
        CLIENTS["confluent"].produce(box, "settings", [Record(b"x" * 8000)])
    for name, value in [("cleanup.policy", "compact"), ("retention.ms", "x"), ("no.such", "1")]:
        with pytest.raises(KafkaException) as refused:
            change(name, value)
        assert refused.value.args[0].name() in ("INVALID_CONFIG",), (name, refused.value)
    box.kill()
    box.start()
    assert (read()["retention.ms"], read()["max.message.bytes"], read()["compression.type"]) == ("7200000", "5000", "zstd")
    change("retention.ms", None, AlterConfigOpType.DELETE)
    assert read()["retention.ms"] == before["retention.ms"]
    box.stop()


def test_records_are_deleted_up_to_an_offset(make_box):
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    box = make_box().start()
    CLIENTS["confluent"].produce(box, "trimmed", numbers(1000), **{"batch.num.messages": 100})
    box.settle(topics=["trimmed"])

    def trim(offset):
        asked = TopicPartition("trimmed", 0, offset)
        return confluent_admin(box).delete_records([asked])[asked].result(10).low_watermark

    def first():
        consumer = Consumer({"bootstrap.servers": box.brokers, "group.id": "nobody"})
        low, high = consumer.get_watermark_offsets(TopicPartition("trimmed", 0), timeout=10)
        consumer.close()
        return low, high

    # In the middle of a batch: a reader still sees nothing below.
    assert trim(250) == 250
    for name in ("confluent", "kafka-python", "aiokafka", "kcat"):
        seen = CLIENTS[name].consume(box, "trimmed", 750)
        assert [int(one.record.value) for one in seen] == list(range(250, 1000)), name
    assert first() == (250, 1000)
    box.kill()
    box.start()
    assert first() == (250, 1000)
    with pytest.raises(KafkaException) as refused:
        trim(1001)
    assert refused.value.args[0].name() == "OFFSET_OUT_OF_RANGE"
    assert trim(-1) == 1000 and first() == (1000, 1000)
    CLIENTS["confluent"].produce(box, "trimmed", numbers(1))
    assert first() == (1000, 1001), "offsets are never used again"
    box.stop()


def test_groups_are_listed_described_reset_and_deleted(shared_box):
    from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions, KafkaException, TopicPartition

    box, topic, group = shared_box, make_topic(shared_box, "observed", 2), "observers"
    CLIENTS["confluent"].produce(box, topic, numbers(200), **{"sticky.partitioning.linger.ms": 0})
    member = Member(box, "confluent", topic, group, "range")
    admin = confluent_admin(box)

    def offsets():
        found = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(10)
        return {place.partition: place.offset for place in found.topic_partitions}

    def reset(*places):
        wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, partition, offset) for partition, offset in places])
        return admin.alter_consumer_group_offsets([wanted])[group].result(10)

    try:
        until(lambda: len(member.records) == 200, lambda: f"{member}")
        listed = {one.group_id: one for one in admin.list_consumer_groups(request_timeout=10).result().valid}
        assert group in listed and listed[group].state == ConsumerGroupState.STABLE
        described = admin.describe_consumer_groups([group])[group].result(10)
        assert described.state == ConsumerGroupState.STABLE and described.partition_assignor == "range"
        assert len(described.members) == 1
        owned = {place.partition for place in described.members[0].assignment.topic_partitions}
        assert owned == {0, 1} and described.members[0].host.strip("/") == "127.0.0.1"
        # Refused while it is live: nobody's position moves below a member's feet.
        assert all(place.error for place in reset((0, 0)).topic_partitions)
        with pytest.raises(KafkaException) as refused:
            admin.delete_consumer_groups([group])[group].result(10)
        assert refused.value.args[0].name() == "NON_EMPTY_GROUP"
    finally:
        member.leave()
    ends = offsets()
    assert sum(ends.values()) == 200
    described = admin.describe_consumer_groups([group])[group].result(10)
    assert described.state == ConsumerGroupState.EMPTY
    reset((0, 0), (1, ends[1] - 1))
    again = CLIENTS["confluent"].consume(box, topic, ends[0] + 1, group=group)
    assert sorted((one.partition, one.offset) for one in again) == [(0, n) for n in range(ends[0])] + [(1, ends[1] - 1)]
    admin.delete_consumer_groups([group])[group].result(10)
    assert group not in {one.group_id for one in admin.list_consumer_groups(request_timeout=10).result().valid}
    # The lanes are listed beside them, and nobody moves them.
    assert "_lane" in {one.group_id for one in admin.list_consumer_groups(request_timeout=10).result().valid}
    with pytest.raises(KafkaException):
        admin.delete_consumer_groups(["_lane"])["_lane"].result(10)


def test_the_other_libraries_see_the_groups(shared_box):
    box, topic = shared_box, make_topic(shared_box, "watched", 2)
    CLIENTS["confluent"].produce(box, topic, numbers(100))
    assert len(CLIENTS["confluent"].consume(box, topic, 100, group="watchers")) == 100
    listed = Admin("kafka-python", box).kafka_python(lambda admin: admin.list_groups())
    assert "watchers" in str(listed)
    offsets = Admin("kafka-python", box).kafka_python(lambda admin: admin.list_group_offsets({"watchers": None}))
    assert "100" in str(offsets) or "watched" in str(offsets)
    groups = Admin("kafkajs", box).kafkajs({"do": "groups"})
    assert "watchers" in [group["groupId"] for group in groups[0]["groups"]]
    described = Admin("kafkajs", box).kafkajs({"do": "describe", "group": "watchers"})
    assert described[0]["groups"][0]["state"] == "Empty"


def test_kcat_names_a_topic_that_is_not_there(shared_box):
    done = subprocess.run(
        ["kcat", "-C", "-b", shared_box.brokers, "-t", "nobody-made-this", "-e", "-X", "allow.auto.create.topics=false"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30,
    )
    assert "Unknown topic" in done.stderr, done.stderr
    assert partitions_of(shared_box, "nobody-made-this") is None, "asking must not make it"


def test_too_large_a_batch_is_refused_and_the_connection_stays(shared_box):
    make_topic(shared_box, "narrow", 1, **{"max.message.bytes": "20000"})
    for name in ("confluent", "kafka-python", "aiokafka", "kafkajs"):
        with pytest.raises(Exception, match="(?i)too.?large|larger than|MessageSizeTooLarge|MSG_SIZE"):
            CLIENTS[name].produce(shared_box, "narrow", [Record(b"x" * 50_000)])
        CLIENTS[name].produce(shared_box, "narrow", [Record(b"small")])
    assert len(CLIENTS["confluent"].consume(shared_box, "narrow", 4)) == 4


def exchange(connection, body):
    connection.sendall(struct.pack(">i", len(body)) + body)
    head = connection.recv(4, socket.MSG_WAITALL)
    if len(head) < 4:
        return None
    return connection.recv(struct.unpack(">i", head)[0], socket.MSG_WAITALL)


def request(key, version, correlation, rest=b""):
    return struct.pack(">hhih", key, version, correlation, -1) + rest


def test_unknown_requests_get_answers_and_garbage_ends_its_own_connection_only(shared_box):
    box = shared_box
    healthy = socket.create_connection(("127.0.0.1", box.kafka), timeout=10)
    versions = lambda connection, number: exchange(connection, request(18, 0, number))
    assert versions(healthy, 1)[:6] == struct.pack(">ih", 1, 0)
    # A version of ApiVersions from the future: error 35 in version 0, so that the client can go on.
    assert exchange(healthy, request(18, 99, 2))[:6] == struct.pack(">ih", 2, 35)
    # An API that nobody knows, and a version of a known one that is too old: an answer, and the connection stays.
    for key, version, number in [(999, 0, 3), (22, 99, 4), (65, 0, 5)]:
        answer = exchange(healthy, request(key, version, number, b"\0" * 8))
        assert answer is not None and answer[:4] == struct.pack(">i", number), (key, version)
    assert versions(healthy, 6)[:6] == struct.pack(">ih", 6, 0)
    # Garbage: the 6-byte Metadata that asks for 2^31 topics, a length without end, a negative one, HTTP.
    for bytes_ in (
        struct.pack(">i", 10 + 4) + request(3, 1, 7) + b"\x7f\xff\xff\xff",
        b"\x7f\xff\xff\xff" + b"x" * 100,
        b"\xff\xff\xff\xff" + b"x" * 100,
        b"GET / HTTP/1.1\r\nhost: box\r\n\r\n",
        struct.pack(">i", 3) + b"abc",
    ):
        with socket.create_connection(("127.0.0.1", box.kafka), timeout=10) as stranger:
            stranger.sendall(bytes_)
            stranger.settimeout(10)
            try:
                rest = stranger.recv(100)
            except ConnectionResetError:
                rest = b""
            assert rest == b"" or rest[4:8] == struct.pack(">i", 7), bytes_
    assert versions(healthy, 8)[:6] == struct.pack(">ih", 8, 0)
    healthy.close()


def test_connections_that_say_nothing_disturb_nobody(shared_box):
    """They cost what they cost; a client beside them does not notice."""
    idle = []
    try:
        for _ in range(500):
            idle.append(socket.create_connection(("127.0.0.1", shared_box.kafka), timeout=5))
        begun = time.monotonic()
        CLIENTS["confluent"].produce(shared_box, "beside-the-idle", numbers(1000))
        in_order_without_gaps(CLIENTS["confluent"].consume(shared_box, "beside-the-idle", 1000))
        assert time.monotonic() - begun < 20
    finally:
        for connection in idle:
            connection.close()
