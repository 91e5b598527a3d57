//! The page that `more-r1 report` writes: the curves of a run, what it was configured with, what it last said, and scores with mistakes
//! where they are given. Draws every metric that the run has written, also one that nobody has thought of here.

use serde_json::{Map, Value};
use train::eval::EvalReport;
use train::log::{Completion, Sampled};
use train::run_dir::RunDir;

use super::chart::{Curve, figure};
use super::page::{escape, number, page as whole, table};
use super::{evaluation as answered, scores};

/// Charts in the order of the page, each with the metrics that share its axes; `*` stands for anything. A metric that fits nowhere gets a
/// chart of its own behind these.
const CHARTS: [(&str, &[&str]); 13] = [
    (
        "Rewards",
        &["reward", "reward/*/mean", "reward_hard", "reward_easy"],
    ),
    ("Spread of rewards", &["reward_std", "reward/*/std"]),
    ("Groups with equal rewards", &["frac_reward_zero_std"]),
    ("Loss", &["loss"]),
    ("Distance from the reference (KL)", &["kl"]),
    ("Clipped updates", &["clip_ratio/*"]),
    ("Length of completions", &["completions/*length"]),
    (
        "Completions cut at the limit",
        &["completions/clipped_ratio"],
    ),
    ("Entropy", &["entropy"]),
    ("Norm of the gradient", &["grad_norm"]),
    ("Learning rate", &["learning_rate", "lr"]),
    ("Records a second", &["samples/s"]),
    ("Tokens a second", &["tokens/s"]),
];

/// Numbers that grow with the step and say nothing beside it.
const CLOCKS: [&str; 2] = ["epoch", "elapsed"];

/// The page of the run called `name`.
pub fn page(name: &str, run: &RunDir, evaluation: Option<&EvalReport>) -> String {
    let charts = charts(run).into_iter().enumerate();
    let figures = charts.map(|(id, (title, curves))| figure(id, title, &curves));
    let tables = evaluation.map(scores::tables).unwrap_or_default();
    let mistakes = evaluation.map(answered::answers).unwrap_or_default();
    let samples = run.samples.iter().map(sample);
    let body = [
        format!("<h1>{}</h1><p><small>{}</small>", escape(name), facts(run)),
        section("Curves", "charts", &figures.collect::<String>()),
        section("Evaluation", "scores", &tables),
        section("Mistakes", "mistakes", &mistakes),
        section("Completions", "samples", &samples.collect::<String>()),
        section("Configuration", "config", &configuration(&run.config)),
    ];
    whole(&format!("{name}: training"), &body.concat())
}

/// A part of the page under its heading; nothing at all if there is nothing to show.
fn section(title: &str, class: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    format!("<h2>{title}</h2><div class={class}>{content}</div>")
}

fn configuration(config: &Map<String, Value>) -> String {
    if config.is_empty() {
        return String::new();
    }
    let mut rows = vec![];
    flatten("", config, &mut rows);
    let rows = rows.iter();
    table(
        &["key", "value"],
        rows.map(|(key, value)| vec![escape(key), escape(value)]),
    )
}

/// The metrics that are drawn.
pub fn drawn(run: &RunDir) -> impl Iterator<Item = Curve<'_>> {
    let drawn = run.metrics.iter();
    let drawn = drawn.filter(|(name, _)| !CLOCKS.contains(&name.as_str()));
    drawn.map(|(name, points)| Curve { name, points })
}

/// How far the run is.
fn facts(run: &RunDir) -> String {
    let mut facts = vec![format!("step {}", run.steps())];
    let last = |name: &str| Some(*run.metrics.get(name)?.last_key_value()?.1);
    if let Some(epoch) = last("epoch") {
        facts.push(format!("epoch {}", number(epoch)));
    }
    if let Some(seconds) = last("elapsed") {
        facts.push(format!("{seconds:.0} s since it began or went on"));
    }
    if run.unread > 0 {
        facts.push(format!("lines that could not be read: {}", run.unread));
    }
    facts.join(" · ")
}

/// All curves in their charts.
fn charts(run: &RunDir) -> Vec<(&str, Vec<Curve<'_>>)> {
    let mut charts: Vec<(&str, Vec<Curve>)> = CHARTS.map(|(title, _)| (title, vec![])).into();
    for curve in drawn(run) {
        let place = CHARTS
            .iter()
            .position(|(_, patterns)| patterns.iter().any(|pattern| fits(pattern, curve.name)));
        match place {
            Some(place) => charts[place].1.push(curve),
            None => charts.push((curve.name, vec![curve])),
        }
    }
    charts.retain(|(_, curves)| !curves.is_empty());
    charts
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((begin, end)) => name
            .strip_prefix(begin)
            .is_some_and(|rest| rest.ends_with(end)),
        None => pattern == name,
    }
}

/// A question and what the model said to it.
fn sample(sampled: &Sampled) -> String {
    let completions: String = sampled.completions.iter().map(completion).collect();
    format!(
        "<article><div><p><small>step</small> {step} <small>image</small> {image} <small>entity</small> {entity} \
         <small>gold</small> <b>{gold}</b>{completions}</div></article>",
        step = sampled.step,
        image = escape(&sampled.img_id),
        entity = escape(&sampled.entity),
        gold = escape(&sampled.relation),
    )
}

fn completion(completion: &Completion) -> String {
    let rewards = completion.rewards.iter();
    let rewards = rewards.map(|(name, value)| format!("{name} {}", number(*value)));
    let mut head: Vec<String> = rewards.collect();
    head.push(format!("advantage {}", number(completion.advantage)));
    let head = escape(&head.join(" · "));
    let text = escape(&completion.text);
    format!("<details><summary>{head}</summary><pre>{text}</pre></details>")
}

/// The leaves of a configuration under their paths, such as `training.seed`; what is not set is left out.
fn flatten(path: &str, config: &Map<String, Value>, rows: &mut Vec<(String, String)>) {
    for (key, value) in config {
        let place = format!("{path}{key}");
        match value {
            Value::Object(inner) => flatten(&format!("{place}."), inner, rows),
            Value::Null => {}
            Value::String(text) => rows.push((place, text.clone())),
            other => rows.push((place, other.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn run(names: &[&str]) -> RunDir {
        let points = BTreeMap::from([(1, 0.5), (2, 0.75)]);
        let metric = |name: &&str| ((*name).to_owned(), points.clone());
        RunDir {
            metrics: names.iter().map(metric).collect(),
            ..RunDir::default()
        }
    }

    #[test]
    fn what_belongs_together_shares_a_chart() {
        let run = run(&[
            "reward",
            "reward/answer/mean",
            "reward/brand_new/mean",
            "reward_std",
            "clip_ratio/low_mean",
            "clip_ratio/high_mean",
            "completions/mean_length",
            "completions/clipped_ratio",
            "surprise",
            "loss",
            "epoch",
            "elapsed",
        ]);
        let charts = charts(&run);
        let charts = charts.iter().map(|(title, curves)| {
            let names = curves.iter().map(|curve| curve.name);
            (*title, names.collect::<Vec<_>>())
        });
        let expected = [
            (
                "Rewards",
                vec!["reward", "reward/answer/mean", "reward/brand_new/mean"],
            ),
            ("Spread of rewards", vec!["reward_std"]),
            ("Loss", vec!["loss"]),
            (
                "Clipped updates",
                vec!["clip_ratio/high_mean", "clip_ratio/low_mean"],
            ),
            ("Length of completions", vec!["completions/mean_length"]),
            (
                "Completions cut at the limit",
                vec!["completions/clipped_ratio"],
            ),
            ("surprise", vec!["surprise"]),
        ];
        assert_eq!(charts.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_configuration_is_a_list_of_paths() {
        let config = serde_json::json!({
            "run_dir": "a", "training": {"seed": 5, "emphasis": null, "templates": ["prefix"]},
        });
        let mut rows = vec![];
        flatten("", config.as_object().expect("an object"), &mut rows);
        let rows: Vec<String> = rows
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let expected = [
            "run_dir=a",
            "training.seed=5",
            "training.templates=[\"prefix\"]",
        ];
        assert_eq!(rows, expected);
    }
}
