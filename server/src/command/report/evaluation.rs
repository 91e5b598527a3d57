//! The page that `more-r1 eval --report` writes: scores, then the answers beside their pictures. Scores nothing.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Info;
use train::eval::{Answered, EvalReport};

use super::page::escape;
use super::scores;

/// Answers shown, mistakes first: about five megabytes of images.
const SHOWN: usize = 200;

/// The page.
pub fn page(model: &Info, images: &Path, report: &EvalReport) -> String {
    let mut answers: Vec<&Answered> = report.answers.iter().collect();
    answers.sort_by_key(|answer| right(answer));
    let shown = answers.into_iter().take(SHOWN);
    let answers: String = shown.map(|answer| article(images, answer)).collect();
    let body = format!(
        "<h1>{id}</h1><p><small>{hash} · {dtype} · {template}</small>{tables}<h2>Answers</h2>{answers}",
        id = escape(&model.id),
        hash = escape(&model.hash),
        dtype = escape(&model.dtype),
        template = model.template,
        tables = scores::tables(report),
    );
    super::page::page(&format!("{}: evaluation", model.id), &body)
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
        entity = escape(&record.entity()),
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
