//! `_search` and `_count`: rows in an order, from a place on, and aggregations over all that the query keeps.
//!
//! The number of hits is exact, and comes from the query that the aggregations' outermost figures come from.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query as Parameters, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::ask::{Asked, AskedParams, No, Params, body_of, in_thread, only_params, param_flag, topics_for, topics_of};
use super::dsl::read::{flag, maybe_text, object, only, text};
use super::order::Order;
use super::shown::Shown;
use super::{aggs, dsl, scroll};
use crate::base::predicate::Predicate;
use crate::base::row::TIME;
use crate::store::query::{OutRow, Pipe, Query};
use crate::web::Web;

/// Most documents of one answer, as in Elasticsearch.
pub const WINDOW: usize = 10_000;

/// Members of a request.
const KNOWN: [&str; 29] = [
    "query",
    "size",
    "from",
    "sort",
    "aggs",
    "aggregations",
    "_source",
    "fields",
    "docvalue_fields",
    "stored_fields",
    "highlight",
    "track_total_hits",
    "search_after",
    "pit",
    "timeout",
    "version",
    "seq_no_primary_term",
    "post_filter",
    "terminate_after",
    // Without scores and shards these change nothing.
    "track_scores",
    "preference",
    // Only empty, or false: see `refuse_some`.
    "script_fields",
    "runtime_mappings",
    "explain",
    "profile",
    "ext",
    "indices_boost",
    "stats",
    "min_score",
];

/// Parameters of the URL.
const PARAMS: [&str; 26] = [
    "q",
    "df",
    "default_operator",
    "analyze_wildcard",
    "analyzer",
    "lenient",
    "size",
    "from",
    "sort",
    "_source",
    "_source_includes",
    "_source_excludes",
    "docvalue_fields",
    "stored_fields",
    "track_total_hits",
    "track_scores",
    "rest_total_hits_as_int",
    "timeout",
    "terminate_after",
    "typed_keys",
    "version",
    "seq_no_primary_term",
    "search_type",
    "scroll",
    "batched_reduce_size",
    "ccs_minimize_roundtrips",
];

/// `/_search`
pub async fn all(state: State<Arc<Web>>, params: AskedParams, body: Bytes) -> Response {
    one(state, Path("*".to_owned()), params, body).await
}

/// `/{index}/_search`
pub async fn one(State(web): State<Arc<Web>>, Path(index): Path<String>, params: AskedParams, body: Bytes) -> Response {
    in_thread(web, move |web, cancel| {
        let Parameters(params) = params;
        let body = body_of(&body)?;
        only_params(&params, &PARAMS)?;
        let pit = body.get("pit").map(scroll::pit_index).transpose()?;
        let topics = topics_for(web, pit.as_deref().unwrap_or(&index), &params)?;
        let asked = Asked::new(web, topics, params, body, cancel);
        if asked.params.contains_key("scroll") {
            return Ok(Json(scroll::begin(web, asked)?).into_response());
        }
        Ok(Json(search(web, asked)?).into_response())
    })
    .await
}

/// `/_count`
pub async fn count_all(state: State<Arc<Web>>, params: AskedParams, body: Bytes) -> Response {
    count(state, Path("*".to_owned()), params, body).await
}

/// `/{index}/_count`
pub async fn count(State(web): State<Arc<Web>>, Path(index): Path<String>, params: AskedParams, body: Bytes) -> Response {
    in_thread(web, move |web, cancel| {
        let Parameters(params) = params;
        only_params(&params, &["q", "df", "default_operator", "analyze_wildcard", "lenient", "terminate_after"])?;
        let topics = topics_for(web, &index, &params)?;
        let mut asked = Asked::new(web, topics, params, body_of(&body)?, cancel);
        only(&asked.body, "_count", &["query"])?;
        // Here the body counts.
        if asked.body.contains_key("query") {
            asked.params.remove("q");
        }
        let predicate = asked.predicate()?;
        let enough = terminates_after(&asked)?;
        let (count, early) = match enough {
            Some(enough) => count_to(web, &asked, &predicate, enough)?,
            None => (aggs::run(web, &asked, &predicate, &[])?.0, false),
        };
        let mut answer = json!({ "count": count, "_shards": asked.shards() });
        if enough.is_some() {
            answer["terminated_early"] = early.into();
        }
        Ok(Json(answer).into_response())
    })
    .await
}

/// `_validate/query`
pub async fn validate(State(web): State<Arc<Web>>, Path(index): Path<String>, params: AskedParams, body: Bytes) -> Response {
    in_thread(web, move |web, cancel| {
        let Parameters(params) = params;
        only_params(&params, &["q", "df", "default_operator", "explain", "rewrite", "all_shards"])?;
        let topics = topics_of(web, &index, false)?;
        let asked = Asked::new(web, topics, params, body_of(&body)?, cancel);
        let answer = match asked.predicate() {
            Ok(predicate) => json!({ "_shards": asked.shards(), "valid": true,
                "explanations": [{ "index": index, "valid": true, "explanation": predicate.to_string() }] }),
            Err(why) => json!({ "_shards": asked.shards(), "valid": false, "error": why }),
        };
        Ok(Json(answer).into_response())
    })
    .await
}

/// What would change an answer and is not there.
fn refuse_some(asked: &Asked) -> Result<(), String> {
    only(&asked.body, "_search", &KNOWN)?;
    for name in ["script_fields", "runtime_mappings", "ext", "indices_boost"] {
        let empty = |value: &Value| match value {
            Value::Object(members) => members.is_empty(),
            Value::Array(items) => items.is_empty(),
            value => value.is_null(),
        };
        if asked.body.get(name).is_some_and(|value| !empty(value)) {
            return Err(format!("`{name}` is not supported"));
        }
    }
    for name in ["explain", "profile"] {
        if flag(&asked.body, name)? == Some(true) {
            return Err(format!("`{name}` is not supported"));
        }
    }
    if asked.body.get("min_score").is_some_and(|score| !score.is_null()) {
        return Err("`min_score` is not supported: there are no scores".to_owned());
    }
    if asked.params.contains_key("analyzer") {
        return Err("the parameter `analyzer` is not supported".to_owned());
    }
    match asked.params.get("search_type").map(String::as_str) {
        None | Some("query_then_fetch" | "dfs_query_then_fetch") => Ok(()),
        Some(other) => Err(format!("the search_type `{other}` is not supported")),
    }
}

/// How `hits.total` is told.
enum Total {
    Exact,
    UpTo(i64),
    None,
}

fn total_of(asked: &Asked) -> Result<Total, String> {
    let wrong = || "`track_total_hits` is true, false or a number".to_owned();
    let text = match (asked.params.get("track_total_hits"), asked.body.get("track_total_hits")) {
        (Some(text), _) => text.clone(),
        (None, Some(Value::Null) | None) => return Ok(Total::Exact),
        (None, Some(value)) => dsl::read::scalar(value, "track_total_hits")?,
    };
    match text.as_str() {
        "true" | "" => Ok(Total::Exact),
        "false" => Ok(Total::None),
        number => match number.parse::<i64>() {
            Ok(-1) => Ok(Total::Exact),
            Ok(most) if most >= 0 => Ok(Total::UpTo(most)),
            _ => Err(wrong()),
        },
    }
}

/// `terminate_after`: how many documents are enough; 0 says nothing.
pub fn terminates_after(asked: &Asked) -> Result<Option<usize>, String> {
    asked.number("terminate_after").map(|number| number.filter(|number| *number > 0))
}

/// Counts to so many, and says whether there are more. Few are looked for one by one, which ends at the last of them; the others
/// are counted whole, which is no dearer.
fn count_to(web: &Web, asked: &Asked, predicate: &Predicate, enough: usize) -> Result<(i64, bool), No> {
    let found = if enough < WINDOW {
        let query = Query::new(predicate.clone()).pipe(Pipe::Limit(enough + 1)).pipe(Pipe::Fields(vec![TIME.to_owned()]));
        i64::try_from(asked.run(web, query, enough + 1, true)?.len()).unwrap_or(i64::MAX)
    } else {
        aggs::run(web, asked, predicate, &[])?.0
    };
    let enough = i64::try_from(enough).unwrap_or(i64::MAX);
    Ok((found.min(enough), found > enough))
}

/// Rows of an answer in their order.
pub fn rows(web: &Web, asked: &Asked, predicate: &Predicate, order: &Order, most: usize) -> Result<Vec<OutRow>, String> {
    let mut rows = Vec::new();
    let (queries, newest_first) = order.queries(predicate);
    for query in queries {
        let left = most.saturating_sub(rows.len());
        if left == 0 {
            break;
        }
        rows.extend(asked.run(web, query.pipe(Pipe::Limit(left)), left, newest_first)?);
    }
    Ok(rows)
}

/// Answers a search.
///
/// # Errors
/// What is not supported, by name.
pub fn search(web: &Web, asked: Asked) -> Result<Value, No> {
    let order = Order::of(&asked)?;
    search_in(web, asked, &order).map(|(answer, _)| answer)
}

/// Answers a search in an order; also gives the place of the last hit.
pub fn search_in(web: &Web, mut asked: Asked, order: &Order) -> Result<(Value, Option<Value>), No> {
    refuse_some(&asked)?;
    asked.within_its_time(web)?;
    let begun = web.clock.monotonic();
    let predicate = asked.predicate()?;
    let (size, from) = (asked.number("size")?.unwrap_or(10), asked.number("from")?.unwrap_or(0));
    if from.saturating_add(size) > WINDOW {
        return Err(format!("from + size is at most {WINDOW}; go on with `search_after`, or scroll").into());
    }
    let mut shown = Shown::read(&asked.body, &asked.params, asked.now_ns)?;
    if let Some(highlight) = &mut shown.highlight {
        highlight.look_for(&predicate);
    }
    let understood = match asked.body.get("aggs").or_else(|| asked.body.get("aggregations")) {
        Some(written) => aggs::parse(written, asked.now_ns)?,
        None => Vec::new(),
    };
    let mut wanted = predicate.clone();
    if let Some(filter) = asked.body.get("post_filter").filter(|filter| !filter.is_null()) {
        wanted = Predicate::And(vec![wanted, dsl::predicate(filter, asked.now_ns)?]);
    }
    let total = total_of(&asked)?;
    let filtered = asked.body.get("post_filter").is_some_and(|filter| !filter.is_null());
    let (mut found, mut aggregations, mut early) = (0, None, false);
    let enough = terminates_after(&asked)?;
    if let Some(enough) = enough {
        if filtered || !understood.is_empty() {
            return Err("`terminate_after` beside aggregations or `post_filter` is not supported".to_owned().into());
        }
        (found, early) = count_to(web, &asked, &predicate, enough)?;
    } else if !matches!(total, Total::None) || !understood.is_empty() {
        let (count, answer) = aggs::run(web, &asked, &predicate, &understood)?;
        found = if filtered { aggs::run(web, &asked, &wanted, &[])?.0 } else { count };
        aggregations = (!understood.is_empty()).then_some(answer);
    }
    if let Some(place) = asked.body.get("search_after").filter(|place| !place.is_null()) {
        if from > 0 {
            return Err("`from` is 0 beside `search_after`".to_owned().into());
        }
        let place = place.as_array().ok_or("`search_after` is a list".to_owned())?;
        wanted = Predicate::And(vec![wanted, order.after(place, asked.now_ns)?]);
    }
    let most = enough.map_or(from + size, |enough| enough.min(from + size));
    let rows = if size > 0 { rows(web, &asked, &wanted, order, most)? } else { Vec::new() };
    let hits: Vec<Value> = rows.iter().skip(from).take_while(|_| asked.goes_on()).map(|row| shown.hit(row, order)).collect();
    let last = hits.len().checked_sub(1).and_then(|at| rows.get(from + at)).map(|row| order.values(row).into());
    let took = u64::try_from((web.clock.monotonic() - begun).as_millis()).unwrap_or(0);
    let mut answer = json!({ "took": took, "timed_out": asked.is_late() });
    if enough.is_some() {
        answer["terminated_early"] = early.into();
    }
    answer["_shards"] = asked.shards();
    answer["hits"] = json!({ "max_score": null, "hits": hits });
    let as_int = param_flag(&asked.params, "rest_total_hits_as_int");
    match total {
        Total::None => {}
        _ if as_int => answer["hits"]["total"] = found.into(),
        Total::UpTo(most) if found > most => answer["hits"]["total"] = json!({ "value": most, "relation": "gte" }),
        _ => answer["hits"]["total"] = json!({ "value": found, "relation": "eq" }),
    }
    if let Some(mut aggregations) = aggregations {
        if param_flag(&asked.params, "typed_keys") {
            aggregations = aggs::typed(&understood, aggregations);
        }
        answer["aggregations"] = aggregations;
    }
    if let Some(pit) = asked.body.get("pit") {
        let pit = object(pit, "pit")?;
        only(pit, "pit", &["id", "keep_alive"])?;
        maybe_text(pit, "keep_alive")?;
        answer["pit_id"] = text(pit.get("id"), "pit.id")?.into();
    }
    Ok((answer, last))
}

/// Parameters that a search takes, for those who bring a body of their own.
pub fn refuse_params(params: &Params) -> Result<(), String> {
    only_params(params, &PARAMS)
}
