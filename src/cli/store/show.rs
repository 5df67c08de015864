//! `store ls` and `store stats`.

use serde_json::{Value, json};

use super::{Place, stopped};
use crate::cli::client::Client;
use crate::cli::topics::{bytes, print_table, word};

fn asked(place: &Place, path: &str, topic: Option<&str>) -> anyhow::Result<Value> {
    let pairs: Vec<(&str, &str)> = topic.into_iter().map(|topic| ("topic", topic)).collect();
    Client::new(&place.remote.url).get(path, &pairs)
}

/// `sawbox store ls`
pub fn list(topic: Option<&str>, as_json: bool, place: &Place) -> anyhow::Result<()> {
    let answer = match &place.data_dir {
        Some(dir) => {
            let (look, _lock) = stopped(dir)?;
            let mut parts = look.parts()?;
            parts.retain(|part| topic.is_none_or(|topic| part.topic == topic));
            json!({ "parts": parts })
        }
        None => asked(place, "/api/v1/store/parts", topic)?,
    };
    if as_json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    let head = ["TOPIC", "DAY", "PART", "STATE", "ROWS", "BYTES", "FROM", "TO", "GENERATIONS"];
    let mut table = vec![head.map(String::from)];
    let (mut rows, mut size) = (0, 0);
    for part in answer["parts"].as_array().into_iter().flatten() {
        let generations: Vec<String> = part["generations"].as_array().into_iter().flatten().map(word).collect();
        let mut state = word(&part["state"]);
        if part["masked"] == true {
            state.push_str(", masked");
        }
        if let Some(error) = part["error"].as_str() {
            state = format!("{state}: {error}");
        }
        rows += part["rows"].as_u64().unwrap_or(0);
        size += part["bytes"].as_u64().unwrap_or(0);
        table.push([
            word(&part["topic"]),
            part["day"].as_str().unwrap_or("late").to_owned(),
            format!("{:x}", part["id"].as_u64().unwrap_or(0)),
            state,
            word(&part["rows"]),
            bytes(&part["bytes"]),
            word(&part["from"]),
            word(&part["to"]),
            generations.join(","),
        ]);
    }
    let count = table.len() - 1;
    if count > 0 {
        print_table(&table);
    }
    println!("{count} parts, {rows} rows, {}", bytes(&size.into()));
    Ok(())
}

/// `sawbox store stats`
pub fn stats(topic: Option<&str>, limit: usize, as_json: bool, place: &Place) -> anyhow::Result<()> {
    let answer = match &place.data_dir {
        Some(dir) => {
            let (look, _lock) = stopped(dir)?;
            json!({ "topics": look.columns(topic) })
        }
        None => asked(place, "/api/v1/store/stats", topic)?,
    };
    if as_json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    for topic in answer["topics"].as_array().into_iter().flatten() {
        println!(
            "{}: {} rows in {} parts, {} of {} raw{}{}",
            word(&topic["topic"]),
            word(&topic["rows"]),
            word(&topic["parts"]),
            bytes(&topic["bytes"]),
            bytes(&topic["raw_bytes"]),
            match topic["memtable_rows"].as_u64() {
                Some(rows @ 1..) => format!("; {rows} rows are still in memory"),
                _ => String::new(),
            },
            match topic["unreadable"].as_u64() {
                Some(parts @ 1..) => format!("; {parts} parts cannot be opened"),
                _ => String::new(),
            },
        );
        let sections: Vec<String> = topic["sections"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, size)| size.as_u64() != Some(0))
            .map(|(name, size)| format!("{name} {}", bytes(size)))
            .collect();
        if !sections.is_empty() {
            println!("  {}", sections.join(", "));
        }
        let mut table = vec![["  COLUMN", "KIND", "ROWS", "BYTES", "DICTIONARY", "DISTINCT", "ENCODINGS"].map(String::from)];
        let columns = topic["columns"].as_array().map(Vec::as_slice).unwrap_or_default();
        for column in columns.iter().take(limit) {
            let encodings = column["encodings"].as_object().into_iter().flatten();
            let encodings: Vec<String> = encodings.map(|(name, size)| format!("{name} {}", bytes(size))).collect();
            table.push([
                format!("  {}", word(&column["name"])),
                word(&column["kind"]),
                word(&column["rows"]),
                bytes(&column["bytes"]),
                bytes(&column["dictionary_bytes"]),
                word(&column["distinct"]),
                encodings.join(", "),
            ]);
        }
        if table.len() > 1 {
            print_table(&table);
        }
        if columns.len() > limit {
            println!("  and {} more; --limit shows them", columns.len() - limit);
        }
    }
    Ok(())
}
