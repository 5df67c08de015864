"""A real box for the tests of the second tier: its binary, its files, its ports.

SAWBOX names the binary (default: target/release/sawbox), SAWBOX_DATA the folder of the 10,000 real access lines. With CI set, a test
that skips fails: a missing client is a missing test.
"""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("SAWBOX", ROOT / "target/release/sawbox")).absolute()
SAMPLE = pathlib.Path(os.environ.get("SAWBOX_DATA", ROOT.parent / "shared/data")) / "apache_sample.log"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"


_given = set()


def free_port():
    """A port that nobody holds or was given before, below those which the kernel gives to outgoing connections: none of them can take
    it before the box does. (Zabbix listens on no port above 32767 either.)"""
    while True:
        port = random.randrange(10_000, 32_000)
        if port in _given:
            continue
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind(("127.0.0.1", port))
            _given.add(port)
            return port
        except OSError:
            continue


class Box:
    """A box with every port of its own; `extra` is TOML that goes behind the listeners."""

    def __init__(self, folder, extra="", top="", beats_tls="", kafka="", wrap=()):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.page, self.beats, self.elastic, self.syslog, self.kafka = (free_port() for _ in range(5))
        self.url = f"http://127.0.0.1:{self.page}"
        self.brokers = f"127.0.0.1:{self.kafka}"
        # What confluent-kafka's clients sign in with, where the listener wants it.
        self.kafka_sign_in = {}
        self.wrap = list(wrap)
        self.process = None
        self.config = self.folder / "sawbox.toml"
        self.config.write_text(
            f"""
data_dir = "{self.folder}/data"
{top}
web.listen = "127.0.0.1:{self.page}"
ingest.elastic.listen = "127.0.0.1:{self.elastic}"
[[ingest.beats]]
listen = "127.0.0.1:{self.beats}"
topic = "web"
{beats_tls}
[[ingest.syslog]]
listen = "127.0.0.1:{self.syslog}"
topic = "syslog"
[[ingest.kafka]]
listen = "127.0.0.1:{self.kafka}"
{kafka}
{extra}
"""
        )

    def start(self, seconds=30):
        log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen([*self.wrap, BINARY, "run", "--config", self.config], stderr=log, cwd=self.folder)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the box ended with {self.process.returncode}:\n" + self.log()[-4000:])
            try:
                if self.get("/health/ready", raw=True):
                    return self
            except (OSError, urllib.error.URLError):
                time.sleep(0.02)
        raise AssertionError("the box is not ready:\n" + self.log()[-4000:])

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    @property
    def pid(self):
        """Of the box itself, also where it runs below `wrap`."""
        if not self.wrap:
            return self.process.pid
        return int(pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, number=signal.SIGTERM, seconds=30):
        if self.process and self.process.poll() is None:
            os.kill(self.pid, number)
            assert self.process.wait(seconds) == 0, self.log()[-4000:]

    def get(self, path, raw=False, **params):
        query = "?" + urllib.parse.urlencode(params) if params else ""
        with urllib.request.urlopen(f"{self.url}{path}{query}", timeout=60) as answer:
            body = answer.read()
        return body if raw else json.loads(body)

    def put(self, path, body, kind="application/json"):
        request = urllib.request.Request(f"{self.url}{path}", data=body, method="PUT", headers={"content-type": kind})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def query(self, q, **params):
        """Rows of a query, as dictionaries."""
        body = self.get("/api/v1/query", raw=True, q=q, **{"limit": 1_000_000, **params})
        rows = [json.loads(line) for line in body.splitlines()]
        assert not any(list(row) == ["error"] for row in rows), rows
        return rows

    def count(self, q):
        return self.query(f"{q} | stats count() as n")[0]["n"]

    def topic(self, name):
        return next((topic for topic in self.get("/api/v1/topics")["topics"] if topic["name"] == name), None)

    def settle(self, topics=None, seconds=60):
        """Waits until every lane has handled what is durable."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            lags = [
                partition.get("lag_records", 0)
                for topic in self.get("/api/v1/topics")["topics"]
                if topics is None or topic["name"] in topics
                for partition in topic["partitions"]
            ]
            if not any(lags):
                return
            time.sleep(0.05)
        raise AssertionError(f"lanes still lag: {self.get('/api/v1/topics')}")

    def ingest(self, topic, lines, **params):
        query = "?" + urllib.parse.urlencode(params) if params else ""
        body = b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)
        request = urllib.request.Request(f"{self.url}/api/v1/ingest/{topic}{query}", data=body, method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())


@pytest.fixture
def make_box(tmp_path):
    boxes = []

    def make(**options):
        box = Box(tmp_path / f"box{len(boxes)}", **options)
        boxes.append(box)
        return box

    yield make
    for box in boxes:
        if box.process and box.process.poll() is None:
            box.kill()


@pytest.fixture(scope="module")
def shared_box(tmp_path_factory):
    """One box for all tests of a file that need none of their own: each takes topics and groups of its own."""
    box = Box(tmp_path_factory.mktemp("shared") / "box").start()
    yield box
    if box.process.poll() is None:
        box.stop()


@pytest.fixture
def sample():
    if not SAMPLE.exists():
        pytest.skip(f"{SAMPLE} is not there")
    return SAMPLE
