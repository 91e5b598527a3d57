//! Scaled dot-product attention of one sequence: scores of a few queries, their softmax, the weighed values, while they are in a
//! near cache. Keys and values are read where they lie. What is hidden has a weight of exactly 0, so that finite keys behind those a query
//! sees change no bit.

use burn::tensor::Tensor;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::product::{Matrix, multiply};
use super::rows::{exp, highest, sum};
use super::{WORTH_DIVIDING, arch, in_order, tensor, values};
use crate::attention::Visible;

/// Rows of scores made at once.
const ROWS: usize = 24;

/// As [`crate::attention::attend`].
pub fn attend(q: &Tensor<3>, k: &Tensor<3>, v: &Tensor<3>, visible: &Visible) -> Option<Tensor<2>> {
    let arch = arch()?;
    let [queries, heads, head_dim] = q.dims();
    let [keys, key_heads, _] = k.dims();
    assert_eq!(
        k.dims(),
        [keys, key_heads, head_dim],
        "keys for {:?}",
        q.dims()
    );
    assert_eq!(k.dims(), v.dims(), "keys and values");
    assert!(
        keys > 0 && heads % key_heads == 0,
        "{:?} for {:?}",
        k.dims(),
        q.dims()
    );
    if let Visible::Mask(mask) = visible {
        assert_eq!(mask.dims(), [queries, keys], "what is visible");
    }
    let (held_q, held_k, held_v) = (in_order(q)?, in_order(k)?, in_order(v)?);
    let held_mask = match visible {
        Visible::All => None,
        Visible::Mask(mask) => Some(in_order(mask)?),
    };
    let (q_values, k, v) = (values(&held_q), values(&held_k), values(&held_v));
    let mask = held_mask.as_ref().map(values);
    let group = heads / key_heads;
    let work = Work {
        arch,
        keys,
        head_dim,
        group,
        mask,
    };
    let mut y = vec![0.0; queries * heads * head_dim];
    for key_head in 0..key_heads {
        let (k, v) = (&k[key_head * head_dim..], &v[key_head * head_dim..]);
        let (k, v) = (
            Matrix::outer_first(k, key_heads * head_dim),
            Matrix::inner_first(v, key_heads * head_dim),
        );
        if key_heads == 1 {
            work.run(q_values, &k, &v, &mut y);
            continue;
        }
        // The queries of one key head, then its results, by themselves.
        let (width, row) = (group * head_dim, heads * head_dim);
        let part = key_head * width..(key_head + 1) * width;
        let q: Vec<f32> = q_values
            .chunks_exact(row)
            .flat_map(|row| &row[part.clone()])
            .copied()
            .collect();
        let mut own = vec![0.0; q.len()];
        work.run(&q, &k, &v, &mut own);
        for (y, own) in y.chunks_exact_mut(row).zip(own.chunks_exact(width)) {
            y[part.clone()].copy_from_slice(own);
        }
    }
    Some(tensor(y, [queries, heads * head_dim], &q.device()))
}

/// What all rows of an attention have in common.
struct Work<'a> {
    arch: Arch,
    keys: usize,
    head_dim: usize,
    /// Heads of queries to one of keys: rows that share a row of the mask.
    group: usize,
    mask: Option<&'a [f32]>,
}

impl Work<'_> {
    /// # Shapes
    /// - `q`, `y`: `[queries · group, head_dim]`; `k`, `v`: `[keys, head_dim]`
    fn run(&self, q: &[f32], k: &Matrix<'_>, v: &Matrix<'_>, y: &mut [f32]) {
        let size = ROWS * self.head_dim;
        let some = |(index, (q, y)): (usize, (&[f32], &mut [f32]))| {
            self.some(index * ROWS, q, k, v, y);
        };
        if q.len() * self.keys < WORTH_DIVIDING {
            q.chunks(size)
                .zip(y.chunks_mut(size))
                .enumerate()
                .for_each(some);
        } else {
            q.par_chunks(size)
                .zip(y.par_chunks_mut(size))
                .enumerate()
                .for_each(some);
        }
    }

    /// At most [`ROWS`] rows from `first` on.
    fn some(&self, first: usize, q: &[f32], k: &Matrix<'_>, v: &Matrix<'_>, y: &mut [f32]) {
        let rows = q.len() / self.head_dim;
        let mut scores = vec![0.0; rows * self.keys];
        multiply(q, self.head_dim, k, &mut scores, self.keys);
        let mut totals = [0.0; ROWS];
        let scale = (self.head_dim as f32).powf(-0.5);
        self.arch.dispatch(Weights {
            scores: &mut scores,
            totals: &mut totals,
            work: self,
            first,
            scale,
        });
        multiply(&scores, self.keys, v, y, self.head_dim);
        for (y, total) in y.chunks_exact_mut(self.head_dim).zip(totals) {
            let scale = 1.0 / total;
            for y in y.iter_mut() {
                *y *= scale;
            }
        }
    }
}

/// Turns rows of scores into `exp(score − the highest)` and their sums.
struct Weights<'a> {
    scores: &'a mut [f32],
    totals: &'a mut [f32],
    work: &'a Work<'a>,
    first: usize,
    scale: f32,
}

impl WithSimd for Weights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let keys = self.work.keys;
        let rows = self.scores.chunks_exact_mut(keys);
        for (row, (scores, total)) in rows.zip(self.totals).enumerate() {
            if let Some(mask) = self.work.mask {
                let query = (self.first + row) / self.work.group;
                let mask = &mask[query * keys..(query + 1) * keys];
                for (score, mask) in scores.iter_mut().zip(mask) {
                    *score = score.mul_add(self.scale, *mask);
                }
            } else {
                for score in scores.iter_mut() {
                    *score *= self.scale;
                }
            }
            let highest = highest(scores);
            for score in scores.iter_mut() {
                *score = exp(*score - highest);
            }
            *total = sum(scores, |weight| weight);
        }
    }
}
