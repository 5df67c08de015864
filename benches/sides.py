"""The two programs beside each other: started, fed, asked, watched and stopped in the same way."""

import atexit
import http.client
import json
import os
import pathlib
import shutil
import subprocess
import threading
import time
import urllib.parse

BODY = 4 << 20
TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A side did not do what it was asked; the message says which and what."""


class Side:
    """A program with a data directory of its own. `name` is its column."""

    name = port = None

    def __init__(self, program, home):
        self.program, self.home = str(program), pathlib.Path(home)
        self.process = None
        self.peak = 0
        # CPU seconds of all its processes that have ended.
        self.ended = 0.0
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)

    def start(self):
        log = open(self.home / "log", "ab")
        self.process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        # Whatever becomes of this run, it leaves nothing running.
        atexit.register(self.process.kill)
        threading.Thread(target=self._watch, args=(self.process.pid,), daemon=True).start()
        over = time.monotonic() + 120
        while True:
            try:
                if self.get(self.health)[0] == 200:
                    return self
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > over:
                raise Failed(f"{self.name} does not start: see {self.home}/log")
            time.sleep(0.02)

    def idle(self):
        """Waits until it does nothing: what a first start prepares is not the ingest's."""
        over = time.monotonic() + 60
        while time.monotonic() < over:
            before = self.cpu()
            time.sleep(1)
            if self.cpu() - before < 0.05:
                return

    def stop(self):
        """Ends it in order: what is in memory is written."""
        self.process.terminate()
        _pid, _status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = 0
        self.ended += usage.ru_utime + usage.ru_stime
        atexit.unregister(self.process.kill)
        self.process = None

    def kill(self):
        """Ends it as it is."""
        if self.process:
            self.process.kill()
            self.process.wait()
            atexit.unregister(self.process.kill)
            self.process = None

    def restart_cold(self):
        """Started anew, with none of its files in the page cache."""
        self.stop()
        for file in self.home.rglob("*"):
            if file.is_file():
                handle = os.open(file, os.O_RDONLY)
                os.fsync(handle)
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(handle)
        self.start()

    def cpu(self):
        """CPU seconds since the beginning."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return self.ended + (int(fields[11]) + int(fields[12])) / TICKS

    def _watch(self, pid):
        """Keeps the largest anonymous memory that was seen."""
        try:
            while True:
                for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith("RssAnon:"):
                        self.peak = max(self.peak, int(line.split()[1]) * 1024)
                time.sleep(0.1)
        except OSError:
            return

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)

    def get(self, path, connection=None):
        connection = connection or self.connect()
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def ask(self, text, limit=100, connection=None):
        """Rows of an answer; nothing but the rows."""
        status, body = self.get(self.query_path(text, limit), connection)
        if status != 200:
            raise Failed(f"{self.name}: {text}: {status} {body[:300]!r}")
        return [json.loads(line) for line in body.splitlines() if line]

    def timed(self, text, limit, connection):
        """Seconds from asking to the last byte."""
        return self.answered(self.query_path(text, limit), connection)

    def answered(self, path, connection):
        """The same of any path."""
        begun = time.perf_counter()
        status, _body = self.get(path, connection)
        took = time.perf_counter() - begun
        if status != 200:
            raise Failed(f"{self.name}: {path}: {status}")
        return took

    def send(self, topic, body, connection):
        """Sends lines until they are acknowledged."""
        while True:
            connection.request("POST", self.ingest_path(topic), body)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status in (429, 503):
                time.sleep(0.05)
                continue
            if answer.status // 100 != 2:
                raise Failed(f"{self.name}: {answer.status} {said[:300]!r}")
            return

    def send_file(self, topic, file):
        """A file of lines over one connection; lines sent."""
        connection, rest, lines = self.connect(), b"", 0
        with open(file, "rb") as source:
            while True:
                piece = source.read(BODY)
                if not piece:
                    break
                cut = piece.rfind(b"\n") + 1
                body, rest = (rest + piece[:cut], piece[cut:]) if cut else (b"", rest + piece)
                lines += body.count(b"\n")
                if body:
                    self.send(topic, body, connection)
        if rest:
            self.send(topic, rest, connection)
            lines += 1
        return lines

    def count(self):
        return int(next(iter(self.ask("* | stats count() c" if self.name != "box" else "* | stats count()")[0].values())))

    def wait_for(self, rows, seconds=600):
        over = time.monotonic() + seconds
        while (seen := self.count()) < rows:
            if time.monotonic() > over:
                raise Failed(f"{self.name}: {seen} of {rows} rows after {seconds} s")
            time.sleep(0.05)

    def store_bytes(self):
        return sum(file.stat().st_size for file in self.store().rglob("*") if file.is_file())


class Box(Side):
    name, port, health = "box", 7860, "/health/ready"

    def command(self):
        config = self.home / "sawbox.toml"
        # All else as it comes.
        config.write_text(
            f'data_dir = "{self.home}/data"\nweb.listen = "127.0.0.1:{self.port}"\n'
            f'ingest.elastic.listen = "127.0.0.1:{self.port + 1}"\n'
            "ingest.syslog = []\ningest.beats = []\ningest.kafka = []\nqueue.max_topics = 3000\n"
        )
        return [self.program, "run", "--config", str(config)]

    def query_path(self, text, limit):
        return f"/api/v1/query?limit={limit}&q=" + urllib.parse.quote(text)

    def ingest_path(self, topic):
        return f"/api/v1/ingest/{topic}"

    def store(self):
        return self.home / "data" / "store"

    def settle(self):
        """Everything written, as small as it gets by itself."""
        self.stop()
        self.start()
        time.sleep(3)

    def parts(self):
        return sum(1 for _ in self.store().rglob("*.part"))


class Victoria(Side):
    name, port, health = "VictoriaLogs", 7870, "/health"
    streams = {"access": "app,server", "access2": "app,server", "app": "service", "backfill": "level"}

    def command(self):
        data = self.home / "data"
        return [
            self.program,
            f"-storageDataPath={data}",
            "-retentionPeriod=100y",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-loggerLevel=ERROR",
        ]

    def query_path(self, text, limit):
        return f"/select/logsql/query?limit={limit}&query=" + urllib.parse.quote(text)

    def ingest_path(self, topic):
        return "/insert/jsonline?_stream_fields=" + self.streams.get(topic, "topic")

    def store(self):
        return self.home / "data"

    def settle(self):
        self.get("/internal/force_merge")
        before = None
        # Merges run behind; done when the files stop changing.
        while before != (before := self.store_bytes()):
            time.sleep(8)
        self.stop()
        self.start()
        time.sleep(1)

    def parts(self):
        return sum(1 for _ in self.store().rglob("metadata.json"))
