//! Web pages of others, through a browser on the box's machine: they write nothing, and read nothing by a name of theirs.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::TestBox;

/// Status and text of one request with these headers.
fn ask(address: &str, line: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(stream, "{line} HTTP/1.1\r\nconnection: close\r\ncontent-length: {length}\r\n").unwrap();
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n").unwrap();
    }
    write!(stream, "\r\n{body}").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    (text.split(' ').nth(1).unwrap().parse().unwrap(), text)
}

#[test]
fn pages_of_others_neither_write_nor_read() {
    let dir = tempfile::tempdir().unwrap();
    let sawbox = TestBox::start_with(dir.path(), "web.hosts = [\"logs.example.org\"]", "");
    sawbox.ingest("mine", "hello\n");
    let (page, dialect) = (sawbox.address("page"), sawbox.address("Elasticsearch"));
    let bulk = "{\"create\":{\"_index\":\"evil\"}}\n{\"a\":1}\n";
    let writes = [
        (&page, "POST /api/v1/ingest/evil", "evil\n"),
        (&dialect, "POST /_bulk", bulk),
        (&dialect, "POST /evil/_doc", "{\"a\":1}"),
        (&page, "POST /api/v1/topics/evil", "{}"),
    ];
    let reads = [
        (&page, "GET /api/v1/query?q=hello", ""),
        (&page, "GET /", ""),
        (&dialect, "GET /mine/_search", ""),
        (&dialect, "POST /mine/_search", "{}"),
        (&dialect, "GET /nothing/is/here", ""),
    ];
    for (address, line, body) in writes {
        let own = ("host", address.as_str());
        for page in [
            &[own, ("origin", "https://evil.example"), ("content-type", "text/plain")][..],
            &[own, ("sec-fetch-site", "cross-site"), ("content-type", "text/plain")],
            &[("host", "evil.example:80"), ("origin", "http://evil.example:80"), ("content-type", "text/plain")],
        ] {
            let (status, text) = ask(address, line, page, body);
            assert_eq!(status, 403, "{line} {page:?}: {text}");
        }
    }
    for (address, line, body) in reads {
        let json = ("content-type", "application/json");
        for page in
            [&[("host", "evil.example:80"), json][..], &[("host", "evil.example"), ("x-forwarded-for", "192.0.2.1"), json]]
        {
            let (status, text) = ask(address, line, page, body);
            assert!(status == 403 && text.contains("web.hosts"), "{line} {page:?}: {text}");
            let as_dialect = text.contains("security_exception") && text.to_lowercase().contains("x-elastic-product");
            assert_eq!(as_dialect, *address == dialect, "{text}");
        }
        // Programs, and who asks by a name that the configuration knows.
        for host in [address.as_str(), "localhost", "logs.example.org", "Logs.Example.org:443"] {
            let (status, text) = ask(address, line, &[("host", host), json], body);
            assert_ne!(status, 403, "{line} as {host}: {text}");
        }
    }
    assert_eq!(sawbox.get("/api/v1/topics/evil", &[]).0, 404);
    for (address, line, body) in writes {
        let headers =
            [("host", "logs.example.org"), ("origin", "https://logs.example.org"), ("content-type", "application/x-ndjson")];
        let (status, text) = ask(address, line, &headers, body);
        assert!(status < 300 || line.ends_with("topics/evil"), "{line}: {text}");
    }
}
