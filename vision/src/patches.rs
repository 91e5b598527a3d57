//! Patch rows: a normalised picture cut into squares, in the order the vision tower merges them.
//! Resizes nothing: sides that are no whole number of merged patches are a bug of the caller.

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::Processor;

/// How many patches a picture has, per axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grid {
    /// Frames after temporal grouping; 1 for a photo.
    pub t: usize,
    /// Rows of patches.
    pub h: usize,
    /// Columns of patches.
    pub w: usize,
}

impl Grid {
    /// Patches in all.
    pub fn patches(&self) -> usize {
        self.t * self.h * self.w
    }

    /// Image tokens the decoder sees once squares of `merge` by `merge` patches are merged.
    pub fn tokens(&self, merge: usize) -> usize {
        self.patches() / (merge * merge)
    }
}

/// What the vision tower reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Patches {
    /// How the rows are laid out in the picture.
    pub grid: Grid,
    /// `[t*h*w, channels * temporal_patch_size * patch_size²]`, row-major; rows go by squares of merged patches.
    pub pixels: Vec<f32>,
}

/// Normalises and cuts a picture whose sides are multiples of `patch_size * merge_size`.
///
/// Rows come in the order (block row, block column, row in block, column in block); each holds (channel, time, row,
/// column), the one frame repeated over time.
pub(crate) fn cut(image: &RgbImage, processor: &Processor) -> Patches {
    let (patch, merge) = (processor.patch_size as usize, processor.merge_size as usize);
    let (width, height) = (image.width() as usize, image.height() as usize);
    assert!(
        width.is_multiple_of(patch * merge) && height.is_multiple_of(patch * merge),
        "{width}x{height} is no whole number of {merge}x{merge} patches of {patch} px"
    );
    let grid = Grid {
        t: 1,
        h: height / patch,
        w: width / patch,
    };
    let tables = tables(processor);
    let (source, _) = image.as_raw().as_chunks::<3>();
    let row = 3 * processor.temporal_patch_size as usize * patch * patch;
    let mut pixels = vec![0.0_f32; grid.patches() * row];
    let mut rows = pixels.chunks_exact_mut(row);
    for block_y in (0..grid.h).step_by(merge) {
        for block_x in (0..grid.w).step_by(merge) {
            for y in block_y..block_y + merge {
                for x in block_x..block_x + merge {
                    let row = rows.next().expect("one row for each patch of the grid");
                    let corner = &source[(y * width + x) * patch..];
                    match patch {
                        // The size of every published checkpoint: a constant length lets the compiler unroll.
                        14 => fill::<14>(row, corner, width, patch, &tables),
                        _ => fill::<1>(row, corner, width, patch, &tables),
                    }
                }
            }
        }
    }
    Patches { grid, pixels }
}

/// Fills one patch row from the picture beginning at the patch's corner; lines are copied in pieces of `N`.
fn fill<const N: usize>(
    row: &mut [f32],
    corner: &[[u8; 3]],
    width: usize,
    patch: usize,
    tables: &[[f32; 256]; 3],
) {
    let plane = patch * patch;
    for (c, (table, channel)) in tables
        .iter()
        .zip(row.chunks_exact_mut(row.len() / 3))
        .enumerate()
    {
        let (frame, repeats) = channel.split_at_mut(plane);
        for (out, line) in frame.chunks_exact_mut(patch).zip(corner.chunks(width)) {
            let (out, line) = (out.as_chunks_mut::<N>().0, line[..patch].as_chunks::<N>().0);
            for (values, pixels) in out.iter_mut().zip(line) {
                *values = pixels.map(|pixel| table[usize::from(pixel[c])]);
            }
        }
        for repeat in repeats.chunks_exact_mut(plane) {
            repeat.copy_from_slice(frame);
        }
    }
}

/// The normalised value of every byte, per channel, in the reference's order of f32 operations.
fn tables(processor: &Processor) -> [[f32; 256]; 3] {
    std::array::from_fn(|c| {
        let mean = processor.mean[c] * 255.0;
        let std = processor.std[c] * 255.0;
        std::array::from_fn(|value| (value as f32 - mean) / std)
    })
}
