//! The command line as meant: checked and resolved once, at start-up. Opens no checkpoint and no socket.

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::Path;
use std::thread::available_parallelism;
use std::time::Duration;

use axum::http::HeaderValue;
use model::adapter::CONFIG;
use model::engine::{self, Settings};
use model::{Calibration, Checkpoint, Extractor, Files, Format, Options};
use proto::{Form, Ontology};
use vision::Limits;

use crate::app::{Access, RequestLimits, Setup, Sources};
use crate::args::{ENTITY_CHARS, ModelArgs, ServeArgs, TEXT_CHARS};
use crate::auth::Keys;
use crate::device::device;
use crate::fetch::{Addresses, Fetcher};
use crate::fields::TextLimits;
use crate::mini;

/// Which checkpoint, and how it is opened.
#[derive(Debug, Clone)]
pub struct ModelSettings {
    /// The name it answers under.
    pub id: String,
    /// Where its files are.
    pub files: Files,
    /// Where those of its adapter are, if it has one.
    pub adapter: Option<Files>,
    /// How it computes.
    pub options: Options,
    /// The relations to choose from.
    pub ontology: Ontology,
}

/// How the service runs.
#[derive(Debug, Clone)]
pub struct ServeSettings {
    /// The model.
    pub model: ModelSettings,
    /// What is around it.
    pub setup: Setup,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Requests in the house.
    pub places: usize,
    /// How long the door stays open after SIGTERM.
    pub drain: Duration,
    /// What running requests get after the signal to end.
    pub grace: Duration,
}

/// A flag that asks for something impossible; the binary ends with 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// The limits of texts where no flag sets them.
pub const TEXT_LIMITS: TextLimits = TextLimits {
    text: TEXT_CHARS,
    entity: ENTITY_CHARS,
};

/// The files of `--model`, or the embedded ones.
///
/// # Errors
/// When the folder is no checkpoint, or there is neither folder nor embedded checkpoint.
pub fn files(model: Option<&Path>) -> Result<(String, Files), UsageError> {
    let Some(dir) = model else {
        let files = mini::files().ok_or_else(|| {
            UsageError("this binary has no model inside: give --model DIR".to_owned())
        })?;
        return Ok((mini::ID.to_owned(), files));
    };
    if !dir.join("config.json").is_file() && !dir.join("preprocessor_config.json").is_file() {
        let reason = if dir.join(CONFIG).is_file() {
            "an adapter: give it with --adapter, and its base with --model"
        } else {
            "no checkpoint there (no config.json)"
        };
        return Err(UsageError(format!("--model {}: {reason}", dir.display())));
    }
    let named = name(dir).unwrap_or_else(|| "checkpoint".to_owned());
    Ok((named, Files::Dir(dir.to_owned())))
}

/// The files of `--adapter`.
///
/// # Errors
/// When the folder is no adapter.
pub fn adapter(dir: &Path) -> Result<Files, UsageError> {
    if dir.join(CONFIG).is_file() {
        return Ok(Files::Dir(dir.to_owned()));
    }
    Err(UsageError(format!(
        "--adapter {}: no adapter there (no {CONFIG})",
        dir.display()
    )))
}

/// What a folder is called; `.` and `..` have no name of their own.
fn name(dir: &Path) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    Some(dir.file_name()?.to_string_lossy().into_owned())
}

/// The relations of `--ontology`.
///
/// # Errors
/// A file that is not there or no ontology.
pub fn read_ontology(file: &Path) -> Result<Ontology, UsageError> {
    train::config::read_ontology(file).map_err(|error| UsageError(format!("--ontology {error}")))
}

/// The value of a flag that a command needs in one of its manners only.
///
/// # Errors
/// When it was neither typed nor in the environment nor in the file of settings.
pub fn given<T>(flag: &str, value: Option<T>) -> Result<T, UsageError> {
    value.ok_or_else(|| UsageError(format!("{flag} is missing")))
}

impl ModelSettings {
    /// Resolves the flags.
    ///
    /// # Errors
    /// As [`files`].
    pub fn resolve(args: &ModelArgs) -> Result<Self, UsageError> {
        let (mut id, files) = files(args.model.as_deref())?;
        let own = args.adapter.as_deref();
        let adapter = own.map(adapter).transpose()?;
        if let Some(own) = own {
            id = format!("{id}+{}", name(own).as_deref().unwrap_or("adapter"));
        }
        let ontology = match &args.ontology {
            Some(file) => read_ontology(file)?,
            None => Ontology::more().clone(),
        };
        let dtype = args.dtype.into();
        let device = device(args.device, dtype, &args.kernels)?;
        let options = Options {
            engine: Settings::on(&device),
            device,
            format: Format {
                dtype,
                quantization: args.quantize.into(),
            },
            template: args.template,
            form: Form::Trace,
            max_prompt_tokens: args.max_prompt_tokens,
            max_new_tokens: args.max_answer_tokens,
        };
        Ok(Self {
            id,
            files,
            adapter,
            options,
            ontology,
        })
    }

    /// Opens the checkpoint, with its adapter. Takes as long as reading it takes.
    ///
    /// # Errors
    /// When files are missing or do not fit together.
    pub fn checkpoint(&self) -> Result<Checkpoint, model::Error> {
        let Options { format, device, .. } = &self.options;
        let checkpoint = match &self.adapter {
            None => Checkpoint::open(&self.files, *format, device)?,
            // An adapter is added to weights that are not rounded yet, so here all of them are in memory first.
            Some(adapter) => {
                let whole = Checkpoint::open(&self.files, format.dtype, device)?;
                let adapted = whole.adapted(adapter)?;
                match format.quantization {
                    Some(quantization) => adapted.quantized(quantization),
                    None => adapted,
                }
            }
        };
        Ok(checkpoint.joined().for_answering())
    }

    /// The same with the protocol over it.
    ///
    /// # Errors
    /// As [`ModelSettings::checkpoint`].
    pub fn open(&self) -> Result<Extractor, model::Error> {
        let checkpoint = self.checkpoint()?;
        // Fitted to the weights that answer: with an adapter those are no longer the base's.
        let calibration = Calibration::open(self.adapter.as_ref().unwrap_or(&self.files))?;
        let (ontology, options) = (self.ontology.clone(), self.options.clone());
        Ok(Extractor::new(
            &self.id,
            checkpoint,
            calibration,
            ontology,
            options,
        ))
    }
}

impl ServeSettings {
    /// Resolves the flags.
    ///
    /// # Errors
    /// As [`files`].
    pub fn resolve(args: &ServeArgs) -> Result<Self, UsageError> {
        let mut model = ModelSettings::resolve(&args.model)?;
        model.options.engine = Settings {
            limits: engine::Limits {
                sequences: args.max_sequences,
                cached_tokens: args.max_cached_tokens,
                chunk: args.prefill_tokens.next_multiple_of(model::text::BLOCK),
            },
            prefix_bytes: args.prefix_cache_mib << 20,
            image_bytes: args.image_cache_mib << 20,
            ..model.options.engine
        };
        Ok(Self {
            model,
            setup: setup(args)?,
            listen: args.listen,
            places: args.queue,
            drain: Duration::from_secs(args.drain_seconds),
            grace: Duration::from_secs(args.grace_seconds),
        })
    }
}

/// What is around the model.
fn setup(args: &ServeArgs) -> Result<Setup, UsageError> {
    let keys = args.api_keys.as_deref().map(Keys::read).transpose()?;
    let addresses = Addresses {
        origins: args.image_origin.clone(),
        private: args.image_private_hosts,
        max_bytes: args.max_image_bytes,
        patience: Duration::from_secs(args.image_seconds),
    };
    let fetching = !addresses.origins.is_empty();
    let fetcher = fetching.then(|| Fetcher::new(&addresses)).transpose()?;
    let origins = args.cors_origin.iter().map(|it| origin(it));
    Ok(Setup {
        limits: RequestLimits {
            body: args.max_body_bytes,
            image: Limits {
                max_bytes: args.max_image_bytes,
                max_pixels: args.max_pixels,
                max_side: args.max_side,
            },
            text: TextLimits {
                text: args.max_text_chars,
                entity: args.max_entity_chars,
            },
            batch: args.max_batch_items,
            answer_tokens: args.model.max_answer_tokens,
        },
        decoders: args.decoders.unwrap_or_else(spare_cores),
        deadline: Duration::from_secs(args.deadline_seconds),
        access: Access {
            keys,
            origins: origins.collect::<Result<_, _>>()?,
        },
        sources: Sources {
            ontology: args.model.ontology.clone(),
            keys: args.api_keys.clone(),
        },
        fetcher,
    })
}

/// An origin as browsers send it: a scheme and a host, no path.
fn origin(text: &str) -> Result<HeaderValue, UsageError> {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let whole = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', ' ']));
    let value = HeaderValue::from_str(text).ok().filter(|_| whole);
    value.ok_or_else(|| {
        UsageError(format!(
            "--cors-origin {text}: not an origin such as https://example.org"
        ))
    })
}

/// One core is left to the model.
fn spare_cores() -> usize {
    available_parallelism()
        .map_or(1, NonZero::get)
        .saturating_sub(1)
        .max(1)
}
