//! The page that `more-r1 eval --report` writes: scores, then the answers beside their pictures, which other pages show too. Scores nothing.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Info;
use proto::{STEP_TITLES, steps_so_far};
use train::eval::{Answered, EvalReport};

use super::page::escape;
use super::scores;

/// Answers shown, mistakes first: about five megabytes of images.
const SHOWN: usize = 200;

/// The page.
pub fn page(model: &Info, report: &EvalReport) -> String {
    let body = format!(
        "<h1>{id}</h1><p><small>{hash} · {dtype} · {template}</small>{tables}<h2>Answers</h2>{answers}",
        id = escape(&model.id),
        hash = escape(&model.hash),
        dtype = escape(&model.dtype),
        template = model.template,
        tables = scores::tables(report),
        answers = answers(report),
    );
    super::page::page(&format!("{}: evaluation", model.id), &body)
}

/// The answers of `report` beside their pictures, mistakes first.
pub fn answers(report: &EvalReport) -> String {
    let mut answers: Vec<&Answered> = report.answers.iter().collect();
    answers.sort_by_key(|answer| answer.is_right());
    let shown = answers.into_iter().take(SHOWN);
    shown
        .map(|answer| article(&report.images, answer))
        .collect()
}

/// One answer beside its picture, the object framed.
fn article(images: &Path, answer: &Answered) -> String {
    let record = &answer.record;
    let class = if answer.is_right() { "right" } else { "wrong" };
    format!(
        "<article class={class}>{picture}<div><p>{text}<p><small>entity</small> {entity} <small>gold</small> {gold} \
         <small>said</small> <b>{said}</b>{reasoning}</div></article>",
        picture = picture(images, answer).unwrap_or_default(),
        text = escape(&record.text),
        entity = escape(&record.entity()),
        gold = escape(&record.relation),
        said = escape(answer.said.as_deref().unwrap_or("(invalid)")),
        reasoning = reasoning(&answer.raw),
    )
}

/// The steps of an answer as a list; all of it as it stands where they cannot be told apart.
fn reasoning(raw: &str) -> String {
    let steps = steps_so_far(raw);
    if steps.len() < STEP_TITLES.len() {
        return format!("<p>{}", escape(raw));
    }
    let items = steps.iter().map(|step| {
        let [title, text] = [&step.title, &step.text].map(|it| escape(it));
        format!("<li><small>{title}</small> {text}")
    });
    format!("<ol>{}</ol>", items.collect::<String>())
}

/// The image inside the page; a file that has gone missing leaves a gap.
fn picture(images: &Path, answer: &Answered) -> Option<String> {
    let file = fs::read(answer.record.image_in(images).ok()?).ok()?;
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
