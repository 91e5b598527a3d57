//! The commands: from typed arguments to an exit code. 0 done, 1 failed, 2 asked for something impossible, 3 stopped at a budget.

mod annotate;
mod bench;
mod calibrate;
mod compare;
mod corpus;
mod data;
mod eval;
mod extract;
mod generate;
mod health;
mod import;
mod key;
mod merge;
mod plan;
mod preprocess;
#[cfg(feature = "cuda")]
mod probe;
mod report;
mod train;

use std::ffi::OsString;
use std::io::{self, Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};
use serde::Serialize;
use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command, DataCommand, TrainCommand, file};
use crate::fields::FieldError;
use crate::serve::serve;
use crate::settings::{ServeSettings, UsageError};
use crate::telemetry;

/// Why a command ends without its result.
enum Failure {
    /// Exit 2.
    Usage(String),
    /// Exit 1.
    Failed(anyhow::Error),
    /// Exit 3.
    Budget(String),
}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<FieldError> for Failure {
    fn from(error: FieldError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast_ref() {
            Some(model::Error::Adapter(_)) => Self::Usage(format!("{error:#}")),
            _ => Self::Failed(error),
        }
    }
}

impl From<model::Error> for Failure {
    fn from(error: model::Error) -> Self {
        match error {
            model::Error::Input { .. }
            | model::Error::PromptTooLong { .. }
            | model::Error::Adapter(_) => Self::Usage(error.to_string()),
            other => Self::Failed(other.into()),
        }
    }
}

impl From<::train::Error> for Failure {
    fn from(error: ::train::Error) -> Self {
        match error {
            ::train::Error::Config { .. }
            | ::train::Error::Data(_)
            | ::train::Error::Model(model::Error::Adapter(_))
            | ::train::Error::Record { .. } => Self::Usage(error.to_string()),
            ::train::Error::Io { ref fault, .. } if is_about_path(fault) => {
                Self::Usage(error.to_string())
            }
            other => Self::Failed(other.into()),
        }
    }
}

/// Whether another path or another file there would have helped; a full disk is nobody's mistake.
fn is_about_path(fault: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        fault.kind(),
        Kind::NotFound
            | Kind::NotADirectory
            | Kind::IsADirectory
            | Kind::PermissionDenied
            | Kind::ReadOnlyFilesystem
            | Kind::AlreadyExists
            | Kind::InvalidFilename
            | Kind::InvalidInput
            | Kind::InvalidData
    )
}

/// The failure, with the flag that named its path before it.
fn flagged(error: ::train::Error, flags: &[(&str, Option<&Path>)]) -> Failure {
    let named = match &error {
        ::train::Error::Io { path, .. } | ::train::Error::Config { path, .. } => Some(path),
        _ => None,
    };
    let named = named.map(PathBuf::as_path);
    let flag = flags
        .iter()
        .find(|(_, path)| path.is_some() && *path == named);
    let flag = flag.map(|(flag, _)| *flag);
    match (Failure::from(error), flag) {
        (Failure::Usage(message), Some(flag)) => Failure::Usage(format!("{flag} {message}")),
        (Failure::Failed(error), Some(flag)) => Failure::Failed(anyhow::anyhow!("{flag} {error}")),
        (failure, _) => failure,
    }
}

/// Runs the binary.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let command = match with_file(Cli::command(), &args) {
        Ok(command) => command,
        Err(reason) => return complain(2, &reason),
    };
    let matches = command.try_get_matches_from(&args);
    let cli = match matches.and_then(|it| Cli::from_arg_matches(&it)) {
        Ok(cli) => cli,
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            say(&error.render().to_string());
            return ExitCode::SUCCESS;
        }
        Err(error) => return complain(2, &one_line(&error)),
    };
    let Ok(filter) = EnvFilter::try_new(&cli.log) else {
        return complain(2, "--log: not a filter; try info, or more_r1=debug,warn");
    };
    let endpoint = match &cli.command {
        Command::Serve(args) => args.otlp_endpoint.as_deref(),
        _ => None,
    };
    let _spans = match telemetry::start(filter, cli.json, endpoint) {
        Ok(guard) => guard,
        Err(error) => return complain(2, &format!("{error:#}")),
    };
    match run(cli.command, cli.json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => complain(2, &message),
        Err(Failure::Failed(error)) => complain(1, &format!("{error:#}")),
        Err(Failure::Budget(message)) => complain(3, &message),
    }
}

/// The command line with the defaults of the file that `--settings` names.
fn with_file(command: clap::Command, args: &[OsString]) -> Result<clap::Command, String> {
    let Some(file) = file::named(args) else {
        return Ok(command);
    };
    let wrong = |reason: String| format!("--settings {}: {reason}", file.display());
    let text = std::fs::read_to_string(&file).map_err(|error| wrong(error.to_string()))?;
    file::apply(command, &text).map_err(wrong)
}

fn run(command: Command, json: bool) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => Ok(serve(ServeSettings::resolve(&args)?)?),
        Command::Extract(args) => extract::run(args, json),
        Command::Generate(args) => generate::run(&args),
        Command::Preprocess(args) => preprocess::run(&args, json),
        Command::Data(DataCommand::Synth(args)) => data::synth(args, json),
        Command::Data(DataCommand::Import(command)) => import::import(command, json),
        Command::Data(DataCommand::Sample(args)) => data::sample(args, json),
        Command::Data(DataCommand::Annotate(args)) => annotate::run(&args, json),
        Command::Data(DataCommand::SplitHard(args)) => data::split_hard(args, json),
        Command::Train(TrainCommand::Sft(args)) => train::sft(&args, json),
        Command::Train(TrainCommand::Grpo(args)) => train::grpo(&args, json),
        Command::Eval(args) => eval::run(args, json),
        Command::Bench(args) => bench::run(&args, json),
        Command::Report(args) => report::run(&args, json),
        Command::Calibrate(args) => calibrate::run(&args, json),
        Command::Merge(args) => merge::run(&args, json),
        Command::Key(args) => key::run(&args, json),
        Command::Health(args) => health::run(&args, json),
        #[cfg(feature = "cuda")]
        Command::Probe(args) => probe::run(&args),
    }
}

/// Clap's report without usage and hints: the first paragraph, its lines put together.
fn one_line(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "a command is missing; --help lists them".to_owned();
    }
    let text = error.render().to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

fn complain(code: u8, message: &str) -> ExitCode {
    let line = message.lines().collect::<Vec<_>>().join(" ");
    let _ = writeln!(stderr(), "error: {line}"); // Nowhere left to complain to.
    ExitCode::from(code)
}

/// Prints a result: as JSON, or in words.
fn print<T: Serialize>(
    json: bool,
    result: &T,
    words: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    if json {
        say(&serde_json::to_string(result).map_err(anyhow::Error::new)?);
    } else {
        say(&words(result));
    }
    Ok(())
}

fn say(text: &str) {
    let _ = writeln!(stdout(), "{}", text.trim_end()); // A reader that left (`| head`) is no fault.
}

/// The bytes of a file a flag names.
fn read_file(flag: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path)
        .map_err(|error| Failure::Usage(format!("{flag} {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind as Kind;

    use super::*;

    #[test]
    fn a_full_disk_is_nobodys_mistake() {
        let failure = |kind: Kind| {
            let error = ::train::Error::io("out")(kind.into());
            flagged(
                error,
                &[("--rest", None), ("--out", Some(Path::new("out")))],
            )
        };
        assert!(
            matches!(failure(Kind::NotFound), Failure::Usage(it) if it.starts_with("--out out: "))
        );
        assert!(
            matches!(failure(Kind::StorageFull), Failure::Failed(it) if it.to_string().starts_with("--out out: "))
        );
    }
}
