"""kill -9 at random moments of promotions, replays, rollbacks and deletions, under live traffic.

Whatever was interrupted: every acknowledged record has its row once (or none, where its row was deleted), each row is wholly of one
generation, the rows of a replay that is done have taken the old ones' place in all of its ranges, and those of one that is not are
nowhere. About 40 seconds; SAWBOX_KILLS says how many times the box dies.
"""

import json
import os
import random
import re
import threading
import time
import urllib.error
import urllib.request

ROUNDS = int(os.environ.get("SAWBOX_KILLS", "14"))
MARKS = ["red", "green", "blue", "white"]
CHAIN = """
[topics.web]
partitions = 2
[store]
memory = "4MiB"
replay_records = 2000
merge_parts = 2
"""


def chain(mark):
    return [{"filter": "tag", "config": {"fields": {"mark": mark}}}]


def post(box, path, body, method="POST"):
    """The answer, or None where the box refused or went away."""
    request = urllib.request.Request(
        f"{box.url}{path}", data=json.dumps(body).encode(), method=method, headers={"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())
    except (OSError, urllib.error.URLError, ValueError):
        return None


class Hands:
    """What people do meanwhile; keeps what was promised to them."""

    def __init__(self, box, dice):
        self.box, self.dice = box, dice
        self.promoted, self.replayed, self.over = {}, {}, {}
        self.deleted, self.perhaps_deleted = set(), set()

    def replays(self, state=None):
        try:
            all_of_them = self.box.get("/api/v1/replays")["replays"]
        except (OSError, urllib.error.URLError):
            return []
        return [one for one in all_of_them if state is None or one["state"] in state]

    def do(self):
        dice = self.dice
        what = dice.choice(["promote", "roll back", "replay", "replay", "replay", "pause", "resume", "cancel", "delete"])
        mark = dice.choice(MARKS)
        if what == "promote":
            answer = post(self.box, "/api/v1/topics/web/chain", chain(mark), method="PUT")
            if answer:
                self.promoted[answer["generation"]] = mark
        elif what == "roll back":
            if self.promoted:
                to = dice.choice(list(self.promoted))
                answer = post(self.box, "/api/v1/topics/web/chain", chain(self.promoted[to]), method="PUT")
                if answer:
                    self.promoted[answer["generation"]] = self.promoted[to]
        elif what == "replay":
            body = {"chain": chain(mark), "throttle": dice.choice(["200KiB", "5MiB", "100MiB"])}
            kind = dice.random()
            if kind < 0.4:
                body["last"] = dice.randint(1, 5000)
            elif kind < 0.6:
                body["from"] = "-3s"
            answer = post(self.box, "/api/v1/topics/web/replay", body)
            if answer:
                self.replayed[answer["id"]] = (answer["generation"], mark)
        elif what == "delete":
            number = dice.randint(0, 2000)
            body = {"query": f'message:="line {number} end"'}
            self.perhaps_deleted.add(number)
            answer = post(self.box, "/api/v1/topics/web/delete-rows", body)
            if answer and answer["deleted"]:
                self.deleted.add(number)
        else:
            states = {"pause": ["running"], "resume": ["paused"], "cancel": ["running", "paused"]}[what]
            open_ones = self.replays(states)
            if open_ones:
                one = dice.choice(open_ones)
                answer = post(self.box, f"/api/v1/replays/{one['id']}/{what}", {})
                if answer and what == "cancel":
                    self.over[one["id"]] = "cancelled"


def covering(replays, partition, offset):
    """The replay whose rows an offset has: of those that are done, the one with the greatest generation."""
    best = None
    for one in replays:
        for part in one["partitions"]:
            if part["partition"] == partition and any(first <= offset < end for first, end in part["made"]):
                if best is None or one["generation"] > best["generation"]:
                    best = one
    return best


def test_kill_9_amid_replays_promotions_and_rollbacks(make_box):
    box = make_box(top="web.query_rows = 20000000", extra=CHAIN)
    dice = random.Random(4)
    hands = Hands(box, random.Random(5))
    acknowledged, sent = set(), set()
    lock = threading.Lock()
    numbers = iter(range(10**9))

    def shipper(over):
        while not over.is_set():
            with lock:
                window = [next(numbers) for _ in range(dice.randint(50, 400))]
            sent.update(window)
            try:
                if box.ingest("web", [f"line {n} end" for n in window])["accepted"] == len(window):
                    acknowledged.update(window)
            except (OSError, urllib.error.URLError, ValueError):
                pass
            time.sleep(0.005)

    def people(over):
        while not over.is_set():
            hands.do()
            time.sleep(hands.dice.uniform(0, 0.1))

    for _ in range(ROUNDS):
        box.start()
        over = threading.Event()
        threads = [threading.Thread(target=shipper, args=(over,)) for _ in range(2)]
        threads.append(threading.Thread(target=people, args=(over,)))
        for thread in threads:
            thread.start()
        time.sleep(dice.uniform(0.1, 1.8))
        box.kill()
        over.set()
        for thread in threads:
            thread.join()

    box.start()
    box.settle()
    # Those that are paused go on; the others went on by themselves.
    for one in hands.replays(["paused"]):
        assert post(box, f"/api/v1/replays/{one['id']}/resume", {})
    deadline = time.monotonic() + 120
    while hands.replays(["running"]) and time.monotonic() < deadline:
        time.sleep(0.05)
    replays = hands.replays()
    assert all(one["state"] in ("done", "cancelled") for one in replays), replays
    done = [one for one in replays if one["state"] == "done"]
    there = {one["id"]: one for one in replays}
    oldest = min(there, default=0)
    for number, (generation, _) in hands.replayed.items():
        assert number in there or number < oldest, f"replay {number} was acknowledged and is not there"
        if number in there:
            assert there[number]["generation"] == generation
    for number in hands.over:
        assert number not in there or there[number]["state"] == "cancelled"

    def look(when):
        rows = box.query("* | fields message, mark, _topic, _partition, _offset, _n, _generation", limit=20_000_000)
        rows = [row for row in rows if row["_topic"] == "web"]
        assert len(rows) == box.count("_topic:=web"), "the query was cut"
        stored = [int(re.fullmatch(r"line (\d+) end", row["message"]).group(1)) for row in rows]
        assert len(stored) == len(set(stored)), f"{when}: doubled"
        lost = acknowledged - set(stored) - hands.perhaps_deleted
        assert not lost, f"{when}: acknowledged and lost: {sorted(lost)[:10]}"
        assert not hands.deleted & set(stored), f"{when}: deleted and there"
        assert set(stored) <= sent
        assert len({(row["_partition"], row["_offset"], row["_n"]) for row in rows}) == len(rows), f"{when}: an origin twice"
        of_generation = {}
        for row in rows:
            of_generation.setdefault(row["_generation"], set()).add(row.get("mark"))
        assert all(len(marks) == 1 for marks in of_generation.values()), f"{when}: two filters in one generation: {of_generation}"
        for generation, mark in list(hands.promoted.items()) + list(hands.replayed.values()):
            assert of_generation.get(generation, {mark}) == {mark}, f"{when}: generation {generation} is not {mark}"
        replayed = {one["generation"] for one in replays}
        live = {}
        for row in sorted(rows, key=lambda row: (row["_partition"], row["_offset"])):
            partition, offset, generation = row["_partition"], row["_offset"], row["_generation"]
            own = covering(done, partition, offset)
            if own is not None:
                assert generation == own["generation"], f"{when}: {partition}@{offset} is of {generation}, not replay {own['id']}"
            elif generation in replayed:
                raise AssertionError(f"{when}: {partition}@{offset} is of a replay that does not have it")
            elif not any(one["id"] not in there for one in done) and len(hands.replayed) == len(set(hands.replayed) & set(there)):
                assert generation >= live.get(partition, 0), f"{when}: generations go back at {partition}@{offset}"
                live[partition] = generation
        return len(rows)

    rows = look("after the last start")
    assert len(acknowledged) > 1000 and len(done) > 2, f"too little to show anything: {len(acknowledged)} records, {len(done)} replays"
    print(f"{rows} rows, {len(done)} replays done of {len(replays)}, {len(hands.promoted)} promotions, {len(hands.deleted)} deletions")
    box.stop()
    box.start()
    box.settle()
    assert look("after a clean start") == rows
    box.stop()
