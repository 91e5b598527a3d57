//! Text to ids and back, and which ids a model may never say.

use tokenizers::{Tokenizer as Inner, step_decode_stream};

use crate::template::{ChatTemplate, Message};
use crate::{Error, Files};

/// Placeholders that only a prompt may hold.
const VISION_TOKENS: [&str; 5] = [
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
];

/// The tokenizer and chat template of a checkpoint.
#[derive(Debug)]
pub struct Tokenizer {
    inner: Inner,
    template: ChatTemplate,
    reserved: Vec<String>,
    /// By id: vision placeholders and gaps in the vocabulary.
    silenced: Vec<bool>,
}

/// How far a text that grows token by token has been read.
#[derive(Clone, Debug, Default)]
pub struct Growing {
    /// The last tokens, which the next text may depend on.
    ids: Vec<u32>,
    prefix: String,
    prefix_index: usize,
}

impl Tokenizer {
    /// Reads `tokenizer.json` and the chat template.
    ///
    /// # Errors
    /// A missing or broken `tokenizer.json` or chat template.
    pub fn open(files: &Files) -> Result<Self, Error> {
        let file = "tokenizer.json";
        let bytes = files.read(file)?.ok_or_else(|| files.missing(file))?;
        let inner = Inner::from_bytes(bytes).map_err(|error| Error::bad(file, error))?;
        let added = inner.get_added_tokens_decoder();
        let reserved = added
            .values()
            .filter(|token| token.special)
            .map(|token| token.content.clone())
            .collect();
        let vocab = inner.get_vocab(true);
        let last = vocab.values().copied().max().unwrap_or(0) as usize;
        let mut silenced = vec![true; last + 1];
        for (token, id) in vocab {
            silenced[id as usize] = VISION_TOKENS.contains(&token.as_str());
        }
        Ok(Self {
            inner,
            template: ChatTemplate::open(files)?,
            reserved,
            silenced,
        })
    }

    /// The ids of `text`; special tokens in it are parsed as such.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let encoding = self
            .inner
            .encode(text, false)
            .expect("byte-level tokenizers take any text");
        encoding.get_ids().to_vec()
    }

    /// The text of `ids`; special tokens are left out if `skip_special`.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        self.inner
            .decode(ids, skip_special)
            .expect("ids beyond the vocabulary decode to nothing")
    }

    /// What `ids` add to a growing text; half a character waits for its other half.
    pub fn read_on(&self, text: &mut Growing, ids: &[u32], skip_special: bool) -> String {
        let Growing {
            ids: last,
            prefix,
            prefix_index,
        } = text;
        let added = step_decode_stream(
            &*self.inner,
            ids.to_vec(),
            skip_special,
            last,
            prefix,
            prefix_index,
        );
        added.ok().flatten().unwrap_or_default() // bytes that are no text wait for the end
    }

    /// The bytes that `id` stands for: half a character, it may be.
    pub fn bytes(&self, id: u32) -> Vec<u8> {
        let Some(token) = self.inner.id_to_token(id) else {
            return vec![];
        };
        // Byte-level vocabularies write every byte as one character; what is not so written stands for itself.
        let bytes: Option<Vec<u8>> = token.chars().map(byte).collect();
        let special = self.inner.get_added_vocabulary().is_special_token(&token);
        bytes.filter(|_| !special).unwrap_or(token.into_bytes())
    }

    /// The id of a token written exactly so.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// One more than the highest id, added tokens included; the model's vocabulary may be larger.
    pub fn len(&self) -> usize {
        self.silenced.len()
    }

    /// Whether it knows no token at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the model must never say `id`: a vision placeholder, or no token at all.
    pub fn is_silenced(&self, id: u32) -> bool {
        self.silenced.get(id as usize).copied().unwrap_or(true)
    }

    /// The ids of a conversation, one image placeholder an image.
    ///
    /// # Errors
    /// Special tokens typed by a user would be parsed as control tokens: they are refused, naming `field`.
    pub fn chat(&self, messages: &[Message], field: &'static str) -> Result<Vec<u32>, Error> {
        for text in messages.iter().flat_map(Message::texts) {
            self.refuse_reserved(text, field)?;
        }
        Ok(self.encode(&self.template.render(messages)?))
    }

    /// Refuses text that holds a control token.
    ///
    /// # Errors
    /// Names `field` and the token.
    pub fn refuse_reserved(&self, text: &str, field: &'static str) -> Result<(), Error> {
        match self
            .reserved
            .iter()
            .find(|token| text.contains(token.as_str()))
        {
            Some(token) => Err(Error::Input {
                field,
                reason: format!("holds the control token {token}"),
            }),
            None => Ok(()),
        }
    }
}

/// The byte that a character of a byte-level vocabulary stands for: printable ones for themselves, the others in order from U+0100 on
/// (`bytes_to_unicode` of GPT-2).
fn byte(character: char) -> Option<u8> {
    let printable = |byte: u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let code = u32::from(character);
    match u8::try_from(code) {
        Ok(byte) => printable(byte).then_some(byte),
        Err(_) => (0..=0xff)
            .filter(|&byte| !printable(byte))
            .nth((code - 0x100) as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_character() {
        assert_eq!(byte('A'), Some(b'A'));
        assert_eq!(byte('Ġ'), Some(b' '));
        assert_eq!(byte('Ċ'), Some(b'\n'));
        assert_eq!(byte('Ń'), Some(0xad));
        assert_eq!(byte(' '), None);
        assert_eq!(byte('世'), None);
        let mut bytes: Vec<u8> = (0..0x200)
            .filter_map(char::from_u32)
            .filter_map(byte)
            .collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
    }
}
