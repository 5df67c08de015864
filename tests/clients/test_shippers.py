"""The shippers that people already run: what they send of 10,000 real lines is what an independent count says, each origin once.

Every test has a box of its own and sends the whole sample through one real client, into a topic whose chain cuts access lines."""

import collections
import datetime
import gzip
import ipaddress
import json
import shutil
import ssl
import subprocess
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PATIENCE = 60
CUT = '[[topics.{0}.chain]]\nfilter = "access-log"\n'
CUT_DOCUMENT = '[[topics.{0}.chain]]\nfilter = "json"\n' + CUT
AWK = """{ split($1, head, "["); split($2, request, " "); split($3, tail, " ")
           print "status", tail[1]; print "verb", request[1]; print "hour", substr(head[2], 1, 14) }"""


@pytest.fixture
def lines(sample):
    """The sample's lines; the check of what arrived is by awk, which knows nothing of filters."""
    return sample.read_bytes().splitlines()


def counted_by_awk(sample):
    out = subprocess.run(["awk", "-F", '"', AWK, sample], stdout=subprocess.PIPE, check=True, text=True).stdout
    counts = {"status": collections.Counter(), "verb": collections.Counter(), "hour": collections.Counter()}
    for line in out.splitlines():
        kind, value = line.split()
        counts[kind][value] += 1
    hour = lambda text: datetime.datetime.strptime(text, "%d/%b/%Y:%H").strftime("%Y-%m-%dT%H")
    counts["hour"] = collections.Counter({hour(text): count for text, count in counts["hour"].items()})
    return counts


def arrived(box, topic, many):
    deadline = time.monotonic() + PATIENCE
    while box.count(f"_topic:={topic}") < many and time.monotonic() < deadline:
        time.sleep(0.1)


def check(box, topic, sample):
    """All lines are there, byte for byte, cut right, each origin once."""
    expected, lines = counted_by_awk(sample), sample.read_text().splitlines()
    arrived(box, topic, len(lines))
    box.settle()
    rows = box.query(f"_topic:={topic}")
    assert len(rows) == len(lines) == box.count(f"_topic:={topic}") == 10_000
    assert len({(row["_partition"], row["_offset"], row["_n"]) for row in rows}) == len(rows), "an origin is there twice"
    assert collections.Counter(row["message"] for row in rows) == collections.Counter(lines)
    # By the box itself …
    for kind, field in [("status", "response"), ("verb", "verb")]:
        counts = {str(row[field]): row["n"] for row in box.query(f"_topic:={topic} | stats count() as n by {field}")}
        assert counts == expected[kind], kind
    first, last = min(expected["hour"]), max(expected["hour"])
    end = datetime.datetime.strptime(last, "%Y-%m-%dT%H") + datetime.timedelta(hours=1)
    for hour, count in expected["hour"].items():
        to = datetime.datetime.strptime(hour, "%Y-%m-%dT%H") + datetime.timedelta(hours=1)
        inside = box.query(f"_topic:={topic} | stats count() as n", **{"from": f"{hour}:00:00Z", "to": to.isoformat() + "Z"})
        assert inside[0]["n"] == count, hour
    whole = box.query(f"_topic:={topic} | stats count() as n", **{"from": f"{first}:00:00Z", "to": end.isoformat() + "Z"})
    assert whole[0]["n"] == len(lines), "rows outside the sample's hours"
    # … and by hand.
    assert collections.Counter(str(row["response"]) for row in rows) == expected["status"]
    assert collections.Counter(row["verb"] for row in rows) == expected["verb"]
    assert collections.Counter(row["_time"][:13] for row in rows) == expected["hour"]
    assert not [row for row in rows if "_accesslogparsefailure" in row.get("tags", [])]
    assert box.topic(f"_dead.{topic}") is None


class Rsyslog:
    """rsyslogd with the sample as a file it follows, and one action that sends it on."""

    def __init__(self, folder, action):
        self.source, config = folder / "access.log", folder / "rsyslog.conf"
        self.source.touch()
        config.write_text(
            f"""
global(workDirectory="{folder}" maxMessageSize="64k")
module(load="imfile" mode="inotify")
{action}
input(type="imfile" File="{self.source}" Tag="access:" Severity="info" Facility="local0" ruleset="out")
"""
        )
        program = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
        self.process = subprocess.Popen([program, "-n", "-f", config, "-i", folder / "pid"])

    def __enter__(self):
        time.sleep(0.5)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)


def test_rsyslog_over_tcp(make_box, sample, tmp_path):
    box = make_box(extra=CUT.format("syslog")).start()
    action = f"""
ruleset(name="out") {{
  action(type="omfwd" target="127.0.0.1" port="{box.syslog}" protocol="tcp" tcp_framing="octet-counted"
         template="RSYSLOG_SyslogProtocol23Format" action.resumeRetryCount="-1" queue.type="linkedList")
}}"""
    with Rsyslog(tmp_path, action) as shipper:
        shipper.source.write_bytes(sample.read_bytes())
        # What it still holds when it ends is lost: wait until the box has it.
        arrived(box, "syslog", 10_000)
    check(box, "syslog", sample)
    row = box.query("_topic:=syslog", limit=1)[0]
    assert (row["app"], row["facility"], row["severity"]) == ("access", "local0", "info"), row
    box.stop()


def test_rsyslog_in_the_elasticsearch_dialect(make_box, sample, tmp_path):
    box = make_box(extra=CUT_DOCUMENT.format("t-rsyslog")).start()
    action = f"""
module(load="omelasticsearch")
template(name="document" type="list" option.jsonf="on") {{
  property(outname="message" name="msg" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
}}
template(name="index" type="string" string="t-rsyslog-%$year%.%$month%.%$day%")
ruleset(name="out") {{
  action(type="omelasticsearch" server="127.0.0.1" serverport="{box.elastic}" template="document" bulkmode="on" searchIndex="index"
         dynSearchIndex="on" searchType="" queue.type="linkedList" queue.dequeueBatchSize="500" action.resumeRetryCount="-1")
}}"""
    with Rsyslog(tmp_path, action) as shipper:
        shipper.source.write_bytes(sample.read_bytes())
        arrived(box, "t-rsyslog", 10_000)
    check(box, "t-rsyslog", sample)
    box.stop()


@pytest.mark.parametrize("packed", [False, True])
def test_curl(make_box, sample, tmp_path, packed):
    """One request; its answer counts every line, and they are on the disk."""
    box = make_box(extra=CUT.format("t-curl")).start()
    body = tmp_path / "body"
    body.write_bytes(gzip.compress(sample.read_bytes()) if packed else sample.read_bytes())
    command = ["curl", "-sSf", "--data-binary", f"@{body}", f"{box.url}/api/v1/ingest/t-curl?field.app=shop"]
    command += ["-H", "content-encoding: gzip"] if packed else []
    answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    assert (answer["accepted"], answer["rejected"]) == (10_000, 0), answer
    check(box, "t-curl", sample)
    assert box.count("_topic:=t-curl app:=shop") == 10_000
    box.stop()


def test_the_elasticsearch_client(make_box, sample, lines):
    """The official client's bulk helper, with compression; every item says 201. Then the same counts by its searches."""
    from elasticsearch import Elasticsearch, helpers

    box = make_box(extra=CUT_DOCUMENT.format("t-elastic")).start()
    client = Elasticsearch(f"http://127.0.0.1:{box.elastic}", http_compress=True)
    assert client.info()["version"]["number"].split(".")[0] in ("8", "9")
    index = f"t-elastic-{time.strftime('%Y.%m.%d')}"
    documents = ({"_op_type": "create", "_index": index, "message": line.decode(), "app": "shop"} for line in lines)
    done = list(helpers.streaming_bulk(client, documents, chunk_size=1000))
    assert len(done) == 10_000 and all(good and item["create"]["status"] == 201 for good, item in done)
    check(box, "t-elastic", sample)

    expected = counted_by_awk(sample)
    assert client.count(index="t-elastic")["count"] == 10_000
    found = client.search(
        index="t-elastic",
        size=0,
        track_total_hits=True,
        query={"bool": {"filter": [{"term": {"app": "shop"}}]}},
        aggs={
            "status": {"terms": {"field": "response", "size": 100}},
            "verb": {"terms": {"field": "verb", "size": 100}},
            "hour": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1h", "min_doc_count": 1}},
        },
    )
    assert found["hits"]["total"]["value"] == 10_000
    buckets = {name: found["aggregations"][name]["buckets"] for name in expected}
    for name in ("status", "verb"):
        assert {str(bucket["key"]): bucket["doc_count"] for bucket in buckets[name]} == expected[name], name
    hours = {bucket["key_as_string"][:13]: bucket["doc_count"] for bucket in buckets["hour"]}
    assert hours == expected["hour"]
    box.stop()


def certificate(folder, name, signed_by=None):
    """A certificate and its key, PEM, in two files; without `signed_by` one that may sign others."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    issuer, signer = signed_by or (subject, key)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=signed_by is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(built.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths, (subject, key)


def test_beats_over_tls_with_client_certificates(make_box, sample, lines, tmp_path):
    """pylogbeat speaks Lumberjack v2 with compressed frames; `send` returns once the window is acknowledged. Who has no certificate is
    refused, and so is one who does not speak TLS, and neither disturbs the others."""
    from pylogbeat import PyLogBeatClient

    (authority, _), sign = certificate(tmp_path, "authority")
    (cert, key), _ = certificate(tmp_path, "box", sign)
    (client_cert, client_key), _ = certificate(tmp_path, "shipper", sign)
    tls = f'tls = {{ cert = "{cert}", key = "{key}", client_ca = "{authority}", client_auth = "required" }}'
    box = make_box(beats_tls=tls, extra=CUT_DOCUMENT.format("web")).start()

    def ship(window, **secure):
        client = PyLogBeatClient("127.0.0.1", box.beats, timeout=30, **secure)
        try:
            client.connect()
            client.send(window)
        finally:
            client.close()

    document = lambda line: {"message": line.decode(), "host": "sample", "@timestamp": "2020-01-01T00:00:00Z"}
    secure = {"ssl_enable": True, "ca_certs": str(authority), "certfile": str(client_cert), "keyfile": str(client_key)}
    for start in range(0, len(lines), 1000):
        ship([document(line) for line in lines[start : start + 1000]], **secure)
        if start == 5000:
            with pytest.raises((ssl.SSLError, OSError)):
                ship([document(lines[0])], ssl_enable=True, ca_certs=str(authority))
            with pytest.raises(Exception):
                ship([document(lines[0])])
    check(box, "web", sample)
    assert box.count("_topic:=web host:=sample") == 10_000
    box.stop()
