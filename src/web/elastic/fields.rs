//! Which fields there are, and what they hold: `_mapping`, `_field_caps`, `GET /{index}`.
//!
//! A field has no type of its own here: what is named is what rows hold (of many rows, the newest), and a field of several kinds
//! has several capabilities.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query as Parameters, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::ask::{Asked, AskedParams, No, body_of, in_thread, only_params, param_flag, topics_for};
use super::dsl::names::{TIMESTAMP, names_like};
use super::dsl::read::{each, only, text};
use super::{dsl, indices};
use crate::base::predicate::{Glob, Predicate};
use crate::base::row::MESSAGE;
use crate::store::query::{self, Cancel, Query};
use crate::web::Web;

/// Names of fields, and the dialect's types of what they hold, the narrowest first.
type Kinds = BTreeMap<String, Vec<&'static str>>;

/// The fields of a topic's rows.
fn kinds(web: &Web, asked: &Asked, predicate: Predicate) -> Result<Kinds, String> {
    let request = asked.request(Query::new(predicate));
    let (fields, stats) = query::fields(&web.store, &request, &asked.cancel).map_err(|error| error.to_string())?;
    // That only the newest rows were looked at is no fault of the answer.
    if !stats.partial || stats.damaged > 0 {
        asked.note(&stats);
    }
    let mut kinds = Kinds::new();
    for field in fields.iter().filter(|field| !field.name.starts_with('_')) {
        let order = ["boolean", "integer", "decimal", "string", "list"];
        let mut own: Vec<&'static str> = order
            .into_iter()
            .filter(|kind| field.types.contains(kind))
            .map(|kind| match kind {
                "boolean" => "boolean",
                "integer" => "long",
                "decimal" => "double",
                _ if *field.name == *MESSAGE => "text",
                _ => "keyword",
            })
            .collect();
        own.dedup();
        kinds.insert(field.name.to_string(), own);
    }
    kinds.insert(TIMESTAMP.to_owned(), vec!["date"]);
    Ok(kinds)
}

fn topic_kinds(web: &Web, topic: &str, cancel: &Cancel) -> Result<Kinds, String> {
    let asked = Asked::new(web, vec![topic.to_owned()], BTreeMap::new(), Map::new(), cancel.clone());
    kinds(web, &asked, Predicate::All)
}

/// The type of a field that is named once: of several the widest number, or else a string.
fn widest(kinds: &[&'static str]) -> &'static str {
    match kinds {
        ["long", "double"] => "double",
        kinds => kinds.last().copied().unwrap_or("keyword"),
    }
}

fn properties(kinds: &Kinds, wanted: &dyn Fn(&str) -> bool) -> Value {
    let named = kinds.iter().filter(|(name, _)| wanted(name));
    Value::Object(named.map(|(name, kinds)| (name.clone(), json!({ "type": widest(kinds) }))).collect())
}

/// `HEAD /{index}` and `GET /{index}`: whether it is there, its mapping and settings.
pub async fn index(
    State(web): State<Arc<Web>>,
    method: Method,
    Path(index): Path<String>,
    Parameters(params): AskedParams,
) -> Response {
    in_thread(web, move |web, cancel| {
        only_params(&params, &["flat_settings", "features", "include_defaults"])?;
        let mut answer = Map::new();
        let topics = topics_for(web, &index, &params)?;
        // Whether it is there can be said without looking at its rows.
        for topic in if method == Method::HEAD { Vec::new() } else { topics } {
            let mappings = json!({ "properties": properties(&topic_kinds(web, &topic, &cancel)?, &|_| true) });
            let settings = indices::settings_of(&topic, param_flag(&params, "flat_settings"));
            answer.insert(topic, json!({ "aliases": {}, "mappings": mappings, "settings": settings }));
        }
        Ok(Json(Value::Object(answer)).into_response())
    })
    .await
}

/// `/_mapping`
pub async fn mapping_of_all(state: State<Arc<Web>>, params: AskedParams) -> Response {
    mapping(state, Path("*".to_owned()), params).await
}

/// `/{index}/_mapping`
pub async fn mapping(State(web): State<Arc<Web>>, Path(index): Path<String>, Parameters(params): AskedParams) -> Response {
    in_thread(web, move |web, cancel| {
        only_params(&params, &[])?;
        let mut answer = Map::new();
        for topic in topics_for(web, &index, &params)? {
            let mappings = json!({ "properties": properties(&topic_kinds(web, &topic, &cancel)?, &|_| true) });
            answer.insert(topic, json!({ "mappings": mappings }));
        }
        Ok(Json(Value::Object(answer)).into_response())
    })
    .await
}

/// `/_mapping/field/{fields}`
pub async fn mapping_of_fields_of_all(state: State<Arc<Web>>, Path(fields): Path<String>, params: AskedParams) -> Response {
    mapping_of_fields(state, Path(("*".to_owned(), fields)), params).await
}

/// `/{index}/_mapping/field/{fields}`
pub async fn mapping_of_fields(
    State(web): State<Arc<Web>>,
    Path((index, fields)): Path<(String, String)>,
    Parameters(params): AskedParams,
) -> Response {
    in_thread(web, move |web, cancel| {
        only_params(&params, &["include_defaults"])?;
        let wanted: Vec<Glob> = fields.split(',').map(names_like).collect();
        let mut answer = Map::new();
        for topic in topics_for(web, &index, &params)? {
            let kinds = topic_kinds(web, &topic, &cancel)?;
            let named = kinds.iter().filter(|(name, _)| wanted.iter().any(|glob| glob.matches(name.as_bytes())));
            let mappings: Map<String, Value> = named
                .map(|(name, kinds)| {
                    let last = name.rsplit('.').next().unwrap_or(name);
                    (name.clone(), json!({ "full_name": name, "mapping": { last: { "type": widest(kinds) } } }))
                })
                .collect();
            answer.insert(topic, json!({ "mappings": mappings }));
        }
        Ok(Json(Value::Object(answer)).into_response())
    })
    .await
}

/// `/_field_caps`
pub async fn capabilities_of_all(state: State<Arc<Web>>, params: AskedParams, body: Bytes) -> Response {
    capabilities(state, Path("*".to_owned()), params, body).await
}

/// `/{index}/_field_caps`
pub async fn capabilities(
    State(web): State<Arc<Web>>,
    Path(index): Path<String>,
    Parameters(params): AskedParams,
    body: Bytes,
) -> Response {
    in_thread(web, move |web, cancel| {
        only_params(&params, &["fields", "include_unmapped", "filters", "types", "include_empty_fields"])?;
        let body = body_of(&body)?;
        only(&body, "_field_caps", &["fields", "index_filter", "runtime_mappings"])?;
        if body.get("runtime_mappings").and_then(Value::as_object).is_some_and(|mappings| !mappings.is_empty()) {
            return Err("`runtime_mappings` is not supported".to_owned().into());
        }
        let mut wanted: Vec<Glob> =
            params.get("fields").into_iter().flat_map(|names| names.split(',')).map(names_like).collect();
        for name in body.get("fields").map_or(&[][..], each) {
            wanted.push(names_like(text(Some(name), "fields")?));
        }
        if wanted.is_empty() {
            return Err("`fields` names no field".to_owned().into());
        }
        let types: Option<Vec<&str>> = params.get("types").map(|types| types.split(',').collect());
        if let Some(filters) = params.get("filters").filter(|filters| {
            filters.split(',').any(|one| !matches!(one, "" | "-metadata" | "-nested" | "-multifield" | "-parent"))
        }) {
            return Err(format!("`filters` {filters} is not supported").into());
        }
        let topics = topics_for(web, &index, &params)?;
        let predicate = match body.get("index_filter") {
            Some(filter) => dsl::predicate(filter, web.clock.now_ns())?,
            None => Predicate::All,
        };
        let mut by_field: BTreeMap<String, BTreeMap<&'static str, BTreeSet<&str>>> = BTreeMap::new();
        let mut shards = super::ask::shards();
        for topic in &topics {
            let asked = Asked::new(web, vec![topic.clone()], BTreeMap::new(), Map::new(), cancel.clone());
            for (name, kinds) in kinds(web, &asked, predicate.clone())? {
                if wanted.iter().any(|glob| glob.matches(name.as_bytes())) {
                    let own = by_field.entry(name).or_default();
                    kinds.into_iter().for_each(|kind| {
                        own.entry(kind).or_default().insert(topic);
                    });
                }
            }
            if asked.shards()["failed"] != 0 {
                shards = asked.shards();
            }
        }
        let mut fields = Map::new();
        for (name, kinds) in &by_field {
            let mut own = Map::new();
            for (kind, holders) in kinds.iter().filter(|(kind, _)| types.as_ref().is_none_or(|types| types.contains(kind))) {
                let mut capability = json!({
                    "type": kind, "metadata_field": false, "searchable": true, "aggregatable": *kind != "text",
                });
                if kinds.len() > 1 {
                    capability["indices"] = holders.iter().copied().collect();
                }
                own.insert((*kind).to_owned(), capability);
            }
            if !own.is_empty() {
                fields.insert(name.clone(), own.into());
            }
        }
        let answer: Result<Value, No> = Ok(json!({ "indices": topics, "fields": fields, "_shards": shards }));
        Ok(Json(answer?).into_response())
    })
    .await
}
