//! The command line: what a person types. `run`, `check`, `demo` and `bench` start a box in this process, `store` may open the data
//! directory of a stopped one; all others speak to a running one over its HTTP API, as any other program would.
//!
//! Standard output is for answers, standard error for everything else, so that answers can be piped. Exit codes: 0 done,
//! 1 could not, 2 wrong arguments.
//! What is shown goes through [`outlet`].

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// As the standard one, through [`outlet`]; so are the next three.
macro_rules! print {
    ($($text:tt)*) => { $crate::cli::outlet::say(format_args!($($text)*)) };
}
macro_rules! println {
    () => { print!("\n") };
    ($($text:tt)*) => { print!("{}\n", format_args!($($text)*)) };
}
macro_rules! eprint {
    ($($text:tt)*) => { $crate::cli::outlet::tell(format_args!($($text)*)) };
}
macro_rules! eprintln {
    () => { eprint!("\n") };
    ($($text:tt)*) => { eprint!("{}\n", format_args!($($text)*)) };
}

mod access;
mod ahead;
mod bench;
mod client;
mod dead;
mod demo;
mod explain;
mod filter;
mod groups;
mod logstash;
mod outlet;
mod replay;
mod run;
mod search;
mod store;
mod topics;
mod traffic;

/// One binary for one box: receives logs, keeps them in a durable queue, runs sandboxed filters over them, stores and searches them.
#[derive(Debug, Parser)]
#[command(
    name = "sawbox",
    version,
    propagate_version = true,
    after_help = "Without a command, `sawbox` does what `sawbox run` does.

Start here:
  sawbox demo        a box, and a generated web shop that logs to it
  sawbox run         an empty box; its page is http://127.0.0.1:7800/
  echo hello | sawbox send first && sawbox query hello

Environment:
  SAWBOX_URL         the box that query, tail, send, topic, filter, explain, dead, replay, user and acl speak to
  SAWBOX_CONFIG      configuration file of run and check
  SAWBOX_LOG         what run and demo log, as info or debug or info,sawbox::relay=debug

Exit codes: 0 done, 1 could not, 2 wrong arguments."
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the box
    Run(run::RunArguments),
    /// Read a configuration as `run` would, and say what is wrong with it
    Check(run::CheckArguments),
    /// Print the default configuration: every key, what it is, and its default
    #[command(after_help = "Example:\n  sawbox config > sawbox.toml    # then change what you want, and delete the rest")]
    Config,
    /// Start a box and stream a generated web shop's access logs at it
    Demo(demo::DemoArguments),
    /// Drive a whole box over real sockets and measure it
    Bench(bench::BenchArguments),
    /// Search: rows, or the result of a query's pipes, as NDJSON
    Query(search::QueryArguments),
    /// Follow rows as they are stored
    Tail(search::TailArguments),
    /// Send lines or NDJSON from files, or from standard input, to a topic
    Send(search::SendArguments),
    /// Topics: what they hold, whether their lanes keep up; make, set, grow, trim, delete
    #[command(subcommand)]
    Topic(topics::TopicCommand),
    /// Consumer groups: who reads what, and how far behind; set one elsewhere, delete it
    #[command(subcommand)]
    Group(groups::GroupCommand),
    /// Quotas: how many bytes a second somebody may send or take
    #[command(subcommand)]
    Quota(traffic::QuotaCommand),
    /// Routes: records of a topic that go to another one
    #[command(subcommand)]
    Route(traffic::RouteCommand),
    /// Filters: list, check, upload; try a version on old records, promote it, roll back
    #[command(subcommand)]
    Filter(filter::FilterCommand),
    /// What became of one record, and why: as it came, each filter's step, where it ended
    Explain(explain::ExplainArguments),
    /// Dead letters: records that no filter could handle; reproduce the failure, try them again
    #[command(subcommand)]
    Dead(dead::DeadCommand),
    /// Replays: parse history again through another chain; delete rows for good
    #[command(subcommand)]
    Replay(replay::ReplayCommand),
    /// The store's files: list and measure them, verify and repair them, export rows
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Logstash: take over a pipeline's filters
    #[command(subcommand)]
    Logstash(logstash::LogstashCommand),
    /// Users of the Kafka port
    #[command(subcommand)]
    User(access::UserCommand),
    /// Permissions on the Kafka port: who may produce to what, and consume what
    #[command(subcommand)]
    Acl(access::AclCommand),
    /// Print a completion script for a shell
    #[command(after_help = "Examples:
  source <(sawbox completions bash)
  sawbox completions zsh > ~/.zfunc/_sawbox     # with fpath+=~/.zfunc before compinit
  sawbox completions fish > ~/.config/fish/completions/sawbox.fish")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// A box to speak to.
#[derive(Debug, clap::Args)]
struct Remote {
    /// Address of the box's page and API
    #[arg(long, env = "SAWBOX_URL", default_value = "http://127.0.0.1:7800", global = true)]
    url: String,
}

/// Where a box in this process finds its configuration.
#[derive(Debug, clap::Args)]
struct Source {
    /// Configuration file; without one the defaults hold
    #[arg(long, short, env = "SAWBOX_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory, instead of the configuration's [default: ./sawbox-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// This program as the person called it, so that what we tell them to type works as typed.
fn program() -> String {
    let name = std::env::args_os().next().and_then(|name| name.into_string().ok()).unwrap_or_default();
    match name.as_str() {
        "" => "sawbox".to_owned(),
        name if name.contains([' ', '\'', '"', '$', '\\']) => format!("'{}'", name.replace('\'', "'\\''")),
        name => name.to_owned(),
    }
}

/// ` --url …` where the box is not where commands look by themselves.
fn url_argument(page: &str) -> String {
    let page = page.trim_end_matches('/');
    if page == "http://127.0.0.1:7800" { String::new() } else { format!(" --url {page}") }
}

/// Does what the arguments say.
pub fn main() -> ExitCode {
    crate::base::memory::decline_huge_pages();
    let arguments = Arguments::parse();
    let done = match arguments.command.unwrap_or_else(|| Command::Run(run::RunArguments::default())) {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => run::check(&arguments),
        Command::Config => run::print_default(),
        Command::Demo(arguments) => demo::demo(&arguments),
        Command::Bench(arguments) => bench::bench(&arguments),
        Command::Query(arguments) => search::query(&arguments),
        Command::Tail(arguments) => search::tail(&arguments),
        Command::Send(arguments) => search::send(&arguments),
        Command::Topic(command) => topics::topic(&command),
        Command::Group(command) => groups::group(&command),
        Command::Quota(command) => traffic::quota(&command),
        Command::Route(command) => traffic::route(&command),
        Command::Filter(command) => filter::run(&command),
        Command::Explain(arguments) => explain::explain(&arguments),
        Command::Dead(command) => dead::run(&command),
        Command::Replay(command) => replay::replay(&command),
        Command::Store(command) => store::run(&command),
        Command::Logstash(command) => logstash::run(command),
        Command::User(command) => access::user(&command),
        Command::Acl(command) => access::acl(&command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "sawbox", &mut script);
            std::io::Write::write_all(&mut std::io::stdout(), &script).map_err(anyhow::Error::from)
        }
    };
    match done.and_then(|()| Ok(outlet::finish()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            run::say_failed(&error);
            if error.is::<run::Misconfigured>() { ExitCode::from(run::Misconfigured::EXIT) } else { ExitCode::FAILURE }
        }
    }
}

/// `sawbox query … | head` is no failure.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}
