"""A filter in every language, as an author makes it: `filter new`, `build`, `test`, `bench`, then upload to a running box, whose rows
are held against the same lines read by Python.

The toolchains are those of `requirements.txt` (Zig, Go, componentize-py), of `languages/package.json` (asc, jco) and of Debian (clang,
Rust's second toolchain)."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.request

import pytest

from conftest import BINARY, ROOT, SAMPLE

HERE = pathlib.Path(__file__).resolve().parent
LANGUAGES = ["rust", "c", "zig", "go", "assemblyscript", "javascript", "python"]
LINE = re.compile(r'(\S+) \S+ \S+ \[[^\]]*\] "(\S+) (\S+)[^"]*" (\d+) (\d+|-)')


@pytest.fixture(scope="module")
def environment():
    """What a person has whose toolchains are installed."""
    folders = [pathlib.Path(sys.executable).parent, HERE / "languages/node_modules/.bin"]
    environment = {**os.environ, "PATH": os.pathsep.join([*map(str, folders), os.environ["PATH"]]), "SAWBOX": str(BINARY)}
    environment.pop("CARGO_TARGET_DIR", None)
    return environment


@pytest.fixture(scope="module")
def lines():
    """Real requests as pairs: half a line is a request of the sample, the other half what a filter makes of it."""
    if not SAMPLE.exists():
        pytest.skip(f"{SAMPLE} is not there")
    pairs = []
    for line in SAMPLE.read_text(errors="replace").splitlines()[:2000]:
        found = LINE.match(line)
        if found:
            client, verb, path, status, size = found.groups()
            level = {"2": "info", "3": "debug", "4": "warn", "5": "fatal"}.get(status[0], "info")
            pairs.append(f"level={level} client={client} verb={verb} path={path} status={status} size={size}")
    assert len(pairs) > 1500
    return pairs


def toolchain(language):
    """What must be there; without it the test is skipped, which CI does not allow."""
    needed = {
        "c": ["clang", "clang-22"],
        "assemblyscript": [HERE / "languages/node_modules/.bin/asc"],
        "javascript": [HERE / "languages/node_modules/.bin/jco"],
    }.get(language, [])
    if needed and not any(shutil.which(str(tool)) for tool in needed):
        pytest.skip(f"{language} needs {needed}")


def expected(line):
    """The row's fields by an independent reading; None where the line is left out."""
    fields = dict(word.split("=", 1) for word in line.split(" "))
    if fields["level"] == "debug":
        return None
    return {name: int(text) if re.fullmatch(r"[0-9]{1,18}", text) else text for name, text in fields.items()}


@pytest.mark.parametrize("language", LANGUAGES)
def test_from_nothing_to_rows(language, environment, lines, shared_box, tmp_path):
    toolchain(language)
    name = f"pairs-{language}"

    def sawbox(*arguments, folder=tmp_path / name, fails=False):
        done = subprocess.run([BINARY, "filter", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
        assert (done.returncode != 0) == fails, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    said = sawbox("new", "--lang", language, name, folder=tmp_path)
    assert f"cd {name}" in said and "filter build" in said
    project = tmp_path / name
    sawbox("build")
    module = project / f"{name}.wasm"
    assert module.exists()
    assert "7 fixtures, all as expected" in sawbox("test")

    # A fixture that does not hold fails, and says what differs. (Once is enough: each run compiles the module.)
    if language == "c":
        fixtures = (project / "fixtures.toml").read_text()
        (project / "wrong.toml").write_text(fixtures.replace("took = 12", "took = 13"))
        assert "field took: expected 13, is 12" in sawbox("test", "--fixtures", "wrong.toml", fails=True)

    (project / "lines").write_text("\n".join(lines))
    report = json.loads(sawbox("bench", "--json", "--millis", "50", "--records", "lines"))
    assert [measured["call_records"] for measured in report["calls"]] == [1, 64, 1024]
    assert all(measured["ns"] > 0 and measured["fuel"] > 100 for measured in report["calls"])
    assert report["verdicts"][2] == 0, "no line fails"

    box, topic = shared_box, f"in-{language}"
    # Python's takes seconds to compile; on a busy machine more than the usual minute of patience.
    upload = urllib.request.Request(f"{box.url}/api/v1/filters/{name}", data=module.read_bytes(), method="PUT")
    urllib.request.urlopen(upload, timeout=300).close()
    box.put(f"/api/v1/topics/{topic}/chain", json.dumps([{"filter": name}]).encode())
    box.ingest(topic, lines)
    box.settle(topics=[topic], seconds=120)
    rows = {row["_offset"]: row for row in box.query(f"_topic:={topic}")}
    wanted = {offset: fields for offset, fields in enumerate(map(expected, lines)) if fields}
    assert sorted(rows) == sorted(wanted)
    for offset, fields in wanted.items():
        assert {field: rows[offset].get(field) for field in fields} == fields
        assert rows[offset]["message"] == lines[offset]
    fatal = sum(1 for line in lines if line.startswith("level=fatal"))
    if fatal:
        box.settle(topics=["alerts"])
        assert box.count("_topic:=alerts") >= fatal


def test_a_rust_filters_own_tests_run_natively_and_in_the_sandbox(environment, tmp_path):
    subprocess.run([BINARY, "filter", "new", "--lang", "rust", "pairs"], cwd=tmp_path, env=environment, check=True)
    done = subprocess.run(["cargo", "test", "--quiet"], cwd=tmp_path / "pairs", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout and (tmp_path / "pairs/pairs.wasm").exists()


def test_what_is_missing_is_said(environment, tmp_path):
    bare = {**environment, "PATH": str(tmp_path)}
    for language in LANGUAGES:
        subprocess.run([BINARY, "filter", "new", "--lang", language, language], cwd=tmp_path, env=bare, check=True)
        done = subprocess.run([BINARY, "filter", "build", language], cwd=tmp_path, env=bare, capture_output=True, text=True)
        assert done.returncode == 1 and "needed:" in done.stderr, f"{language}: {done.stderr}"
    again = subprocess.run([BINARY, "filter", "new", "--lang", "c", "c"], cwd=tmp_path, env=bare, capture_output=True, text=True)
    assert again.returncode == 1 and "folder" in again.stderr, "a folder that is there is left alone"
