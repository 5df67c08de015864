"""Dead letters from end to end: a filter traps on some records, the failure is reproduced by the binary alone, the filter is mended, the
letters are tried again, over kill -9 in between. About 20 seconds."""

import json
import os
import subprocess
import threading
import time
import urllib.error
import urllib.request

from conftest import BINARY, ROOT

HOSTILE = ROOT / "tests/guests/hostile.wasm"
MENDED = ROOT / "filters/dist/tag.wasm"
BAD = {100: "trap", 200: "loop", 300: "trap", 400: "trap"}


def sawbox(box, *arguments, code=0):
    done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, env={**os.environ, "SAWBOX_URL": box.url})
    assert done.returncode == code, (arguments, done.stdout, done.stderr)
    return done.stdout


def retry(box, **body):
    request = urllib.request.Request(
        f"{box.url}/api/v1/dead/web/retry", data=json.dumps(body).encode(), headers={"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def lines(tag):
    return [f"{BAD.get(n, 'fine')} {tag} {n}" for n in range(500)]


def test_letters_are_reproduced_mended_and_tried_again_over_kill_9(make_box, tmp_path):
    box = make_box().start()
    box.put("/api/v1/filters/fragile", HOSTILE.read_bytes(), kind="application/wasm")
    box.put("/api/v1/topics/web/chain", b'[{"filter": "fragile"}]')
    box.ingest("web", lines("first"))
    box.settle()
    assert box.count("_topic:=web") == 496

    shown = json.loads(sawbox(box, "dead", "ls", "web", "--json"))
    assert shown["letters"] == 4 and all(one["filter"] == "fragile" for one in shown["last"])
    assert "fragile" in sawbox(box, "dead", "ls")
    letter = f"{shown['last'][0]['partition']}@{shown['last'][0]['offset']}"
    assert "trap first 100" in sawbox(box, "dead", "show", "web", letter)

    # The file alone is enough, without a box.
    bundle = tmp_path / "failure.json"
    sawbox(box, "dead", "bundle", "web", letter, "-o", str(bundle))
    alone = subprocess.run(
        [BINARY, "filter", "reproduce", str(bundle)], capture_output=True, text=True, env={"SAWBOX_URL": "http://127.0.0.1:9"}
    )
    assert alone.returncode == 0 and "the same" in alone.stdout and "fuel" in alone.stdout, alone
    for one in shown["last"]:
        report = json.loads(sawbox(box, "dead", "reproduce", "web", f"{one['partition']}@{one['offset']}", "--json"))
        assert report["same"] and report["now"]["reason"] == one["reason"], report
    other = json.loads(bundle.read_text())
    other["outcome"]["fuel"] += 1
    bundle.write_text(json.dumps(other))
    sawbox(box, "filter", "reproduce", str(bundle), code=1)

    # Not mended: nothing comes of it.
    assert retry(box)["failed"] == 4
    box.put("/api/v1/filters/fragile", MENDED.read_bytes(), kind="application/wasm")
    assert retry(box, dry_run=True)["stored"] == 4
    assert box.count("_topic:=web") == 496

    # Killed at any moment of it: all or nothing, and once more is never too much.
    outcomes = set()
    for delay in [0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1]:
        def ask():
            try:
                retry(box)
            except (OSError, urllib.error.URLError, ValueError):
                pass

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(delay)
        box.kill()
        thread.join()
        box.start()
        box.settle()
        left = json.loads(sawbox(box, "dead", "ls", "web", "--json"))["letters"]
        assert left in (0, 4), f"a half retry: {left}"
        assert box.count("_topic:=web") == 500 - left
        assert box.count('_topic:="_dead.web"') == left
        outcomes.add(left)
    said = sawbox(box, "dead", "retry", "web", "--all")
    assert "letters tried" in said
    rows = box.query("_topic:=web | fields message, _partition, _offset, _n, _generation")
    assert sorted(row["message"] for row in rows) == sorted(lines("first")), "each once"
    assert len({(row["_partition"], row["_offset"], row["_n"]) for row in rows}) == 500
    assert box.count('_topic:="_dead.web"') == 0
    assert "no dead letters" in sawbox(box, "dead", "ls", "web")
    generations = {row["_generation"] for row in rows if not row["message"].startswith("fine")}
    assert len(generations) == 1, "one retry, one generation"
    print(f"outcomes of the kills: {sorted(outcomes)} letters left")
    box.stop()
    box.start()
    assert box.count("_topic:=web") == 500
    box.stop()
