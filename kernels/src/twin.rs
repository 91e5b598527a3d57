//! What the kernels compute, one value after another in plain Rust and f64. For tests: nothing here is fast.

/// Sizes of an attention.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Heads of a query.
    pub heads: usize,
    /// Heads of a key.
    pub key_heads: usize,
    /// Values of a head.
    pub head_dim: usize,
}

/// `softmax(q · kᵀ / √head_dim) · v` for rows that each see a run of a pool's keys.
///
/// # Shapes
/// - `queries` and the result: `[rows, heads, head_dim]`
/// - `keys`, `values`: `[places, key_heads, head_dim]`
/// - `first`, `seen`: `[rows]`, a row sees the places `first..first + seen`
pub fn attend(
    sizes: Sizes,
    queries: &[f32],
    keys: &[f32],
    values: &[f32],
    first: &[usize],
    seen: &[usize],
) -> Vec<f32> {
    let Sizes {
        heads,
        key_heads,
        head_dim,
    } = sizes;
    let mut y = Vec::with_capacity(queries.len());
    for (index, query) in queries.chunks_exact(head_dim).enumerate() {
        let (row, head) = (index / heads, index % heads);
        let key_head = head / (heads / key_heads);
        let of = |pool: &[f32], place: usize| -> Vec<f64> {
            let start = (place * key_heads + key_head) * head_dim;
            let values = pool[start..start + head_dim].iter();
            values.map(|&value| f64::from(value)).collect()
        };
        let places = first[row]..first[row] + seen[row];
        let scores: Vec<f64> = places
            .clone()
            .map(|place| {
                let products = query.iter().zip(of(keys, place));
                let sum: f64 = products.map(|(&q, k)| f64::from(q) * k).sum();
                sum / (head_dim as f64).sqrt()
            })
            .collect();
        let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - highest).exp()).collect();
        let total: f64 = weights.iter().sum();
        let mut sums = vec![0.0; head_dim];
        for (weight, place) in weights.iter().zip(places) {
            for (sum, value) in sums.iter_mut().zip(of(values, place)) {
                *sum += weight / total * value;
            }
        }
        y.extend(sums.iter().map(|&sum| sum as f32));
    }
    y
}
