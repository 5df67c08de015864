//! `sawbox user` and `sawbox acl` against a box: what people type, what they are told, and what it does on the Kafka port.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use crate::kafka_permits::signed_in;
use crate::support::TestBox;

/// Runs a command with a line of standard input: whether it went well, and what it said.
fn sawbox(page: &str, line: &str, arguments: &[&str]) -> (bool, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sawbox"))
        .args(arguments)
        .env("SAWBOX_URL", page)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who does not ask for a password may be gone by now.
    let _ = child.stdin.take().unwrap().write_all(line.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn users_and_permissions_from_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let running = TestBox::start(dir.path(), "[[ingest.kafka]]\nlisten = \"127.0.0.1:0\"\nsign_in = true");
    let page = format!("http://{}", running.address("page"));
    let kafka = running.address("Kafka").parse().unwrap();
    let fine = |line: &str, arguments: &[&str]| {
        let (well, said) = sawbox(&page, line, arguments);
        assert!(well, "{arguments:?}: {said}");
        said
    };
    let wrong = |line: &str, arguments: &[&str]| {
        let (well, said) = sawbox(&page, line, arguments);
        assert!(!well, "{arguments:?}: {said}");
        said
    };
    fine("correct horse\n", &["user", "add", "ann"]);
    fine("battery staple", &["user", "add", "root", "--admin"]);
    assert!(wrong("correct horse", &["user", "add", "ann"]).contains("already"));
    assert!(wrong("short", &["user", "add", "bob"]).contains("at least 8"));
    assert!(wrong("", &["user", "add", "bob"]).contains("no password"));
    assert!(wrong("long enough", &["user", "add", "b b"]).contains("no blanks"));
    assert!(wrong("", &["user", "delete", "eve"]).contains("no user `eve`"));

    assert!(fine("", &["acl", "grant", "ann", "produce", "--topic", "web-*"]).contains("web-*"));
    fine("", &["acl", "grant", "ann", "consume", "-t", "audit", "-g", "ann-*", "--host", "127.0.0.1"]);
    assert!(fine("", &["acl", "grant", "eve", "produce", "--topic", "web", "--deny"]).contains("no user eve yet"));
    assert!(wrong("", &["acl", "grant", "ann", "sing", "--topic", "t"]).contains("no verb"));
    assert!(wrong("", &["acl", "grant", "ann", "produce"]).contains("on what"));
    assert!(wrong("", &["acl", "revoke", "ann", "manage", "--topic", "web-*"]).contains("nothing like this"));
    let shown = fine("", &["acl", "ls", "ann"]);
    assert_eq!(shown.lines().count(), 5, "{shown}");
    assert!(shown.lines().any(|line| line.split_whitespace().eq(["ann", "allow", "read", "group", "ann-*", "127.0.0.1"])));
    let users = fine("", &["user", "ls"]);
    assert!(users.contains("SCRAM-SHA-512") && users.lines().any(|line| line.starts_with("root") && line.contains("yes")));
    assert!(!fine("", &["user", "ls", "--json"]).contains("stored_key"));

    let mut ann = signed_in(kafka, "ann", "correct horse");
    fine("another horse", &["user", "passwd", "ann", "--disconnect"]);
    assert!(ann.read_frame().is_err(), "the old password's connection ended");
    let mut ann = signed_in(kafka, "ann", "another horse");
    fine("", &["acl", "revoke", "ann", "--all"]);
    assert_eq!(fine("", &["acl", "ls", "ann"]).lines().count(), 1);
    fine("", &["user", "set", "ann", "--admin", "true"]);
    fine("", &["user", "delete", "ann"]);
    assert!(ann.read_frame().is_err());
    let metrics = running.get("/metrics", &[]).1;
    assert!(metrics.contains("sawbox_access_users 1") && metrics.contains("sawbox_access_sign_ins_total{outcome=\"ok\"} 2"));

    // A web page of somebody else cannot speak through a browser of this machine: it may not say that it sends JSON.
    let (status, _) = running.send("POST", "/api/v1/users", "text/plain", br#"{"name":"eve","password":"long enough"}"#);
    assert_eq!(status, 400);
    let (status, said) = running.send("POST", "/api/v1/users", "application/json", br#"{"name":"eve","password":12345678}"#);
    assert!(status == 400 && !said.contains("12345678"), "{said}");
    let (status, _) = running.send("POST", "/api/v1/users", "application/json", br#"{"name":"eve","password":"long enough"}"#);
    assert_eq!(status, 200);

    // Nor can it change anything else: the box's own page may.
    let address = running.address("page");
    for (origin, status) in [("http://evil.example.org", "403"), (page.as_str(), "404")] {
        let mut stream = TcpStream::connect(&address).unwrap();
        let head =
            format!("DELETE /api/v1/topics/t HTTP/1.1\r\nhost: {address}\r\norigin: {origin}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{origin}: {answer}");
    }
}
