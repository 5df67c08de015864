//! Many connections to the page's port, or the dialect's: they cost what their caps say, and nobody else their place.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::TestBox;

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Whether a connection is served.
fn is_served(stream: &mut TcpStream, address: &str) -> bool {
    let _ = write!(stream, "GET / HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let mut head = [0; 12];
    stream.read_exact(&mut head).is_ok() && &head == b"HTTP/1.1 200"
}

#[test]
fn connections_over_the_cap_are_closed_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let sawbox = TestBox::start_with(dir.path(), "web.max_connections = 8\ningest.elastic.max_connections = 3", "");
    for (name, most) in [("page", 6), ("Elasticsearch", 3)] {
        let address = sawbox.address(name);
        let mut idle: Vec<TcpStream> = (0..most).map(|_| connect(&address)).collect();
        assert!(idle.iter_mut().all(|stream| is_served(stream, &address)), "{name}");
        // The page's port has two more, for the question below.
        let over: Vec<bool> =
            (0..6).map(|_| connect(&address)).collect::<Vec<_>>().iter_mut().map(|one| is_served(one, &address)).collect();
        assert!(!over[2..].contains(&true), "{name}: {over:?}");
        drop(idle);
    }
    // Their ends are seen by then, and there is a place for the question.
    std::thread::sleep(Duration::from_millis(500));
    let refused = |listen: &str| {
        let (_, text) = sawbox.get("/metrics", &[]);
        let line = text.lines().find(|line| line.starts_with("sawbox_ingest_refused") && line.contains(listen));
        line.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse::<u64>().ok())
    };
    assert_eq!(refused("receiver=\"dialect\""), Some(6));
    assert!(refused("receiver=\"page\"") >= Some(4));
}

#[test]
fn a_head_has_a_most() {
    let dir = tempfile::tempdir().unwrap();
    let sawbox = TestBox::start(dir.path(), "");
    let address = sawbox.address("page");
    let status = |bytes: usize| {
        let mut stream = connect(&address);
        let _ = write!(stream, "GET /health HTTP/1.1\r\nhost: {address}\r\nx: {}\r\n\r\n", "x".repeat(bytes));
        let mut head = [0; 12];
        // What was not read makes the end a reset.
        stream.read_exact(&mut head).ok().map(|()| String::from_utf8_lossy(&head[9..]).into_owned())
    };
    assert_eq!(status(50 << 10).as_deref(), Some("200"));
    assert_ne!(status(200 << 10).as_deref(), Some("200"));
}

#[test]
fn a_tail_that_is_not_read_holds_little() {
    let dir = tempfile::tempdir().unwrap();
    let sawbox = TestBox::start(dir.path(), "");
    let address: std::net::SocketAddr = sawbox.address("page").parse().unwrap();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut tail = TcpStream::from(socket);
    write!(tail, "GET /api/v1/tail HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
    let mut read = vec![0; 12];
    tail.read_exact(&mut read).unwrap();
    assert_eq!(read, b"HTTP/1.1 200");
    let line = "x".repeat(1000);
    for _ in 0..4 {
        sawbox.ingest("web", &format!("{line}\n").repeat(5000));
    }
    // What waited for it, and what sockets held.
    tail.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let _ = tail.read_to_end(&mut read);
    assert!(read.len() < 12 << 20, "{} bytes of 20 MB", read.len());
    sawbox.ingest("web", "last\n");
    let mut rest = Vec::new();
    let _ = tail.read_to_end(&mut rest);
    let text = String::from_utf8_lossy(&rest);
    assert!(text.contains("_missed") && text.contains("\"last\""), "{text}");
}

#[test]
fn tails_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let sawbox = TestBox::start(dir.path(), "");
    let address = sawbox.address("page");
    let follow = || {
        let mut stream = connect(&address);
        write!(stream, "GET /api/v1/tail HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        (String::from_utf8_lossy(&head[9..]).into_owned(), stream)
    };
    let mut tails: Vec<(String, TcpStream)> = (0..32).map(|_| follow()).collect();
    assert!(tails.iter().all(|(status, _)| status == "200"));
    assert_eq!(follow().0, "429");
    // One that ends makes room.
    tails.pop();
    let again = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        follow().0 == "200"
    });
    assert!(again);
}
