//! `data annotate` as a shell sees it: exit codes, the summary, the secret, and a run that is killed (`SIGKILL`).

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::expert::{Expert, Reply};
use tokio::runtime::Runtime;

const KEY: &str = "sk-a-very-secret-key";

/// An expert that always does the same, and what it runs on.
fn expert(reply: Reply) -> (Expert, Runtime) {
    let runtime = Runtime::new().expect("threads");
    let expert = runtime.block_on(Expert::start(move |_, _| reply.clone()));
    (expert, runtime)
}

/// One that answers, with nothing to learn from.
fn useless() -> (Expert, Runtime) {
    expert(Reply::Write("I cannot help with that.".to_owned()))
}

fn folder(records: usize) -> TempDir {
    let folder = TempDir::new().expect("a folder for the test");
    let photo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/photo.jpg");
    std::fs::copy(photo, folder.path().join("photo.jpg")).expect("the example is there");
    let line = |number: usize| {
        json!({
            "img_id": "photo.jpg", "text": format!("Day {number} of the Cup"), "token": ["Day"],
            "h": {"name": ["Cup"], "pos": [4, 5]}, "t": {"name": "x", "pos": [0.5, 0.5, 0.2, 0.2]}, "relation": "none",
        })
        .to_string()
    };
    let lines: Vec<String> = (0..records).map(line).collect();
    std::fs::write(folder.path().join("data.jsonl"), lines.join("\n")).expect("a new file");
    folder
}

fn annotate(folder: &Path, base_url: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_more-r1"));
    command
        .args(["data", "annotate", "--json", "--data", "data.jsonl"])
        .args(["--images", ".", "--out", "out.jsonl"])
        .args(["--base-url", base_url, "--backoff-seconds", "0.01"])
        .args(["--key-env", "EXPERT_KEY"])
        .args(args)
        .env("EXPERT_KEY", KEY)
        .current_dir(folder);
    command
}

fn ended(output: &Output) -> (i32, Value) {
    let code = output.status.code().expect("not killed");
    let summary = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (code, summary)
}

#[test]
fn a_whole_run_ends_with_0_and_shows_no_key() {
    let (folder, (expert, _runtime)) = (folder(2), useless());
    let args = ["--model", "m", "--log", "trace", "--price-input", "10"];
    let output = annotate(folder.path(), &expert.base_url, &args).output();
    let output = output.expect("the binary runs");
    let (code, summary) = ended(&output);
    assert_eq!(code, 0, "{output:?}");
    let expected = json!({
        "records": 2, "requests": 2, "answered": 2, "resumed": 0, "kept": 0, "rejected": {"structure": 2},
        "prompt_tokens": 2000, "completion_tokens": 200, "cost": 0.02, "stopped": null,
    });
    assert_eq!(summary, expected);
    for name in ["out.jsonl", "out.jsonl.rejected", "out.jsonl.journal"] {
        let text = std::fs::read_to_string(folder.path().join(name)).expect(name);
        assert!(!text.contains(KEY), "{name}");
    }
    let shown = [output.stdout, output.stderr].concat();
    assert!(!String::from_utf8_lossy(&shown).contains(KEY));

    // Judged again, without an expert or its name.
    let output = Command::new(env!("CARGO_BIN_EXE_more-r1"))
        .args(["data", "annotate", "--json", "--filter-only"])
        .args(["--data", "data.jsonl", "--out", "out.jsonl"])
        .current_dir(folder.path())
        .output();
    let (code, summary) = ended(&output.expect("the binary runs"));
    assert_eq!((code, &summary["requests"]), (0, &json!(0)));
    assert_eq!(summary["rejected"], json!({"structure": 2}));
}

#[test]
fn a_run_that_stops_says_why_by_its_code() {
    let (folder, (expert, _runtime)) = (folder(8), useless());
    let money = [
        "--model",
        "m",
        "--max-tokens",
        "100",
        "--price-input",
        "10",
        "--price-output",
        "100",
    ];
    let budget = [&money[..], &["--budget", "0.05"]].concat();
    let output = annotate(folder.path(), &expert.base_url, &budget).output();
    let output = output.expect("the binary runs");
    let (code, summary) = ended(&output);
    let line = String::from_utf8_lossy(&output.stderr);
    assert_eq!((code, &summary["stopped"]), (3, &json!("budget")), "{line}");
    assert!(
        line.contains("budget") && line.contains("--resume"),
        "{line}"
    );
    assert!(summary["cost"].as_f64().is_some_and(|cost| cost <= 0.05));

    // Port 9 (discard) is closed wherever tests run.
    let resume = ["--model", "m", "--resume"];
    let output = annotate(folder.path(), "http://127.0.0.1:9/v1", &resume).output();
    let output = output.expect("the binary runs");
    let (code, summary) = ended(&output);
    let line = String::from_utf8_lossy(&output.stderr);
    assert_eq!(code, 1, "{line}");
    assert!(
        line.contains("cannot be reached") && line.contains("--resume"),
        "{line}"
    );
    assert_eq!(summary["answered"], 0);

    let (closed, _other) = self::expert(Reply::Status(401, "", None));
    let mut command = annotate(folder.path(), &closed.base_url, &resume);
    let output = command.env("EXPERT_KEY", "").output();
    let output = output.expect("the binary runs");
    let line = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert!(
        line.contains("401") && line.contains("EXPERT_KEY"),
        "{line}"
    );

    for (args, part) in [
        (&["--model", "m"][..], "--resume"),
        (
            &["--model", "m", "--resume", "--budget", "1"],
            "--price-input",
        ),
        (
            &[
                "--model",
                "m",
                "--resume",
                "--budget",
                "1",
                "--price-input",
                "1",
            ],
            "--price-output",
        ),
        (&["--resume"], "--model"),
        (&["--resume", "--filter-only"], "--filter-only"),
    ] {
        let output = annotate(folder.path(), &expert.base_url, args).output();
        let output = output.expect("the binary runs");
        let line = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {line}");
        assert!(line.contains(part), "{args:?}: {line}");
    }
}

/// What cannot be written is found out before anything is paid.
#[test]
fn results_that_cannot_be_are_refused_before_the_first_question() {
    let (folder, (expert, _runtime)) = (folder(1), useless());
    for name in ["taken", "out.rejected"] {
        std::fs::create_dir(folder.path().join(name)).expect("a new folder");
    }
    let resume: &[&str] = &["--model", "m", "--resume"];
    let filter: &[&str] = &["--filter-only"];
    for (mode, args, named) in [
        (resume, ["--out", "taken"], ["--out", "taken"]),
        (resume, ["--out", "new/"], ["--out", "new/"]),
        (resume, ["--out", "out"], ["rejected", "is a folder"]),
        (resume, ["--out", "no/out"], ["--out", "no is no folder"]),
        (resume, ["--journal", "taken"], ["--journal", "taken"]),
        (resume, ["--journal", "no/j"], ["--journal", "no is no"]),
        (
            resume,
            ["--min-chars", "5000"],
            ["--min-chars", "--max-chars"],
        ),
        (
            resume,
            ["--max-tokens", "1000001"],
            ["--max-tokens", "1000000"],
        ),
        (filter, ["--journal", "none"], ["--journal", "none"]),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_more-r1"));
        command
            .args(["data", "annotate", "--data", "data.jsonl", "--images", "."])
            .args(["--base-url", &expert.base_url])
            .args(mode)
            .args(args)
            .current_dir(folder.path());
        if args[0] != "--out" {
            command.args(["--out", "out.jsonl"]);
        }
        let output = command.output().expect("the binary runs");
        let line = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {line}");
        assert!(named.iter().all(|it| line.contains(it)), "{args:?}: {line}");
    }
    assert!(expert.asked().is_empty());
    assert!(!folder.path().join("out.jsonl.journal").exists());
}

/// Two names of one file would have the one written over the other.
#[test]
fn nothing_is_written_over() {
    let folder = folder(1);
    let data = std::fs::read(folder.path().join("data.jsonl")).expect("it was written");
    let journal = folder.path().join("paid.journal");
    std::fs::write(&journal, "paid\n").expect("a new file");
    for (out, journal, named) in [
        ("./data.jsonl", "paid.journal", ["--data", "--out"]),
        ("out.jsonl", "data.jsonl", ["--data", "--journal"]),
        ("paid.journal", "./paid.journal", ["--out", "--journal"]),
        ("out.jsonl", "out.jsonl.rejected", ["--journal", "rejected"]),
    ] {
        for mode in [&["--filter-only"][..], &["--resume", "--model", "m"]] {
            let output = Command::new(env!("CARGO_BIN_EXE_more-r1"))
                .args(["data", "annotate", "--images", ".", "--data", "data.jsonl"])
                .args(["--base-url", "http://127.0.0.1:9/v1"])
                .args(["--out", out, "--journal", journal])
                .args(mode)
                .current_dir(folder.path())
                .output()
                .expect("the binary runs");
            let line = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{line}");
            assert!(named.iter().all(|it| line.contains(it)), "{line}");
        }
    }
    let read = |name: &str| std::fs::read(folder.path().join(name)).expect("it is there");
    assert!(data == read("data.jsonl") && read("paid.journal") == b"paid\n");
}

/// The key of `OpenAI`'s variable is for `OpenAI`.
#[test]
fn a_key_is_sent_where_it_is_meant_to_go() {
    let (expert, _runtime) = useless();
    let run = |folder: &TempDir, args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_more-r1"))
            .args(["data", "annotate", "--model", "m", "--images", "."])
            .args(["--data", "data.jsonl", "--out", "out.jsonl"])
            .args(args)
            .env("OPENAI_API_KEY", KEY)
            .current_dir(folder.path())
            .output()
            .expect("the binary runs");
        let line = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), line)
    };
    let base = ["--base-url", &expert.base_url];
    let (code, line) = run(&folder(1), &base);
    assert_eq!(code, Some(0), "{line}");
    let named = [&base[..], &["--key-env", "OPENAI_API_KEY"]].concat();
    let (code, line) = run(&folder(1), &named);
    assert_eq!(code, Some(0), "{line}");
    let asked = expert.asked().into_iter();
    let keys: Vec<String> = asked.map(|it| it.authorization).collect();
    assert_eq!(keys, [String::new(), format!("Bearer {KEY}")]);

    let plain = [
        "--base-url",
        "http://expert.invalid/v1",
        "--key-env",
        "OPENAI_API_KEY",
    ];
    let (code, line) = run(&folder(1), &plain);
    assert_eq!(code, Some(2), "{line}");
    assert!(line.contains("https") && !line.contains(KEY), "{line}");
}

#[test]
fn what_a_run_needs_may_stand_in_the_file_of_settings() {
    let (folder, (expert, _runtime)) = (folder(1), useless());
    let settings = "[data.annotate]\nmodel = \"m\"\nimages = \".\"\ndata = \"data.jsonl\"\n";
    std::fs::write(folder.path().join("more-r1.toml"), settings).expect("a new file");
    let output = Command::new(env!("CARGO_BIN_EXE_more-r1"))
        .args(["--settings", "more-r1.toml", "data", "annotate", "--json"])
        .args(["--out", "out.jsonl", "--base-url", &expert.base_url])
        .current_dir(folder.path())
        .output()
        .expect("the binary runs");
    let line = String::from_utf8_lossy(&output.stderr).into_owned();
    let (code, summary) = ended(&output);
    assert_eq!((code, &summary["answered"]), (0, &json!(1)), "{line}");
}

#[test]
fn a_killed_run_asks_nobody_twice_who_has_answered() {
    let late = Reply::Late(Duration::from_millis(100));
    let (folder, (expert, _runtime)) = (folder(12), expert(late));
    let journal = folder.path().join("out.jsonl.journal");
    let args = ["--model", "m", "--concurrency", "2"];
    let mut child = annotate(folder.path(), &expert.base_url, &args)
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let answers = || {
        let text = std::fs::read_to_string(&journal).unwrap_or_default();
        let whole = text.split_inclusive('\n').filter(|it| it.ends_with('\n'));
        whole.filter(|it| it.contains("\"answer\":\"")).count()
    };
    let begin = Instant::now();
    while answers() < 4 {
        assert!(begin.elapsed() < Duration::from_mins(1), "no answers");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("still our child");
    child.wait().expect("still our child");
    let before = answers();
    let resume = [&args[..], &["--resume"]].concat();
    let output = annotate(folder.path(), &expert.base_url, &resume).output();
    let (code, summary) = ended(&output.expect("the binary runs"));
    assert_eq!((code, &summary["resumed"]), (0, &json!(before)));
    assert_eq!(summary["answered"], 12 - before);
    // Two were under way when it was killed: those alone may have been asked twice, and count each time.
    let asked = expert.asked().len();
    assert!(asked <= 12 + 2, "{asked}");
    let spent = summary["completion_tokens"].as_u64().expect("a number");
    assert!(spent >= 100 * asked as u64, "{spent} for {asked}");
}
