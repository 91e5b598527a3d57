//! The part of `OpenAI`'s chat interface that a bare model answers: what `POST /v1/chat/completions` takes and gives, by `OpenAI`'s own
//! names. Left out: tools, audio, several answers at once.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A conversation to be continued.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChatRequest {
    /// The model's id, as `GET /v1/models` gives it; may be left out.
    pub model: Option<String>,
    /// The conversation so far.
    #[schema(min_items = 1)]
    pub messages: Vec<ChatMessage>,
    /// Most tokens of the answer; the service's limit without.
    #[serde(alias = "max_completion_tokens")]
    #[schema(minimum = 1)]
    pub max_tokens: Option<usize>,
    /// 0 takes the best token always; the checkpoint's own without.
    #[schema(minimum = 0, maximum = 2)]
    pub temperature: Option<f32>,
    /// The smallest set of tokens with this probability mass is kept.
    #[schema(minimum = 0, maximum = 1)]
    pub top_p: Option<f32>,
    /// This many best tokens are kept; 0 keeps all.
    pub top_k: Option<usize>,
    /// Scores of tokens seen are divided by this; 1 changes nothing.
    pub repetition_penalty: Option<f32>,
    /// Starts the random stream: the same seed gives the same answer.
    pub seed: Option<i64>,
    /// Strings that end the answer; they are not in it.
    pub stop: Option<Stop>,
    /// Whether the answer comes in events.
    #[serde(default)]
    pub stream: bool,
    /// What else these events tell.
    pub stream_options: Option<StreamOptions>,
    /// Whether tokens come with their log-probabilities.
    #[serde(default)]
    pub logprobs: bool,
    /// Of so many alternatives at every place too.
    #[schema(maximum = 20)]
    pub top_logprobs: Option<usize>,
    /// Only 1.
    #[schema(minimum = 1, maximum = 1)]
    pub n: Option<usize>,
    /// Text, or one value of a schema's `enum`.
    pub response_format: Option<ResponseFormat>,
    /// One of several strings and nothing else.
    pub structured_outputs: Option<StructuredOutputs>,
    /// Taken and not used.
    pub user: Option<String>,
    /// Only 0.
    pub presence_penalty: Option<f32>,
    /// Only 0.
    pub frequency_penalty: Option<f32>,
}

/// One turn.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said and shown.
    pub content: ChatContent,
    /// Taken and not used.
    pub name: Option<String>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Who sets the scene.
    #[serde(alias = "developer")]
    System,
    /// Who asks.
    User,
    /// Who answers.
    Assistant,
}

impl Role {
    /// The name in chat templates.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// Text, or text and images in order.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ChatContent {
    /// Text only.
    Text(String),
    /// Text and images.
    Parts(Vec<ChatPart>),
}

/// A piece of a turn.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ChatPart {
    /// Words.
    Text {
        /// The words.
        text: String,
    },
    /// An image.
    ImageUrl {
        /// Where it is: inside the address itself.
        image_url: ImageUrl,
    },
}

/// An image in its own address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageUrl {
    /// A `data:` URL, or an address where the service fetches images.
    #[schema(example = "data:image/png;base64,iVBORw0KGgo...")]
    pub url: String,
    /// Taken and not used: the checkpoint's own processor decides the size.
    pub detail: Option<String>,
}

/// One string or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Stop {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// What events tell beside the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamOptions {
    /// The last event has the tokens spent.
    #[serde(default)]
    pub include_usage: bool,
}

/// The form of the answer.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ResponseFormat {
    /// Any text.
    Text,
    /// One value of a schema that is an `enum` or a `const`.
    JsonSchema {
        /// The schema in its wrapping.
        json_schema: JsonSchema,
    },
}

/// A schema with a name.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub struct JsonSchema {
    /// The schema.
    pub schema: Value,
}

/// vLLM's way to name the possible answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StructuredOutputs {
    /// The answers.
    pub choice: Vec<String>,
}

/// An answer, or with `object` `chat.completion.chunk` a piece of one.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChatResponse {
    /// Names this answer.
    pub id: String,
    /// `chat.completion` or `chat.completion.chunk`.
    pub object: &'static str,
    /// Seconds since 1970.
    pub created: u64,
    /// Who answers.
    pub model: String,
    /// The hash of its weights.
    pub system_fingerprint: String,
    /// The one answer; none beside the last usage.
    pub choices: Vec<ChatChoice>,
    /// Tokens spent, once they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<ChatUsage>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChatChoice {
    /// 0.
    pub index: usize,
    /// The whole turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<ChatTurn>,
    /// What an event adds to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<ChatTurn>,
    /// Its tokens, if asked for.
    pub logprobs: Option<ChatLogprobs>,
    /// Why it ended: `stop` or `length`.
    pub finish_reason: Option<&'static str>,
}

/// A turn of the model, or a part of one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChatTurn {
    /// `assistant`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// The text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// The tokens of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChatLogprobs {
    /// In order.
    pub content: Vec<ChatToken>,
}

/// A token and how probable it was.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChatToken {
    /// What it reads.
    pub token: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability.
    pub logprob: f32,
    /// What else could have stood there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub top_logprobs: Vec<ChatToken>,
}

/// Tokens spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChatUsage {
    /// Of the conversation, images included.
    pub prompt_tokens: usize,
    /// Of the answer.
    pub completion_tokens: usize,
    /// Both.
    pub total_tokens: usize,
    /// More on the conversation's.
    pub prompt_tokens_details: PromptDetails,
}

/// More on the tokens of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct PromptDetails {
    /// Those that were not computed again.
    pub cached_tokens: usize,
}

/// The models there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ModelList {
    /// `list`.
    pub object: &'static str,
    /// The one.
    pub data: Vec<ModelCard>,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ModelCard {
    /// Its name.
    pub id: String,
    /// `model`.
    pub object: &'static str,
    /// Not known: 0.
    pub created: u64,
    /// `more-r1`.
    pub owned_by: &'static str,
    /// The hash of its weights.
    pub root: String,
}
