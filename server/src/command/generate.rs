//! `more-r1 generate`: raw chat on any checkpoint, with the tokens and their log-probabilities.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use model::template::{ContentPart, Message};
use model::{Sampling, generate};
use serde::Serialize;
use vision::{Limits, Patches};

use crate::args::GenerateArgs;
use crate::command::{Failure, print, read_file};
use crate::fields::FieldError;
use crate::settings::ModelSettings;

/// What is printed.
#[derive(Serialize)]
struct Report {
    prompt_token_ids: Vec<u32>,
    token_ids: Vec<u32>,
    logprobs: Vec<f32>,
    text: String,
    finish_reason: &'static str,
}

pub fn run(args: &GenerateArgs) -> Result<(), Failure> {
    let settings = ModelSettings::resolve(&args.model)?;
    let messages = messages(args)?;
    let files = args
        .image
        .iter()
        .map(|path| read_file("--image", path))
        .collect::<Result<Vec<_>, _>>()?;
    let checkpoint = settings.checkpoint().map(Arc::new)?;
    let images = files
        .iter()
        .map(|file| {
            let photo = vision::decode(file, &Limits::default())?;
            checkpoint.processor.patches(&photo.pixels)
        })
        .collect::<Result<Vec<Patches>, vision::Error>>()
        .map_err(|source| FieldError::Image {
            field: "image",
            source,
        })?;
    let own = &checkpoint.generation.sampling;
    let sampling = Sampling {
        temperature: args.temperature.unwrap_or(own.temperature),
        top_p: args.top_p.unwrap_or(own.top_p),
        top_k: args.top_k.unwrap_or(own.top_k),
        repetition_penalty: args.repetition_penalty.unwrap_or(own.repetition_penalty),
        seed: args.seed,
    };
    let generation = generate(
        &checkpoint,
        &messages,
        &images,
        &sampling,
        args.max_new_tokens,
    )?;
    let report = Report {
        prompt_token_ids: generation.prompt_token_ids,
        token_ids: generation.completion.token_ids,
        logprobs: generation.completion.logprobs,
        text: generation.text,
        finish_reason: generation.completion.finish_reason.name(),
    };
    // Always JSON: ids and log-probabilities are what one runs this for.
    print(true, &report, |report| report.text.clone())
}

/// The conversation: a file's, or one turn with the images before the prompt.
fn messages(args: &GenerateArgs) -> Result<Vec<Message>, Failure> {
    if let Some(path) = &args.messages {
        let bytes = read_file("--messages", path)?;
        return serde_json::from_slice(&bytes)
            .map_err(|error| Failure::Usage(format!("--messages {}: {error}", path.display())));
    }
    let text = args
        .prompt
        .clone()
        .context("clap asks for one of both")
        .map_err(|error| anyhow!(error))?;
    let mut parts = vec![ContentPart::Image; args.image.len()];
    parts.push(ContentPart::Text { text });
    Ok(vec![Message::user(parts)])
}
