"""Consumer groups of real clients: members come and go, are killed, are static; partitions move; nothing is missed."""

import concurrent.futures
import subprocess
import time

import pytest
from kafka_clients import CLIENTS, Record
from kafka_groups import Member, Writer, balanced, check_reading, until

PARTITIONS = 6
# Each library with each assignor that it has.
CASES = [
    ("confluent", "range"),
    ("confluent", "roundrobin"),
    ("confluent", "cooperative-sticky"),
    ("kafka-python", "range"),
    ("kafka-python", "roundrobin"),
    ("kafka-python", "sticky"),
    ("kafka-python", "cooperative-sticky"),
    ("aiokafka", "range"),
    ("aiokafka", "roundrobin"),
    ("aiokafka", "sticky"),
    ("kcat", "range"),
    ("kcat", "roundrobin"),
    ("kafkajs", "its own round robin"),
    ("java", "range"),
    ("java", "roundrobin"),
    ("java", "sticky"),
    ("java", "cooperative-sticky"),
]


def make_topic(box, name, partitions=PARTITIONS, **config):
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": box.brokers})
    admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(10)
    return name


def come_and_go(box, library, strategy):
    """2 members, then 3, one killed, one leaving, one left; records arrive all the while."""
    name = f"{library}-{strategy}".replace(" ", "-")
    topic = make_topic(box, f"moving-{name}")
    writer = Writer(box, topic, PARTITIONS)
    members = []
    join = lambda: members.append(Member(box, library, topic, f"group-{name}", strategy))
    settled = lambda some: until(lambda: balanced(some, PARTITIONS), lambda: f"{name}: not balanced: {some}")
    try:
        join()
        settled(members[:1])
        join()
        settled(members[:2])
        before = [list(member.history) for member in members]
        join()
        settled(members)
        if strategy == "cooperative-sticky":
            for member, history in zip(members, before):
                later = member.history[len(history) :]
                assert all(row["assigned"] for row in later), f"{name}: gave up everything for a partition or two: {later}"
        members[2].kill()
        settled(members[:2])
        members[1].leave()
        settled(members[:1])
        time.sleep(0.5)
        writer.stop()
        read = lambda: {int(value) for member in members for _, _, value in member.records}
        # kcat commits what it took before it prints it: when it ends, a record of each partition may be between the two.
        between = PARTITIONS if library == "kcat" else 0
        unread = lambda: writer.acknowledged - read()
        until(lambda: len(unread()) <= between, lambda: f"{name}: {len(unread())} unread by {members}")
        members[0].leave()
        assert len(writer.acknowledged) > 500, "the load was too small to show anything"
        check_reading(members, writer.acknowledged - unread() if between else writer.acknowledged)
    finally:
        writer.stop()
        for member in members:
            if member.process.poll() is None:
                member.kill()
    return name


def test_members_come_and_go(shared_box):
    """All libraries and assignors beside each other, each as a group of its own."""
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        running = {case: pool.submit(come_and_go, shared_box, *case) for case in CASES}
        concurrent.futures.wait(running.values())
    failed = {case: future.exception() for case, future in running.items() if future.exception()}
    assert not failed, "\n".join(f"{case}: {error}" for case, error in failed.items())


def test_a_group_of_different_libraries(shared_box):
    """`range` is spelled alike by librdkafka of 2022 and of today, kafka-python, aiokafka and Java: they share one group."""
    topic = make_topic(shared_box, "mixed", 8)
    writer = Writer(shared_box, topic, 8)
    members = []
    try:
        for library in ("confluent", "kcat", "kafka-python", "aiokafka", "java"):
            members.append(Member(shared_box, library, topic, "mixed", "range"))
            until(lambda: balanced(members, 8), lambda: f"not balanced: {members}")
        members[0].leave()
        until(lambda: balanced(members[1:], 8), lambda: f"not balanced: {members}")
        writer.stop()
        read = lambda: {int(value) for member in members for _, _, value in member.records}
        until(lambda: writer.acknowledged <= read(), lambda: f"{len(writer.acknowledged - read())} unread by {members}")
        for member in members[1:]:
            member.leave()
        check_reading(members, writer.acknowledged)
    finally:
        writer.stop()
        for member in members:
            if member.process.poll() is None:
                member.kill()


@pytest.mark.parametrize("library", ["confluent", "kafka-python", "aiokafka", "java"])
def test_a_static_member_comes_back_without_a_rebalance(shared_box, library):
    """With group.instance.id a member that is killed and is back within the session timeout has its partitions again, and nobody else
    notices."""
    topic = make_topic(shared_box, f"static-{library}", 4)
    join = lambda name: Member(shared_box, library, topic, f"static-{library}", "range", instance=name)
    first = join("one")
    second = join("two")
    back = None
    try:
        until(lambda: balanced([first, second], 4), lambda: f"not balanced: {first} {second}")
        time.sleep(1)
        owned, changes = set(second.assigned), len(first.history)
        second.kill()
        back = join("two")
        until(lambda: back.assigned == owned, lambda: f"{back} should own {owned}")
        # Longer than the session timeout: the killed one's session is not what counts.
        time.sleep(7)
        assert len(first.history) == changes, f"the other member was disturbed: {first.history[changes:]}"
        CLIENTS["confluent"].produce(shared_box, topic, [Record(f"{n}".encode(), f"{n}".encode()) for n in range(100)])
        until(lambda: len(first.records) + len(back.records) == 100, lambda: f"{first} {back}")
        assert {partition for partition, _, _ in back.records} <= owned
    finally:
        for member in (first, second, back):
            if member and member.process.poll() is None:
                member.kill()


def test_a_static_member_is_fenced_by_its_successor(shared_box):
    """Two with one group.instance.id: the later one has it, the earlier one is told so."""
    topic = make_topic(shared_box, "fenced", 2)
    join = lambda: Member(shared_box, "confluent", topic, "fenced", "range", instance="same")
    earlier = join()
    later = None
    try:
        until(lambda: earlier.assigned == {0, 1}, lambda: f"{earlier}")
        later = join()
        until(lambda: later.assigned == {0, 1}, lambda: f"{later}")
        told = lambda: {"error": "_FATAL"} in earlier.said and "fenced by other consumer" in "".join(earlier.errors)
        until(told, lambda: f"not fenced: {earlier}", seconds=20)
    finally:
        for member in (earlier, later):
            if member and member.process.poll() is None:
                member.kill()


@pytest.mark.parametrize("name", CLIENTS)
def test_a_group_resumes_where_it_committed_after_a_kill_of_the_box(make_box, name):
    box = make_box().start()
    client = CLIENTS[name]
    CLIENTS["confluent"].produce(box, "resumed", [Record(f"{n}".encode()) for n in range(1000)], **{"batch.num.messages": 50})
    first = client.consume(box, "resumed", 300, group="again")
    assert len(first) >= 300
    box.kill()
    box.start()
    CLIENTS["confluent"].produce(box, "resumed", [Record(f"{n}".encode()) for n in range(1000, 1500)])
    second = client.consume(box, "resumed", 1500 - len(first), group="again")
    assert [int(one.record.value) for one in first + second] == list(range(1500))
    box.stop()


def test_members_survive_a_kill_of_the_box(make_box):
    """Groups are not kept: members join again, and go on at what was committed."""
    box = make_box().start()
    topic = make_topic(box, "through", 4)
    writer = Writer(box, topic, 4)
    members = [Member(box, library, topic, "through", "range") for library in ("confluent", "kafka-python", "aiokafka")]
    try:
        until(lambda: balanced(members, 4), lambda: f"not balanced: {members}")
        for _ in range(2):
            time.sleep(1)
            box.kill()
            box.start()
        until(lambda: balanced(members, 4), lambda: f"not balanced: {members}")
        writer.stop()
        read = lambda: {int(value) for member in members for _, _, value in member.records}
        until(lambda: writer.acknowledged <= read(), lambda: f"{len(writer.acknowledged - read())} unread by {members}")
    finally:
        writer.stop()
        for member in members:
            if member.process.poll() is None:
                member.kill()
    box.stop()


def test_a_new_partition_is_found_and_shared(shared_box):
    """A topic grows under a group: its members take the new partitions."""
    from confluent_kafka.admin import AdminClient, NewPartitions

    topic = make_topic(shared_box, "growing", 2)
    members = [Member(shared_box, "confluent", topic, "growing", "range") for _ in range(2)]
    try:
        until(lambda: balanced(members, 2), lambda: f"not balanced: {members}")
        admin = AdminClient({"bootstrap.servers": shared_box.brokers})
        admin.create_partitions([NewPartitions(topic, 6)])[topic].result(10)
        until(lambda: balanced(members, 6), lambda: f"not balanced: {members}")
        for partition in range(6):
            subprocess.run(["kcat", "-P", "-b", shared_box.brokers, "-t", topic, "-p", str(partition)], input=b"hello\n", check=True)
        until(lambda: sum(len(member.records) for member in members) == 6, lambda: f"{members}")
    finally:
        for member in members:
            member.kill()
