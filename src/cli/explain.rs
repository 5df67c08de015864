//! `explain`: what became of one record.

use serde_json::Value;

use crate::cli::Remote;
use crate::cli::client::{Client, segment};
use crate::cli::outlet::line;
use crate::cli::topics::word;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sawbox explain web/0@1234
  sawbox query 'status:500 | fields _topic, _partition, _offset'     # where rows came from
  sawbox explain _dead.web/0@3 --json")]
pub struct ExplainArguments {
    /// The record
    #[arg(value_name = "TOPIC/PARTITION@OFFSET")]
    record: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// `sawbox explain …`
pub fn explain(arguments: &ExplainArguments) -> anyhow::Result<()> {
    let (topic, partition, offset) = crate::relay::explain::place(&arguments.record).map_err(anyhow::Error::msg)?;
    let path = format!("/api/v1/explain/{}/{partition}/{offset}", segment(&topic));
    let answer = Client::new(&arguments.remote.url).get(&path, &[])?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
    } else {
        show(&answer);
    }
    Ok(())
}

fn show(answer: &Value) {
    println!(
        "{}/{}@{}: {}",
        word(&answer["topic"]),
        word(&answer["partition"]),
        word(&answer["offset"]),
        word(&answer["summary"])
    );
    let record = &answer["record"];
    if !record.is_null() {
        println!("\nrecord     {} bytes, came {}", word(&record["payload"]["bytes"]), word(&record["arrival"]));
        if let Some(receiver) = record["receiver"].as_str() {
            let peer = record["peer"].as_str().map_or(String::new(), |peer| format!(", from {peer}"));
            println!("receiver   {}{}", line(receiver), line(&peer));
        }
        if !record["key"].is_null() {
            println!("key        {}", word(&record["key"]["text"]));
        }
        for header in record["headers"].as_array().into_iter().flatten() {
            println!("header     {}: {}", word(&header[0]), word(&header[1]));
        }
        println!("payload    {}", word(&record["payload"]["text"]));
        if !answer["document"].is_null() {
            println!("document   {}", word(&answer["document"]["text"]));
        }
    }
    if !answer["generation"].is_null() {
        println!("generation {}", word(&answer["generation"]));
    }
    for (index, step) in answer["steps"].as_array().into_iter().flatten().enumerate() {
        println!();
        let when = step["when"].as_str().map_or(String::new(), |when| format!("  when {when}"));
        let version = step["version"].as_u64().filter(|version| *version > 0).map_or(String::new(), |v| format!("@{v}"));
        println!("{}. {}{version}{}", index + 1, word(&step["filter"]), line(&when));
        let reason =
            step["reason"].as_str().filter(|reason| !reason.is_empty()).map_or(String::new(), |why| format!(": {why}"));
        match step["outcome"].as_str() {
            Some("not_selected") => println!("   not given to it: its `when` left it out"),
            Some("not_reached") => println!("   not given to it: it ended before"),
            outcome => {
                let cost = format!("{} fuel, {} ns", word(&step["fuel"]), word(&step["time_ns"]));
                println!("   {}{} ({cost})", line(outcome.unwrap_or("passed")), line(&reason));
            }
        }
        let each = |key: &str| step[key].as_object().into_iter().flatten();
        each("added").for_each(|(name, value)| println!("   + {} = {value}", line(name)));
        each("changed").for_each(|(name, both)| println!("   ~ {} = {} (was {})", line(name), both["new"], both["old"]));
        each("removed").for_each(|(name, value)| println!("   - {} (was {value})", line(name)));
        for emission in step["emissions"].as_array().into_iter().flatten() {
            println!("   → {}: {}", word(&emission["topic"]), word(&emission["payload"]["text"]));
        }
        for line in step["log"].as_array().into_iter().flatten() {
            println!("   {} {}", word(&line["level"]), word(&line["text"]));
        }
    }
    println!();
    ended(&answer["ended"]);
    for sent in answer["sent"].as_array().into_iter().flatten() {
        let row = if sent["row"].is_null() { "no row of it is found there".to_owned() } else { row_place(&sent["row"]) };
        println!("sent to    {}; {row}", word(&sent["topic"]));
    }
    for note in answer["notes"].as_array().into_iter().flatten() {
        println!("note       {}", word(note));
    }
}

fn row_place(row: &Value) -> String {
    format!("row {}/{}@{}", word(&row["_topic"]), word(&row["_partition"]), word(&row["_offset"]))
}

fn ended(ended: &Value) {
    match ended["kind"].as_str() {
        Some("stored") => {
            match ended["is"].as_str() {
                Some("same") => println!("stored     and the store's row is the same"),
                Some("pending") => println!("stored     soon: it is not handled yet"),
                Some("missing") => println!("stored     but the store has no row of it"),
                _ => println!("stored     but DIFFERENTLY"),
            }
            for one in ended["differences"].as_array().into_iter().flatten() {
                println!(
                    "           {}: the chain makes {}, the store has {}",
                    word(&one["field"]),
                    one["made"],
                    one["stored"]
                );
            }
            for (name, value) in ended["row"].as_object().into_iter().flatten() {
                println!("  {} = {value}", line(name));
            }
        }
        Some("dropped") => println!("dropped    by {}: {}", word(&ended["filter"]), word(&ended["reason"])),
        Some("held") => println!("held       by {}: a row may be made of it and others later", word(&ended["filter"])),
        Some("failed") => {
            println!("failed     in {}: {}", word(&ended["filter"]), word(&ended["reason"]));
            let letter = &ended["letter"];
            let place = if letter.is_null() { "but no letter is found there".to_owned() } else { row_place(letter) };
            println!("dead letter in {}, {place}", word(&ended["topic"]));
        }
        _ => {
            if ended["payload"].is_object() {
                println!("payload    {}", word(&ended["payload"]["text"]));
            }
            for row in ended["stored"].as_array().into_iter().flatten() {
                println!("row        {row}");
            }
        }
    }
}
