//! `user` and `acl`: who may use the Kafka port, and for what. Passwords come from a prompt or from standard input, never from the
//! arguments, which other people of the machine can see.

use std::io::{BufRead, IsTerminal};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::cli::Remote;
use crate::cli::client::{Client, segment};
use crate::cli::topics::{print_table, word};

#[derive(Debug, clap::Subcommand)]
pub enum UserCommand {
    /// Add a user; asks for the password, or reads a line of standard input
    #[command(after_help = "Examples:
  sawbox user add ann
  sawbox user add root --admin < /run/secrets/root

A user may nothing until `sawbox acl grant` says so; an admin may everything.")]
    Add {
        /// The name: no blanks
        name: String,
        /// May everything
        #[arg(long)]
        admin: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// List users
    Ls {
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Give a user another password; connections that are signed in stay
    Passwd {
        /// The name
        name: String,
        /// End the user's connections: who has only the old password is out
        #[arg(long)]
        disconnect: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Make a user an admin, or no more
    Set {
        /// The name
        name: String,
        /// May everything: true or false
        #[arg(long, action = clap::ArgAction::Set)]
        admin: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Delete a user and all permissions of the name, and end the user's connections
    Delete {
        /// The name
        name: String,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Debug, clap::Subcommand)]
pub enum AclCommand {
    /// Grant a user something, or deny it
    #[command(after_help = "Examples:
  sawbox acl grant ann produce --topic 'web-*'
  sawbox acl grant bob consume --topic audit --group 'bob-*'
  sawbox acl grant bob manage --topic scratch
  sawbox acl grant '*' produce --topic secret --deny
  sawbox acl grant ann --operation describe_configs --topic audit    # Kafka's own operations

produce: write, and make the topic if it is not there. consume: read; a consumer group needs --group, too.
manage: everything on the topic or group. Who may nothing sees nothing; a denial wins over whatever allows.")]
    Grant(Permissions),
    /// Take back what was granted, or a denial
    #[command(after_help = "Examples:
  sawbox acl revoke ann produce --topic 'web-*'    # what this granted
  sawbox acl revoke ann --all                      # everything that is said of ann")]
    Revoke {
        #[command(flatten)]
        permissions: Permissions,
        /// Everything that is said of the user
        #[arg(long, conflicts_with_all = ["verb", "operation", "topic", "group", "transactional_id", "cluster"])]
        all: bool,
    },
    /// List permissions
    Ls {
        /// Of this user alone
        user: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Who may what.
#[derive(Debug, clap::Args)]
pub struct Permissions {
    /// The user; `*` is everybody
    user: String,
    /// produce, consume or manage
    verb: Option<String>,
    /// Topic; with a `*` at the end all that begin so
    #[arg(long, short, value_name = "TOPIC")]
    topic: Vec<String>,
    /// Consumer group; with a `*` at the end all that begin so
    #[arg(long, short, value_name = "GROUP")]
    group: Vec<String>,
    /// Transactional id; with a `*` at the end all that begin so
    #[arg(long, value_name = "ID")]
    transactional_id: Vec<String>,
    /// The box itself
    #[arg(long)]
    cluster: bool,
    /// A Kafka operation, for experts: read, write, create, delete, alter, describe, describe_configs, alter_configs …
    #[arg(long, short, value_name = "OPERATION")]
    operation: Vec<String>,
    /// From this address alone
    #[arg(long, value_name = "IP", default_value = "*")]
    host: String,
    /// Deny it, instead of allowing it
    #[arg(long)]
    deny: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Permissions {
    fn body(&self, all: bool) -> Value {
        let mut body = json!({
            "user": self.user,
            "operations": self.operation,
            "topics": self.topic,
            "groups": self.group,
            "transactional_ids": self.transactional_id,
            "cluster": self.cluster,
            "host": self.host,
            "permission": if self.deny { "deny" } else { "allow" },
            "all": all,
        });
        if let Some(verb) = &self.verb {
            body["verb"] = verb.as_str().into();
        }
        body
    }
}

/// `sawbox user …`
pub fn user(command: &UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::Add { name, admin, remote } => {
            let body = json!({ "name": name, "password": password()?, "admin": admin });
            send(remote, "POST", "/api/v1/users", &body)?;
            println!("{name} added");
            if !admin {
                let url = crate::cli::url_argument(&remote.url);
                println!("Next: {} acl grant {name} produce --topic TOPIC{url}", crate::cli::program());
            }
        }
        UserCommand::Ls { json, remote } => {
            let answer = Client::new(&remote.url).get("/api/v1/users", &[])?;
            if *json {
                println!("{}", serde_json::to_string_pretty(&answer)?);
                return Ok(());
            }
            let mut table = vec![["USER", "ADMIN", "PERMISSIONS", "SIGNS IN BY"].map(String::from)];
            for user in answer["users"].as_array().into_iter().flatten() {
                let own = user["mechanisms"].as_array().into_iter().flatten().filter_map(|own| own["mechanism"].as_str());
                let mechanisms: Vec<&str> = own.collect();
                let admin = if user["admin"].as_bool() == Some(true) { "yes" } else { "" };
                table.push([word(&user["name"]), admin.to_owned(), word(&user["acls"]), mechanisms.join(" ")]);
            }
            print_table(&table);
            if answer["damaged"].as_u64().is_some_and(|places| places > 0) {
                eprintln!("sawbox: the journal of users was damaged: users or permissions may be missing");
            }
        }
        UserCommand::Passwd { name, disconnect, remote } => {
            let body = json!({ "password": password()?, "disconnect": disconnect });
            send(remote, "PUT", &format!("/api/v1/users/{}", segment(name)), &body)?;
            println!("{name} has another password");
        }
        UserCommand::Set { name, admin, remote } => {
            send(remote, "PUT", &format!("/api/v1/users/{}", segment(name)), &json!({ "admin": admin }))?;
            println!("{name} is {}", if *admin { "an admin" } else { "no admin" });
        }
        UserCommand::Delete { name, remote } => {
            Client::new(&remote.url).delete(&format!("/api/v1/users/{}", segment(name)))?;
            println!("{name} deleted");
        }
    }
    Ok(())
}

/// `sawbox acl …`
pub fn acl(command: &AclCommand) -> anyhow::Result<()> {
    match command {
        AclCommand::Grant(permissions) => {
            let answer = send(&permissions.remote, "POST", "/api/v1/acls", &permissions.body(false))?;
            list(&answer);
            if answer["user_exists"].as_bool() == Some(false) {
                eprintln!("sawbox: there is no user {} yet", permissions.user);
            }
        }
        AclCommand::Revoke { permissions, all } => {
            let answer = send(&permissions.remote, "POST", "/api/v1/acls/revoke", &permissions.body(*all))?;
            if answer["acls"].as_array().is_none_or(Vec::is_empty) {
                bail!("nothing like this was granted; `{} acl ls` shows what was", crate::cli::program());
            }
            println!("Revoked:");
            list(&answer);
        }
        AclCommand::Ls { user, json, remote } => {
            let whose: Vec<(&str, &str)> = user.iter().map(|user| ("user", user.as_str())).collect();
            let answer = Client::new(&remote.url).get("/api/v1/acls", &whose)?;
            if *json {
                println!("{}", serde_json::to_string_pretty(&answer)?);
            } else {
                list(&answer);
            }
        }
    }
    Ok(())
}

fn list(answer: &Value) {
    let mut table = vec![["USER", "PERMISSION", "OPERATION", "ON", "NAME", "FROM"].map(String::from)];
    for acl in answer["acls"].as_array().into_iter().flatten() {
        let star = if acl["pattern"].as_str() == Some("prefixed") { "*" } else { "" };
        table.push([
            word(&acl["user"]),
            word(&acl["permission"]),
            word(&acl["operation"]),
            word(&acl["kind"]),
            format!("{}{star}", word(&acl["name"])),
            word(&acl["host"]),
        ]);
    }
    print_table(&table);
}

fn send(remote: &Remote, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
    Client::new(&remote.url).send(method, path, &[], "application/json", serde_json::to_vec(body)?.as_slice())
}

/// Twice from a terminal, without showing it; else the first line of standard input.
fn password() -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let first = rpassword::prompt_password("Password: ").context("cannot ask for the password")?;
        if rpassword::prompt_password("Again: ").context("cannot ask for the password")? != first {
            bail!("these are two different passwords; nothing was changed");
        }
        return Ok(first);
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line).context("cannot read the password from standard input")?;
    let password = line.strip_suffix('\n').unwrap_or(&line);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        bail!("no password: write it into standard input, or run this in a terminal");
    }
    Ok(password.to_owned())
}
