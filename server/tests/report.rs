//! `report` as a shell sees it: pages from the directory of a run, whatever stands in its files.

mod binary;

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use binary::more_r1;

fn write(folder: &TempDir, name: &str, text: &str) {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
    fs::write(path, text).expect("writable");
}

const EVIL: &str = "</pre><script>alert('\"')</script><img src=x onerror=alert(1)>";

/// A folder with the directory of a run of stage 2; every name and text in it tries to break out of the page.
fn run() -> TempDir {
    let folder = TempDir::new().expect("a folder for the test");
    let line = |step: usize| {
        let share = step as f64 / 40.0;
        let line = json!({
            "step": step, "epoch": share, "loss": 0.01 * share, "reward": 3.0 * share, "reward_std": 1.0 - share,
            "reward/format/mean": share, "reward/length/mean": 1.0, "reward/answer/mean": share * share,
            "frac_reward_zero_std": 0.25, "kl": 0.001, "clip_ratio/low_mean": 0.0, "clip_ratio/high_mean": 0.01,
            "clip_ratio/region_mean": 0.01, "completions/mean_length": 300.0 - step as f64,
            "completions/clipped_ratio": 0.0, "entropy": 1.5, "grad_norm": 0.4, "lr": 1e-6, "tokens/s": 900.0,
            "elapsed": 60.0 * step as f64, "<b>odd</b>": 1.0, "unset": null,
        });
        format!("{line}\n")
    };
    let torn = "{\"step\":41,\"loss\":";
    let lines: String = (1..=40).map(line).collect();
    write(&folder, "run/metrics.jsonl", &(lines + torn));
    let state =
        json!({"step": 40, "config": {"run_dir": EVIL, "training": {"beta": 0.001, EVIL: 1}}});
    write(
        &folder,
        "run/checkpoint-40/trainer_state.json",
        &state.to_string(),
    );
    let sampled = |step: usize, entity: &str| {
        let completions = [EVIL, "<answer>none</answer>"].map(
            |text| json!({"text": text, "rewards": {"format": 1.0, EVIL: 0.0}, "advantage": -0.5}),
        );
        let line = json!({
            "step": step, "img_id": EVIL, "entity": entity, "relation": EVIL, "completions": completions,
        });
        format!("{line}\n")
    };
    let names = ["Oldest", "2", "3", "4", "5", "6", "7", "8", EVIL].into_iter();
    let lines = (32..).zip(names).map(|(step, name)| sampled(step, name));
    write(&folder, "run/completions.jsonl", &lines.collect::<String>());
    folder
}

fn page(folder: &TempDir, more: &[&str]) -> String {
    let output = more_r1(
        folder.path(),
        &[&["report", "run", "--out", "page.html"], more].concat(),
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    fs::read_to_string(folder.path().join("page.html")).expect("it was written")
}

/// What asks another address, and what runs.
fn harmless(page: &str) {
    for part in [
        "<script", "<img", "<link", "<iframe", "http:", "https:", "//", "url(", "@import",
    ] {
        assert!(!page.contains(part), "the page holds {part}");
    }
    assert!(page.contains("default-src 'none'"));
    assert!(page.contains("prefers-color-scheme:dark") && page.contains("name=viewport"));
}

#[test]
fn every_metric_is_drawn_and_nothing_breaks_out_of_the_page() {
    let folder = run();
    let page = page(&folder, &[]);
    harmless(&page);
    for part in [
        "<figcaption>Rewards</figcaption>",
        "reward/answer/mean: 6.25e-4 at step 1, 1 at step 40, between 6.25e-4 and 1.",
        "<figcaption>Length of completions</figcaption>",
        "&lt;b&gt;odd&lt;/b&gt; 1</span>", // a metric nobody has thought of
        "step 40 · epoch 1 · 2400 s",
        "<td>training.beta<td>0.001",
        "&lt;/pre&gt;&lt;script&gt;alert('&quot;')",
        "format 1 · ",
        "advantage -0.5",
        "&lt;answer&gt;none&lt;/answer&gt;",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("Oldest"), "only the latest completions");
    assert_eq!(page.matches("<small>entity</small>").count(), 8);
    assert!(
        !page.contains("could not be read"),
        "a torn end is no fault"
    );
    assert!(!page.contains("unset"), "no number, no curve");
    assert_eq!(page.matches("<figure>").count(), 13);

    let args = ["report", "run", "--out", "page.html", "--json"];
    let output = more_r1(folder.path(), &args);
    let shown: Value = serde_json::from_slice(&output.stdout).expect("a summary");
    let expected = json!({"file": "page.html", "steps": 40, "metrics": 18, "samples": 8});
    assert_eq!(shown, expected);
}

/// The page of an evaluation and that of a run show the same tables.
#[test]
fn scores_come_from_what_eval_prints() {
    let folder = run();
    let args = "data synth --out data --seed 9 --train 1 --dev 1 --test 4";
    more_r1(folder.path(), &args.split(' ').collect::<Vec<_>>());
    let path = folder.path().join("data/test.jsonl");
    let text = fs::read_to_string(&path).expect("just written");
    let mut facts: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a fact"))
        .collect();
    facts[0]["relation"] = json!("/loc/loc/contain"); // at least one mistake
    let facts: Vec<String> = facts.iter().map(|fact| format!("{fact}\n")).collect();
    fs::write(&path, facts.concat()).expect("writable");
    let args = "eval --json --data data/test.jsonl --images data/images --report eval.html";
    let output = more_r1(folder.path(), &args.split(' ').collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    fs::write(folder.path().join("eval.json"), &output.stdout).expect("writable");
    let page = page(&folder, &["--eval", "eval.json"]);
    let tables = |page: &str| {
        let begin = page
            .find("<table><tr><td>records<td>4")
            .expect("the totals");
        let end = page
            .find("<h2>Answers")
            .or_else(|| page.find("</div><h2>Mistakes"));
        page[begin..end.expect("what comes next")].to_owned()
    };
    let eval = fs::read_to_string(folder.path().join("eval.html")).expect("written");
    assert_eq!(tables(&page), tables(&eval));
    for part in [
        "<table class=matrix>",
        "class=miss",
        "class=hit",
        "<th>P<th>R<th>F1",
    ] {
        assert!(tables(&page).contains(part), "{part}");
    }
    assert!(eval.contains("data:image/") && !eval.contains("<script"));

    // A mistake stands in both with its photo, the framed object and the six steps.
    let mistakes = page.split("<h2>Mistakes").nth(1).expect("there is one");
    let mistake = mistakes.split("</article>").next().expect("its end");
    assert!(eval.contains(mistake.split("<article").nth(1).expect("its beginning")));
    let gold = "<small>gold</small> /loc/loc/contain";
    for part in ["<article class=wrong>", "<rect x=", gold, "</small> <b>"] {
        assert!(mistake.contains(part), "{part}");
    }
    assert_eq!(mistake.matches("<li><small>").count(), 6);
    let (before, photo) = mistake.split_once("base64,").expect("a photo");
    let (_, behind) = photo.split_once('"').expect("its end");
    harmless(&page.replace(mistake, &[before, behind].concat()));
}

/// Stage 1 writes other metrics, and its run may be young.
#[test]
fn a_run_of_stage_1_without_checkpoint_has_a_page() {
    let folder = TempDir::new().expect("a folder for the test");
    let line = "{\"step\":1,\"epoch\":0.1,\"loss\":5.5,\"learning_rate\":0.001,\"grad_norm\":1.0,\"samples/s\":3.0,\
        \"tokens/s\":700.0,\"elapsed\":2.0}\nnot a line\n";
    write(&folder, "run/metrics.jsonl", line);
    let page = page(&folder, &[]);
    harmless(&page);
    assert_eq!(page.matches("<figure>").count(), 5);
    for part in [
        "Learning rate",
        "Records a second",
        "lines that could not be read: 1",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<h2>Completions") && !page.contains("<h2>Configuration"));
}

#[test]
fn what_is_missing_ends_with_2_and_its_name() {
    let folder = run();
    fs::create_dir(folder.path().join("empty")).expect("a new folder");
    write(&folder, "wrong.json", "{\"records\":1}");
    for (args, part) in [
        ("report nowhere --out page.html", "nowhere: no such folder"),
        ("report empty --out page.html", "metrics.jsonl: no metrics"),
        ("report run", "--out"),
        (
            "report run --out no/such/page.html",
            "--out no/such/page.html",
        ),
        (
            "report run --out page.html --eval none.json",
            "--eval none.json",
        ),
        (
            "report run --out page.html --eval wrong.json",
            "--eval wrong.json",
        ),
    ] {
        let output = more_r1(folder.path(), &args.split(' ').collect::<Vec<_>>());
        let line = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args}: {line}");
        assert_eq!(line.lines().count(), 1, "{args}: {line}");
        assert!(line.contains(part), "{args}: {line}");
    }
    assert!(!folder.path().join("page.html").exists());
}
