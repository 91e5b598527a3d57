//! Beginnings of prompts that were computed before: keys and values in blocks of [`BLOCK`] tokens, under a chain of hashes over
//! everything they depend on. Knows no scheduling.

use blake3::{Hash, Hasher};
use burn::tensor::Tensor;

use super::bounded::Bounded;
use crate::checkpoint::Prompt;
use crate::text::{BLOCK, Cache};

/// Finished blocks, the longest unused forgotten first.
#[derive(Debug)]
pub struct Prefixes {
    blocks: Bounded<4>,
}

impl Prefixes {
    /// An empty store of at most `budget` bytes.
    pub fn new(budget: usize) -> Self {
        Self {
            blocks: Bounded::new(budget),
        }
    }

    /// The first of a prompt's blocks that is not known.
    pub fn missing(&self, keys: &[Hash]) -> Option<Hash> {
        let unknown = |key: &&Hash| !self.blocks.contains(key);
        keys.iter().find(unknown).copied()
    }

    /// Whether it has room for anything.
    pub fn keeps(&self) -> bool {
        self.blocks.budget() > 0
    }

    /// Fills the empty `cache` with the longest beginning that is known; says how many tokens that is. The last token of a prompt
    /// is never taken from here: its row chooses the first token of the answer.
    pub fn restore(&mut self, keys: &[Hash], cache: &mut Cache) -> usize {
        let mut known = vec![];
        for key in keys {
            match self.blocks.get(key) {
                Some(block) => known.push(block),
                None => break,
            }
        }
        // Used from the end to the beginning: a beginning is forgotten later than what needs it.
        for key in keys[..known.len()].iter().rev() {
            self.blocks.get(key);
        }
        let held = known.len() * BLOCK;
        if !known.is_empty() {
            cache.paste(&Tensor::cat(known, 1));
        }
        held
    }

    /// Keeps the blocks of a prompt that `cache` holds whole.
    pub fn keep(&mut self, keys: &[Hash], cache: &Cache) {
        let unknown = keys.iter().position(|key| !self.blocks.contains(key));
        let Some(from) = unknown.filter(|_| self.keeps()) else {
            return;
        };
        let copied = cache.copy(from * BLOCK..keys.len() * BLOCK); // [2 · layers, rows, key_heads, head_dim]
        for (index, key) in keys.iter().enumerate().skip(from).rev() {
            if !self.blocks.contains(key) {
                let part = copied.clone().narrow(1, (index - from) * BLOCK, BLOCK);
                let shape = part.dims();
                // Through one dimension: a view would keep all of the copy.
                let part: Tensor<1> = part.reshape([shape.iter().product::<usize>()]);
                self.blocks.put(*key, part.reshape(shape));
            }
        }
    }
}

/// The names of the whole blocks of `prompt` before its last token. Each is a BLAKE3 hash of the name before it, of its tokens, and
/// of the pictures (by their own hashes) behind the placeholders among them; `placeholder` is their token.
pub fn keys(prompt: &Prompt, pictures: &[(Hash, usize)], placeholder: u32) -> Vec<Hash> {
    let (mut picture, mut rows) = (0, 0);
    let mut before: Option<Hash> = None;
    let whole = prompt.ids.len().saturating_sub(1) / BLOCK * BLOCK;
    prompt.ids[..whole]
        .chunks(BLOCK)
        .map(|ids| {
            let mut hasher = Hasher::new();
            if let Some(before) = before {
                hasher.update(before.as_bytes());
            }
            for &id in ids {
                hasher.update(&id.to_le_bytes());
                if id == placeholder {
                    let (hash, tokens) = &pictures[picture];
                    hasher.update(hash.as_bytes());
                    rows += 1;
                    if rows == *tokens {
                        (picture, rows) = (picture + 1, 0);
                    }
                }
            }
            let key = hasher.finalize();
            before = Some(key);
            key
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Positions;

    const IMAGE: u32 = 9;

    fn prompt(ids: Vec<u32>) -> Prompt {
        Prompt {
            positions: Positions {
                axes: vec![[0; 3]; ids.len()],
                delta: 0,
            },
            image_tokens: ids.iter().filter(|&&id| id == IMAGE).count(),
            ids,
        }
    }

    #[test]
    fn a_name_covers_everything_up_to_the_end_of_its_block() {
        let mut ids = vec![1; 3 * BLOCK];
        ids[BLOCK + 3..BLOCK + 7].fill(IMAGE);
        let (red, blue) = (blake3::hash(b"red"), blake3::hash(b"blue"));
        let one = keys(&prompt(ids.clone()), &[(red, 4)], IMAGE);
        assert_eq!(one.len(), 2, "the last block holds the last token");
        let other_picture = keys(&prompt(ids.clone()), &[(blue, 4)], IMAGE);
        assert_eq!(one[0], other_picture[0]);
        assert_ne!(one[1], other_picture[1]);
        let two_pictures = keys(&prompt(ids.clone()), &[(red, 2), (blue, 2)], IMAGE);
        assert_ne!(one[1], two_pictures[1]);
        ids[2] = 5;
        let other_word = keys(&prompt(ids), &[(red, 4)], IMAGE);
        assert_ne!(one[0], other_word[0]);
        assert_ne!(one[1], other_word[1]);
    }
}
