"""A real Zabbix proxy receives what the box sends: the 503s, also those of the time when it was away."""

import gzip
import pathlib
import shutil
import sqlite3
import subprocess
import time

import pytest

from conftest import free_port

SCHEMA = pathlib.Path("/usr/share/zabbix-proxy-sqlite3/schema.sql.gz")
CHAIN = """
[[topics.web.chain]]
filter = "access-log"
[[topics.web.chain]]
filter = "tag"
when = 'response:503'
config = { add = ["zabbix-sender"] }
[[outputs]]
type = "zabbix"
name = "zabbix"
when = 'tags:zabbix-sender'
address = "127.0.0.1:%d"
host = "{app}"
key = "apache.error"
value = "{message}"
[[outputs]]
type = "webhook"
name = "nobody"
when = 'tags:zabbix-sender'
url = "http://127.0.0.1:%d/"
"""


class Proxy:
    """Debian's zabbix-proxy-sqlite3 with one trapper item `apache.error` on each of two hosts."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.database = folder / "proxy.db"
        with sqlite3.connect(self.database) as database:
            database.executescript("BEGIN;" + gzip.decompress(SCHEMA.read_bytes()).decode() + "COMMIT;")
            for n, host in enumerate(["shop", "api"], start=1):
                database.execute("INSERT INTO hosts (hostid, host, name, status) VALUES (?, ?, ?, 0)", (n, host, host))
                database.execute(
                    "INSERT INTO items (itemid, type, hostid, name, key_, value_type, status, query_fields, posts, headers)"
                    " VALUES (?, 2, ?, 'error', 'apache.error', 4, 0, '', '', '')",
                    (n, n),
                )
                database.execute("INSERT INTO item_rtdata (itemid) VALUES (?)", (n,))
        (folder / "proxy.conf").write_text(
            f"""
Server=127.0.0.1:{free_port()}
Hostname=test
ListenIP=127.0.0.1
ListenPort={self.port}
LogType=file
LogFile={folder}/proxy.log
PidFile={folder}/proxy.pid
SocketDir={folder}
DBName={self.database}
AllowRoot=1
StartPollers=1
StartPollersUnreachable=1
StartPingers=0
StartDiscoverers=0
StartHTTPPollers=0
ProxyOfflineBuffer=1
"""
        )
        self.process = None

    def start(self):
        self.process = subprocess.Popen([shutil.which("zabbix_proxy") or "/usr/sbin/zabbix_proxy", "-f", "-c", self.folder / "proxy.conf"])

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def received(self):
        with sqlite3.connect(self.database, timeout=30) as database:
            return [value for (value,) in database.execute("SELECT value FROM proxy_history ORDER BY id")]


@pytest.fixture
def proxy(tmp_path):
    if not SCHEMA.exists():
        pytest.skip("zabbix-proxy-sqlite3 is not installed")
    folder = tmp_path / "zabbix"
    folder.mkdir()
    proxy = Proxy(folder)
    yield proxy
    proxy.stop()


def line(n, status):
    return f'10.1.2.3 - - [20/Nov/2026:10:00:00 +0000] "GET /goods/{n} HTTP/1.1" {status} 299 "-" "test" 0/12'


def wait_for(proxy, count, seconds=60):
    deadline = time.monotonic() + seconds
    while len(proxy.received()) < count and time.monotonic() < deadline:
        time.sleep(0.2)
    return proxy.received()


def test_a_real_proxy_gets_every_503_also_after_it_was_away(make_box, proxy):
    box = make_box(extra=CHAIN % (proxy.port, free_port())).start()
    proxy.start()
    first = [line(n, 503 if n % 5 == 0 else 200) for n in range(100)]
    box.ingest("web", first, **{"field.app": "shop"})
    assert sorted(wait_for(proxy, 20)) == sorted(l for l in first if " 503 " in l)

    proxy.stop()
    missed = [line(n, 503) for n in range(1000, 1200)]
    begun = time.monotonic()
    box.ingest("web", missed, **{"field.app": "api"})
    box.ingest("web", [line(n, 200) for n in range(2000, 22000)], **{"field.app": "api"})
    box.settle(topics=["web"], seconds=20)
    assert time.monotonic() - begun < 10, "a dead output slowed the lane"
    assert box.count("_topic:=web") == 100 + 200 + 20000
    outputs = {output["name"]: output for output in box.get("/api/v1/outputs")["outputs"]}
    assert outputs["zabbix"]["lag_records"] == 200 and outputs["zabbix"]["last_error"]

    proxy.start()
    everything = wait_for(proxy, 220)
    assert sorted(everything) == sorted([l for l in first if " 503 " in l] + missed)
    box.stop()


def test_an_item_that_zabbix_does_not_know_is_counted_and_delays_nobody(make_box, proxy):
    box = make_box(extra=CHAIN % (proxy.port, free_port())).start()
    proxy.start()
    box.ingest("web", [line(1, 503)], **{"field.app": "unknown-host"})
    box.ingest("web", [line(2, 503)], **{"field.app": "shop"})
    # At least once: an answer that came too late is asked for again.
    assert set(wait_for(proxy, 1)) == {line(2, 503)}
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        output = next(output for output in box.get("/api/v1/outputs")["outputs"] if output["name"] == "zabbix")
        if output["failed"] == 1 and output["lag_records"] == 0:
            break
        time.sleep(0.2)
    assert (output["sent"], output["failed"]) == (1, 1), output
    box.stop()
