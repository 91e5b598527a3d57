//! The order in which the tower works on patches: window by window, so that windowed attention reads neighbours. Bookkeeping
//! on the host, no tensors.

use std::ops::Range;

use ::vision::Grid;

use crate::config::VisionConfig;
use crate::rope::inverse_frequencies;

/// Row order, attention spans and rotary angles of a set of images.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// `order[i]` is the processor's row that the tower has at `i`; units of `merge²` rows stay together.
    pub order: Vec<usize>,
    /// `restore[i]` is the tower's merged row that the processor has at `i`.
    pub restore: Vec<usize>,
    /// Rows of each window, in tower order.
    pub windows: Vec<Range<usize>>,
    /// Rows of each image frame, in tower order: frames never see each other.
    pub frames: Vec<Range<usize>>,
    /// Rotary angles in tower order, `head_dim / 2` a row.
    pub angles: Vec<f32>,
}

impl Layout {
    /// Tiles every frame's merged grid with windows, row by row; windows at the edges are cut. Reference:
    /// `get_window_index` and `rot_pos_emb`, transformers 5.23.0.
    pub fn new(grids: &[Grid], config: &VisionConfig) -> Self {
        let merge = config.spatial_merge_size;
        let side = config.window_size / merge / config.patch_size; // merged units a window side
        let unit = merge * merge;
        let half = config.hidden_size / config.num_heads / 2;
        let frequencies = inverse_frequencies(10_000.0, half);
        let mut layout = Self {
            order: vec![],
            restore: vec![],
            windows: vec![],
            frames: vec![],
            angles: vec![],
        };
        let mut units = 0; // merged units before this frame
        let mut tower_units = Vec::new(); // processor unit at each tower place
        for grid in grids {
            let (height, width) = (grid.h / merge, grid.w / merge);
            for _ in 0..grid.t {
                let first_row = units * unit;
                for top in (0..height).step_by(side) {
                    for left in (0..width).step_by(side) {
                        let start = tower_units.len() * unit;
                        for row in top..(top + side).min(height) {
                            for column in left..(left + side).min(width) {
                                tower_units.push(units + row * width + column);
                                for inner in 0..unit {
                                    let (y, x) = (
                                        row * merge + inner / merge,
                                        column * merge + inner % merge,
                                    );
                                    layout
                                        .angles
                                        .extend(frequencies.iter().map(|f| y as f32 * f));
                                    layout
                                        .angles
                                        .extend(frequencies.iter().map(|f| x as f32 * f));
                                }
                            }
                        }
                        layout.windows.push(start..tower_units.len() * unit);
                    }
                }
                units += height * width;
                layout.frames.push(first_row..units * unit);
            }
        }
        layout.order = tower_units
            .iter()
            .flat_map(|&u| u * unit..(u + 1) * unit)
            .collect();
        layout.restore = vec![0; tower_units.len()];
        for (place, &processor) in tower_units.iter().enumerate() {
            layout.restore[processor] = place;
        }
        layout
    }
}
