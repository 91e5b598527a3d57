//! Attention of rows of many sequences in one operation, each over its own run of a pool's keys, and the writing of new keys. Whether a
//! row goes on with an answer or reads a prompt makes no difference here. On GPUs a kernel computes it (`gpu.rs`), elsewhere burn's
//! operations do, which also are what the kernel is compared with.

use std::ops::Range;

use burn::tensor::activation::softmax;
use burn::tensor::{DType, Device, IndexingUpdateOp, Int, Tensor, TensorData};

#[cfg(feature = "cuda")]
use crate::gpu;

/// The number of keys that attention of a pass is made for grows in such steps: shapes seldom change, and rows with fewer keys have the
/// same bits in every pass.
pub const SPAN: usize = 256;

/// Which keys of a pool rows see: each a run.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The first key of every row.
    pub(crate) first: Tensor<1, Int>,
    /// How many there are from there on.
    pub(crate) keys: Tensor<1, Int>,
    /// No row sees more.
    longest: usize,
}

impl Seen {
    /// A row for every run of places.
    ///
    /// # Panics
    /// If a run is empty.
    pub fn new(runs: &[Range<usize>], device: &Device) -> Self {
        assert!(runs.iter().all(|run| !run.is_empty()), "a row sees no key");
        let longest = runs.iter().map(Range::len).max().unwrap_or(1);
        Self {
            first: indices(runs.iter().map(|run| run.start), device),
            keys: indices(runs.iter().map(Range::len), device),
            longest: longest.next_multiple_of(SPAN),
        }
    }
}

/// Places or rows, on `device`.
pub fn indices(values: impl IntoIterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.into_iter().map(|value| value as i32).collect();
    let data = TensorData::new(values.clone(), [values.len()]);
    Tensor::from_data(data, (device, DType::I32))
}

/// `softmax(q · kᵀ / √head_dim) · v` for every row over the keys it sees. Grouped queries are folded, scores and sums are f32.
///
/// # Shapes
/// - `q`: `[rows, heads, head_dim]`
/// - `keys`, `values`: `[places, key_heads, head_dim]`, `heads` a multiple of `key_heads`
/// - the result: `[rows, heads · head_dim]`
pub fn attend_pooled(q: Tensor<3>, keys: &Tensor<3>, values: &Tensor<3>, seen: &Seen) -> Tensor<2> {
    let [rows, heads, head_dim] = q.dims();
    let [_, key_heads, _] = keys.dims();
    assert_eq!(seen.first.dims(), [rows], "what rows see");
    #[cfg(feature = "cuda")]
    if gpu::computes(&q) {
        let (first, count) = (seen.first.clone(), seen.keys.clone());
        let y = gpu::attend(q, keys.clone(), values.clone(), first, count, seen.longest);
        return y.reshape([rows, heads * head_dim]);
    }
    let (dtype, device) = (q.dtype(), q.device());
    let (group, longest) = (heads / key_heads, seen.longest);
    let all = Tensor::<1, Int>::arange(0..longest as i64, (&device, DType::I32));
    let all = all.unsqueeze::<2>().repeat_dim(0, rows); // [rows, longest]
    let count: Tensor<2, Int> = seen.keys.clone().unsqueeze_dim(1); // [rows, 1]
    let hidden = all.clone().greater_equal(count.clone());
    // In place of a hidden key stands the last that is seen: what lies behind it may be no number.
    let last = (count - 1).expand([rows, longest]);
    let places = all.mask_where(hidden.clone(), last) + seen.first.clone().unsqueeze_dim(1);
    let places: Tensor<1, Int> = places.reshape([rows * longest]);
    let gathered = |pool: &Tensor<3>| {
        let pool = pool.clone().select(0, places.clone()).cast(DType::F32);
        pool.reshape([rows, longest, key_heads, head_dim])
    };
    let q = q.cast(DType::F32) * (head_dim as f64).powf(-0.5);
    let q = q.reshape([rows, key_heads, group, head_dim]);
    let scores = q.matmul(gathered(keys).permute([0, 2, 3, 1])); // [rows, key_heads, group, longest]
    let hidden = hidden.reshape([rows, 1, 1, longest]);
    let hidden = hidden.expand([rows, key_heads, group, longest]);
    let weights = softmax(scores.mask_fill(hidden, f32::NEG_INFINITY), 3);
    let y = weights.matmul(gathered(values).permute([0, 2, 1, 3])); // [rows, key_heads, group, head_dim]
    y.cast(dtype).reshape([rows, heads * head_dim])
}

/// Writes rows into a pool, in place.
///
/// # Shapes
/// - `keys`, `values`: `[places, key_heads, head_dim]`
/// - `new_keys`, `new_values`: `[n, key_heads, head_dim]`
/// - `to`: `[n]`
pub fn write_pooled(
    keys: &mut Tensor<3>,
    values: &mut Tensor<3>,
    new_keys: Tensor<3>,
    new_values: Tensor<3>,
    to: &Tensor<1, Int>,
) {
    #[cfg(feature = "cuda")]
    if gpu::computes(keys) {
        let (old_keys, old_values) = (keys.extract(), values.extract());
        (*keys, *values) = gpu::write(old_keys, old_values, new_keys, new_values, to.clone());
        return;
    }
    for (pool, new) in [(keys, new_keys), (values, new_values)] {
        pool.inplace(|pool| pool.select_assign(0, to.clone(), new, IndexingUpdateOp::Assign));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::{Visible, attend};
    use burn::tensor::{Distribution, Tolerance};

    fn random(shape: [usize; 3]) -> Tensor<3> {
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex())
    }

    /// Rows of three sequences, two rows of one of them, against attention sequence by sequence.
    #[test]
    fn rows_together_equal_sequence_by_sequence() {
        let device = Device::flex();
        let (places, head_dim) = (700, 16);
        for (heads, key_heads) in [(4, 4), (4, 2), (7, 1)] {
            let mut pool = [(); 2].map(|()| random([places, key_heads, head_dim]));
            // Whatever lies outside of what is seen is no number.
            let runs = [300..337, 300..338, 0..1, 10..290];
            for (from, to) in [(1, 10), (290, 300), (338, places)] {
                let rest = [from..to, 0..key_heads, 0..head_dim];
                pool = pool.map(|pool| pool.slice_fill(rest.clone(), f32::NAN));
            }
            let [keys, values] = &pool;
            let q = random([runs.len(), heads, head_dim]);
            let together = attend_pooled(q.clone(), keys, values, &Seen::new(&runs, &device));
            for (row, run) in runs.iter().enumerate() {
                let part = |pool: &Tensor<3>| pool.clone().narrow(0, run.start, run.len());
                let q = q.clone().narrow(0, row, 1);
                let alone = attend(q, part(keys), part(values), &Visible::All);
                let together = together.clone().narrow(0, row, 1);
                together
                    .into_data()
                    .assert_approx_eq::<f32>(&alone.into_data(), Tolerance::absolute(1e-6));
            }
        }
    }

    #[test]
    fn rows_are_written_in_place() {
        let device = Device::flex();
        let (mut keys, mut values) = (random([9, 2, 4]), random([9, 2, 4]));
        let (before, new) = (keys.clone().into_data(), random([2, 2, 4]));
        let to = indices([7, 3], &device);
        write_pooled(&mut keys, &mut values, new.clone(), new.clone(), &to);
        let row = |pool: &Tensor<3>, row| pool.clone().narrow(0, row, 1).into_data();
        for pool in [&keys, &values] {
            assert_eq!(row(pool, 7), row(&new, 0));
            assert_eq!(row(pool, 3), row(&new, 1));
        }
        let before = Tensor::<3>::from_data(before, &device);
        for other in [0, 1, 2, 4, 5, 6, 8] {
            assert_eq!(row(&keys, other), row(&before, other));
        }
    }
}
