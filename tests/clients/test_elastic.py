"""The Elasticsearch dialect with its clients, elasticsearch-py and @elastic/elasticsearch, and with what Grafana's data source sends.

Grafana is on no package registry that this tier uses; so its requests are written down here, one for each thing it can ask, as its
query builders make them: the same members, the same kinds of values, strings where it sends strings."""

import collections
import datetime
import json
import pathlib
import statistics
import subprocess
import urllib.error
import urllib.request

import pytest
from elasticsearch import BadRequestError, Elasticsearch, NotFoundError, helpers

HERE = pathlib.Path(__file__).parent
START = datetime.datetime(2025, 11, 20, 10, tzinfo=datetime.timezone.utc)
FROM, TO = int(START.timestamp() * 1000), int(START.timestamp() * 1000) + 600_000
APPS = ["shop", "api", "blog"]


def documents(many=1200):
    """Two a second for ten minutes, so that what is expected can be counted here."""
    for n in range(many):
        time = START + datetime.timedelta(milliseconds=500 * n)
        yield {
            "@timestamp": time.isoformat().replace("+00:00", "Z"),
            "app": APPS[n % 3],
            "status": 500 if n % 10 == 0 else 200,
            "bytes": n,
            "took": n / 8,
            "host": {"name": f"web-{n % 4}"},
            "tags": ["even"] if n % 2 == 0 else ["odd", "other"],
            "message": f"GET /item/{n} {'failed' if n % 10 == 0 else 'ok'}",
        }


@pytest.fixture(scope="module")
def elastic(shared_box):
    client = Elasticsearch(f"http://127.0.0.1:{shared_box.elastic}", request_timeout=60)
    stored = helpers.bulk(client, ({"_index": "logs", **document} for document in documents()), refresh=True)
    assert stored == (1200, [])
    assert client.count(index="logs")["count"] == 1200
    return client


def test_python_reads_what_it_wrote(elastic):
    assert elastic.info()["version"]["number"].startswith("8.")
    whole = list(documents())
    answer = elastic.search(
        index="logs",
        query={"bool": {"filter": [{"term": {"app": "shop"}}, {"range": {"bytes": {"gte": 300}}}]}},
        sort=[{"bytes": "asc"}],
        size=5,
        source=["bytes", "host.*"],
    )
    expected = [document for document in whole if document["app"] == "shop" and document["bytes"] >= 300]
    assert answer["hits"]["total"] == {"value": len(expected), "relation": "eq"}
    shown = [{"bytes": document["bytes"], "host": document["host"]} for document in expected[:5]]
    assert [hit["_source"] for hit in answer["hits"]["hits"]] == shown
    first = answer["hits"]["hits"][0]
    kept = elastic.get(index="logs", id=first["_id"])["_source"]
    assert {**kept, "@timestamp": 0} == {**expected[0], "@timestamp": 0}, "a document is shown as it was written"
    named = elastic.search(index="logs", size=2, filter_path=["hits.total.value", "hits.hits._source.host", "-**.value"])
    assert [set(hit["_source"]["host"]) for hit in named["hits"]["hits"]] == [{"name"}] * 2 and list(named) == ["hits"]
    few = elastic.search(index="logs", size=9, terminate_after=3)
    assert (few["hits"]["total"]["value"], len(few["hits"]["hits"]), few["terminated_early"]) == (3, 3, True)
    assert elastic.count(index="logs", terminate_after=5)["count"] == 5
    assert elastic.get(index="logs", id=first["_id"])["_source"]["bytes"] == first["_source"]["bytes"]
    assert elastic.exists(index="logs", id=first["_id"]) and not elastic.exists(index="logs", id="logs-0-999999-0")
    many = elastic.mget(index="logs", ids=[first["_id"], "nothing"])
    assert [document["found"] for document in many["docs"]] == [True, False]
    for refresh in (True, "wait_for"):
        made = elastic.index(index="fresh", document={"message": "just now", "how": str(refresh)}, refresh=refresh)
        assert made["result"] == "created"
        assert elastic.search(index="fresh", query={"match": {"how": str(refresh)}})["hits"]["total"]["value"] == 1
    with pytest.raises(BadRequestError, match="fuzzy"):
        elastic.search(index="logs", query={"fuzzy": {"app": "shop"}})
    with pytest.raises(NotFoundError):
        elastic.search(index="nowhere")
    assert elastic.search(index="nowhere", ignore_unavailable=True)["hits"]["total"]["value"] == 0


def test_python_helpers_scan_everything_once(elastic):
    for arguments in [{}, {"preserve_order": True, "query": {"sort": [{"bytes": "desc"}]}}, {"scroll": "5m", "size": 7}]:
        hits = list(helpers.scan(elastic, index="logs", **{"size": 100, **arguments}))
        assert len({hit["_id"] for hit in hits}) == len(hits) == 1200
        numbers = [hit["_source"]["bytes"] for hit in hits]
        assert sorted(numbers) == list(range(1200))
        if arguments.get("preserve_order"):
            assert numbers == sorted(numbers, reverse=True)
    pit = elastic.open_point_in_time(index="logs", keep_alive="1m")["id"]
    seen, after = [], None
    while True:
        page = elastic.search(pit={"id": pit, "keep_alive": "1m"}, sort=[{"app": "asc"}], size=250, search_after=after)
        if not page["hits"]["hits"]:
            break
        seen += [hit["_source"]["bytes"] for hit in page["hits"]["hits"]]
        after = page["hits"]["hits"][-1]["sort"]
    assert sorted(seen) == list(range(1200))
    assert elastic.close_point_in_time(id=pit)["succeeded"]


def test_python_aggregates(elastic):
    whole = list(documents())
    answer = elastic.search(
        index="logs",
        size=0,
        aggs={
            "apps": {
                "terms": {"field": "app", "order": {"mean": "desc"}},
                "aggs": {
                    "mean": {"avg": {"field": "bytes"}},
                    "hosts": {"terms": {"field": "host.name", "size": 2, "order": {"_key": "asc"}}},
                    "last": {"top_hits": {"size": 1, "sort": [{"@timestamp": "desc"}], "_source": ["bytes"]}},
                },
            },
            "minutes": {"date_histogram": {"field": "@timestamp", "calendar_interval": "minute"}, "aggs": {"p": {"percentiles": {"field": "took"}}}},
        },
    )["aggregations"]
    means = {app: sum(own) / len(own) for app in APPS if (own := [d["bytes"] for d in whole if d["app"] == app])}
    assert {bucket["key"]: bucket["mean"]["value"] for bucket in answer["apps"]["buckets"]} == means
    assert [bucket["key"] for bucket in answer["apps"]["buckets"]] == ["blog", "api", "shop"]
    for bucket in answer["apps"]["buckets"]:
        counts = collections.Counter(d["host"]["name"] for d in whole if d["app"] == bucket["key"])
        assert [(host["key"], host["doc_count"]) for host in bucket["hosts"]["buckets"]] == sorted(counts.items())[:2]
        assert bucket["last"]["hits"]["hits"][0]["_source"]["bytes"] == max(d["bytes"] for d in whole if d["app"] == bucket["key"])
    assert [bucket["doc_count"] for bucket in answer["minutes"]["buckets"]] == [120] * 10
    first = [d["took"] for d in whole[:120]]
    assert answer["minutes"]["buckets"][0]["p"]["values"]["50.0"] == statistics.median(first)
    pages, after = [], None
    while True:
        sources = [{"app": {"terms": {"field": "app"}}}, {"host": {"terms": {"field": "host.name"}}}]
        composite = {"sources": sources, "size": 5, **({"after": after} if after else {})}
        page = elastic.search(index="logs", size=0, aggs={"c": {"composite": composite}})["aggregations"]["c"]
        pages += page["buckets"]
        after = page.get("after_key")
        if not after:
            break
    assert [(bucket["key"]["app"], bucket["key"]["host"], bucket["doc_count"]) for bucket in pages] == sorted(
        (app, host, many) for (app, host), many in collections.Counter((d["app"], d["host"]["name"]) for d in whole).items()
    )


def test_python_looks_at_indices(elastic):
    assert elastic.indices.exists(index="logs") and not elastic.indices.exists(index="nowhere")
    properties = elastic.indices.get_mapping(index="logs")["logs"]["mappings"]["properties"]
    assert {name: properties[name]["type"] for name in ["@timestamp", "bytes", "took", "host.name", "message"]} == {
        "@timestamp": "date", "bytes": "long", "took": "double", "host.name": "keyword", "message": "text",
    }
    assert "logs" in elastic.indices.get(index="lo*")
    assert elastic.indices.get_settings(index="logs")["logs"]["settings"]["index"]["number_of_replicas"] == "0"
    assert elastic.indices.resolve_index(name="logs")["indices"][0]["name"] == "logs"
    assert elastic.indices.get_alias(index="logs") == {"logs": {"aliases": {}}}
    assert elastic.field_caps(index="logs", fields="bytes")["fields"]["bytes"]["long"]["aggregatable"]
    assert [row["docs.count"] for row in elastic.cat.indices(index="logs", format="json")] == ["1200"]
    assert elastic.cluster.health()["status"] == "green"
    assert elastic.indices.validate_query(index="logs", query={"match_all": {}})["valid"]
    marked = elastic.search(index="logs", query={"match": {"message": "failed"}}, highlight={"fields": {"message": {}}}, size=1)
    assert "<em>failed</em>" in marked["hits"]["hits"][0]["highlight"]["message"][0]


def test_python_names_indices_by_dates_and_is_told_what_no_write_can_promise(elastic):
    stored = helpers.bulk(elastic, [{"_index": "<dated-{now/d}>", "n": 1}, {"_index": "dated-2026.11.23", "n": 2}], refresh=True)
    assert stored == (2, [])
    assert elastic.count(index="<dated-{now/M{yyyy.MM}}>")["count"] == elastic.count(index="dated")["count"] == 2
    for asked in [{"if_seq_no": 1, "if_primary_term": 1}, {"version": 3, "version_type": "external"}, {"require_alias": True}]:
        with pytest.raises(BadRequestError, match=next(iter(asked))):
            elastic.index(index="dated", id="1", document={"n": 3}, **asked)
    conditional = {"index": {"_index": "dated", "_id": "1", "if_seq_no": 1, "if_primary_term": 1}}
    items = elastic.bulk(operations=[conditional, {"n": 3}, {"index": {"_index": "dated"}}, {"n": 4}], refresh=True)["items"]
    assert [item["index"]["status"] for item in items] == [400, 201]
    assert "if_seq_no" in items[0]["index"]["error"]["reason"]
    assert elastic.count(index="dated")["count"] == 3


def test_the_javascript_client(shared_box):
    command = ["node", HERE / "elasticjs/client.js", f"http://127.0.0.1:{shared_box.elastic}", "from-js"]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=120, check=True)
    odd = range(1, 250, 2)
    assert json.loads(done.stdout) == {
        "bulk": [250, 0],
        "count": 250,
        "hits": [249, 247],
        "total": 125,
        "buckets": [["odd", 125, sum(odd) / 125]],
        "scrolled": 250,
        "msearch": [125, "rejected"],
        "paged": [100, 100, 50],
        "part": [["hits"], ["_source"]],
        "got": 249,
        "exists": [True, False],
        "fields": ["@timestamp", "message", "n", "parity"],
        "cat": [["from-js", "250"]],
        "refused": [400, True],
    }


class Grafana:
    """What the data source sends, over HTTP as its backend does."""

    def __init__(self, box):
        self.url = f"http://127.0.0.1:{box.elastic}"

    def get(self, path):
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=60) as answer:
            return json.loads(answer.read())

    def msearch(self, *bodies, index="logs"):
        header = {"ignore_unavailable": True, "index": index, "search_type": "query_then_fetch"}
        body = "".join(json.dumps(line) + "\n" for one in bodies for line in (header, one))
        request = urllib.request.Request(
            f"{self.url}/_msearch?max_concurrent_shard_requests=5",
            data=body.encode(),
            headers={"content-type": "application/x-ndjson"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())["responses"]

    @staticmethod
    def query(text="*"):
        window = {"range": {"@timestamp": {"format": "epoch_millis", "gte": FROM, "lte": TO}}}
        return {"bool": {"filter": [window, {"query_string": {"analyze_wildcard": True, "query": text}}]}}

    def series(self, metrics, text="*", outer=(), interval="60000ms", **settings):
        """A time series: metrics in a histogram over time, perhaps in other buckets."""
        histogram = {
            "field": "@timestamp",
            "fixed_interval": interval,
            "min_doc_count": 0,
            "extended_bounds": {"min": FROM, "max": TO},
            "format": "epoch_millis",
            **settings,
        }
        aggs = {"2": {"date_histogram": histogram, "aggs": metrics}}
        for name, kind, inside in outer:
            aggs = {name: {**kind, "aggs": {**inside, **aggs}}}
        answer = self.msearch({"size": 0, "query": self.query(text), "aggs": aggs})[0]
        assert answer["status"] == 200, answer
        return answer["aggregations"]


@pytest.fixture
def grafana(elastic, shared_box):
    return Grafana(shared_box)


def test_grafana_checks_the_data_source(grafana):
    assert tuple(map(int, grafana.get("")["version"]["number"].split("."))) >= (7, 16, 0)
    assert grafana.get("_cluster/health?wait_for_status=yellow")["status"] == "green"
    mapping = grafana.get("logs/_mapping")["logs"]["mappings"]["properties"]
    assert mapping["@timestamp"]["type"] == "date"
    assert grafana.get("logs/_field_caps?fields=*")["fields"]["@timestamp"]["date"]["searchable"]
    assert grafana.get("_xpack")["license"]["status"] == "active"


def test_grafana_asks_for_each_metric(grafana):
    whole = list(documents())
    minute = lambda n: [d for at, d in enumerate(whole) if at // 120 == n]
    metrics = {
        "1": {"avg": {"field": "bytes"}},
        "3": {"sum": {"field": "bytes"}},
        "4": {"max": {"field": "bytes"}},
        "5": {"min": {"field": "bytes"}},
        "6": {"extended_stats": {"field": "bytes", "sigma": "2"}},
        "7": {"percentiles": {"field": "bytes", "percents": ["25", "50", "75", "95", "99"]}},
        "8": {"cardinality": {"field": "host.name", "precision_threshold": "100"}},
        "9": {"top_metrics": {"metrics": [{"field": "bytes"}], "size": 1, "sort": [{"@timestamp": "desc"}]}},
        "10": {"rate": {"unit": "second"}},
        "11": {"rate": {"field": "bytes", "unit": "minute", "mode": "sum"}},
        "12": {"derivative": {"buckets_path": "3"}},
        "13": {"moving_fn": {"buckets_path": "3", "window": "3", "script": "MovingFunctions.unweightedAvg(values)", "shift": "0"}},
        "14": {"cumulative_sum": {"buckets_path": "_count", "format": ""}},
        "15": {"bucket_script": {"buckets_path": {"var1": "3", "var2": "_count"}, "script": "params.var1 / params.var2"}},
        "16": {"serial_diff": {"buckets_path": "3", "lag": 1}},
        "17": {"moving_avg": {"buckets_path": "3", "model": "ewma", "window": 5, "minimize": False, "settings": {"alpha": 0.5}}},
    }
    buckets = grafana.series(metrics)["2"]["buckets"]
    # The bounds take the minute in that `to` begins.
    assert [bucket["key"] for bucket in buckets] == [FROM + 60_000 * n for n in range(11)]
    assert [bucket["doc_count"] for bucket in buckets] == [120] * 10 + [0]
    assert buckets[0]["key_as_string"] == str(FROM)
    for n, bucket in enumerate(buckets[:10]):
        own = [document["bytes"] for document in minute(n)]
        assert bucket["1"]["value"] == sum(own) / len(own)
        assert (bucket["3"]["value"], bucket["4"]["value"], bucket["5"]["value"]) == (sum(own), max(own), min(own))
        mean = sum(own) / len(own)
        deviation = (sum((x - mean) ** 2 for x in own) / len(own)) ** 0.5
        assert bucket["6"]["std_deviation_bounds"]["upper"] == pytest.approx(mean + 2 * deviation)
        assert sorted(bucket["7"]["values"]) == ["25.0", "50.0", "75.0", "95.0", "99.0"]
        assert bucket["7"]["values"]["50.0"] == statistics.median(own)
        assert bucket["8"]["value"] == 4
        assert bucket["9"]["top"][0]["metrics"]["bytes"] == max(own)
        assert (bucket["10"]["value"], bucket["11"]["value"]) == (2, sum(own))
        assert bucket["14"]["value"] == 120 * (n + 1)
        assert bucket["15"]["value"] == mean
    assert "12" not in buckets[0] and buckets[1]["12"]["value"] == buckets[1]["3"]["value"] - buckets[0]["3"]["value"]
    assert buckets[3]["13"]["value"] == pytest.approx(sum(b["3"]["value"] for b in buckets[:3]) / 3)
    assert buckets[1]["16"]["value"] == buckets[1]["12"]["value"]
    assert buckets[1]["17"]["value"] == buckets[0]["3"]["value"]
    assert buckets[10]["1"]["value"] is None


def test_grafana_groups_by_terms_filters_and_numbers(grafana):
    whole = list(documents())
    inside = {"1": {"avg": {"field": "bytes"}}}
    terms = {"terms": {"field": "app", "size": 10, "order": {"1": "desc"}, "min_doc_count": 0, "missing": "none"}}
    apps = grafana.series(inside, outer=[("3", terms, inside)])["3"]["buckets"]
    assert [bucket["key"] for bucket in apps] == ["blog", "api", "shop"]
    assert all(len(bucket["2"]["buckets"]) == 11 for bucket in apps)
    by_name = {"terms": {"field": "host.name", "size": 500, "order": {"_key": "asc"}, "min_doc_count": 1}}
    hosts = grafana.series({}, text="status:500", outer=[("3", by_name, {})])["3"]["buckets"]
    assert [bucket["key"] for bucket in hosts] == ["web-0", "web-2"]
    percentile = {"7": {"percentiles": {"field": "bytes"}}}
    by_percentile = {"terms": {"field": "app", "size": 2, "order": {"7.99": "desc"}}}
    apps = grafana.series(percentile, outer=[("3", by_percentile, percentile)])["3"]["buckets"]
    assert [bucket["key"] for bucket in apps] == ["blog", "api"]
    query = lambda text: {"query_string": {"query": text, "analyze_wildcard": True}}
    filters = {"filters": {"filters": {"bad": query("status:[500 TO *]"), "app:shop": query("app:shop")}}}
    named = grafana.series({}, outer=[("3", filters, {})])["3"]["buckets"]
    assert {name: bucket["doc_count"] for name, bucket in named.items()} == {"bad": 120, "app:shop": 400}
    histogram = {"histogram": {"field": "bytes", "interval": "400", "min_doc_count": 0}}
    sizes = grafana.series({}, outer=[("3", histogram, {})])["3"]["buckets"]
    assert [(bucket["key"], bucket["doc_count"]) for bucket in sizes] == [(0.0, 400), (400.0, 400), (800.0, 400)]
    zoned = grafana.series({}, interval="1d", time_zone="Europe/Berlin", offset="+1h")["2"]["buckets"]
    assert [(bucket["key"], bucket["doc_count"]) for bucket in zoned] == [(FROM - 10 * 3_600_000, 1200)]
    nested = [("3", {"terms": {"field": "app", "size": 2, "order": {"_count": "desc"}}}, {}), ("4", {"terms": {"field": "status", "size": 1}}, {})]
    answer = grafana.series(inside, outer=nested)["4"]["buckets"]
    assert [(bucket["key"], [app["key"] for app in bucket["3"]["buckets"]]) for bucket in answer] == [(200, ["api", "blog"])]
    assert len(whole) == 1200


def test_grafana_shows_logs(grafana):
    logs = {
        "docvalue_fields": ["@timestamp"],
        "fields": [{"field": "@timestamp", "format": "strict_date_optional_time_nanos"}],
        "highlight": {"fields": {"*": {}}, "fragment_size": 2147483647, "post_tags": ["@/HIGHLIGHT@"], "pre_tags": ["@HIGHLIGHT@"]},
        "query": grafana.query("failed AND app:shop"),
        "script_fields": {},
        "size": 5,
        "sort": {"@timestamp": {"order": "desc", "unmapped_type": "boolean"}, "_doc": {"order": "desc"}},
        "aggs": {
            "1": {
                "date_histogram": {
                    "extended_bounds": {"max": TO, "min": FROM},
                    "field": "@timestamp",
                    "fixed_interval": "60000ms",
                    "format": "epoch_millis",
                    "min_doc_count": 0,
                }
            }
        },
    }
    page = grafana.msearch(logs)[0]
    hits = page["hits"]["hits"]
    assert [hit["_source"]["bytes"] for hit in hits] == [1170, 1140, 1110, 1080, 1050]
    assert hits[0]["fields"]["@timestamp"] == ["2025-11-20T10:09:45.000Z"]
    assert hits[0]["highlight"]["message"] == ["GET /item/1170 @HIGHLIGHT@failed@/HIGHLIGHT@"]
    assert hits[0]["highlight"]["app"] == ["@HIGHLIGHT@shop@/HIGHLIGHT@"]
    assert len(hits[0]["sort"]) == 2
    assert sum(bucket["doc_count"] for bucket in page["aggregations"]["1"]["buckets"]) == page["hits"]["total"]["value"] == 40
    # The context of a line: what comes before and after it.
    around = {**logs, "query": grafana.query(), "size": 2, "search_after": hits[2]["sort"]}
    before = grafana.msearch(around)[0]["hits"]["hits"]
    upwards = {"@timestamp": {"order": "asc", "unmapped_type": "boolean"}, "_doc": {"order": "asc"}}
    after = grafana.msearch({**around, "sort": upwards})[0]["hits"]["hits"]
    assert [[hit["_source"]["bytes"] for hit in side] for side in (before, after)] == [[1109, 1108], [1111, 1112]]


def test_grafana_shows_raw_data_variables_and_annotations(grafana):
    sort = [{"@timestamp": {"order": "desc", "unmapped_type": "boolean"}}, {"_doc": {"order": "desc"}}]
    raw = {"size": 3, "query": grafana.query(), "sort": sort, "script_fields": {}, "docvalue_fields": ["@timestamp"]}
    variable = {"size": 0, "query": grafana.query("app:*"), "aggs": {"1": {"terms": {"field": "app", "size": 500, "order": {"_key": "asc"}}}}}
    window = {"range": {"@timestamp": {"from": FROM, "to": TO, "format": "epoch_millis"}}}
    annotations = {
        "query": {"bool": {"filter": [{"bool": {"should": [window], "minimum_should_match": 1}}, {"query_string": {"query": "status:500"}}]}},
        "size": 10_000,
    }
    wrong = {"size": 0, "query": grafana.query("app:(shop"), "aggs": {}}
    answers = grafana.msearch(raw, variable, annotations, wrong)
    assert [hit["_source"]["bytes"] for hit in answers[0]["hits"]["hits"]] == [1199, 1198, 1197]
    assert [bucket["key"] for bucket in answers[1]["aggregations"]["1"]["buckets"]] == ["api", "blog", "shop"]
    assert len(answers[2]["hits"]["hits"]) == 120
    assert answers[3]["status"] == 400 and "query_string" in answers[3]["error"]["reason"]
    # Daily patterns name days that have no index of their own, and days without any.
    daily = grafana.msearch(variable, index="logs-2025.11.20,logs-2025.11.21,gone-2025.11.20")[0]
    assert len(daily["aggregations"]["1"]["buckets"]) == 3
    with pytest.raises(urllib.error.HTTPError) as missing:
        grafana.get("nowhere/_mapping")
    assert missing.value.code == 404
