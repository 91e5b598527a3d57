//! The probability of whole strings in one pass: the choices as a tree, a row for every token that has a successor. Chooses none.

use std::collections::HashMap;

use burn::tensor::DType;

use crate::qwen::Qwen;
use crate::sampling::log_probability;
use crate::text::Cache;

/// Strings of tokens, those with a common beginning laid over each other.
#[derive(Debug)]
pub struct Choices {
    /// The token of every row.
    ids: Vec<u32>,
    /// The row before it; none for a first token.
    parents: Vec<Option<usize>>,
    /// How many tokens come before it.
    depths: Vec<u32>,
    /// For every string its tokens, each with the row whose scores say how probable it is; none for the first.
    paths: Vec<Vec<(Option<usize>, u32)>>,
}

impl Choices {
    /// The tree of `choices`.
    pub fn new(choices: &[Vec<u32>]) -> Self {
        let mut tree = Self {
            ids: vec![],
            parents: vec![],
            depths: vec![],
            paths: vec![],
        };
        let mut rows: HashMap<&[u32], usize> = HashMap::new();
        for choice in choices {
            let mut parent = None;
            let mut path = Vec::with_capacity(choice.len());
            for (depth, &id) in choice.iter().enumerate() {
                path.push((parent, id));
                if depth + 1 == choice.len() {
                    break; // nothing follows the last token
                }
                let next = tree.ids.len();
                let row = *rows.entry(&choice[..=depth]).or_insert(next);
                if row == next {
                    tree.ids.push(id);
                    tree.parents.push(parent);
                    tree.depths.push(depth as u32);
                }
                parent = Some(row);
            }
            tree.paths.push(path);
        }
        tree
    }

    /// How many rows the tree takes.
    pub fn rows(&self) -> usize {
        self.ids.len()
    }

    /// The log-probability of every string behind what `cache` holds; the cache is left as it was. `place` is the position of the
    /// first token, `logits` are the scores of the tokens there.
    pub fn score(&self, network: &Qwen, cache: &mut Cache, place: u32, logits: &[f32]) -> Vec<f32> {
        let rows = if self.ids.is_empty() {
            vec![]
        } else {
            let axes: Vec<[u32; 3]> = self.depths.iter().map(|depth| [place + depth; 3]).collect();
            let hidden = network.branches(&self.ids, &axes, &self.parents, cache);
            let rows = network.logits(hidden).cast(DType::F32).into_data();
            rows.try_into_vec::<f32>().expect("cast to f32 above")
        };
        let row = |row: Option<usize>| match row {
            None => logits,
            Some(row) => &rows[row * logits.len()..(row + 1) * logits.len()],
        };
        let score = |path: &Vec<(Option<usize>, u32)>| {
            let tokens = path
                .iter()
                .map(|&(before, id)| log_probability(row(before), id));
            tokens.sum()
        };
        self.paths.iter().map(score).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_beginnings_have_one_row() {
        let tree = Choices::new(&[vec![1, 2, 3], vec![1, 2, 4], vec![1, 5], vec![6]]);
        assert_eq!(tree.ids, [1, 2]);
        assert_eq!(tree.parents, [None, Some(0)]);
        assert_eq!(tree.depths, [0, 1]);
        assert_eq!(tree.paths[1], [(None, 1), (Some(0), 2), (Some(1), 4)]);
        assert_eq!(tree.paths[2], [(None, 1), (Some(0), 5)]);
        assert_eq!(tree.paths[3], [(None, 6)]);
    }
}
