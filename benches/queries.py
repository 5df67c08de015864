"""The queries of the comparison: each as the box and as VictoriaLogs writes it, and how their answers are held beside each other.

An answer is a list of objects, one a line, as both give them. `shape` makes of it what must be equal on both sides:
  number    the one figure of the one row
  rows      how many rows
  estimate  one figure that may be an estimate: within 3 %
  tops      the counts of the top values, in order (which of two values with one count comes first is nobody's promise)
  groups    the count of every group
  figures   as groups, with the sum; half of the quantiles within 5 %: in a small group the values on either side of the rank, of
            which each program takes another, may lie far apart
  least     quantiles by one key, within 15 %
  times     the times of the newest rows, the box's no older than the peer's, which takes 100 of a block's rows without sorting all
  values    the values that were sorted by; the peer writes some decimals with the error of their binary form
"""

from collections import namedtuple

Query = namedtuple("Query", "name corpus shape box peer limit raw")


def query(name, corpus, shape, box, peer=None, limit=100, raw=False):
    """`raw`: it looks at every message, so that its speed can be told in bytes of messages."""
    return Query(name, corpus, shape, box, peer or box, limit, raw)


QUERIES = [
    query("count", "access", "number", "* | stats count()", "* | stats count() c"),
    query("count of a status", "access", "number", "status:=503 | stats count()", "status:=503 | stats count() c"),
    query("needle: an id", "access", "rows", "reqid:=50efb58cd5da0896"),
    query("needle: a word", "access", "rows", "dc9b52df"),
    query("needle: an address", "access", "rows", "ip:=43.94.31.145"),
    query("needle: absent", "access", "rows", "zzqqxx77yy"),
    query("phrase", "access", "number", '"GET /favicon.ico" | stats count()', '"GET /favicon.ico" | stats count() c', raw=True),
    query(
        "regex on a field",
        "access",
        "number",
        'path:~"/presentations/.*[.](png|jpg)" | stats count()',
        'path:~"/presentations/.*[.](png|jpg)" | stats count() c',
    ),
    query(
        "regex on the message",
        "access",
        "number",
        'message:~"[a-z]+[0-9]{3,}[.]png" | stats count()',
        '_msg:~"[a-z]+[0-9]{3,}[.]png" | stats count() c',
        raw=True,
    ),
    query("substring", "access", "number", 'message:~"gstash-mon" | stats count()', '_msg:~"gstash-mon" | stats count() c', raw=True),
    query("substring, absent", "access", "number", 'message:~"zqxjkv" | stats count()', '_msg:~"zqxjkv" | stats count() c', raw=True),
    query("ignoring case", "access", "number", 'message:~"(?i)\\bFAVICON\\b" | stats count()', "i(FAVICON) | stats count() c", raw=True),
    query("top 10 of 1 M addresses", "access", "tops", "* | top 10 ip", "* | top 10 by (ip)"),
    query("top 10 of 3.3 M ids", "access", "tops", "* | top 10 reqid", "* | top 10 by (reqid)"),
    query("distinct addresses", "access", "estimate", "* | stats count_distinct(ip)", "* | stats count_uniq(ip) c"),
    query(
        "histogram by app",
        "access",
        "groups",
        "* | stats count() by app, bin(5m)",
        "* | stats by (app, _time:5m) count() hits",
        limit=10000,
    ),
    query(
        "… with sum and p99",
        "access",
        "figures",
        "* | stats count(), sum(bytes), p99(reqtime) by app, bin(5m)",
        "* | stats by (app, _time:5m) count() hits, sum(bytes) b, quantile(0.99, reqtime) p",
        limit=10000,
    ),
    query("sort by a number", "access", "values", "* | sort -reqtime | limit 100", "* | sort by (reqtime desc) limit 100"),
    query(
        "… two fields of it",
        "access",
        "values",
        "* | sort -reqtime | limit 100 | fields _time, reqtime",
        "* | fields _time, reqtime | sort by (reqtime desc) limit 100",
    ),
    # VictoriaLogs' `limit` takes any rows; the newest are those of a query without pipes.
    query("newest 100", "access", "times", "GET | limit 100", "GET"),
    query("newest 100, sorted", "access", "times", "GET | sort -_time | limit 100", "GET | sort by (_time desc) limit 100"),
    query("count of large ones", "access", "number", "bytes>1000000 | stats count()", "bytes:>1000000 | stats count() c"),
    query("app: needle", "app", "rows", "trace_id:=bbd42f72dd6571775d38de55a75ca791"),
    query("app: phrase", "app", "number", '"Failed password" | stats count()', '"Failed password" | stats count() c', raw=True),
    query("app: top 10 of the ids", "app", "tops", "* | top 10 trace_id", "* | top 10 by (trace_id)"),
    query(
        "app: p99 by service",
        "app",
        "least",
        "* | stats p99(duration_ms) by service",
        "* | stats by (service) quantile(0.99, duration_ms) p",
    ),
    query("app: newest 100 of a word", "app", "times", "for | limit 100", "for"),
]

# Asked over and over while records come in at full speed.
LIVE = [
    query("newest 100", "access", "rows", "GET | limit 100", "GET"),
    query("needle", "access", "rows", "reqid:=50efb58cd5da0896"),
    query("count by status", "access", "rows", "* | stats count() by status", "* | stats by (status) count() c"),
    *(query for query in QUERIES if query.name in ("regex on a field", "… with sum and p99")),
]


def near(share):
    return lambda ours, theirs: abs(ours - theirs) <= share * max(abs(ours), abs(theirs), 1e-9)


def counts(row):
    """The count of a row, by whatever name."""
    return int(next(row[name] for name in ("count()", "hits", "c") if name in row))


def group(row):
    """App or service, and the bucket of time."""
    time = row.get("bin(5m)") or row.get("_time") or ""
    return row.get("app") or row.get("service"), time.replace(".000", "").removesuffix("Z")


def quantile(row):
    return float(next(value for name, value in row.items() if name == "p" or name.startswith("p99(")))


def same(shape, ours, theirs):
    """Why two answers differ, or nothing."""
    if shape == "rows":
        return told(len(ours), len(theirs))
    if shape in ("number", "estimate"):
        ours, theirs = (float(next(iter(rows[0].values()))) for rows in (ours, theirs))
        return told(ours, theirs, near(0.03 if shape == "estimate" else 0))
    if shape == "tops":
        return told([counts(row) for row in ours], [counts(row) for row in theirs])
    if shape == "times":
        seconds = [sorted(row["_time"].removesuffix("Z")[:19] for row in rows) for rows in (ours, theirs)]
        newer = lambda ours, theirs: len(ours) == len(theirs) and all(own >= other for own, other in zip(ours, theirs))
        return told(*seconds, newer)
    if shape == "values":
        values = [sorted(float(row["reqtime"]) for row in rows) for rows in (ours, theirs)]
        return told(*values, lambda ours, theirs: len(ours) == len(theirs) and all(map(near(1e-9), ours, theirs)))
    ours, theirs = ({group(row): row for row in rows} for rows in (ours, theirs))
    if ours.keys() != theirs.keys():
        return f"{len(ours)} groups, {len(theirs)} groups"
    off = []
    for key, row in ours.items():
        other = theirs[key]
        if shape != "least" and counts(row) != counts(other):
            return f"{key}: {counts(row)}, {counts(other)}"
        if shape == "figures":
            if not near(1e-9)(float(row["sum(bytes)"]), float(other["b"])):
                return f"{key}: sums {row['sum(bytes)']}, {other['b']}"
            off.append(not near(0.05)(quantile(row), quantile(other)))
        if shape == "least" and not near(0.15)(quantile(row), quantile(other)):
            return f"{key}: p99 {quantile(row)}, {quantile(other)}"
    if sum(off) * 2 > len(off):
        return f"{sum(off)} of {len(off)} quantiles"
    return None


def told(ours, theirs, equal=lambda ours, theirs: ours == theirs):
    if equal(ours, theirs):
        return None
    if isinstance(ours, list):
        first = next((n for n, pair in enumerate(zip(ours, theirs)) if pair[0] != pair[1]), min(len(ours), len(theirs)))
        return f"{len(ours)} and {len(theirs)} values, from number {first} {ours[first:first + 2]} and {theirs[first:first + 2]}"
    return f"{ours} and {theirs}"
