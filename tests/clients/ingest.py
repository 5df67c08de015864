#!/usr/bin/env python3
"""Sends the sample through real clients and counts what arrived, through the box's own query API.

Second test tier: needs a running box, `rsyslogd` and `curl` from Debian, and from PyPI

    pip install pylogbeat==2.1.0 'elasticsearch>=8,<10'

Usage:
    ingest.py --sample access.log --api 127.0.0.1:7800 --elastic 127.0.0.1:9200 \
              --syslog 127.0.0.1:5514 --beats 127.0.0.1:5044 [--beats-ca ca.pem --beats-cert c.pem --beats-key c.key] \
              [--only rsyslog,curl,elasticsearch,pylogbeat]

Each client sends every line of the sample to a topic of its own where the client can choose one (`t-curl`, `t-elastic`), and
to the listener's topic otherwise. A client passes if the box has as many rows more than before as the sample has lines, and
each origin once. Exit code 0: all passed. A client that is not installed is a failure, not a skip.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

PATIENCE = 60


class Box:
    """The box's API."""

    def __init__(self, address):
        self.base = f"http://{address}"

    def rows(self, query, **parameters):
        parameters = urllib.parse.urlencode({"q": query, "limit": 1_000_000, "from": "2000-01-01", **parameters})
        with urllib.request.urlopen(f"{self.base}/api/v1/query?{parameters}", timeout=60) as answer:
            return [json.loads(line) for line in answer if line.strip()]

    def count(self, topic):
        rows = self.rows(f"_topic:={topic} | stats count()")
        return int(rows[0]["count()"]) if rows else 0

    def wait(self, topic, count):
        deadline = time.monotonic() + PATIENCE
        while (now := self.count(topic)) < count and time.monotonic() < deadline:
            time.sleep(0.2)
        return now

    def origins(self, topic):
        return [(row["_partition"], row["_offset"], row["_n"]) for row in self.rows(f"_topic:={topic}")]


def rsyslog(options, lines):
    """rsyslogd, reading the sample as a file and forwarding it over TCP with octet counting."""
    program = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
    host, port = options.syslog.rsplit(":", 1)
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "access.log")
        open(source, "wb").close()
        config = os.path.join(folder, "rsyslog.conf")
        with open(config, "w", encoding="utf-8") as out:
            out.write(f'''
global(workDirectory="{folder}" maxMessageSize="64k")
module(load="imfile" mode="inotify")
input(type="imfile" File="{source}" Tag="access:" Severity="info" Facility="local0" reopenOnTruncate="on")
action(type="omfwd" target="{host}" port="{port}" protocol="tcp" tcp_framing="octet-counted"
       template="RSYSLOG_SyslogProtocol23Format" action.resumeRetryCount="-1" queue.type="linkedList")
''')
        daemon = subprocess.Popen([program, "-n", "-f", config, "-i", os.path.join(folder, "pid")])
        try:
            time.sleep(1)
            with open(source, "ab") as out:
                out.write(b"".join(line + b"\n" for line in lines))
            # What it still holds when it ends is lost: wait until the box has it.
            options.box.wait("syslog", options.before["syslog"] + len(lines))
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(20)
    return "syslog"


def curl(options, lines):
    """curl, gzip, one request; its answer must count every line."""
    with tempfile.NamedTemporaryFile(suffix=".gz") as packed:
        subprocess.run(["gzip", "-c"], input=b"\n".join(lines), stdout=packed, check=True)
        packed.flush()
        command = ["curl", "-sSf", "--data-binary", f"@{packed.name}", "-H", "content-encoding: gzip"]
        command.append(f"http://{options.api}/api/v1/ingest/t-curl?field.app=sample")
        answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    assert answer == {"accepted": len(lines), "rejected": 0}, answer
    return "t-curl"


def elasticsearch(options, lines):
    """The official Python client's bulk helper, with compression; every item must say 201."""
    from elasticsearch import Elasticsearch, helpers

    client = Elasticsearch(f"http://{options.elastic}", http_compress=True)
    assert client.info()["version"]["number"].startswith("8.")
    day = time.strftime("%Y.%m.%d")
    documents = ({"_op_type": "create", "_index": f"t-elastic-{day}", "message": text(line)} for line in lines)
    good = 0
    for is_good, item in helpers.streaming_bulk(client, documents, chunk_size=1000):
        assert is_good and item["create"]["status"] == 201, item
        good += 1
    assert good == len(lines), good
    return "t-elastic"


def pylogbeat(options, lines):
    """pylogbeat, Lumberjack v2, over TLS if certificates are given; `send` returns once the window is acknowledged."""
    from pylogbeat import PyLogBeatClient

    host, port = options.beats.rsplit(":", 1)
    secure = {}
    if options.beats_ca:
        secure = {"ssl_enable": True, "ca_certs": options.beats_ca, "certfile": options.beats_cert, "keyfile": options.beats_key}
    client = PyLogBeatClient(host, int(port), timeout=30, **secure)
    client.connect()
    for start in range(0, len(lines), 1000):
        client.send([{"message": text(line), "host": "sample"} for line in lines[start : start + 1000]])
    client.close()
    return "beats"


def text(line):
    """JSON has no bytes."""
    return line.decode("utf-8", "replace")


CLIENTS = {"rsyslog": rsyslog, "curl": curl, "elasticsearch": elasticsearch, "pylogbeat": pylogbeat}
TOPICS = {"rsyslog": "syslog", "curl": "t-curl", "elasticsearch": "t-elastic", "pylogbeat": "beats"}


def main():
    """Every client after the other."""
    parser = argparse.ArgumentParser(description="Real clients against a running box.")
    parser.add_argument("--sample", required=True)
    parser.add_argument("--api", default="127.0.0.1:7800")
    parser.add_argument("--elastic", default="127.0.0.1:9200")
    parser.add_argument("--syslog", default="127.0.0.1:5514")
    parser.add_argument("--beats", default="127.0.0.1:5044")
    parser.add_argument("--beats-ca")
    parser.add_argument("--beats-cert")
    parser.add_argument("--beats-key")
    parser.add_argument("--only", default=",".join(CLIENTS))
    options = parser.parse_args()
    with open(options.sample, "rb") as source:
        lines = source.read().splitlines()
    options.box = Box(options.api)
    names = options.only.split(",")
    options.before = {TOPICS[name]: options.box.count(TOPICS[name]) for name in names}
    failed = []
    for name in names:
        began = time.monotonic()
        try:
            topic = CLIENTS[name](options, lines)
            got = options.box.wait(topic, options.before[topic] + len(lines)) - options.before[topic]
            origins = options.box.origins(topic)
            assert got == len(lines), f"{got} rows of {len(lines)} lines"
            assert len(set(origins)) == len(origins), "an origin is there twice"
            print(f"{name}: {got} rows in {time.monotonic() - began:.1f} s")
        except Exception as error:  # every client is tried, whatever became of the one before
            failed.append(name)
            print(f"{name}: FAILED: {error!r}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
