//! The page that `more-r1 eval --report` writes: one file that a browser shows without a network. Scores nothing.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Info;
use train::eval::{Answered, EvalReport};

/// Answers shown, mistakes first: about five megabytes of images.
const SHOWN: usize = 200;

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em}\
table{border-collapse:collapse}td,th{padding:.15em .7em;border-bottom:1px solid #ddd;text-align:right}\
td:first-child,th:first-child{text-align:left}article{display:flex;gap:1em;border-top:1px solid #ddd;padding:1em 0}\
.wrong b{color:#b00}svg{flex:none}small{color:#555}";

/// The page.
pub fn page(model: &Info, images: &Path, report: &EvalReport) -> String {
    let scores = &report.scores;
    let rates = totals(report)
        .into_iter()
        .map(|(name, value)| format!("<tr><td>{name}<td>{value:.4}"));
    let totals: String = rates.collect();
    let relations = scores
        .per_relation
        .iter()
        .filter(|(_, one)| one.support + one.predicted > 0);
    let relations: Vec<String> = relations
        .map(|(name, one)| {
            let (precision, recall, f1) = (one.precision, one.recall, one.f1);
            let name = escape(name);
            format!(
                "<tr><td>{name}<td>{precision:.3}<td>{recall:.3}<td>{f1:.3}<td>{}",
                one.support
            )
        })
        .collect();
    let confusion: Vec<String> = scores
        .confusion
        .iter()
        .flat_map(|(gold, said)| said.iter().map(move |(said, count)| (gold, said, count)))
        .filter(|(gold, said, _)| gold != said)
        .map(|(gold, said, count)| {
            format!("<tr><td>{}<td>{}<td>{count}", escape(gold), escape(said))
        })
        .collect();
    let mut answers: Vec<&Answered> = report.answers.iter().collect();
    answers.sort_by_key(|answer| right(answer));
    let answers: String = answers
        .into_iter()
        .take(SHOWN)
        .map(|answer| article(images, answer))
        .collect();
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>{id}: evaluation</title><style>{STYLE}</style>\
         <h1>{id}</h1><p><small>{hash} · {dtype} · {template}</small><table><tr><td>records<td>{records}{totals}</table>\
         <h2>Relations</h2><table><tr><th>relation<th>P<th>R<th>F1<th>n{relations}</table>\
         <h2>Taken for each other</h2><table><tr><th>gold<th>said<th>n{confusion}</table>\
         <h2>Answers</h2>{answers}</html>\n",
        records = report.records,
        relations = relations.concat(),
        confusion = confusion.concat(),
        id = escape(&model.id),
        hash = escape(&model.hash),
        dtype = escape(&model.dtype),
        template = model.template,
    )
}

/// The figures over all answers; those about steps are missing where there are none.
fn totals(report: &EvalReport) -> Vec<(&'static str, f64)> {
    let scores = &report.scores;
    let mut totals = vec![
        ("accuracy", scores.accuracy),
        ("precision", scores.precision),
        ("recall", scores.recall),
        ("micro F1", scores.micro_f1),
        ("macro F1", scores.macro_f1),
        ("valid traces", report.valid_traces),
    ];
    if let Some(statements) = &report.statements {
        totals.push(("consistent traces", statements.consistent));
        totals.push(("types agree", statements.types_agree));
    }
    totals.push(("calibration error", report.reliability.ece()));
    totals.push(("Brier score", report.reliability.brier()));
    totals
}

fn right(answer: &Answered) -> bool {
    answer.said.as_deref() == Some(answer.record.relation.as_str())
}

/// One answer beside its picture, the object framed.
fn article(images: &Path, answer: &Answered) -> String {
    let record = &answer.record;
    let class = if right(answer) { "right" } else { "wrong" };
    format!(
        "<article class={class}>{picture}<div><p>{text}<p><small>entity</small> {entity} <small>gold</small> {gold} \
         <small>said</small> <b>{said}</b><p>{raw}</div></article>",
        picture = picture(images, answer).unwrap_or_default(),
        text = escape(&record.text),
        entity = escape(&record.h.name.join(" ")),
        gold = escape(&record.relation),
        said = escape(answer.said.as_deref().unwrap_or("(invalid)")),
        raw = escape(&answer.raw),
    )
}

/// The image inside the page; a file that has gone missing leaves a gap.
fn picture(images: &Path, answer: &Answered) -> Option<String> {
    let file = fs::read(images.join(&answer.record.img_id)).ok()?;
    let pixels = vision::decode(&file, &vision::Limits::default()).ok()?;
    let (width, height) = pixels.pixels.dimensions();
    let object = answer.region;
    Some(format!(
        "<svg width=320 viewBox=\"0 0 {width} {height}\"><image width={width} height={height} \
         href=\"data:image/{format};base64,{data}\"/><rect x={x} y={y} width={w} height={h} fill=none stroke=red \
         stroke-width=2 /></svg>",
        format = pixels.format,
        data = STANDARD.encode(&file),
        x = object.x0,
        y = object.y0,
        w = object.width(),
        h = object.height(),
    ))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
