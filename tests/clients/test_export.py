"""Exports as others read them: Parquet by pyarrow, CSV by Python, NDJSON line by line, each beside the query's own answer."""

import csv
import io
import json
import subprocess
from datetime import datetime, timezone

import pyarrow
import pyarrow.parquet

from conftest import BINARY


def lines():
    for n in range(2500):
        row = {
            "@timestamp": f"2026-11-20T10:{n // 60 % 60:02}:{n % 60:02}.5Z",
            "message": f'row {n}, "quoted"\nand on',
            "n": n - 1000,
            "ratio": n / 8,
            "ok": n % 2 == 0,
            "deep": {"er": {"name": "ö" * (n % 3)}},
            "changes": n if n % 3 else "text",
        }
        if n % 4:
            row["tags"] = ["a", 'b,"c"', str(n % 5)][: n % 4]
        yield json.dumps(row)


def test_every_format_says_what_the_query_says(make_box, tmp_path):
    box = make_box().start()
    try:
        assert box.ingest("web", lines())["accepted"] == 2500
        box.settle()
        rows = box.query("_topic:=web")
        rows.reverse()
        assert len(rows) == 2500
        ndjson = box.get("/api/v1/export", raw=True, q="_topic:=web")
        assert [json.loads(line) for line in ndjson.splitlines()] == rows

        path = tmp_path / "rows.parquet"
        subprocess.run([BINARY, "store", "export", "_topic:=web", "-o", path, "--url", box.url], check=True)
        table = pyarrow.parquet.read_table(path)
        types = {name: table.schema.field(name).type for name in table.schema.names}
        assert types["n"] == pyarrow.int64() and types["ratio"] == pyarrow.float64() and types["ok"] == pyarrow.bool_()
        assert types["_time"] == pyarrow.timestamp("ns", tz="UTC")
        assert types["tags"] == pyarrow.list_(pyarrow.field("element", pyarrow.string(), nullable=False))
        assert types["changes"] == types["message"] == types["deep.er.name"] == pyarrow.string()
        columns = {name: table.column(name).to_pylist() for name in table.schema.names if name != "_time"}
        times = table.column("_time").cast(pyarrow.int64()).to_pylist()
        for at, row in enumerate(rows):
            when = datetime.fromisoformat(row.pop("_time").replace("Z", "+00:00")).astimezone(timezone.utc)
            assert times[at] == int(when.timestamp() * 10) * 100_000_000
            for name, values in columns.items():
                wanted = row.get(name)
                if name == "changes":
                    wanted = str(wanted)
                elif name == "tags" and isinstance(wanted, str):
                    wanted = [wanted]
                assert values[at] == wanted, (at, name)
            assert set(row) <= set(columns)

        text = box.get("/api/v1/export", raw=True, q="_topic:=web", format="csv").decode()
        read = list(csv.DictReader(io.StringIO(text, newline="")))
        assert len(read) == 2500
        for row, own in zip(rows, read):
            assert own["message"] == row["message"] and int(own["n"]) == row["n"] and float(own["ratio"]) == row["ratio"]
            if isinstance(row.get("tags"), list):
                assert json.loads(own["tags"]) == row["tags"]
    finally:
        box.stop()
    data = box.folder / "data"
    stopped = tmp_path / "stopped.parquet"
    subprocess.run([BINARY, "store", "export", "_topic:=web", "-o", stopped, "--data-dir", data], check=True)
    assert pyarrow.parquet.read_table(stopped).equals(table)
    assert subprocess.run([BINARY, "store", "verify", "--data-dir", data]).returncode == 0
