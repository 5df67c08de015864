//! `quota` and `route`: who may send how much, and what goes to another topic.

use serde_json::{Value, json};

use crate::cli::Remote;
use crate::cli::client::{Client, segment};
use crate::cli::topics::{bytes, print_table, word};

#[derive(Debug, clap::Subcommand)]
pub enum QuotaCommand {
    /// List quotas, and what they have done since the start
    Ls {
        /// As JSON, with everything
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Set a quota; it holds from the next batch on
    #[command(after_help = "Examples:
  sawbox quota set noisy --topic web --rate 2MiB --action divert --to web.bursty
  sawbox quota set each --principal '*' --rate 1MiB --burst 8MiB          # everybody alone
  sawbox quota set readers --principal '*' --rate 20MiB --consume

What is not said holds for all together; a pattern with `*` for each that it matches, alone. Senders over a quota wait (throttle),
are refused, or their records go to another topic (divert) until the burst is there again.")]
    Set {
        /// What it is called; one of the same name is replaced
        name: String,
        /// Bytes a second: 512, 64KiB, 1MB
        #[arg(long, value_name = "SIZE")]
        rate: String,
        /// Bytes that may come at once after a silence [default: a second's worth]
        #[arg(long, value_name = "SIZE")]
        burst: Option<String>,
        /// Of this topic
        #[arg(long)]
        topic: Option<String>,
        /// Of this principal; who has not signed in is `ANONYMOUS`
        #[arg(long)]
        principal: Option<String>,
        /// Of Kafka clients that call themselves this
        #[arg(long, value_name = "ID")]
        client_id: Option<String>,
        /// What happens past it
        #[arg(long, value_parser = ["throttle", "refuse", "divert"], default_value = "throttle")]
        action: String,
        /// The topic that divert sends to
        #[arg(long, value_name = "TOPIC")]
        to: Option<String>,
        /// What is consumed, instead of what is sent
        #[arg(long)]
        consume: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Remove a quota
    Rm {
        /// Its name
        name: String,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Debug, clap::Subcommand)]
pub enum RouteCommand {
    /// List routes in the order in which they are tried, and what they have done since the start
    Ls {
        /// As JSON, with everything
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Send some records of a topic to another one, from the next batch on
    #[command(after_help = "Examples:
  sawbox route add web host:web-7 web.bursty             # a header, or a field of a JSON document; `*` stands for anything
  sawbox route add web _peer:10.1.0.0/16 web.branch      # where it comes from
  sawbox route add web '_client:load-test*' scratch      # what a Kafka client calls itself; _principal: who signed in

Records of one key stay in order in the topic they go to. Nothing is said about the order of the two topics beside one another.")]
    Add {
        /// The topic that senders name
        topic: String,
        /// Which of its records: `field:value`, or `*` for all
        when: String,
        /// The topic they go to; it is made if it is not there
        to: String,
        /// What the route is called [default: made up]; one of the same name is replaced
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Remove a route
    Rm {
        /// Its name
        name: String,
        #[command(flatten)]
        remote: Remote,
    },
}

/// `sawbox quota …`
pub fn quota(command: &QuotaCommand) -> anyhow::Result<()> {
    match command {
        QuotaCommand::Ls { json, remote } => {
            let answer = Client::new(&remote.url).get("/api/v1/quotas", &[])?;
            if *json {
                println!("{}", serde_json::to_string_pretty(&answer)?);
                return Ok(());
            }
            let head =
                ["QUOTA", "TOPIC", "PRINCIPAL", "CLIENT", "RATE", "BURST", "ACTION", "WAITED", "REFUSED", "DIVERTED", "FROM"];
            let mut table = vec![head.map(String::from)];
            for quota in answer["quotas"].as_array().into_iter().flatten() {
                let action = match (quota["direction"].as_str(), quota["to"].as_str()) {
                    (Some("consume"), _) => "throttle consumers".to_owned(),
                    (_, Some(to)) => format!("divert → {to}"),
                    _ => word(&quota["action"]),
                };
                table.push([
                    word(&quota["name"]),
                    word(&quota["topic"]),
                    word(&quota["principal"]),
                    word(&quota["client_id"]),
                    format!("{}/s", word(&quota["bytes_per_second"])),
                    word(&quota["burst"]),
                    action,
                    format!("{:.1} s", quota["throttled_seconds"].as_f64().unwrap_or(0.0)),
                    word(&quota["refused"]["records"]),
                    word(&quota["diverted"]["records"]),
                    source(quota),
                ]);
            }
            print_table(&table);
        }
        QuotaCommand::Set { name, rate, burst, topic, principal, client_id, action, to, consume, remote } => {
            let direction = if *consume { "consume" } else { "produce" };
            let quota = json!({
                "topic": topic, "principal": principal, "client_id": client_id, "direction": direction,
                "bytes_per_second": rate, "burst": burst, "action": action, "to": to,
            });
            let body = serde_json::to_vec(&quota)?;
            let path = format!("/api/v1/quotas/{}", segment(name));
            Client::new(&remote.url).send("PUT", &path, &[], "application/json", body.as_slice())?;
            println!("quota {name} holds");
        }
        QuotaCommand::Rm { name, remote } => {
            Client::new(&remote.url).delete(&format!("/api/v1/quotas/{}", segment(name)))?;
            println!("quota {name} is removed");
        }
    }
    Ok(())
}

/// `sawbox route …`
pub fn route(command: &RouteCommand) -> anyhow::Result<()> {
    match command {
        RouteCommand::Ls { json, remote } => {
            let answer = Client::new(&remote.url).get("/api/v1/routes", &[])?;
            if *json {
                println!("{}", serde_json::to_string_pretty(&answer)?);
                return Ok(());
            }
            let mut table = vec![["ROUTE", "TOPIC", "WHEN", "TO", "RECORDS", "BYTES", "FROM"].map(String::from)];
            for route in answer["routes"].as_array().into_iter().flatten() {
                table.push([
                    word(&route["name"]),
                    word(&route["topic"]),
                    word(&route["when"]),
                    word(&route["to"]),
                    word(&route["diverted"]["records"]),
                    bytes(&route["diverted"]["bytes"]),
                    source(route),
                ]);
            }
            print_table(&table);
        }
        RouteCommand::Add { topic, when, to, name, remote } => {
            let body = serde_json::to_vec(&json!({ "topic": topic, "when": when, "to": to }))?;
            let (method, path) = match name {
                Some(name) => ("PUT", format!("/api/v1/routes/{}", segment(name))),
                None => ("POST", "/api/v1/routes".to_owned()),
            };
            let answer = Client::new(&remote.url).send(method, &path, &[], "application/json", body.as_slice())?;
            println!("route {} holds: {topic}, {when} → {to}", word(&answer["name"]));
        }
        RouteCommand::Rm { name, remote } => {
            Client::new(&remote.url).delete(&format!("/api/v1/routes/{}", segment(name)))?;
            println!("route {name} is removed");
        }
    }
    Ok(())
}

/// Where a rule comes from.
fn source(rule: &Value) -> String {
    match (rule["fixed"].as_bool(), rule["shadowed"].as_bool()) {
        (Some(true), _) => "file",
        (_, Some(true)) => "shadowed by the file",
        _ => "put",
    }
    .to_owned()
}
