//! Attention inside of spans of rows: windows, or whole frames. On CPUs span by span, on GPUs all spans of one length in one
//! operation. No masks.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::activation::softmax;
use burn::tensor::{DType, Device, Int, Tensor};

use crate::attention::{Visible, attend};
use crate::pooled::indices;

/// Rows that see each other.
#[derive(Clone, Debug)]
pub struct Spans {
    /// In order, without gaps.
    ranges: Vec<Range<usize>>,
    together: Option<Together>,
}

/// Spans of one length behind each other.
#[derive(Clone, Debug)]
struct Together {
    /// How many spans there are of which length.
    groups: Vec<(usize, usize)>,
    /// The row at every place, and the place of every row; none where rows already stand so.
    moved: Option<(Tensor<1, Int>, Tensor<1, Int>)>,
}

impl Spans {
    /// Spans that cover the rows in order, computed as is fast on `device`.
    pub fn new(ranges: Vec<Range<usize>>, device: &Device) -> Self {
        let together = device.clone().without_autodiff() != Device::flex();
        Self {
            together: together.then(|| Together::new(&ranges, device)),
            ranges,
        }
    }

    /// `softmax(q · kᵀ / √head_dim) · v` inside of every span; scores and softmax are f32.
    ///
    /// # Shapes
    /// - `q`, `k`, `v`: `[p, heads, head_dim]`
    /// - the result: `[p, heads · head_dim]`
    pub fn attend(&self, q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<2> {
        if let Some(together) = &self.together {
            return together.attend(q, k, v);
        }
        let parts = self.ranges.iter().map(|span| {
            let part = |y: &Tensor<3>| y.clone().narrow(0, span.start, span.len());
            attend(part(&q), part(&k), part(&v), &Visible::All)
        });
        Tensor::cat(parts.collect(), 0)
    }
}

impl Together {
    fn new(ranges: &[Range<usize>], device: &Device) -> Self {
        let mut of_length: BTreeMap<usize, Vec<Range<usize>>> = BTreeMap::new();
        for range in ranges {
            of_length
                .entry(range.len())
                .or_default()
                .push(range.clone());
        }
        let rows: Vec<usize> = of_length.values().flatten().cloned().flatten().collect();
        let mut places = vec![0; rows.len()];
        for (place, &row) in rows.iter().enumerate() {
            places[row] = place;
        }
        let groups = of_length.iter().map(|(&length, of)| (of.len(), length));
        Self {
            groups: groups.collect(),
            moved: (!rows.is_sorted()).then(|| (indices(rows, device), indices(places, device))),
        }
    }

    fn attend(&self, q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<2> {
        let [_, heads, head_dim] = q.dims();
        let dtype = q.dtype();
        let q = q * (head_dim as f64).powf(-0.5);
        let ordered = |x: Tensor<3>| match &self.moved {
            Some((rows, _)) => x.select(0, rows.clone()),
            None => x,
        };
        let [q, k, v] = [q, k, v].map(ordered);
        let mut first = 0;
        let groups = self.groups.iter().map(|&(count, length)| {
            let start = first;
            first += count * length;
            let part = |x: &Tensor<3>| {
                let x = x.clone().narrow(0, start, count * length);
                let x = x.reshape([count, length, heads, head_dim]);
                x.permute([0, 2, 1, 3]) // [count, heads, length, head_dim]
            };
            let scores = part(&q).matmul(part(&k).permute([0, 1, 3, 2]));
            let weights = softmax(scores.cast(DType::F32), 3).cast(dtype);
            let y = weights.matmul(part(&v)).permute([0, 2, 1, 3]);
            y.reshape([count * length, heads * head_dim])
        });
        let y = Tensor::cat(groups.collect(), 0);
        match &self.moved {
            Some((_, places)) => y.select(0, places.clone()),
            None => y,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Distribution, Tolerance};

    #[test]
    fn spans_together_equal_span_by_span() {
        let device = Device::flex();
        // One span; equal ones; edges between whole windows, which have to be moved.
        for bounds in [
            vec![0, 9],
            vec![0, 4, 8, 12],
            vec![0, 8, 16, 20, 28, 36, 40, 44, 48, 50],
        ] {
            let ranges: Vec<_> = bounds.windows(2).map(|ends| ends[0]..ends[1]).collect();
            let rows = bounds[bounds.len() - 1];
            let random = |()| {
                let normal = Distribution::Normal(0.0, 1.0);
                Tensor::<3>::random([rows, 3, 8], normal, &device)
            };
            let [q, k, v] = [(); 3].map(random);
            let together = Together::new(&ranges, &device);
            assert_eq!(together.moved.is_some(), ranges.len() > 3);
            let together = together.attend(q.clone(), k.clone(), v.clone());
            let each = Spans::new(ranges, &device).attend(q, k, v);
            together
                .into_data()
                .assert_approx_eq::<f32>(&each.into_data(), Tolerance::absolute(1e-6));
        }
    }
}
