//! `more-r1 eval --compare`: the paper's table over reports of earlier evaluations. Loads no model.

use train::compare::{Column, Comparison, Row, Source, compare};

use crate::args::CompareArgs;
use crate::command::{Failure, print};

pub fn run(args: &CompareArgs, json: bool) -> Result<(), Failure> {
    let sources: Vec<Source> = args
        .compare
        .iter()
        .map(|it| Source::from_text(it))
        .collect();
    let table = compare(&sources).map_err(|error| Failure::Usage(format!("--compare: {error}")))?;
    print(json, &table, |table| {
        if args.markdown {
            in_markdown(table)
        } else {
            in_words(table)
        }
    })
}

/// Columns under each other, the best of a column with a star.
fn in_words(table: &Comparison) -> String {
    let names = table.rows.iter().map(|row| row.name.chars().count());
    let width = names.max().unwrap_or(0);
    let line = |name: &str, cells: [String; 4], n: &str| {
        let [accuracy, precision, recall, f1] = cells;
        format!("{name:<width$} {accuracy:>7} {precision:>7} {recall:>7} {f1:>7} {n:>7}")
    };
    let mut lines = vec![line(
        "",
        Column::ALL.map(|it| format!("{} ", it.head())),
        "n",
    )];
    lines.extend(table.rows.iter().map(|row| {
        let cells = Column::ALL.map(|column| {
            let mark = if row.best.contains(&column) { '*' } else { ' ' };
            format!("{}{mark}", percent(row, column))
        });
        line(&row.name, cells, &row.records.to_string())
    }));
    lines.extend(table.warnings.iter().map(|it| format!("warning: {it}")));
    lines.join("\n")
}

/// The best of a column in bold.
fn in_markdown(table: &Comparison) -> String {
    let heads = Column::ALL.map(Column::head).join(" | ");
    let mut lines = vec![
        format!("| | {heads} | n |"),
        "|---|---|---|---|---|---|".to_owned(),
    ];
    lines.extend(table.rows.iter().map(|row| {
        let cells = Column::ALL.map(|column| {
            let value = percent(row, column);
            if row.best.contains(&column) {
                format!("**{value}**")
            } else {
                value
            }
        });
        let name = row.name.replace('|', "\\|");
        format!("| {name} | {} | {} |", cells.join(" | "), row.records)
    }));
    lines.extend(table.warnings.iter().map(|it| format!("\nWarning: {it}.")));
    lines.join("\n")
}

fn percent(row: &Row, column: Column) -> String {
    format!("{:.2}", row.scores[&column] * 100.0)
}
