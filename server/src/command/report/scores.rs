//! Scores as tables: totals, relations, what was taken for what. Every page with scores shows them by this.

use std::collections::BTreeSet;

use train::eval::EvalReport;
use train::metrics::Scores;

use super::page::{escape, table};

/// All tables, with their headings.
pub fn tables(report: &EvalReport) -> String {
    let scores = &report.scores;
    format!(
        "{}<h2>Relations</h2>{}<h2>Confusion</h2>{}<h2>Taken for each other</h2>{}",
        totals(report),
        relations(scores),
        matrix(scores),
        mistakes(scores)
    )
}

fn totals(report: &EvalReport) -> String {
    let scores = &report.scores;
    let mut shares = vec![
        ("accuracy", scores.accuracy),
        ("precision", scores.precision),
        ("recall", scores.recall),
        ("micro F1", scores.micro_f1),
        ("macro F1", scores.macro_f1),
        ("valid traces", report.valid_traces),
    ];
    if let Some(statements) = &report.statements {
        shares.push(("consistent traces", statements.consistent));
        shares.push(("types agree", statements.types_agree));
    }
    shares.push(("calibration error", report.ece));
    shares.push(("Brier score", report.brier));
    let rows = shares.into_iter();
    let rows = rows.map(|(name, value)| format!("<tr><td>{name}<td>{value:.4}"));
    format!(
        "<table><tr><td>records<td>{}{}</table>",
        report.records,
        rows.collect::<String>()
    )
}

fn relations(scores: &Scores) -> String {
    let all = scores.per_relation.iter();
    let occurring = all.filter(|(_, one)| one.support + one.predicted > 0);
    let rows = occurring.map(|(name, one)| {
        let shares = [one.precision, one.recall, one.f1].map(|share| format!("{share:.3}"));
        let [precision, recall, f1] = shares;
        vec![escape(name), precision, recall, f1, one.support.to_string()]
    });
    table(&["relation", "P", "R", "F1", "n"], rows)
}

fn mistakes(scores: &Scores) -> String {
    let pairs = scores.confusion.iter();
    let pairs = pairs.flat_map(|(gold, said)| said.iter().map(move |it| (gold, it)));
    let wrong = pairs.filter(|(gold, (said, _))| *gold != *said);
    let rows =
        wrong.map(|(gold, (said, count))| vec![escape(gold), escape(said), count.to_string()]);
    table(&["gold", "said", "n"], rows)
}

/// A row for what was meant, a column for what was said. Columns have the numbers of the rows: names are too long for them.
fn matrix(scores: &Scores) -> String {
    let said = scores.confusion.values().flat_map(|row| row.keys());
    let names: BTreeSet<&String> = scores.confusion.keys().chain(said).collect();
    let names: Vec<&String> = names.into_iter().collect();
    let row = |(at, gold): (usize, &&String)| {
        let (number, name) = (at + 1, escape(gold));
        let head = format!("<th title=\"{name}\">{number}");
        let cells = cells(scores, &names, gold);
        (head, format!("<tr><th scope=row>{number} {name}{cells}"))
    };
    let (heads, rows): (Vec<String>, Vec<String>) = names.iter().enumerate().map(row).unzip();
    format!(
        "<div class=wide><table class=matrix><thead><tr><th>gold \\ said{}</thead>{}</table></div>",
        heads.concat(),
        rows.concat()
    )
}

/// How often each of `names` was said where `gold` was meant; the more of the row, the more colour.
fn cells(scores: &Scores, names: &[&String], gold: &String) -> String {
    let row = scores.confusion.get(gold);
    let count = |said: &String| row.and_then(|row| row.get(said)).copied().unwrap_or(0);
    let all: usize = names.iter().map(|said| count(said)).sum();
    let cell = |said: &&String| {
        let count = count(said);
        if count == 0 {
            return "<td>".to_owned();
        }
        let class = if gold == *said { "hit" } else { "miss" };
        // Half the colour at most: the number on it has to be read. A tenth at least: one mistake in a hundred has to be seen.
        let share = (count * 50 / all).max(10);
        let (gold, said) = (escape(gold), escape(said));
        format!("<td class={class} style=\"--share:{share}\" title=\"{gold} said {said}\">{count}")
    };
    let cells: Vec<String> = names.iter().map(cell).collect();
    cells.concat()
}
