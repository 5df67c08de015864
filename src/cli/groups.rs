//! `group`: consumer groups, how far they are behind, and setting one elsewhere.

use anyhow::bail;
use serde_json::{Value, json};

use crate::cli::Remote;
use crate::cli::client::{Client, segment};
use crate::cli::outlet::line;
use crate::cli::topics::{bytes, print_table, word};

#[derive(Debug, clap::Subcommand)]
pub enum GroupCommand {
    /// List groups: who reads what, and how far behind; the lanes and outputs among them
    Ls {
        /// As JSON, with everything
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show one group: its members, and its place in every partition
    Show {
        /// Its name
        group: String,
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Set where a group goes on; shows what it would do, until --apply
    #[command(after_help = "Examples:
  sawbox group reset billing --to earliest                      # what would change
  sawbox group reset billing --to earliest --apply
  sawbox group reset billing --time -2h --topic web --apply
  sawbox group reset billing --shift=-100 --topic web --partition 3 --apply

A group that has members is not changed: they would commit over it. Stop them first.")]
    Reset {
        /// Its name
        group: String,
        /// To the first record that is still there, or behind the last one
        #[arg(long, value_parser = ["earliest", "latest"])]
        to: Option<String>,
        /// To this offset
        #[arg(long)]
        offset: Option<u64>,
        /// To the first record of this time or later: 2026-11-20T08:00:00Z, an epoch, -2h
        #[arg(long, allow_hyphen_values = true)]
        time: Option<String>,
        /// So many records on, or back
        #[arg(long, allow_hyphen_values = true, value_name = "RECORDS")]
        shift: Option<i64>,
        /// Of this topic alone; needed where the group has committed nothing yet
        #[arg(long)]
        topic: Option<String>,
        /// Of these partitions alone
        #[arg(long = "partition", value_name = "NUMBER", requires = "topic")]
        partitions: Vec<u32>,
        /// Do it
        #[arg(long, alias = "yes")]
        apply: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Delete a group that has no members, with all its offsets
    Delete {
        /// Its name
        group: String,
        #[command(flatten)]
        remote: Remote,
    },
}

/// `sawbox group …`
pub fn group(command: &GroupCommand) -> anyhow::Result<()> {
    match command {
        GroupCommand::Ls { json, remote } => ls(*json, remote),
        GroupCommand::Show { group, json, remote } => show(group, *json, remote),
        GroupCommand::Reset { .. } => reset(command),
        GroupCommand::Delete { group, remote } => {
            Client::new(&remote.url).delete(&format!("/api/v1/groups/{}", segment(group)))?;
            println!("group {group} is deleted");
            Ok(())
        }
    }
}

fn seconds(value: &Value) -> String {
    value
        .as_f64()
        .map_or_else(|| "-".to_owned(), |seconds| if seconds == 0.0 { "0 s".to_owned() } else { format!("{seconds:.1} s") })
}

fn ls(json: bool, remote: &Remote) -> anyhow::Result<()> {
    let answer = Client::new(&remote.url).get("/api/v1/groups", &[])?;
    if json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    let mut table = vec![["GROUP", "KIND", "STATE", "MEMBERS", "TOPICS", "LAG", "BYTES", "SINCE"].map(String::from)];
    for group in answer["groups"].as_array().into_iter().flatten() {
        let topics: Vec<&str> = group["topics"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let topics = if topics.len() > 3 { format!("{} topics", topics.len()) } else { topics.join(", ") };
        table.push([
            word(&group["group"]),
            word(&group["kind"]),
            word(&group["state"]),
            word(&group["members"]),
            topics,
            word(&group["lag_records"]),
            bytes(&group["lag_bytes"]),
            seconds(&group["lag_seconds"]),
        ]);
    }
    print_table(&table);
    Ok(())
}

fn show(group: &str, json: bool, remote: &Remote) -> anyhow::Result<()> {
    let answer = Client::new(&remote.url).get(&format!("/api/v1/groups/{}", segment(group)), &[])?;
    if json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    let protocol =
        answer["protocol"].as_str().filter(|name| !name.is_empty()).map_or(String::new(), |name| format!(", {name}"));
    println!("{}: {}{}, generation {}", line(group), word(&answer["state"]), line(&protocol), word(&answer["generation"]));
    let mut members = vec![["MEMBER", "INSTANCE", "CLIENT", "HOST", "READS"].map(String::from)];
    for member in answer["member_list"].as_array().into_iter().flatten() {
        let reads: Vec<String> = member["assigned"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| {
                let numbers = one["partitions"].as_array().map_or(&[][..], Vec::as_slice);
                let numbers: Vec<String> = numbers.iter().map(word).collect();
                format!("{} {}", word(&one["topic"]), numbers.join(","))
            })
            .collect();
        members.push([
            word(&member["member"]),
            word(&member["instance"]),
            word(&member["client_id"]),
            word(&member["host"]),
            reads.join("; "),
        ]);
    }
    if members.len() > 1 {
        println!();
        print_table(&members);
    }
    let mut offsets = vec![["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "BYTES", "SINCE", "MEMBER"].map(String::from)];
    for one in answer["offsets"].as_array().into_iter().flatten() {
        offsets.push([
            word(&one["topic"]),
            word(&one["partition"]),
            word(&one["committed"]),
            word(&one["end"]),
            word(&one["lag_records"]),
            bytes(&one["lag_bytes"]),
            seconds(&one["lag_seconds"]),
            word(&one["owner"]),
        ]);
    }
    if offsets.len() > 1 {
        println!();
        print_table(&offsets);
    }
    Ok(())
}

fn reset(command: &GroupCommand) -> anyhow::Result<()> {
    let GroupCommand::Reset { group, to, offset, time, shift, topic, partitions, apply, json, remote } = command else {
        return Ok(());
    };
    let mut targets = Vec::new();
    targets.extend(to.as_ref().map(|to| json!(to)));
    targets.extend(offset.map(|offset| json!({ "offset": offset })));
    targets.extend(time.as_ref().map(|time| json!({ "time": time })));
    targets.extend(shift.map(|shift| json!({ "shift": shift })));
    let [target] = targets.as_slice() else {
        bail!("say where to: one of --to earliest, --to latest, --offset, --time, --shift");
    };
    let mut body = json!({ "to": target, "apply": apply });
    if let Some(topic) = topic {
        body["topic"] = json!(topic);
    }
    if !partitions.is_empty() {
        body["partitions"] = json!(partitions);
    }
    let path = format!("/api/v1/groups/{}/reset", segment(group));
    let answer = Client::new(&remote.url).send("POST", &path, &[], "application/json", body.to_string().as_bytes())?;
    if *json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    let mut table = vec![["TOPIC", "PARTITION", "FROM", "TO"].map(String::from)];
    for one in answer["offsets"].as_array().into_iter().flatten() {
        table.push([word(&one["topic"]), word(&one["partition"]), word(&one["from"]), word(&one["to"])]);
    }
    print_table(&table);
    if answer["applied"].as_bool() == Some(true) {
        eprintln!("done: group {group} goes on there");
    } else if let Some(why) = answer["live"].as_str() {
        eprintln!("nothing is changed, and could not be: {why}");
    } else {
        eprintln!("nothing is changed yet; --apply does it");
    }
    Ok(())
}
