#!/usr/bin/env python3
"""The store beside VictoriaLogs, in one run: disk, ingest, every query warm and cold, freshness, queries during ingest, memory,
a thousand topics, two years in random order. Prints one table with ratios, losses included; see README.md.

    benches/store.py --sawbox target/release/sawbox --access access.ndjson --app app.ndjson --victoria-logs victoria-logs

Ends with 1 if the two answer differently or one of them fails, and with 0 whoever is faster.
"""

import argparse
import itertools
import json
import math
import multiprocessing
import os
import pathlib
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import queries
from sides import Box, Failed, Victoria

MB = 1_000_000
BUILD = """VictoriaLogs is left out: name its program with --victoria-logs. To build it (Go):
  git clone --depth 1 --branch v1.26.0 https://github.com/VictoriaMetrics/VictoriaLogs
  cd VictoriaLogs && go build -o victoria-logs ./app/victoria-logs"""


class Table:
    """What was measured: (area, what, unit, box, peer, ratio, target)."""

    def __init__(self):
        self.rows, self.wrong = [], []

    def add(self, area, what, unit, box, peer=None, more_is_better=False, target=None):
        """`target` is what must hold of (box, ratio), and how that is written."""
        ratio = None
        if box and peer:
            ratio = box / peer if more_is_better else peer / box
        met = None if target is None or (peer is None and "x" in target[1]) else bool(target[0](box, ratio or 0))
        row = dict(area=area, what=what, unit=unit, box=box, peer=peer, ratio=ratio, target=target and target[1], met=met)
        self.rows.append(row)
        print(Table.line(row), file=sys.stderr, flush=True)

    def geomean(self, area):
        ratios = [row["ratio"] for row in self.rows if row["area"] == area and row["ratio"]]
        return math.exp(statistics.fmean(map(math.log, ratios))) if ratios else None

    @staticmethod
    def line(row):
        number = lambda value: "" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
        ratio = "" if row["ratio"] is None else f"{number(row['ratio'])} x" + (" **loss**" if row["ratio"] < 0.95 else "")
        target = "" if row["target"] is None else row["target"] + {True: " ✓", False: " ✗", None: ""}[row["met"]]
        return f"| {row['area']} | {row['what']}, {row['unit']} | {number(row['box'])} | {number(row['peer'])} | {ratio} | {target} |"

    def markdown(self, peer):
        head = [f"| | | box | {peer} | better by | target |", "| --- | --- | ---: | ---: | ---: | --- |"]
        return "\n".join(head + [Table.line(row) for row in self.rows])


class Bench:
    def __init__(self, args, home):
        self.args, self.home, self.table = args, pathlib.Path(home), Table()
        self.peaks, self.begun = {}, []
        self.warm_runs = 3 if args.quick else 7

    def sides(self, what):
        """Both, each with an empty directory."""
        sides = [Box(self.args.sawbox, self.home / f"box-{what}")]
        if self.args.victoria_logs:
            sides.append(Victoria(self.args.victoria_logs, self.home / f"peer-{what}"))
        for side in sides:
            self.begun.append(side)
            yield side

    def over(self, side):
        """Ends a side, and keeps what memory it took."""
        side.stop()
        self.peaks[side.name] = max(self.peaks.get(side.name, 0), side.peak)
        shutil.rmtree(side.home, ignore_errors=True)

    def pairs(self, measure):
        """What `measure` says of each side: {name: value} of the box and of the peer."""
        box = measure.get("box", {})
        peer = measure.get("VictoriaLogs", {})
        return ((key, value, peer.get(key)) for key, value in box.items())

    # One corpus: ingest, disk, queries.

    def corpus(self, name, file):
        size, raw = os.path.getsize(file), 0
        with open(file, "rb") as lines:
            rows = sum(piece.count(b"\n") for piece in iter(lambda: lines.read(1 << 24), b""))
        with open(file, "rb") as lines:
            some = [json.loads(line) for line in itertools.islice(lines, 20000)]
            raw = round(statistics.fmean(len(row.get("_msg", "")) for row in some) * rows)
        asked = [query for query in queries.QUERIES if query.corpus == name]
        fed, warm, cold, cpu, answers, live, fresh, big = ({} for _ in range(8))
        for side in self.sides(name):
            side.start()
            fed[side.name] = self.feed(side, name, file, size, rows)
            side.settle()
            fed[side.name]["disk after merging, MB"] = side.store_bytes() / MB
            connection = side.connect()
            answers[side.name] = {query.name: side.ask(asks(query, side), query.limit, connection) for query in asked}
            warm[side.name], cpu[side.name] = {}, {}
            for query in asked:
                warm[side.name][query.name], cpu[side.name][query.name] = self.warm(side, query, connection)
            cold[side.name] = {query.name: self.cold(side, query) for query in asked}
            fresh[side.name] = self.freshness(side, name)
            if name == "access":
                live[side.name], big[side.name] = self.live(side, file, rows)
            self.over(side)
        limits = {
            "access": {"disk after merging, MB": (lambda _box, ratio: ratio >= 1 / 0.55, "1.82 x")},
            "app": {"disk after merging, MB": (lambda _box, ratio: ratio >= 1 / 0.9, "1.11 x")},
        }[name]
        limits["CPU until all is visible, s/GB"] = (lambda _box, ratio: ratio >= 4, "4 x")
        for what, box, peer in self.pairs(fed):
            what, unit = what.rsplit(", ", 1)
            self.table.add(name, what, unit, box, peer, unit == "MB/s", limits.get(f"{what}, {unit}"))
        never_slower = (lambda _box, ratio: ratio >= 1, "1 x")
        for query in asked:
            for area, times in (("warm", warm), ("cold", cold)):
                box, peer = times["box"][query.name], times.get("VictoriaLogs", {}).get(query.name)
                target = never_slower
                if area == "warm" and query.name == "newest 100":
                    target = (lambda box, ratio: box < 10, "under 10 ms")
                self.table.add(area, query.name, "ms", box * 1e3, peer and peer * 1e3, target=target)
            if query.raw:
                speeds = [raw / 1e9 / max(sides[query.name], 1e-3) for sides in cpu.values()]
                fast = (lambda box, _ratio: box >= 1, "1 GB/s") if name == "access" else None
                self.table.add("a core", query.name, "GB/s of messages", *speeds, more_is_better=True, target=fast)
            self.check(query, answers, rows)
        for what, box, peer in self.pairs(fresh):
            self.table.add(name, what, "ms", box, peer, target=(lambda box, _ratio: box < 200, "under 200 ms"))
        for what, box, peer in self.pairs(live):
            is_times = what.endswith("to idle")
            # What asks nothing is there to compare with.
            target = (lambda box, _ratio: box <= 3, "at most 3") if is_times and "empty" not in what else None
            self.table.add("while ingesting", what, "times" if is_times else "ms", box, peer, target=target)
        for what, box, peer in self.pairs(big):
            target = (lambda box, _ratio: box < 5, "under 5 ms") if what.startswith("needle") else None
            self.table.add("twice the rows", what, "ms", box, peer, target=target)

    def feed(self, side, name, file, size, rows):
        side.idle()
        before, begun = side.cpu(), time.monotonic()
        side.send_file(name, file)
        acknowledged = time.monotonic() - begun
        side.wait_for(rows)
        visible, cpu = time.monotonic() - begun, side.cpu() - before
        return {
            "ingest until acknowledged, MB/s": size / MB / acknowledged,
            "ingest until visible, MB/s": size / MB / visible,
            "CPU until all is visible, s/GB": cpu / size * 1e9,
        }

    def warm(self, side, query, connection):
        """Best of some runs, and CPU seconds a run."""
        best, runs, before, begun = math.inf, 0, side.cpu(), time.monotonic()
        while runs < self.warm_runs or (time.monotonic() - begun < 0.4 and runs < 200):
            best = min(best, side.timed(asks(query, side), query.limit, connection))
            runs += 1
        return best, (side.cpu() - before) / runs

    def cold(self, side, query):
        """The middle one of three: a start, and the files read anew, each time."""
        took = []
        for _ in range(1 if self.args.quick else 3):
            side.restart_cold()
            took.append(side.timed(asks(query, side), query.limit, side.connect()))
        return statistics.median(took)

    def check(self, query, answers, rows):
        box = answers["box"][query.name]
        if query.name == "count" and int(next(iter(box[0].values()))) != rows:
            self.table.wrong.append(f"{query.name}: {box}, but {rows} were sent")
        if "VictoriaLogs" in answers:
            why = queries.same(query.shape, box, answers["VictoriaLogs"][query.name])
            if why:
                self.table.wrong.append(f"{query.name}: {why}")

    def freshness(self, side, topic):
        """From the acknowledgement of a record to the answer that has it."""
        connection, took = side.connect(), []
        for _ in range(10 if self.args.quick else 30):
            token = "%016x" % random.getrandbits(64)
            row = {"_time": now(), "_msg": "fresh", "app": "fresh", "server": "fresh", "service": "fresh", "token": token}
            side.send(topic, json.dumps(row).encode() + b"\n", connection)
            begun = time.perf_counter()
            while not side.ask(f"token:={token}", 1, connection):
                if time.perf_counter() - begun > 30:
                    raise Failed(f"{side.name}: a row is not seen for 30 s")
            took.append((time.perf_counter() - begun) * 1e3)
        return {"visible after, median": statistics.median(took), "visible after, longest": max(took)}

    # Searches while the same records come in once more, and then over twice as many.

    def live(self, side, file, rows):
        before = side.count()
        # A process of its own: beside a thread that sends, who asks would wait for the interpreter, too.
        sender = multiprocessing.get_context("fork").Process(target=side.send_file, args=("access2", file))
        connection = side.connect()

        def empty():
            return side.answered(side.health, connection)

        def asked(query):
            return lambda: side.timed(asks(query, side), query.limit, connection)

        # What asks nothing shows how long a request waits for the cores alone.
        what = {"an empty request": empty, **{query.name: asked(query) for query in queries.LIVE}}
        took = {name: [] for name in what}
        sender.start()
        while sender.is_alive():
            for name, ask in what.items():
                took[name].append(ask() * 1e3)
            time.sleep(0.05)
        sender.join()
        if sender.exitcode:
            raise Failed(f"{side.name}: sending beside queries failed")
        side.wait_for(before + rows)
        time.sleep(2 if self.args.quick else 20)
        found, big = {}, {}
        for name, ask in what.items():
            idle = sorted(ask() * 1e3 for _ in range(20))
            busy = sorted(took[name])
            found[f"{name}, median"] = statistics.median(busy)
            found[f"{name}, longest"] = busy[-1]
            found[f"{name}, median to idle"] = statistics.median(busy) / statistics.median(idle)
            if ask is not empty:
                big[f"{name}, best"] = idle[0]
        return found, big

    # A thousand topics at a record a second; two years in random order.

    def thousand(self, topics=1000):
        seconds, found = (10 if self.args.quick else 120), {}
        for side in self.sides("topics"):
            side.start()
            side.idle()
            before, over, sent, late = side.cpu(), time.monotonic() + seconds, [], []

            def load(share):
                connection, rounds = side.connect(), 0
                while time.monotonic() < over:
                    begun = time.monotonic()
                    for n in share:
                        row = {"_time": now(), "_msg": f"one record a second of service {n}", "topic": f"t{n:04}", "n": n}
                        side.send(row["topic"], json.dumps(row).encode() + b"\n", connection)
                    rounds += 1
                    late.append(time.monotonic() - begun)
                    time.sleep(max(0, 1 - (time.monotonic() - begun)))
                sent.append(len(share) * rounds)

            threads = [threading.Thread(target=load, args=(range(n, topics, 8),)) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            side.wait_for(sum(sent))
            busy = (side.cpu() - before) / seconds
            side.restart_cold()
            self.equal(side, sum(sent))
            found[side.name] = {
                "CPU, % of a core": busy * 100,
                "a round of 1,000, s": statistics.median(late),
                "parts at the end, ": side.parts(),
                "peak anonymous memory, MiB": side.peak / (1 << 20),
            }
            self.over(side)
        for what, box, peer in self.pairs(found):
            what, unit = what.rsplit(", ", 1)
            target = (lambda box, _ratio: box <= 2 * topics, "at most 2,000") if what.startswith("parts") else None
            self.table.add("1,000 topics, a record a second each", what, unit or "files", box, peer, target=target)

    def backfill(self):
        rows, found = (200_000 if self.args.quick else 2_000_000), {}
        file = self.home / "backfill.ndjson"
        two_years(file, rows)
        for side in self.sides("backfill"):
            print(f"two years in random order: {side.name} …", file=sys.stderr)
            side.start()
            side.idle()
            before, begun = side.cpu(), time.monotonic()
            side.send_file("backfill", file)
            side.wait_for(rows)
            took, cpu = time.monotonic() - begun, side.cpu() - before
            time.sleep(2 if self.args.quick else 30)
            side.restart_cold()
            self.equal(side, rows)
            found[side.name] = {
                "ingest until visible, rows/s": rows / took,
                "CPU until visible, µs a row": cpu / rows * 1e6,
                "disk, MB": side.store_bytes() / MB,
                "parts at the end, ": side.parts(),
                "peak anonymous memory, MiB": side.peak / (1 << 20),
            }
            self.over(side)
        file.unlink()
        for what, box, peer in self.pairs(found):
            what, unit = what.rsplit(", ", 1)
            self.table.add("two years in random order", what, unit or "files", box, peer, unit == "rows/s")

    def equal(self, side, rows):
        if (seen := side.count()) != rows:
            self.table.wrong.append(f"{side.name}: {seen} rows of {rows}")

    def run(self):
        phases = {
            "access": lambda: self.args.access and self.corpus("access", self.args.access),
            "app": lambda: self.args.app and self.corpus("app", self.args.app),
            "topics": self.thousand,
            "backfill": self.backfill,
        }
        for name in self.args.only or phases:
            try:
                phases[name]()
            except Failed as why:
                # The others are measured all the same.
                self.table.wrong.append(f"{name}: {why}")
                print(f"{name} failed: {why}", file=sys.stderr)
            for side in self.begun:
                side.kill()
                shutil.rmtree(side.home, ignore_errors=True)
            self.begun.clear()
        mean = self.table.geomean("warm")
        if mean:
            box = (lambda mean, _ratio: mean >= 10, "10")
            self.table.add("warm", "better by, geometric mean of all queries", "times", mean, target=box)
            self.table.add("cold", "better by, geometric mean of all queries", "times", self.table.geomean("cold"))
        peaks = [self.peaks[name] / (1 << 20) for name in ("box", "VictoriaLogs") if name in self.peaks]
        self.table.add("all of it", "peak anonymous memory", "MiB", *peaks, target=(lambda box, _ratio: box < 500, "under 500"))


def asks(query, side):
    return query.box if side.name == "box" else query.peer


def now():
    at = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + ".%03dZ" % (at % 1 * 1000)


def two_years(file, rows):
    """Rows of the last two years, none in its place."""
    rand, end = random.Random(5), int(time.time())
    levels = ["debug", "info", "info", "info", "warn", "error"]
    with open(file, "w", buffering=1 << 20) as out:
        for n in range(rows):
            at = end - rand.randrange(2 * 365 * 86400)
            day = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
            user, took = rand.randrange(50_000), rand.randrange(1, 90_000)
            level = levels[n % 6]
            out.write(f'{{"_time":"{day}","_msg":"user {user} was served in {took} us","level":"{level}","user":"{user}","took":{took}}}\n')


def machine(args):
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    memory = next(int(line.split()[1]) // (1 << 20) for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    said = lambda program: subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": memory,
        "kernel": platform.release(),
        "date": now(),
        "box": said(args.sawbox),
        "peer": said(args.victoria_logs) if args.victoria_logs else None,
        "quick": args.quick,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sawbox", default="target/release/sawbox", help="the box's program")
    parser.add_argument("--victoria-logs", help="VictoriaLogs' program; without it the box is measured alone")
    parser.add_argument("--access", help="parsed access records, NDJSON")
    parser.add_argument("--app", help="application logs, NDJSON")
    parser.add_argument("--quick", action="store_true", help="fewer runs, less of what is generated")
    parser.add_argument("--only", action="append", choices=["access", "app", "topics", "backfill"], help="only this part (may be repeated)")
    parser.add_argument("--json", help="write what was measured to this file too")
    parser.add_argument("--dir", help="where the data lies meanwhile (default: the temporary directory; 6 GB)")
    args = parser.parse_args()
    for name in ("access", "app"):
        if name in (args.only or []) and not getattr(args, name):
            parser.error(f"--only {name} wants --{name} FILE")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if args.victoria_logs and not os.access(args.victoria_logs, os.X_OK):
        print(f"no program at {args.victoria_logs}", file=sys.stderr)
        args.victoria_logs = None
    if not args.victoria_logs:
        print(BUILD, file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="sawbox-bench-", dir=args.dir) as home:
        bench = Bench(args, home)
        about = machine(args)
        bench.run()
    print(f"{about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB, Linux {about['kernel']}; {about['box']}; {about['peer'] or 'no peer'}\n")
    print(bench.table.markdown("VictoriaLogs"))
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps({"machine": about, "rows": bench.table.rows, "wrong": bench.table.wrong}, indent=1))
    for wrong in bench.table.wrong:
        print(f"WRONG: {wrong}")
    missed = sum(row["met"] is False for row in bench.table.rows)
    print(f"\n{len(bench.table.rows)} figures, {missed} miss their target, {len(bench.table.wrong)} are wrong")
    return 1 if bench.table.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
