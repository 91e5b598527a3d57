//! Scaled dot-product attention over the rows of one sequence. Queries that share a key head are folded into one product;
//! keys and values are never repeated. Scores and softmax are f32 whatever the type of the weights.

use burn::tensor::activation::softmax;
use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::cpu;

/// What a query row may see.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one a sequence and forward pass")]
pub enum Visible {
    /// Every key.
    All,
    /// Added to the scores, `[n, l]`: 0 where a key may be seen, −∞ where not.
    Mask(Tensor<2>),
}

impl Visible {
    /// Row `i` of the last `queries` rows sees the keys up to its own.
    pub fn causal(queries: usize, keys: usize, device: &Device) -> Self {
        if queries == 1 {
            return Self::All;
        }
        let first = keys - queries;
        let sees = |query, key| {
            if key <= first + query {
                0.0
            } else {
                f32::NEG_INFINITY
            }
        };
        let row = |query| (0..keys).map(move |key| sees(query, key));
        Self::mask(
            (0..queries).flat_map(row).collect(),
            [queries, keys],
            device,
        )
    }

    /// Rows of a tree behind `held` keys: each sees these, the rows it descends from, and itself. A parent comes before its
    /// children; those of `parents` that are none stand right behind the held keys.
    pub fn tree(held: usize, parents: &[Option<usize>], device: &Device) -> Self {
        let keys = held + parents.len();
        let mut values: Vec<f32> = Vec::with_capacity(parents.len() * keys);
        for (row, parent) in parents.iter().enumerate() {
            if let Some(parent) = parent {
                values.extend_from_within(parent * keys..(parent + 1) * keys);
            } else {
                values.extend(std::iter::repeat_n(0.0, held));
                values.extend(std::iter::repeat_n(f32::NEG_INFINITY, parents.len()));
            }
            values[row * keys + held + row] = 0.0;
        }
        Self::mask(values, [parents.len(), keys], device)
    }

    fn mask(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Self {
        let values = TensorData::new(values, shape);
        Self::Mask(Tensor::from_data(values, (device, DType::F32)))
    }
}

/// `softmax(q · kᵀ / √head_dim + mask) · v` for one sequence.
///
/// # Shapes
/// - `q`: `[n, heads, head_dim]`
/// - `k`, `v`: `[l, key_heads, head_dim]`, `heads` a multiple of `key_heads`
/// - the result: `[n, heads · head_dim]`
pub fn attend(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, visible: &Visible) -> Tensor<2> {
    if let Some(y) = cpu::attend(&q, &k, &v, visible) {
        return y;
    }
    let [n, heads, head_dim] = q.dims();
    let [l, key_heads, _] = k.dims();
    let (group, dtype) = (heads / key_heads, q.dtype());
    let q = q * (head_dim as f64).powf(-0.5);
    let q = q
        .reshape([n, key_heads, group, head_dim])
        .permute([1, 2, 0, 3]); // [key_heads, group, n, head_dim]
    let q = q.reshape([key_heads, group * n, head_dim]);
    let scores = q.matmul(k.permute([1, 2, 0])).cast(DType::F32); // [key_heads, group * n, l]
    let weights = match visible {
        Visible::All => softmax(scores, 2),
        Visible::Mask(mask) => {
            let scores = scores.reshape([key_heads, group, n, l]) + mask.clone().unsqueeze::<4>();
            softmax(scores, 3).reshape([key_heads, group * n, l])
        }
    };
    let y = weights.cast(dtype).matmul(v.permute([1, 0, 2])); // [key_heads, group * n, head_dim]
    y.reshape([key_heads, group, n, head_dim])
        .permute([2, 0, 1, 3])
        .reshape([n, heads * head_dim])
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Distribution, Tolerance};

    #[test]
    fn folded_groups_equal_repeated_keys() {
        let device = Device::flex();
        let random = |shape| Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), &device);
        let (q, k, v) = (random([5, 4, 8]), random([7, 2, 8]), random([7, 2, 8]));
        let repeat = |x: Tensor<3>| {
            let parts = [0, 0, 1, 1].map(|head| x.clone().narrow(1, head, 1));
            Tensor::cat(parts.to_vec(), 1)
        };
        let visible = Visible::causal(5, 7, &device);
        let folded = attend(q.clone(), k.clone(), v.clone(), &visible);
        let repeated = attend(q, repeat(k), repeat(v), &visible);
        folded
            .into_data()
            .assert_approx_eq::<f32>(&repeated.into_data(), Tolerance::absolute(1e-6));
    }
}
