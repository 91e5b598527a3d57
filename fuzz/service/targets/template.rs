//! Any conversation through the mini's template and tokenizer: whatever its words are, they add no control token, so they
//! cannot end a turn or begin one.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use model::Files;
use model::template::{Content, ContentPart, Message};
use model::tokenizer::Tokenizer;

static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
    let mini = concat!(env!("CARGO_MANIFEST_DIR"), "/../../mini");
    Tokenizer::open(&Files::Dir(mini.into())).expect("the mini's tokenizer")
});

static CONTROLS: LazyLock<[u32; 5]> = LazyLock::new(|| {
    let tokens = [
        "<|im_start|>",
        "<|im_end|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|image_pad|>",
    ];
    tokens.map(|token| match TOKENIZER.encode(token)[..] {
        [id] => id,
        ref ids => panic!("{token} is {} tokens", ids.len()),
    })
});

/// How often each control token is in a prompt.
fn controls(ids: &[u32]) -> [usize; 5] {
    CONTROLS.map(|control| ids.iter().filter(|&&id| id == control).count())
}

/// The same turns and images, another text.
fn silent(message: &Message) -> Message {
    let content = match &message.content {
        Content::Text(_) => Content::Text("x".to_owned()),
        Content::Parts(parts) => Content::Parts(
            parts
                .iter()
                .map(|part| match part {
                    ContentPart::Text { .. } => ContentPart::Text {
                        text: "x".to_owned(),
                    },
                    ContentPart::Image => ContentPart::Image,
                })
                .collect(),
        ),
    };
    Message {
        role: message.role.clone(),
        content,
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(messages) = serde_json::from_slice::<Vec<Message>>(data) else {
        return;
    };
    // The service takes no others.
    let known = |message: &Message| ["system", "user", "assistant"].contains(&&*message.role);
    if !messages.iter().all(known) {
        return;
    }
    let Ok(ids) = TOKENIZER.chat(&messages, "messages") else {
        return;
    };
    let silent: Vec<Message> = messages.iter().map(silent).collect();
    let frame = TOKENIZER.chat(&silent, "messages").expect("the same frame");
    assert_eq!(controls(&ids), controls(&frame));
});
