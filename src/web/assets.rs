//! The page: files built from `ui/src`, committed in `ui/dist` and embedded, so that the box needs neither node nor network.
//!
//! Files that have a `.br` or `.gz` beside them are sent compressed to those who take it.

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "src/web/ui/dist"]
struct Dist;

/// Only our own files, nothing inline, nobody may frame us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /`
pub async fn index(headers: HeaderMap) -> Response {
    // Names the other files by what is in them, so it alone must be asked for each time.
    serve("index.html", "no-cache", &headers)
}

/// `GET /assets/{file}`
pub async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Response {
    serve(&file, "public, max-age=31536000, immutable", &headers)
}

fn serve(name: &str, cached: &'static str, headers: &HeaderMap) -> Response {
    let kind = match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain; charset=utf-8",
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let takes = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let coded = [("br", "br"), ("gzip", "gz")]
        .into_iter()
        .filter(|(coding, _)| takes.contains(coding))
        .find_map(|(coding, extension)| Some((Some(coding), Dist::get(&format!("{name}.{extension}"))?)));
    let Some((coding, file)) = coded.or_else(|| Some((None, Dist::get(name)?))) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let tag =
        file.metadata.sha256_hash().iter().take(8).fold(String::from("\""), |tag, byte| tag + &format!("{byte:02x}")) + "\"";
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let mut response = (
        [
            (header::CONTENT_TYPE, kind),
            (header::CACHE_CONTROL, cached),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::VARY, "accept-encoding"),
        ],
        file.data.into_owned(),
    )
        .into_response();
    if let Ok(tag) = tag.parse() {
        response.headers_mut().insert(header::ETAG, tag);
    }
    if let Some(coding) = coding {
        response.headers_mut().insert(header::CONTENT_ENCODING, header::HeaderValue::from_static(coding));
    }
    response
}
