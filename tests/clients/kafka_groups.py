"""Members of consumer groups as processes, a producer that never stops, and what must hold between them."""

import collections
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

from kafka_clients import NODE, java, node_modules

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 60


class Member:
    """One member: what it owns now and what it has read, from the lines that it says."""

    def __init__(self, box, library, topic, group, strategy, instance=None, more=None):
        self.library, self.topic = library, topic
        self.assigned, self.history, self.batches, self.said, self.errors = set(), [], [], [], []
        self.killed = False
        request = {"brokers": box.brokers, "group": group, "topic": topic, "strategy": strategy, "instance": instance}
        if library == "kcat":
            # It says its assignment on standard error, and commits by itself.
            command = ["kcat", "-b", box.brokers, "-X", f"partition.assignment.strategy={strategy}", "-u", "-f", "%p %o %s\\n"]
            command += ["-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=500", "-X", "auto.commit.interval.ms=200"]
            command += ["-X", "auto.offset.reset=earliest", "-G", group, topic]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        elif library == "kafkajs":
            node_modules()
            self.process = subprocess.Popen(
                ["node", NODE / "member.js"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            self.process.stdin.write(json.dumps({**request, "brokers": [box.brokers]}))
            self.process.stdin.close()
        elif library == "java":
            self.process = subprocess.Popen(java("member"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.process.stdin.write(json.dumps({**request, "config": more or {}}))
            self.process.stdin.close()
        else:
            command = [sys.executable, HERE / "kafka_member.py", library, json.dumps({**request, "more": more or {}})]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        followers = (self.follow_kcat, self.complain_kcat) if library == "kcat" else (self.follow, self.complain)
        for follower in followers:
            threading.Thread(target=follower, daemon=True).start()

    def follow(self):
        for line in self.process.stdout:
            row = json.loads(line)
            self.said.append(row)
            if "assigned" in row:
                self.assigned = set(row["assigned"])
                self.history.append(row)
            elif "records" in row:
                self.batches.append({"records": [tuple(one) for one in row["records"]], "committed": True})
            elif "commit" in row and self.batches:
                self.batches[-1]["committed"] = False

    def complain(self):
        for line in self.process.stderr:
            self.errors.append(line)

    def follow_kcat(self):
        for line in self.process.stdout:
            partition, offset, value = line.split(" ", 2)
            self.batches.append({"records": [(int(partition), int(offset), value.strip())], "committed": False})

    def complain_kcat(self):
        for line in self.process.stderr:
            self.errors.append(line)
            if match := re.search(r"rebalanced.*: (assigned|revoked): (.*)", line):
                partitions = {int(n) for n in re.findall(r"\[(\d+)\]", match[2])}
                self.assigned = partitions if match[1] == "assigned" else set()
                self.history.append({"assigned": sorted(self.assigned)})

    @property
    def records(self):
        return [record for batch in list(self.batches) for record in batch["records"]]

    def kill(self):
        self.killed = True
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.assigned = set()

    def leave(self):
        """A clean end: the member says good-bye."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise AssertionError(f"{self} does not end") from None
        self.assigned = set()

    def __repr__(self):
        ended = self.process.poll()
        return f"<{self.library} {sorted(self.assigned)} read {len(self.records)}, ended {ended}, said {self.said[-3:]}, {''.join(self.errors[-8:])}>"


class Writer:
    """Numbered records into all partitions of a topic, some hundreds a second, until it is stopped."""

    def __init__(self, box, topic, partitions):
        from confluent_kafka import Producer

        self.producer = Producer({"bootstrap.servers": box.brokers, "enable.idempotence": True, "linger.ms": 5})
        self.topic, self.partitions, self.acknowledged = topic, partitions, set()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.write)
        self.thread.start()

    def write(self):
        report = lambda error, message: None if error else self.acknowledged.add(int(message.value()))
        n = 0
        while not self.over.is_set():
            for _ in range(5):
                self.producer.produce(self.topic, str(n), partition=n % self.partitions, on_delivery=report)
                n += 1
            self.producer.poll(0)
            time.sleep(0.01)
        self.producer.flush(30)

    def stop(self):
        self.over.set()
        self.thread.join()


def until(holds, what, seconds=PATIENCE):
    """Waits until it holds; `what` says what is wrong if it never does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError(what() if callable(what) else what)


def balanced(members, partitions):
    """Every partition has one owner, and every member has some."""
    owned = collections.Counter(partition for member in members for partition in member.assigned)
    return set(owned) == set(range(partitions)) and set(owned.values()) == {1} and all(member.assigned for member in members)


def check_reading(members, acknowledged):
    """Nothing that was acknowledged is missing. Records are read twice only where nobody could have committed them: at a commit that was
    refused amid a rebalance, or at the last one of a member that was killed. (kcat commits behind our back: not held against it.)"""
    seen = collections.Counter(int(value) for member in members for _, _, value in member.records)
    missing = acknowledged - set(seen)
    assert not missing, f"{len(missing)} of {len(acknowledged)} records nobody has read: {sorted(missing)[:10]} by {members}"
    excused = set()
    for member in members:
        for n, batch in enumerate(member.batches):
            last = member.killed and n == len(member.batches) - 1
            if last or not batch["committed"]:
                excused |= {int(value) for _, _, value in batch["records"]}
    twice = {value for value, times in seen.items() if times > 1} - excused
    assert not twice, f"{len(twice)} records were read twice without need: {sorted(twice)[:10]} by {members}"
