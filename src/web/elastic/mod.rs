//! The reading half of the Elasticsearch dialect: what its clients, and Grafana's data source, ask of the store.
//!
//! | file | answers |
//! | --- | --- |
//! | [`search`] | `_search`, `_count`, `_validate/query` |
//! | [`msearch`], [`scroll`], [`docs`] | `_msearch`; scrolls and points in time; documents by id |
//! | [`fields`], [`indices`] | `_mapping`, `_field_caps`; `_cat`, settings, `_resolve`, `_refresh` |
//!
//! Requests become the native query ([`dsl`], [`lucene`], [`order`], [`aggs`]) and answers are dressed as the dialect's ([`shown`],
//! [`highlight`]). Topics are its indices; an index pattern that ends in `-*` also finds the topic without the suffix, since the
//! receiving half strips dates. Rows are documents with their dotted field names, flat; `_id` is the row's origin. Scores do not
//! exist.
//!
//! What is not supported is a 400 that names it, be it a member, a parameter or a value; a path that nothing answers to is a 404
//! that does.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Uri;
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::{delete, get, post};

use tower::ServiceExt as _;

use crate::web::{Web, origin};

mod aggs;
mod ask;
mod beyond;
mod calendar;
mod dates;
mod docs;
mod dsl;
mod fields;
mod highlight;
mod indices;
mod lucene;
mod msearch;
mod order;
mod scroll;
mod search;
mod shown;

#[cfg(test)]
mod tests;

pub use indices::{no_such_path, refreshed};

/// `/_bulk/` is `/_bulk`, as to Elasticsearch.
pub fn without_last_slash(router: Router) -> Router {
    let bare = |mut request: Request| {
        let path = request.uri().path();
        if path.len() > 1 && path.ends_with('/') {
            let query = request.uri().query().map_or_else(String::new, |query| format!("?{query}"));
            let bare = format!("{}{query}", path.trim_end_matches('/'));
            if let Ok(uri) = Uri::from_maybe_shared(bare) {
                *request.uri_mut() = uri;
            }
        }
        request
    };
    Router::new().fallback_service(router.map_request(bare))
}

/// Lets nobody through to these paths who may not ask ([`origin`]).
pub fn guarded(web: &Arc<Web>, router: Router) -> Router {
    router.layer(axum::middleware::from_fn_with_state(web.clone(), guard))
}

async fn guard(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    match origin::check(&web.config.hosts, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => ask::refused(refusal),
    }
}

/// The routes of the reading half.
pub fn router(web: Arc<Web>) -> Router {
    let next = get(scroll::next).post(scroll::next).delete(scroll::free);
    let next_by_path = get(scroll::next_by_path).post(scroll::next_by_path).delete(scroll::free);
    Router::new()
        .route("/_search", get(search::all).post(search::all))
        .route("/{index}/_search", get(search::one).post(search::one))
        .route("/_search/scroll", next)
        .route("/_search/scroll/{id}", next_by_path)
        .route("/_msearch", get(msearch::all).post(msearch::all))
        .route("/{index}/_msearch", get(msearch::one).post(msearch::one))
        .route("/_count", get(search::count_all).post(search::count_all))
        .route("/{index}/_count", get(search::count).post(search::count))
        .route("/{index}/_validate/query", get(search::validate).post(search::validate))
        .route("/{index}/_pit", post(scroll::begin_pit))
        .route("/_pit", delete(scroll::free))
        .route("/{index}/_doc/{id}", get(docs::get))
        .route("/{index}/_source/{id}", get(docs::source))
        .route("/_mget", get(docs::many_of_all).post(docs::many_of_all))
        .route("/{index}/_mget", get(docs::many).post(docs::many))
        .route("/{index}", get(fields::index))
        .route("/_mapping", get(fields::mapping_of_all))
        .route("/{index}/_mapping", get(fields::mapping))
        .route("/_mapping/field/{fields}", get(fields::mapping_of_fields_of_all))
        .route("/{index}/_mapping/field/{fields}", get(fields::mapping_of_fields))
        .route("/_field_caps", get(fields::capabilities_of_all).post(fields::capabilities_of_all))
        .route("/{index}/_field_caps", get(fields::capabilities).post(fields::capabilities))
        .route("/_refresh", get(indices::refresh_all).post(indices::refresh_all))
        .route("/{index}/_refresh", get(indices::refresh).post(indices::refresh))
        .route("/_cat/indices", get(indices::cat_all))
        .route("/_cat/indices/{index}", get(indices::cat))
        .route("/_cat/count", get(indices::cat_count_of_all))
        .route("/_cat/count/{index}", get(indices::cat_count))
        .route("/_resolve/index/{name}", get(indices::resolve).post(indices::resolve))
        .route("/_settings", get(indices::settings_of_all))
        .route("/{index}/_settings", get(indices::settings))
        .route("/_alias", get(indices::aliases_of_all))
        .route("/_aliases", get(indices::aliases_of_all))
        .route("/_alias/{name}", get(indices::alias))
        .route("/{index}/_alias", get(indices::aliases))
        .route("/{index}/_alias/{name}", get(indices::alias_of_one))
        .with_state(web)
}
