//! HTTP bodies: streamed, inflated and capped, cut into lines; and who sent them.
//!
//! Invariants: at most [`STEP`] bytes are inflated at a time, into a buffer that holds one line. The cap is on what comes out,
//! so neither a large body nor a small one that inflates to a large one costs memory.
//! Limits: the caller's cap; [`crate::ingest::inflate`]'s ratio; [`IDLE`] between two pieces, and less while room is held.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use bytes::{Buf, Bytes};
use http_body_util::BodyExt;

use super::inflate::{Encoding, Inflate, InflateError};
use super::room::{self, Late, Room};

/// How much is inflated at a time.
const STEP: usize = 64 * 1024;

/// How long a body may say nothing.
const IDLE: Duration = Duration::from_secs(60);

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// An encoding that is not spoken here.
    #[error("Content-Encoding `{0}` is not supported; use gzip, zstd or none")]
    Encoding(String),
    /// Broken or too large.
    #[error("body: {0}")]
    Inflate(#[from] InflateError),
    /// The client went away, or sent no proper body.
    #[error("body: {0}")]
    Transport(String),
    /// Room was held for too long.
    #[error("body: {0}")]
    Late(#[from] Late),
}

impl BodyError {
    /// What to answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            // Never 413: shippers drop the batch then, without a word.
            Self::Inflate(_) | Self::Transport(_) => StatusCode::BAD_REQUEST,
            Self::Late(_) => StatusCode::REQUEST_TIMEOUT,
        }
    }
}

/// A body being read.
pub struct Reader {
    body: Body,
    inflate: Inflate,
    input: Bytes,
    ended: bool,
}

impl Reader {
    /// Reads a body that may hold `cap` bytes, inflated.
    ///
    /// # Errors
    /// If its encoding is unknown.
    pub fn new(headers: &HeaderMap, body: Body, cap: u64) -> Result<Self, BodyError> {
        let named =
            headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").trim().to_ascii_lowercase());
        let encoding = match named.as_deref() {
            None | Some("" | "identity") => Encoding::Identity,
            Some("gzip" | "x-gzip") => Encoding::Gzip,
            Some("deflate") => Encoding::Zlib,
            Some("zstd") => Encoding::Zstd,
            Some(other) => return Err(BodyError::Encoding(other.chars().take(40).collect())),
        };
        Ok(Self { body, inflate: Inflate::new(encoding, cap)?, input: Bytes::new(), ended: false })
    }

    /// As [`Reader::read`], as long as the room may be held that it is read into.
    ///
    /// # Errors
    /// As the body says.
    pub async fn read_into<'a>(
        &mut self,
        room: Option<&Room>,
        space: impl FnOnce(usize) -> &'a mut Vec<u8>,
    ) -> Result<bool, BodyError> {
        room::in_time(room, self.read(space)).await?
    }

    /// Appends some bytes to what `space` hands out. False: there are no more.
    ///
    /// # Errors
    /// As the body says.
    pub async fn read<'a>(&mut self, space: impl FnOnce(usize) -> &'a mut Vec<u8>) -> Result<bool, BodyError> {
        let out = space(STEP);
        loop {
            if !self.input.is_empty() || self.ended {
                let step = self.inflate.step(&self.input, out, STEP)?;
                self.input.advance(step.taken);
                if step.given > 0 {
                    return Ok(true);
                }
                if self.ended && step.taken == 0 {
                    self.inflate.finish()?;
                    return Ok(false);
                }
                if step.taken > 0 {
                    continue;
                }
                if !self.input.is_empty() {
                    return Err(BodyError::Transport("cannot be inflated further".into()));
                }
            }
            let Ok(frame) = tokio::time::timeout(IDLE, self.body.frame()).await else {
                return Err(BodyError::Transport(format!("nothing came for {} s", IDLE.as_secs())));
            };
            match frame {
                None => self.ended = true,
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.input = data;
                    }
                }
                Some(Err(error)) => return Err(BodyError::Transport(error.to_string())),
            }
        }
    }

    /// The whole of a small body.
    ///
    /// # Errors
    /// As the body says.
    pub async fn whole(mut self) -> Result<Vec<u8>, BodyError> {
        let mut all = Vec::new();
        let mut more = true;
        while more {
            more = self
                .read(|room| {
                    all.reserve(room);
                    &mut all
                })
                .await?;
        }
        Ok(all)
    }
}

/// The sender's address without port, if the server that took the connection says it.
pub fn peer(extensions: &Extensions) -> Option<String> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip().to_string())
}
