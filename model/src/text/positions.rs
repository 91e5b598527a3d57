//! Where every token stands on the three axes of M-RoPE: time, height, width. Bookkeeping on the host, no tensors.

use vision::Grid;

use crate::config::{Config, TextConfig};
use crate::rope::inverse_frequencies;

/// The positions of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Positions {
    /// `(t, h, w)` of every token.
    pub axes: Vec<[u32; 3]>,
    /// What a token generated after `k` others adds to its index: its position on all axes is `index + delta`.
    pub delta: i64,
}

impl Positions {
    /// Text counts on, all axes alike; an image starting at `s` gives its tokens `(s, s + row, s + column)` over the merged
    /// grid, and the text after it goes on at `s + max(height, width)`. Reference: `get_rope_index`, transformers 5.23.0.
    ///
    /// # Panics
    /// If the image placeholders in `ids` are not exactly those of `grids`, in order.
    pub fn new(ids: &[u32], grids: &[Grid], config: &Config) -> Self {
        let merge = config.vision.spatial_merge_size;
        let mut axes: Vec<[u32; 3]> = Vec::with_capacity(ids.len());
        let (mut next, mut grids) = (0u32, grids.iter());
        while axes.len() < ids.len() {
            if ids[axes.len()] != config.image_token_id {
                axes.push([next; 3]);
                next += 1;
                continue;
            }
            let grid = grids
                .next()
                .expect("every run of image placeholders has a grid");
            let (height, width) = ((grid.h / merge) as u32, (grid.w / merge) as u32);
            let tokens = grid.tokens(merge);
            let run = &ids[axes.len()..(axes.len() + tokens).min(ids.len())];
            assert!(
                run.len() == tokens && run.iter().all(|&id| id == config.image_token_id),
                "an image of {tokens} tokens needs as many placeholders in a row"
            );
            for index in 0..tokens as u32 {
                let (row, column) = (index % (height * width) / width, index % width);
                let time = index / (height * width);
                axes.push([next + time, next + row, next + column]);
            }
            next += height.max(width).max(grid.t as u32);
        }
        assert!(
            grids.next().is_none(),
            "an image has no placeholders in the prompt"
        );
        Self {
            delta: i64::from(next) - ids.len() as i64,
            axes,
        }
    }
}

/// The rotary angles of `axes`, `head_dim / 2` a row: contiguous sections of the frequencies turn with time, height, width.
pub fn angles(axes: &[[u32; 3]], config: &TextConfig) -> Vec<f32> {
    let frequencies = inverse_frequencies(config.rope_theta, config.head_dim());
    let [time, height, _] = config.mrope_section;
    let axis_of = |i: usize| usize::from(i >= time) + usize::from(i >= time + height);
    axes.iter()
        .flat_map(|position| {
            frequencies
                .iter()
                .enumerate()
                .map(move |(i, f)| position[axis_of(i)] as f32 * f)
        })
        .collect()
}
