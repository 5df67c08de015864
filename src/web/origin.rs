//! Where a request comes from, as far as it can be told, on a port that has no sign-in.
//!
//! Invariants: what changes something is not done for a web page of somebody else that speaks through the browser of one who can
//! reach the box ([`own_page`]); that holds for all paths of the page's port and of the dialect's ([`check`]). Programs are not
//! asked: they send no `origin`, and need no browser to reach what they reach.
//! A page whose name was made to point at this machine ("DNS rebinding") is told by that name, and may not even read: on loopback the
//! box answers to addresses, `localhost` and the names of `web.hosts`. What such a page says otherwise, as of proxies, proves nothing:
//! its requests are its own to write. One whose name points at another address of the box is not told: it looks as the box's own name
//! does.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{Extensions, HeaderMap, HeaderName, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::web::Web;
use crate::web::error::Refusal;

/// What browsers say of the page that asks, and pages cannot.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What proxies add.
const FORWARDED: [HeaderName; 3] =
    [HeaderName::from_static("forwarded"), HeaderName::from_static("x-forwarded-for"), HeaderName::from_static("x-real-ip")];

/// Who is connected.
pub fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip())
}

/// Lets requests pass that may ([`check`]).
pub async fn guard(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    match check(&web.config.hosts, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Whether a request may be answered.
///
/// # Errors
/// Why not, and what to do.
pub fn check(hosts: &[String], request: &Request) -> Result<(), Refusal> {
    may_ask(hosts, request.method(), peer(request.extensions()), request.headers())
}

fn may_ask(hosts: &[String], method: &Method, peer: Option<IpAddr>, headers: &HeaderMap) -> Result<(), Refusal> {
    if let Some(host) = text(headers, &HOST).filter(|host| is_loopback(peer) && !answers_to(host, hosts)) {
        return Err(Refusal::forbidden(format!(
            "`{host}` is no name of this box: on loopback it is asked for by address, as `localhost`, or by a name that `web.hosts` in \
             its configuration lists (the one that a proxy on this machine passes on belongs there, too)"
        )));
    }
    if method.is_safe() || own_page(headers) {
        return Ok(());
    }
    let why = "this was asked by a page of another origin: the box takes from its own page and from programs. Behind a proxy \
               let the proxy pass on `host`";
    Err(Refusal::forbidden(why))
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

fn is_loopback(peer: Option<IpAddr>) -> bool {
    peer.is_some_and(|peer| peer.to_canonical().is_loopback())
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    FORWARDED.iter().any(|name| headers.contains_key(name))
}

fn without_port(host: &str) -> &str {
    host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name)
}

/// Whether a host is an address or `localhost`: a name could be anybody's, and be made to point here.
fn is_no_name(host: &str) -> bool {
    let name = without_port(host);
    name.eq_ignore_ascii_case("localhost") || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// Whether a host is known to mean this box.
fn answers_to(host: &str, hosts: &[String]) -> bool {
    is_no_name(host) || hosts.iter().any(|own| own.eq_ignore_ascii_case(without_port(host)))
}

/// Whether somebody on this machine asks: the peer is loopback, no proxy stands between, and no page of somebody else speaks
/// through a browser of this machine.
pub fn is_local(peer: Option<IpAddr>, headers: &HeaderMap) -> bool {
    let Some(host) = text(headers, &HOST) else { return false };
    let own_page = text(headers, &ORIGIN).is_none_or(|origin| origin == format!("http://{host}"));
    is_loopback(peer) && is_no_name(host) && own_page && !is_forwarded(headers)
}

/// Whether a program asks, or the box's own page.
fn own_page(headers: &HeaderMap) -> bool {
    // Browsers say it where nobody can come between: over TLS, or on their own machine.
    if let Some(site) = text(headers, &SITE) {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text(headers, &ORIGIN) else { return true };
    let host = text(headers, &HOST).unwrap_or_default();
    ["http://", "https://"].iter().any(|scheme| origin.strip_prefix(scheme) == Some(host))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair =
            |(name, value): &(&'static str, &'static str)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_who_sits_on_the_box_manages_users() {
        let near: Option<IpAddr> = Some("127.0.0.1".parse().unwrap());
        let check = |peer, pairs: &[_]| is_local(peer, &headers(pairs));
        for fine in [
            &[("host", "127.0.0.1:7800")][..],
            &[("host", "localhost:7800")],
            &[("host", "[::1]:7800")],
            &[("host", "localhost")],
            &[("host", "127.0.0.1:7800"), ("origin", "http://127.0.0.1:7800")],
        ] {
            assert!(check(near, fine), "{fine:?}");
            assert!(check(Some("::1".parse().unwrap()), fine) && check(Some("::ffff:127.0.0.1".parse().unwrap()), fine));
            assert!(!check(Some("192.0.2.1".parse().unwrap()), fine) && !check(None, fine), "{fine:?}");
        }
        for wrong in [
            &[][..],
            &[("host", "box.example.org:7800")],
            &[("host", "rebound.example.org")],
            &[("host", "127.0.0.1:7800"), ("origin", "http://evil.example.org")],
            &[("host", "127.0.0.1:7800"), ("origin", "null")],
            &[("host", "127.0.0.1:7800"), ("origin", "http://127.0.0.1:9999")],
            &[("host", "127.0.0.1:7800"), ("x-forwarded-for", "192.0.2.1")],
            &[("host", "127.0.0.1:7800"), ("forwarded", "for=192.0.2.1")],
            &[("host", "127.0.0.1:7800"), ("x-real-ip", "192.0.2.1")],
        ] {
            assert!(!check(near, wrong), "{wrong:?}");
        }
    }

    #[test]
    fn pages_of_others_change_nothing() {
        let (near, far) = (Some("127.0.0.1".parse().unwrap()), Some("192.0.2.1".parse().unwrap()));
        let hosts = ["box.example.org".to_owned(), "box".to_owned()];
        let check = |hosts: &[String], peer, pairs: &[_]| may_ask(hosts, &Method::POST, peer, &headers(pairs)).is_ok();
        for (fine, peer) in [
            (&[][..], near),
            (&[("host", "box.example.org")], near),
            (&[("host", "127.0.0.1:7800"), ("origin", "http://127.0.0.1:7800")], near),
            (&[("host", "box:7800"), ("origin", "http://box:7800")], far),
            (&[("host", "box"), ("origin", "https://box"), ("x-forwarded-for", "192.0.2.1")], near),
            (&[("host", "127.0.0.1:7800"), ("origin", "https://box"), ("sec-fetch-site", "same-origin")], near),
        ] {
            assert!(check(&hosts, peer, fine), "{fine:?}");
        }
        for (wrong, peer) in [
            (&[("host", "127.0.0.1:7800"), ("origin", "http://evil.example.org")][..], near),
            (&[("host", "127.0.0.1:7800"), ("origin", "http://127.0.0.1:9999")], near),
            (&[("host", "127.0.0.1:7800"), ("origin", "null")], near),
            (&[("host", "box:7800"), ("origin", "http://evil.example.org")], far),
            (&[("host", "rebound.example.org"), ("origin", "http://rebound.example.org")], near),
            (&[("host", "127.0.0.1:7800"), ("sec-fetch-site", "cross-site")], near),
            (&[("host", "127.0.0.1:7800"), ("origin", "http://127.0.0.1:7800"), ("sec-fetch-site", "same-site")], near),
        ] {
            assert!(!check(&[], peer, wrong) && !check(&hosts, peer, wrong), "{wrong:?}");
        }
    }

    #[test]
    fn on_loopback_a_name_is_known_or_nobody_reads() {
        let (near, far) = (Some("127.0.0.1".parse().unwrap()), Some("192.0.2.1".parse().unwrap()));
        let hosts = ["Box.example.org".to_owned()];
        let check = |peer, pairs: &[_]| may_ask(&hosts, &Method::GET, peer, &headers(pairs)).is_ok();
        for fine in ["127.0.0.1:7800", "[::1]:7800", "LocalHost:7800", "box.example.org", "box.example.org:7800"] {
            assert!(check(near, &[("host", fine)]), "{fine}");
        }
        assert!(check(near, &[]), "programs of old say no host");
        for wrong in
            ["evil.example.org:7800", "evil.example.org", "box.example.org.evil.example.org", "127.0.0.1.evil.example.org:7800"]
        {
            assert!(!check(near, &[("host", wrong)]), "{wrong}");
            // A page may say of its own request what it likes.
            assert!(!check(near, &[("host", wrong), ("x-forwarded-for", "192.0.2.1")]), "{wrong}");
            // A container's name, a box's: other machines find it by one.
            assert!(check(far, &[("host", wrong)]), "{wrong}");
        }
    }
}
