//! What a pipeline becomes.

use serde_json::{Map, Value as Json, json};

use super::chain::{Common, Knows, Translation, translate};
use super::inputs::{Given, given};
use super::parse::parse;

/// Takes everything but what a test says.
struct Any;

impl Knows for Any {
    fn accepts(&self, filter: &str, config: &Map<String, Json>) -> Result<(), String> {
        for (option, value) in config {
            if option.starts_with("not_here") || (filter == "grok" && option.starts_with("add_")) {
                return Err(format!("`{option}` is unknown; there is: match"));
            }
            if *value == json!("nonsense") {
                return Err(format!("`{option}` must be sensible"));
            }
        }
        Ok(())
    }

    fn captures(&self, expression: &str, _: &Map<String, Json>) -> Option<Vec<String>> {
        let names = expression.split("%{").skip(1).filter_map(|rest| rest.split('}').next()?.split(':').nth(1));
        Some(names.map(str::to_owned).collect())
    }

    fn patterns(&self, directory: &str) -> Result<Vec<(String, String)>, String> {
        match directory {
            "/etc/logstash/patterns" => Ok(vec![("ID".into(), "[0-9]+".into())]),
            _ => Err("it is not there".into()),
        }
    }
}

fn translated(text: &str) -> Translation {
    let mut common = Common::default();
    let mut translation = translate(&parse(text).unwrap().filters, &Any, &mut common);
    translation.entries.extend(common.end());
    translation
}

/// `(filter, when, config)` of each entry.
fn entries(text: &str) -> Vec<(String, String, Json)> {
    let translation = translated(text);
    let entry = |entry: super::chain::Entry| (entry.filter, entry.when.unwrap_or_default(), Json::Object(entry.config));
    translation.entries.into_iter().map(entry).collect()
}

fn notes(text: &str) -> String {
    translated(text).notes.iter().map(|note| format!("{}: {}\n", note.line, note.text)).collect()
}

#[test]
fn a_usual_pipeline_goes_over_as_it_is() {
    let got = entries(
        r#"
        input { beats { port => 5044 } }           # not ours
        filter {
          grok {
            match => { "message" => "%{COMBINEDAPACHELOG}" }
            id => "apache"
            remove_field => [ "message" ]
          }
          date { match => [ "timestamp", "dd/MMM/yyyy:HH:mm:ss Z" ] locale => en }
          mutate { convert => ["bytes", "integer", "reqms", "float"]  rename => { "[host][name]" => "host" } }
          drop { percentage => 40 }
        }
        output { if [x] { elasticsearch { hosts => ["es:9200"] } } }"#,
    );
    assert_eq!(
        got,
        [
            (
                "grok".to_owned(),
                String::new(),
                json!({"match": {"message": "%{COMBINEDAPACHELOG}"}, "remove_field": ["message"]})
            ),
            ("date".to_owned(), String::new(), json!({"match": ["timestamp", "dd/MMM/yyyy:HH:mm:ss Z"], "locale": "en"})),
            (
                "mutate".to_owned(),
                String::new(),
                json!({"convert": {"bytes": "integer", "reqms": "float"}, "rename": {"[host][name]": "host"}}),
            ),
            ("drop".to_owned(), String::new(), json!({"percentage": 40})),
        ]
    );
}

#[test]
fn conditions_are_said_in_the_search_language() {
    for (condition, when) in [
        ("[type] == \"nginx\"", "type:=\"nginx\""),
        ("[a][b] != 5 and ![c]", "a.b!=5 and not c:*"),
        ("\"_grokparsefailure\" in [tags]", "tags:=\"_grokparsefailure\""),
        ("\"x y\" not in [message]", "not message:=*x\\ y*"),
        ("[level] in [\"warn\", \"error\"] or [status] >= 500", "(level:=\"warn\" or level:=\"error\") or status>=500"),
        ("[path] =~ /^\\/a\\.b$/ and ([x] or 5 < [y])", "path:~\"(?m)^/a\\\\.b$\" and (x:* or y>5)"),
        ("[message] =~ /^{.*}$/", "message:~\"(?m)^\\\\{.*}$\""),
        ("[message] =~ /\\h{2}\\/(?m:.)\\Z/", "message:~\"[0-9A-Fa-f]{2}/(?s:.)(?:\\\\n?\\\\z)\""),
        ("[path] !~ \"x\"", "not path:~\"x\""),
        ("[a] xor [b]", "(a:* or b:*) and not (a:* and b:*)"),
        ("[@timestamp] and [weird name] == true", "_time:* and \"weird name\":=true"),
    ] {
        let got = entries(&format!("filter {{ if {condition} {{ drop {{ }} }} }}"));
        assert_eq!(got, [("drop".to_owned(), when.to_owned(), json!({}))], "{condition}");
        // What is said must be understood.
        crate::base::predicate::parse(when).unwrap_or_else(|error| panic!("{when}: {error}"));
    }
    for (condition, says) in [
        ("[a] == [b]", "two fields"),
        ("[a] =~ /x(?=y)/", "look-around"),
        ("\"x\" in [list]", "write `list:=\"x\"`"),
        ("[a][0] == 5", "elements of lists"),
    ] {
        let said = notes(&format!("filter {{ if {condition} {{ drop {{ }} }} }}"));
        assert!(said.contains("1: ") && said.contains(says), "{condition}: {said}");
    }
    assert_eq!(notes("filter { if \"x\" in [message] and \"y\" in [tags] { drop { } } }"), "");
}

#[test]
fn an_else_gets_the_negation_of_what_stands_before() {
    let got = entries(
        r#"filter { if [type] == "a" { date { match => ["t", "ISO8601"] } } else if [type] == "b" or [x] { drop { } } else { if [y] { kv { target => "k" } } } }"#,
    );
    let when: Vec<&str> = got.iter().map(|(_, when, _)| when.as_str()).collect();
    assert_eq!(
        when,
        ["type:=\"a\"", "not type:=\"a\" and (type:=\"b\" or x:*)", "not type:=\"a\" and not (type:=\"b\" or x:*) and y:*",]
    );
    when.iter().for_each(|when| drop(crate::base::predicate::parse(when).unwrap()));
}

#[test]
fn a_branch_within_a_branch_asks_for_both() {
    let got = entries(
        r#"filter { if [a] or [b] { if [c] { drop { } } drop { } } if !([d] or [e]) { drop { } } else if [f] { drop { } } }"#,
    );
    let when: Vec<&str> = got.iter().map(|(_, when, _)| when.as_str()).collect();
    assert_eq!(when, ["(a:* or b:*) and c:*", "(a:* or b:*)", "not (d:* or e:*)", "(d:* or e:*) and f:*"]);

    // Both decide once, and the first plugin is at one line for both.
    let got = entries(r#"filter { if [a] { if [b] { mutate { remove_field => ["a", "b"] } drop { } } kv { } } }"#);
    let short: Vec<(&str, &str)> = got.iter().map(|(filter, when, _)| (filter.as_str(), when.as_str())).collect();
    assert_eq!(
        short,
        [
            ("tag", "a:*"),
            ("tag", "tags:=\"_if_1_1\" and b:*"),
            ("mutate", "tags:=\"_if_1_2\""),
            ("drop", "tags:=\"_if_1_2\""),
            ("mutate", "tags:=\"_if_1_2\""),
            ("kv", "tags:=\"_if_1_1\""),
            ("mutate", "tags:=\"_if_1_1\""),
        ]
    );
}

#[test]
fn a_decision_is_taken_once_where_the_branch_changes_what_it_looks_at() {
    let changes = r#"filter { if [type] == "a" { mutate { replace => { "type" => "b" } } drop { } } else { drop { } } }"#;
    let got = entries(changes);
    let short: Vec<(&str, &str)> = got.iter().map(|(filter, when, _)| (filter.as_str(), when.as_str())).collect();
    assert_eq!(
        short,
        [
            ("tag", "type:=\"a\""),
            ("tag", "not type:=\"a\""),
            ("mutate", "tags:=\"_if_1_1\""),
            ("drop", "tags:=\"_if_1_1\""),
            ("drop", "tags:=\"_if_1_2\""),
            ("mutate", "tags:=\"_if_1_1\" or tags:=\"_if_1_2\""),
        ]
    );
    assert_eq!(got[5].2, json!({"remove_tag": ["_if_1_1", "_if_1_2"]}));
    for same in [
        r#"filter { if [type] == "a" { mutate { replace => { "other" => "b" } } drop { } } }"#,
        r#"filter { if [type] == "a" { grok { match => { "message" => "%{WORD:w}" } } drop { } } }"#,
        r#"filter { if [type] == "a" { mutate { replace => { "type" => "b" } } } }"#,
    ] {
        assert!(entries(same).iter().all(|(filter, ..)| filter != "tag"), "{same}");
    }
    for may in [
        r#"filter { if [type] == "a" { json { source => "message" } drop { } } }"#,
        r#"filter { if "x" in [tags] { grok { match => { "message" => "%{WORD:w}" } } drop { } } }"#,
        r#"filter { if [a][b] { mutate { remove_field => ["a"] } drop { } } }"#,
    ] {
        assert!(entries(may).iter().any(|(filter, ..)| filter == "tag"), "{may}");
    }
}

#[test]
fn throttle_says_its_tag_and_its_fields_in_its_own_words() {
    let got = entries(r#"filter { throttle { key => "%{host}%{[a][b]}" after_count => 2 add_tag => "often" } }"#);
    assert_eq!(got, [("throttle".into(), String::new(), json!({"key": ["host", "a.b"], "after_count": 2, "tag": "often"}))]);
}

#[test]
fn the_documentations_syslog_pipeline_goes_over() {
    let got = entries(
        r#"filter {
          if [type] == "syslog" {
            grok { match => { "message" => "<%{POSINT:syslog_pri}>%{SYSLOGTIMESTAMP:syslog_timestamp} %{GREEDYDATA:rest}" } }
            syslog_pri { }
            date { match => [ "syslog_timestamp", "MMM  d HH:mm:ss", "MMM dd HH:mm:ss" ] }
            syslog_pri { syslog_pri_field_name => "[other][pri]" use_labels => false }
          }
        }"#,
    );
    let of_type = "type:=\"syslog\"";
    assert_eq!(got.iter().map(|(_, when, _)| when.as_str()).collect::<Vec<_>>(), [of_type; 4], "nothing changes its mind");
    assert_eq!((got[1].0.as_str(), &got[1].2), ("syslog_pri", &json!({})));
    assert_eq!(got[3].2, json!({"syslog_pri_field_name": "[other][pri]", "use_labels": false}));
}

/// What the inputs of two files give.
fn given_by(texts: [&str; 2]) -> Given {
    let of = |(file, text): (&str, &str)| {
        parse(text).unwrap().inputs.into_iter().map(|input| (file.to_owned(), input)).collect::<Vec<_>>()
    };
    given(&["a", "b"].into_iter().zip(texts).flat_map(of).collect::<Vec<_>>())
}

#[test]
fn what_all_inputs_give_begins_the_chain() {
    let entries = |texts| match given_by(texts) {
        Given::Items(file, items) => {
            assert_eq!(file, "a");
            let entries = translate(&items, &Any, &mut Common::default()).entries.into_iter();
            entries.map(|entry| (entry.line, entry.when.unwrap_or_default(), Json::Object(entry.config))).collect::<Vec<_>>()
        }
        Given::Notes(notes) => panic!("{notes:?}"),
    };
    let one = r#"input {
      tcp { port => 5000 type => syslog }
      if true == true { udp { port => 5000 type => "syslog" } }
    }"#;
    let entry = (2, "not type:*".to_owned(), json!({"add_field": {"type": "syslog"}}));
    for other in ["filter { }", "input { beats { type => syslog } }"] {
        assert_eq!(entries([one, other]), std::slice::from_ref(&entry), "{other}");
    }
    let more =
        r#"input { file { path => "/var/log/x" tags => ["x", "y"] add_field => { "[a][b]" => "%{host}" } type => "t" } }"#;
    let added = json!({"add_field": {"[a][b]": "%{host}"}, "add_tag": ["x", "y"]});
    let kind = (1, "not type:*".to_owned(), json!({"add_field": {"type": "t"}}));
    let all = [kind, (1, String::new(), added)];
    assert_eq!(entries([more, ""]), all);
    let same = r#"input { beats { type => "t" add_field => { "[a][b]" => "%{host}" } tags => ["x", "y"] } }"#;
    assert_eq!(entries([more, same]), all, "in whatever order");
    assert_eq!(entries(["input { stdin { } }", "filter { mutate { } }"]), []);
}

#[test]
fn what_inputs_give_differently_is_said() {
    let differing = ["input { beats { port => 5044 } }", "input {\n tcp { type => syslog tags => [\"x\"] } }"];
    let Given::Notes(notes) = given_by(differing) else { panic!("one of them begins the chain") };
    let [(file, note)] = notes.as_slice() else { panic!("{notes:?}") };
    assert_eq!((file.as_str(), note.line), ("b", 2));
    assert!(note.text.contains("`tcp` gives"), "{}", note.text);
    assert!(
        note.text.contains(r#"`mutate` and the configuration {"add_field":{"type":"syslog"},"add_tag":["x"]}"#),
        "{}",
        note.text
    );
    assert_eq!(given_by(["", ""]), Given::Notes(Vec::new()));
}

#[test]
fn metadata_of_one_file_is_there_for_the_next() {
    let mut common = Common::default();
    let files = [
        r#"filter { mutate { add_field => { "[@metadata][kind]" => "x" } } }"#,
        r#"filter { if [@metadata][kind] == "x" { drop { } } }"#,
    ];
    let mut got: Vec<_> = files
        .iter()
        .flat_map(|text| translate(&parse(text).unwrap().filters, &Any, &mut common).entries)
        .map(|entry| entry.filter)
        .collect();
    assert_eq!(got, ["mutate", "drop"]);
    got.extend(common.end().map(|entry| Json::Object(entry.config).to_string()));
    assert_eq!(got[2], r#"{"remove_field":["@metadata.kind"]}"#);
}

#[test]
fn what_is_left_out_is_said() {
    let text = r#"
filter {
  ruby { code => "event.set('a', 1)" }
  grok { match => { "message" => "%{ID:n}" } patterns_dir => ["/etc/logstash/patterns", "./mine"] add_tag => ["ok"] }
  mutate { not_here => 1 add_field => { "index" => "logs-%{+YYYY.MM}" "[@metadata][x]" => "true" } }
  date { match => "nonsense" }
}"#;
    let said = notes(text);
    for part in [
        "3: `ruby`",
        "sawbox filter new",
        "4: the patterns in ./mine",
        "5: `mutate`: the option `not_here`",
        "6: `date`",
        "sensible",
    ] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
    assert!(!said.contains("%{+"), "dates in texts are written as in Logstash: {said}");
    let got = entries(text);
    assert_eq!(got[0].2, json!({"match": {"message": "%{ID:n}"}, "pattern_definitions": {"ID": "[0-9]+"}}));
    assert_eq!(got[1], ("mutate".into(), "not tags:=\"_grokparsefailure\"".into(), json!({"add_tag": ["ok"]})));
    assert_eq!(got[2].2["add_field"]["[@metadata][x]"], json!("true"));
    assert_eq!(got[3].2, json!({"remove_field": ["@metadata.x"]}));
    let translation = translated(text);
    assert_eq!((translation.plugins, translation.translated), (4, 2));
}

#[test]
fn values_are_read_as_logstash_reads_them() {
    let got = entries(r#"filter { mutate { gsub => ["m", "\\n", 'it''s'] } }"#.replace("'it''s'", r"'it\'s \d'").as_str());
    assert_eq!(got[0].2, json!({"gsub": ["m", r"\\n", r"it's \d"]}));
    let got = entries(
        r#"filter { grok { match => { "message" => ["a", "b"] } break_on_match => false } csv { separator => "	" columns => [a, b-c] } }"#,
    );
    assert_eq!(got[0].2, json!({"match": {"message": ["a", "b"]}, "break_on_match": false}));
    assert_eq!(got[1].2, json!({"separator": "\t", "columns": ["a", "b-c"]}));
    let got = entries(r#"filter { grok { match => ["message", "x", "message", "y"] } }"#);
    assert_eq!(got[0].2, json!({"match": {"message": ["x", "y"]}}));
}

#[test]
fn options_are_said_in_the_words_of_the_filter() {
    for (plugin, config, says) in [
        ("json { source => \"m\" }", json!({"source": "m", "mode": "strict"}), ""),
        (
            "json { source => \"m\" skip_on_invalid_json => true }",
            json!({"source": "m", "mode": "lenient", "tag_on_failure": []}),
            "",
        ),
        (
            "json { source => \"m\" tag_on_failure => [\"no\"] }",
            json!({"source": "m", "mode": "strict", "tag_on_failure": ["no"]}),
            "",
        ),
        (
            "mutate { update => [\"a\", \"b\"] coerce => [\"c\", \"d\"] }",
            json!({"update": {"a": "b"}, "coerce": {"c": "d"}}),
            "",
        ),
        ("date { match => [\"t\", \"ISO8601\"] target => [\"x\"] }", json!({"match": ["t", "ISO8601"], "target": "x"}), ""),
        ("useragent { source => \"a\" regexes => \"/x.yaml\" }", json!({"source": "a"}), "built in"),
        (
            "translate { source => \"a\" dictionary_path => \"/etc/lists/cve.yaml\" }",
            json!({"source": "a", "dictionary_path": "cve.yaml"}),
            "put /etc/lists/cve.yaml into the folder `lookups`",
        ),
        (
            "grok { match => { \"message\" => \"%{WORD:x:boolean} %{INT:n:int} %{WORD:y}\" } }",
            json!({"match": {"message": "%{WORD:x} %{INT:n:int} %{WORD:y}"}}),
            "`%{WORD:x:boolean}` has no type",
        ),
        (
            "grok { match => { \"message\" => \"x\" } named_captures_only => false patterns_files_glob => \"*.pat\" }",
            json!({"match": {"message": "x"}}),
            "named_captures_only",
        ),
        (
            "grok { match => { \"m\" => \"x\" } patterns_files_glob => \"*.pat\" }",
            json!({"match": {"m": "x"}}),
            "`patterns_files_glob`",
        ),
        ("grok { match => { \"m\" => \"x\" } patterns_files_glob => \"*\" }", json!({"match": {"m": "x"}}), ""),
        ("mutate { rename => { \"[x][0]\" => \"y\" } }", json!({"rename": {"[x][0]": "y"}}), "`[x][0]` is no field"),
        ("mutate { gsub => [\"a\", \"[a-z][0]\", \"\"] }", json!({"gsub": ["a", "[a-z][0]", ""]}), ""),
        ("kv { add_field => { \"day\" => \"%{+YYYY}\" } }", json!({"add_field": {"day": "%{+YYYY}"}}), ""),
    ] {
        let text = format!("filter {{ {plugin} }}");
        let (got, said) = (entries(&text), notes(&text));
        assert_eq!((got.len(), &got[0].2), (1, &config), "{plugin}");
        assert!(said.contains(says) && said.is_empty() == says.is_empty(), "{plugin}: {said}");
    }
    let empty = translated("filter { mutate { id => \"x\" } }");
    assert_eq!((empty.entries.len(), empty.plugins, empty.notes.len()), (0, 0, 0));
    let same = r#"filter { if [in][w] { grok { match => { "m" => "%{WORD:w}" } target => "in" } drop { } } }"#;
    assert!(entries(same).iter().any(|(filter, ..)| filter == "tag"), "what goes under the target changes the decision");
}

#[test]
fn variables_are_put_in() {
    let text = r#"filter {
      geoip { database => "${DIR:/var/geo}/city.mmdb" source => "${NONE}" }
      if [a] == "${HERE}" { dns { hit_cache_size => "${SIZE:900}" add_field => { "${HERE}" => "$ ${ ${HERE}${DIR:/var/geo}" } } }
    }"#;
    let mut pipeline = parse(text).unwrap();
    let said = super::variables::resolve(&mut pipeline, &|name| (name == "HERE").then(|| "now".to_owned()));
    let translation = translate(&pipeline.filters, &Any, &mut Common::default());
    assert_eq!(Json::Object(translation.entries[0].config.clone()), json!({"database": "city.mmdb", "source": "${NONE}"}));
    assert_eq!(translation.entries[1].when.as_deref(), Some("a:=\"now\""));
    let config = json!({"hit_cache_size": 900, "add_field": {"now": "$ ${ now/var/geo"}});
    assert_eq!(Json::Object(translation.entries[1].config.clone()), config);
    let said: Vec<String> = said.into_iter().map(|(line, text)| format!("{line}: {text}")).collect();
    assert_eq!(said.len(), 4, "{said:?}");
    for (said, part) in said.iter().zip([
        "2: `${DIR:/var/geo}` is its default",
        "2: `${NONE}` stays",
        "3: `${HERE}` is `now`",
        "3: `${SIZE:900}`",
    ]) {
        assert!(said.starts_with(part), "{said}");
    }
}

#[test]
fn a_chain_that_is_too_long_is_said_to_be() {
    assert_eq!(super::too_long(64, "web"), None);
    assert!(super::too_long(65, "web").is_some_and(|said| said.contains("65") && said.contains("`route`")));
}

#[test]
fn mistakes_have_a_line_and_a_column() {
    for (text, place, says) in [
        ("filter {\n  grok {\n    match > 5\n  }\n}", (3, 11), "=>"),
        ("filter {\n  if [a] == {", (2, 13), "a field"),
        ("filters { }", (1, 8), "`filters`"),
        ("filter { grok { a => \"b } }", (1, 22), "never closed"),
        ("filter { grok { } ", (1, 19), "missing"),
        ("filter { if [a] =~ /x { drop {} }", (1, 34), "never closed"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.message.contains(says), "{text}: {error}");
        assert_eq!((error.line, error.column), place, "{text}: {error}");
    }
    let deep = format!("filter {{ {}", "if [a] { ".repeat(200));
    assert!(parse(&deep).unwrap_err().message.contains("deep"));
    for word in ["xor", "nand"] {
        let long = format!("filter {{ if [a]{} {{ }} }}", format!(" {word} [a]").repeat(60));
        assert!(parse(&long).unwrap_err().message.contains("in a row"));
    }
}

proptest::proptest! {
    #[test]
    fn nothing_that_is_written_makes_it_panic(text in "(filter \\{|if |else |\\[a\\]|\\]|\\[|\\}|\\{|=>|==|\"|'|/|grok |a |,|5|\\\\|#|\n|é| ){0,40}") {
        let _ = parse(&text);
    }
}
