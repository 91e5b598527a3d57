//! Attention inside of spans of rows: windows, or whole frames. On CPUs span by span, on GPUs all spans of one length in one
//! operation. No masks.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::{Device, Int, Tensor};

use crate::attention::{Visible, attend};
use crate::pooled::indices;

/// Rows that see each other: groups of spans of one length, behind each other.
#[derive(Clone, Debug)]
pub struct Spans {
    /// How many spans there are, and how long each is.
    groups: Vec<(usize, usize)>,
    /// The row at every place, and the place of every row; none where rows already stand so.
    moved: Option<(Tensor<1, Int>, Tensor<1, Int>)>,
}

impl Spans {
    /// Spans that cover the rows in order, grouped as is fast on `device`.
    pub fn new(ranges: &[Range<usize>], device: &Device) -> Self {
        if device.clone().without_autodiff() == Device::flex() {
            Self::each(ranges)
        } else {
            Self::together(ranges, device)
        }
    }

    /// Every span a group.
    fn each(ranges: &[Range<usize>]) -> Self {
        Self {
            groups: ranges.iter().map(|span| (1, span.len())).collect(),
            moved: None,
        }
    }

    /// All spans of one length a group.
    fn together(ranges: &[Range<usize>], device: &Device) -> Self {
        let mut of_length: BTreeMap<usize, Vec<Range<usize>>> = BTreeMap::new();
        for range in ranges {
            let same = of_length.entry(range.len()).or_default();
            same.push(range.clone());
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

    /// `softmax(q · kᵀ / √head_dim) · v` inside of every span. A span of a group is to [`attend`] what a head is.
    ///
    /// # Shapes
    /// - `q`, `k`, `v`: `[p, heads, head_dim]`
    /// - the result: `[p, heads · head_dim]`
    pub fn attend(&self, q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<2> {
        let [_, heads, head_dim] = q.dims();
        let width = heads * head_dim;
        let ordered = |x: Tensor<3>| match &self.moved {
            Some((rows, _)) => x.select(0, rows.clone()),
            None => x,
        };
        let [q, k, v] = [q, k, v].map(ordered);
        let mut next = 0;
        let groups = self.groups.iter().map(|&(count, length)| {
            let first = next;
            next += count * length;
            let part = |x: &Tensor<3>| {
                let x = x.clone().narrow(0, first, count * length);
                if count == 1 {
                    return x; // nothing to turn, and nothing to copy
                }
                let x = x.reshape([count, length, width]).swap_dims(0, 1);
                x.reshape([length, count * heads, head_dim])
            };
            let y = attend(part(&q), part(&k), part(&v), &Visible::All); // [length, count * width]
            if count == 1 {
                return y;
            }
            let y = y.reshape([length, count, width]).swap_dims(0, 1);
            y.reshape([count * length, width])
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
        for (bounds, groups) in [
            (vec![0, 9], 1),
            (vec![0, 4, 8, 12], 1),
            (vec![0, 8, 16, 20, 28, 36, 40, 44, 48, 50], 3),
        ] {
            let ranges: Vec<_> = bounds.windows(2).map(|ends| ends[0]..ends[1]).collect();
            let rows = bounds[bounds.len() - 1];
            let random = |()| {
                let normal = Distribution::Normal(0.0, 1.0);
                Tensor::<3>::random([rows, 3, 8], normal, &device)
            };
            let [q, k, v] = [(); 3].map(random);
            let together = Spans::together(&ranges, &device);
            assert_eq!(together.groups.len(), groups);
            assert_eq!(together.moved.is_some(), groups > 1);
            let together = together.attend(q.clone(), k.clone(), v.clone());
            let each = Spans::each(&ranges).attend(q, k, v);
            together
                .into_data()
                .assert_approx_eq::<f32>(&each.into_data(), Tolerance::absolute(1e-6));
        }
    }
}
