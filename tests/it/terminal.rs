//! Who sends a record, or names a group, does not act on the terminal of who looks at it with the command line.

use std::process::Command;

use crate::support::TestBox;

/// What a command shows, on both outputs.
fn shown(page: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_sawbox")).args(arguments).env("SAWBOX_URL", page).output().expect("the binary");
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

#[test]
fn what_others_sent_is_shown_and_does_nothing() {
    const HOSTILE: &str = "esc \u{1b}]0;pwn\u{7}\u{9b}31m\u{7f}\tend";
    let dir = tempfile::tempdir().unwrap();
    let running = TestBox::start(dir.path(), "");
    let page = format!("http://{}", running.address("page"));
    running.ingest("esc", HOSTILE);
    let group = "ev\"il\nfake  1\n# \u{1b}[31mred";
    shown(&page, &["group", "reset", group, "--to", "earliest", "--topic", "esc", "--apply"]);

    let written = "esc \\u001b]0;pwn\\u0007\\u009b31m\\u007f\tend";
    for arguments in [
        &["explain", "esc/0@0"][..],
        &["explain", "esc/0@0", "--json"],
        &["query", "esc", "--text"],
        &["query", "esc", "--context", "1"],
        &["query", "esc"],
        &["group", "ls"],
        &["group", "ls", "--json"],
        &["group", "show", group],
        &["topic", "show", "esc"],
    ] {
        let said = shown(&page, arguments);
        let wild = said.chars().find(|c| c.is_control() && !"\n\t".contains(*c));
        assert_eq!(wild, None, "{arguments:?}: {said:?}");
        let is_json = arguments.contains(&"--json") || arguments == ["query", "esc"];
        match arguments {
            ["explain" | "query", ..] if !is_json => assert!(said.contains("\\u001b]0;pwn\\u0007"), "{said}"),
            ["group", ..] => assert!(said.contains("fake  1\\n# \\u001b[31mred"), "{said}"),
            _ => {}
        }
        assert!(!said.lines().any(|line| line.starts_with("fake") || line.starts_with('#')), "{said}");
        if arguments == ["query", "esc"] {
            let row: serde_json::Value = serde_json::from_str(&said).unwrap();
            assert_eq!(row["message"], HOSTILE, "{said}");
        }
        if arguments == ["query", "esc", "--text"] {
            assert!(said.trim_end().ends_with(written), "{said}");
        }
    }
    // Rows without a message are their fields.
    assert_eq!(shown(&page, &["query", "esc | stats count() by _topic", "--text"]), "_topic=esc count()=1\n");
    let said = shown(
        &page,
        &["query", "esc | fields _time, _topic, _offset, message | eval n = 1 | fields _time, _topic, n", "--text"],
    );
    assert!(said.ends_with("Z esc n=1\n"), "{said}");
}
