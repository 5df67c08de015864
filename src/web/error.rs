//! How the API says no: a status, and a sentence a person can act on.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A refusal.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    message: String,
    position: Option<usize>,
}

impl Refusal {
    /// The request is wrong.
    pub fn wrong(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into(), position: None }
    }

    /// The request is wrong at this byte of the query.
    pub fn wrong_at(message: impl Into<String>, position: usize) -> Self {
        Self { position: Some(position), ..Self::wrong(message) }
    }

    /// There is no such thing.
    pub fn missing(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, ..Self::wrong(message) }
    }

    /// The box could not, though the request is right.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, ..Self::wrong(message) }
    }

    /// Not now.
    pub fn busy(message: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, ..Self::wrong(message) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut error = json!({ "message": self.message });
        if let Some(position) = self.position {
            error["position"] = position.into();
        }
        (self.status, Json(json!({ "error": error }))).into_response()
    }
}
