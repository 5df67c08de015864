//! How the API says no: a status, and a sentence a person can act on.

use axum::Json;
use axum::extract::{Form, FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;

/// A refusal.
#[derive(Debug)]
pub struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
    position: Option<usize>,
    /// Seconds after which it is worth to ask again.
    pub(super) after: Option<u64>,
}

impl Refusal {
    /// The request is wrong.
    pub fn wrong(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into(), position: None, after: None }
    }

    /// The request is wrong at this byte of the query.
    pub fn wrong_at(message: impl Into<String>, position: usize) -> Self {
        Self { position: Some(position), ..Self::wrong(message) }
    }

    /// There is no such thing.
    pub fn missing(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, ..Self::wrong(message) }
    }

    /// Not to be done by who asks.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, ..Self::wrong(message) }
    }

    /// It is not as the request thinks.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, ..Self::wrong(message) }
    }

    /// The box could not, though the request is right.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, ..Self::wrong(message) }
    }

    /// Too many at a time; after so many seconds there may be room.
    pub fn crowded(message: impl Into<String>, seconds: u64) -> Self {
        Self { status: StatusCode::TOO_MANY_REQUESTS, after: Some(seconds), ..Self::wrong(message) }
    }

    /// Not now.
    pub fn busy(message: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, ..Self::wrong(message) }
    }
}

/// The parameters of a URL, refused like everything else when they are wrong.
#[derive(Debug)]
pub struct Parameters<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Query::try_from_uri(&parts.uri).map(|Query(value)| Self(value)).map_err(|error| parameter(&error.body_text()))
    }
}

/// The same, of a form.
#[derive(Debug)]
pub struct Fields<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Fields<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let form = Form::from_request(request, state).await;
        form.map(|Form(value)| Self(value)).map_err(|error| parameter(&error.body_text()))
    }
}

/// The sentence without what only a programmer of this box would want to know.
fn parameter(text: &str) -> Refusal {
    let why = ["Failed to deserialize query string: ", "Failed to deserialize form body: ", "Failed to deserialize form: "]
        .into_iter()
        .find_map(|opening| text.strip_prefix(opening))
        .unwrap_or(text);
    match why.find("unknown field") {
        Some(at) => Refusal::wrong(why[at..].replacen("unknown field", "unknown parameter", 1)),
        None => Refusal::wrong(why),
    }
}

/// What is asked of a path that nothing listens to.
pub async fn no_such_path(uri: Uri) -> Refusal {
    Refusal::missing(format!("there is nothing at {}; the README lists the API", uri.path()))
}

/// What is asked of a path that takes other methods; which, says the header `allow`.
pub async fn no_such_method(method: Method, uri: Uri) -> Refusal {
    let message = format!("{} does not take {method}; the header `allow` says what it takes", uri.path());
    Refusal { status: StatusCode::METHOD_NOT_ALLOWED, message, position: None, after: None }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut error = json!({ "message": self.message });
        if let Some(position) = self.position {
            error["position"] = position.into();
        }
        let mut response = (self.status, Json(json!({ "error": error }))).into_response();
        if let Some(seconds) = self.after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_too_many_is_told_when_to_come_again() {
        let response = Refusal::crowded("4 explanations are being made", 1).into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers().get(header::RETRY_AFTER), Some(&HeaderValue::from(1)));
        assert_eq!(Refusal::busy("closing").into_response().headers().get(header::RETRY_AFTER), None);
    }
}
