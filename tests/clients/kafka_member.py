"""A member of a consumer group, as a process of its own that a test can kill: python kafka_member.py LIBRARY '{"brokers": …}'

Says on standard output, one JSON object a line: {"assigned": [partitions]} when that changes, and {"records": [[partition, offset,
value], …]} before it commits them. SIGTERM leaves the group; SIGKILL does not.
"""

import asyncio
import json
import signal
import sys

ENDED = False


def end(*_):
    global ENDED
    ENDED = True


def say(**row):
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


def place(message):
    return [message.partition, message.offset, message.value.decode()]


def confluent(options):
    from confluent_kafka import Consumer, KafkaException

    config = {
        "bootstrap.servers": options["brokers"],
        "group.id": options["group"],
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 500,
        "partition.assignment.strategy": options["strategy"],
        "topic.metadata.refresh.interval.ms": 1000,
    }
    if options.get("instance"):
        config["group.instance.id"] = options["instance"]
    consumer = Consumer({**config, **options.get("more", {})})
    owned = set()
    cooperative = options["strategy"] == "cooperative-sticky"

    def assigned(consumer, partitions):
        owned.update(p.partition for p in partitions)
        if cooperative:
            consumer.incremental_assign(partitions)
        else:
            consumer.assign(partitions)
        say(assigned=sorted(owned), change=len(partitions))

    def revoked(consumer, partitions):
        owned.difference_update(p.partition for p in partitions)
        if cooperative:
            consumer.incremental_unassign(partitions)
        else:
            consumer.unassign()
        say(assigned=sorted(owned), revoked=len(partitions))

    consumer.subscribe([options["topic"]], on_assign=assigned, on_revoke=revoked, on_lost=revoked)
    while not ENDED:
        taken = consumer.consume(500, 0.2)
        messages = [one for one in taken if not one.error()]
        for one in taken:
            if one.error():
                say(error=one.error().name())
        if messages:
            say(records=[[one.partition(), one.offset(), one.value().decode()] for one in messages])
            try:
                consumer.commit(asynchronous=False)
            except KafkaException as error:
                say(commit=str(error))
    consumer.close()


def kafka_python(options):
    from kafka import KafkaConsumer
    from kafka.consumer.subscription_state import ConsumerRebalanceListener
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
    from kafka.coordinator.assignors.range import RangePartitionAssignor
    from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
    from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
    from kafka.errors import KafkaError

    strategies = {
        "range": RangePartitionAssignor,
        "roundrobin": RoundRobinPartitionAssignor,
        "sticky": StickyPartitionAssignor,
        "cooperative-sticky": CooperativeStickyAssignor,
    }
    consumer = KafkaConsumer(
        bootstrap_servers=options["brokers"],
        group_id=options["group"],
        group_instance_id=options.get("instance"),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=6000,
        heartbeat_interval_ms=500,
        metadata_max_age_ms=1000,
        partition_assignment_strategy=[strategies[options["strategy"]]],
    )

    class Listener(ConsumerRebalanceListener):
        def on_partitions_revoked(self, revoked):
            say(assigned=sorted(p.partition for p in consumer.assignment() - set(revoked)))

        def on_partitions_assigned(self, assigned):
            say(assigned=sorted(p.partition for p in consumer.assignment()))

    consumer.subscribe([options["topic"]], listener=Listener())
    before = None
    while not ENDED:
        batches = consumer.poll(200)
        if (now := sorted(p.partition for p in consumer.assignment())) != before:
            before = now
            say(assigned=now)
        if batches:
            say(records=[place(one) for messages in batches.values() for one in messages])
            try:
                consumer.commit()
            except KafkaError as error:
                say(commit=str(error))
    consumer.close()


def aiokafka(options):
    from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
    from aiokafka.coordinator.assignors.range import RangePartitionAssignor
    from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
    from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
    from aiokafka.errors import KafkaError

    strategies = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor, "sticky": StickyPartitionAssignor}

    class Listener(ConsumerRebalanceListener):
        async def on_partitions_revoked(self, revoked):
            say(assigned=[])

        async def on_partitions_assigned(self, assigned):
            say(assigned=sorted(p.partition for p in assigned))

    async def run():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=options["brokers"],
            group_id=options["group"],
            group_instance_id=options.get("instance"),
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=6000,
            heartbeat_interval_ms=500,
            metadata_max_age_ms=1000,
            partition_assignment_strategy=[strategies[options["strategy"]]],
        )
        await consumer.start()
        consumer.subscribe([options["topic"]], listener=Listener())
        while not ENDED:
            batches = await consumer.getmany(timeout_ms=200, max_records=500)
            if batches:
                say(records=[place(one) for messages in batches.values() for one in messages])
                try:
                    await consumer.commit()
                except KafkaError as error:
                    say(commit=str(error))
        await consumer.stop()

    asyncio.run(run())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    {"confluent": confluent, "kafka-python": kafka_python, "aiokafka": aiokafka}[sys.argv[1]](json.loads(sys.argv[2]))
