//! The chat template of a checkpoint: messages in, the text the model was trained to see out. Renders; tokenises nothing.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, Value as Jinja};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Files};

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said or shown.
    pub content: Content,
}

/// A bare string or a list of parts; templates treat them differently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// Text only.
    Text(String),
    /// Text and images in order.
    Parts(Vec<ContentPart>),
}

/// One piece of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentPart {
    /// Words.
    Text {
        /// The words.
        text: String,
    },
    /// The next image of the request.
    Image,
}

impl Message {
    /// A user turn of `parts`.
    pub fn user(parts: Vec<ContentPart>) -> Self {
        Self {
            role: "user".into(),
            content: Content::Parts(parts),
        }
    }

    /// Every string in the message that a user may have typed.
    pub fn texts(&self) -> Vec<&str> {
        match &self.content {
            Content::Text(text) => vec![text],
            Content::Parts(parts) => parts
                .iter()
                .filter_map(|part| match part {
                    ContentPart::Text { text } => Some(text.as_str()),
                    ContentPart::Image => None,
                })
                .collect(),
        }
    }
}

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
}

impl ChatTemplate {
    /// Finds the template in `chat_template.jinja`, `chat_template.json` or `tokenizer_config.json`, in this order.
    ///
    /// # Errors
    /// There is no template, or it does not compile.
    pub fn open(files: &Files) -> Result<Self, Error> {
        let in_json = |value: Option<Value>| -> Option<String> {
            match value?.get("chat_template")? {
                Value::String(source) => Some(source.clone()),
                Value::Array(named) => named
                    .iter()
                    .find(|entry| entry["name"] == "default")
                    .and_then(|entry| entry["template"].as_str().map(str::to_owned)),
                _ => None,
            }
        };
        let source = match files.read("chat_template.jinja")? {
            Some(bytes) => Some(
                String::from_utf8(bytes)
                    .map_err(|error| Error::bad("chat_template.jinja", error))?,
            ),
            None => in_json(files.json("chat_template.json")?)
                .or(in_json(files.json("tokenizer_config.json")?)),
        };
        Self::new(source.ok_or_else(|| files.missing("chat template"))?)
    }

    /// Compiles `source` under the settings transformers uses.
    ///
    /// # Errors
    /// The template does not compile.
    pub fn new(source: String) -> Result<Self, Error> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        environment.set_syntax(syntax.expect("the default delimiters are valid"));
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function(
            "raise_exception",
            |reason: String| -> Result<String, minijinja::Error> {
                Err(minijinja::Error::new(ErrorKind::InvalidOperation, reason))
            },
        );
        environment
            .add_template_owned("chat", source)
            .map_err(|error| Error::bad("chat template", error))?;
        Ok(Self { environment })
    }

    /// The prompt for `messages`, open for the assistant's answer.
    ///
    /// # Errors
    /// The template itself refuses the conversation.
    pub fn render(&self, messages: &[Message]) -> Result<String, Error> {
        let template = self.environment.get_template("chat").expect("added in new");
        template
            .render(minijinja::context! { messages => Jinja::from(Serde(messages)), add_generation_prompt => true, add_vision_id => false })
            .map_err(|error| Error::Input { field: "messages", reason: format!("the chat template refuses them: {error}") })
    }
}
