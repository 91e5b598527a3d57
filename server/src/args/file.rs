//! Flags in a TOML file: the flags of each command in a table under its name (`[serve]`, `[data.synth]`), those of all commands before
//! the first table. What is typed counts more, then the environment, then the file.

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command};
use toml::{Table, Value};

/// The flag that names the file, and its variable.
const FLAG: &str = "--settings";
const VARIABLE: &str = "MORE_R1_SETTINGS";

/// The file that the arguments or the environment name.
pub fn named(args: &[OsString]) -> Option<OsString> {
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == OsStr::new(FLAG) {
            return args.next().cloned();
        }
        if let Some(file) = arg.to_str().and_then(|it| it.strip_prefix("--settings=")) {
            return Some(file.into());
        }
    }
    std::env::var_os(VARIABLE).filter(|it| !it.is_empty())
}

/// `command` with what the file says as defaults.
///
/// # Errors
/// Text that is no TOML, a command or flag that does not exist, a value of no flag's kind.
pub fn apply(command: Command, text: &str) -> Result<Command, String> {
    let table: Table = text.parse().map_err(|error| format!("{error}"))?;
    fill(command, table, "")
}

fn fill(mut command: Command, table: Table, path: &str) -> Result<Command, String> {
    for (key, value) in table {
        let place = format!("{path}{key}");
        if let Value::Table(flags) = value {
            let known = command.find_subcommand(&key); // by a second name too
            let known = known.map(|it| it.get_name().to_owned());
            let known = known.ok_or_else(|| format!("[{place}]: there is no such command"))?;
            let mut wrong = None;
            command = command.mut_subcommand(known, |inner| {
                let filled = fill(inner.clone(), flags, &format!("{place}."));
                filled.unwrap_or_else(|reason| {
                    wrong = Some(reason);
                    inner
                })
            });
            if let Some(reason) = wrong {
                return Err(reason);
            }
            continue;
        }
        let long = key.replace('_', "-");
        let named = |arg: &&Arg| arg.get_long() == Some(&long) && long != "settings";
        let flag = command.get_arguments().find(named);
        let id = flag.map(|arg| arg.get_id().clone());
        let id = id.ok_or_else(|| format!("{place}: there is no flag --{long}"))?;
        let values = match value {
            Value::Array(values) => values.iter().map(|it| written(it, &place)).collect(),
            one => written(&one, &place).map(|it| vec![it]),
        };
        let values: Vec<String> = values?;
        command = command.mut_arg(id, |arg| arg.default_values(values).required(false));
    }
    Ok(command)
}

/// A value as it would be typed.
fn written(value: &Value, place: &str) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => Ok(value.to_string()),
        other => Err(format!("{place}: a flag takes no {}", other.type_str())),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches};

    use super::*;
    use crate::args::{self, Cli};

    fn read(text: &str, typed: &[&str]) -> Result<Cli, String> {
        let command = apply(Cli::command(), text)?;
        let typed = ["more-r1"].iter().chain(typed);
        let matches = command.try_get_matches_from(typed);
        let cli = matches.and_then(|it| Cli::from_arg_matches(&it));
        cli.map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_typed_counts_more_than_the_file() {
        let text = "json = true\n[serve]\nlisten = \"127.0.0.1:7\"\nqueue = 9\ncors_origin = [\"http://a\", \"http://b\"]\n";
        let cli = read(text, &["serve", "--queue", "5"]).expect("all flags exist");
        assert!(cli.json);
        let args::Command::Serve(serve) = cli.command else {
            panic!("serve was typed");
        };
        assert_eq!(serve.listen.port(), 7);
        assert_eq!(serve.queue, 5);
        assert_eq!(serve.cors_origin, ["http://a", "http://b"]);
    }

    #[test]
    fn a_command_has_its_second_name_here_too() {
        let typed = ["data", "import", "more", "--src", "a", "--out", "b"];
        let cli = read("[data.import.jsonl]\nmax_rejected = 0.5", &typed).expect("its flag");
        let args::Command::Data(args::DataCommand::Import(args::ImportCommand::More(args))) =
            cli.command
        else {
            panic!("an import was typed");
        };
        assert!((args.import.max_rejected - 0.5).abs() < 1e-12);
    }

    #[test]
    fn what_does_not_exist_is_named() {
        for (text, named) in [
            ("x = 1", "--x"),
            ("[serv]\nqueue = 1", "[serv]"),
            ("[serve]\nqueu = 1", "serve.queu"),
            ("[serve]\nqueue = 1979-05-27", "datetime"),
            ("[serve]\nqueue = 0", "--queue"),
            ("[data.synth]\nsed = 1", "data.synth.sed"),
            ("[serve", "TOML"),
        ] {
            let error = read(text, &["serve"]).err().unwrap_or_default();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
