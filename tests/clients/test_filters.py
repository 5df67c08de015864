"""Filters against a real box: swapped under load, and hostile."""

import threading
import time
import urllib.error

import pytest

from conftest import ROOT

DIST = ROOT / "filters/dist"


def leb(n):
    out = bytearray()
    while True:
        byte = n & 0x7F
        n >>= 7
        out.append(byte | (0x80 if n else 0))
        if not n:
            return bytes(out)


def with_custom_section(wasm, text):
    """The same filter with another hash: a custom section changes nothing that runs."""
    name = b"build"
    body = leb(len(name)) + name + text.encode()
    return wasm + b"\x00" + leb(len(body)) + body


def test_a_filter_is_swapped_100_times_under_load(make_box):
    """Every row was handled by the two entries of one generation: a and b are always of the same generation's configuration."""
    box = make_box().start()

    def chain(n):
        import json

        return json.dumps(
            [
                {"filter": "tag", "config": {"fields": {"a": str(n)}}},
                {"filter": "tag", "config": {"fields": {"b": str(n)}}},
            ]
        ).encode()

    box.put("/api/v1/topics/load/chain", chain(0))
    over, accepted = threading.Event(), [0]
    lock = threading.Lock()

    def load():
        n = 0
        while not over.is_set():
            got = box.ingest("load", [f"line {n} {k}" for k in range(200)])["accepted"]
            n += 1
            with lock:
                accepted[0] += got

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    generations = [box.put("/api/v1/topics/load/chain", chain(n))["generation"] for n in range(1, 101)]
    over.set()
    for thread in threads:
        thread.join()
    assert generations == sorted(set(generations)) and len(generations) == 100
    box.settle()
    rows = box.query("_topic:=load | fields _partition, _offset, _n, _generation, a, b")
    assert len(rows) == accepted[0] > 2000
    origins = {(row["_partition"], row["_offset"], row["_n"]) for row in rows}
    assert len(origins) == len(rows)
    assert all(row["a"] == row["b"] for row in rows), "half a chain"
    by_offset = sorted(rows, key=lambda row: (row["_partition"], row["_offset"]))
    for one, two in zip(by_offset, by_offset[1:]):
        assert one["_partition"] != two["_partition"] or one["_generation"] <= two["_generation"]
    made = {}
    for row in rows:
        assert made.setdefault(row["_generation"], row["a"]) == row["a"]
    assert len(made) > 10, "the swaps did not meet the load"
    box.stop()


def test_an_upload_opens_a_generation_in_every_chain_that_uses_the_name(make_box):
    box = make_box(extra='[[topics.web.chain]]\nfilter = "access-log"\n').start()
    before = box.topic("web")
    fresh = with_custom_section((DIST / "access-log.wasm").read_bytes(), "second")
    answer = box.put("/api/v1/filters/access-log", fresh, kind="application/wasm")
    assert [opened["topic"] for opened in answer["generations"]] == ["web"]
    after = box.topic("web")
    assert after["generation"] > before["generation"]
    assert after["chain"][0]["sha256"] == answer["sha256"] != before["chain"][0]["sha256"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        box.put("/api/v1/filters/access-log", b"\0asm not at all", kind="application/wasm")
    assert refused.value.code == 400 and b"message" in refused.value.read()
    assert box.topic("web")["generation"] == after["generation"], "what does not validate must leave the running one in place"
    box.stop()
    box.start()
    assert box.topic("web")["chain"][0]["sha256"] == answer["sha256"], "an uploaded filter survives a restart"
    box.stop()


def test_a_module_dropped_into_the_topics_folder_is_taken(make_box):
    box = make_box(extra='[[topics.web.chain]]\nfilter = "access-log"\n').start()
    before = box.topic("web")
    folder = box.folder / "data/filters/web"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "access-log.wasm").write_bytes(with_custom_section((DIST / "access-log.wasm").read_bytes(), "dropped"))
    deadline = time.monotonic() + 20
    while box.topic("web")["generation"] == before["generation"] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert box.topic("web")["chain"][0]["sha256"] != before["chain"][0]["sha256"]
    (folder / "access-log.wasm").write_bytes(b"broken")
    while not (folder / "access-log.error.txt").exists() and time.monotonic() < deadline + 20:
        time.sleep(0.1)
    assert (folder / "access-log.error.txt").read_text()
    box.stop()


def test_hostile_filters_harm_only_their_own_records(make_box):
    """loop runs for ever, eat takes memory until there is none, trap traps: each on a record that says so. Other topics and the other
    records of the same batch go on."""
    hostile = ROOT / "tests/guests/hostile.wasm"
    box = make_box().start()
    box.put("/api/v1/filters/hostile", hostile.read_bytes(), kind="application/wasm")
    box.put("/api/v1/topics/bad/chain", b'[{"filter": "hostile"}]')
    lines = [f"fine {n}" for n in range(500)]
    for at, word in [(100, "loop"), (200, "eat"), (300, "trap")]:
        lines[at] = f"{word} {at}"
    begun = time.monotonic()
    box.ingest("bad", lines)
    box.ingest("good", [f"fine {n}" for n in range(500)])
    box.settle(topics=["bad", "good", "_dead.bad"])
    assert time.monotonic() - begun < 30
    assert box.count("_topic:=good") == 500
    assert box.count("_topic:=bad") == 497
    dead = box.query('_topic:="_dead.bad"')
    assert sorted(row["message"] for row in dead) == ["eat 200", "loop 100", "trap 300"]
    assert all(row["_reason"] and row["_filter"] == "hostile" for row in dead)
    box.stop()
