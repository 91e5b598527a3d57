//! Attention of a few rows of many sequences at once, each over its own run of a pool's keys (flash-decoding, Dao et al. 2023). A
//! cube takes one row, one key head and at most `span` keys, so that few rows with many keys fill a GPU too; a second pass merges what
//! the spans gave. Queries that share a key head are read together: a key is read once for all of them. Scores, softmax and sums
//! are f32 whatever the type of the pool. Uses no tensor cores, and reads each key once a row: for prompts there are better ways.
//!
//! A row's bits depend on its query, its keys and `span` alone, never on the rows beside it.

use cubecl::prelude::*;
use cubecl::std::tensor::TensorHandle;

/// Units of a cube in the first pass. A unit scores one key of a tile; then units side by side add up the pieces of a value.
const UNITS: usize = 128;
/// Units that look through the scores of one query together.
const TEAM: usize = 16;
/// Units of a cube in the second pass.
const MERGERS: usize = 128;

/// What rows attend to.
pub struct Attention {
    /// `[rows, heads, head_dim]`
    pub queries: TensorHandle,
    /// `[places, key_heads, head_dim]`, `heads` a multiple of `key_heads`
    pub keys: TensorHandle,
    /// As the keys.
    pub values: TensorHandle,
    /// The place of the first key that each row sees, `[rows]`, i32.
    pub first: TensorHandle,
    /// How many keys from there on it sees, one at least and no more than `longest`, `[rows]`, i32.
    pub seen: TensorHandle,
    /// No row sees more keys.
    pub longest: usize,
    /// Keys that one cube reads. Rows are cut here, whoever else is there: another span may change the last bits.
    pub span: usize,
}

/// Whether heads of this width can be computed: a power of two of at most 128 vectors.
pub fn fits(head_dim: usize) -> bool {
    head_dim.is_power_of_two() && head_dim <= UNITS
}

/// The widest vector that `client` reads at once and that makes whole heads.
pub(crate) fn vector_size(client: &Client, dtype: ElemType, head_dim: usize) -> usize {
    let sizes = client.io_optimized_vector_sizes(dtype.size());
    let whole = sizes.filter(|size| head_dim.is_multiple_of(*size));
    whole.max().unwrap_or(1)
}

/// `softmax(q · kᵀ / √head_dim) · v` for every row over the keys it sees. What lies in the pool beyond those is never read.
///
/// # Shapes
/// - the result: `[rows, heads, head_dim]`, in the type of the queries
///
/// # Panics
/// If shapes or types do not fit together, or [`fits`] says no.
pub fn attend(client: &Client, asked: Attention) -> TensorHandle {
    let [rows, heads, head_dim] = *asked.queries.shape().as_slice() else {
        panic!("queries of shape {:?}", asked.queries.shape());
    };
    let [places, key_heads, _] = *asked.keys.shape().as_slice() else {
        panic!("keys of shape {:?}", asked.keys.shape());
    };
    let pool = [places, key_heads, head_dim];
    assert_eq!(asked.keys.shape().as_slice(), pool, "keys");
    assert_eq!(asked.values.shape().as_slice(), pool, "values for keys");
    assert_eq!(asked.first.shape().as_slice(), [rows], "first for rows");
    assert_eq!(asked.seen.shape().as_slice(), [rows], "seen for rows");
    assert!(
        heads.is_multiple_of(key_heads),
        "{heads} heads for {key_heads}"
    );
    assert!(fits(head_dim), "heads of {head_dim} values");
    assert!(asked.span > 0 && asked.longest > 0, "no keys");
    let dtype = asked.queries.dtype;
    assert_eq!(asked.keys.dtype, dtype, "keys for queries");
    assert_eq!(asked.values.dtype, dtype, "values for queries");
    let index = i32::elem_type_native();
    assert_eq!(
        (asked.first.dtype, asked.seen.dtype),
        (index, index),
        "first, seen"
    );
    let group = heads / key_heads;
    let vector = vector_size(client, dtype, head_dim);
    let pieces = head_dim / vector;
    let spans = asked.longest.div_ceil(asked.span);

    let float = f32::elem_type_native();
    let contiguous = |shape: &[usize], dtype: ElemType| {
        let size = shape.iter().product::<usize>() * dtype.size();
        TensorHandle::new_contiguous(shape, client.empty(size), dtype)
    };
    let sums = contiguous(&[rows, heads, spans, head_dim], float);
    let weights = contiguous(&[rows, heads, spans, 2], float);
    let y = contiguous(&[rows, heads, head_dim], dtype);
    attend_spans::launch(
        client,
        CubeCount::Static(key_heads as u32, spans as u32, rows as u32),
        CubeDim::new_1d(UNITS as u32),
        vector,
        asked.queries.into_arg().into_buffer_arg(),
        asked.keys.into_arg().into_buffer_arg(),
        asked.values.into_arg().into_buffer_arg(),
        asked.first.into_arg().into_buffer_arg(),
        asked.seen.clone().into_arg().into_buffer_arg(),
        sums.clone().into_arg().into_buffer_arg(),
        weights.clone().into_arg().into_buffer_arg(),
        (head_dim as f32).powf(-0.5),
        asked.span,
        spans,
        key_heads,
        group,
        pieces,
        dtype,
    );
    let merged = rows * heads * pieces;
    merge_spans::launch(
        client,
        CubeCount::new_1d(merged.div_ceil(MERGERS) as u32),
        CubeDim::new_1d(MERGERS as u32),
        vector,
        sums.into_arg().into_buffer_arg(),
        weights.into_arg().into_buffer_arg(),
        asked.seen.into_arg().into_buffer_arg(),
        y.clone().into_arg().into_buffer_arg(),
        asked.span,
        spans,
        heads,
        pieces,
        dtype,
    );
    y
}

/// The first pass: for every query of a key head the weighed sum of a span's values, the highest score and the sum of the weights.
///
/// # Shapes
/// - `sums`: `[rows, heads, spans, head_dim]`
/// - `weights`: `[rows, heads, spans, 2]`
#[cube(launch)]
fn attend_spans<F: Float, N: Size>(
    queries: &[Vector<F, N>],
    keys: &[Vector<F, N>],
    values: &[Vector<F, N>],
    first: &[i32],
    seen: &[i32],
    sums: &mut [Vector<f32, N>],
    weights: &mut [f32],
    scale: f32,
    span: usize,
    spans: usize,
    #[comptime] key_heads: usize,
    #[comptime] group: usize,
    #[comptime] pieces: usize,
    #[define(F)] _dtype: ElemType,
) {
    let key_head = CUBE_POS_X as usize;
    let part = CUBE_POS_Y as usize;
    let row = CUBE_POS_Z as usize;
    let unit = UNIT_POS as usize;
    let origin = first[row] as usize;
    let start = part * span;
    let end = usize::min(start + span, seen[row] as usize);
    if start >= end {
        terminate!();
    }
    let head = (row * key_heads + key_head) * group; // the first of its queries, of all rows' heads

    // The queries of this key head, in f32 and scaled.
    let mut asked = Shared::<[Vector<f32, N>]>::new_slice(group * pieces);
    for at in range_stepped(unit, group * pieces, UNITS) {
        let query = Vector::<f32, N>::cast_from(queries[head * pieces + at]);
        asked[at] = query * Vector::new(scale);
    }
    sync_cube();

    // What each unit knows of every query: the highest score so far, the weights of its own keys, its share of the weighed sum.
    let mut highest = Array::<f32>::new(group);
    let mut total = Array::<f32>::new(group);
    let mut sum = Array::<Vector<f32, N>>::new(group);
    #[unroll]
    for query in 0..group {
        highest[query] = f32::min_value();
        total[query] = f32::new(0.0);
        sum[query] = Vector::new(f32::new(0.0));
    }

    let mut tile = Shared::<[f32]>::new_slice(group * UNITS); // a score, then a weight, of every query for every key of a tile
    let mut found = Shared::<[f32]>::new_slice(group * TEAM);
    let subsets = comptime!(UNITS / pieces); // keys whose values are read at the same time
    let piece = unit % pieces;
    let subset = unit / pieces;

    for tile_start in range_stepped(start, end, UNITS) {
        // Each unit scores one key.
        let key = tile_start + unit;
        let mut score = Array::<Vector<f32, N>>::new(group);
        #[unroll]
        for query in 0..group {
            score[query] = Vector::new(f32::new(0.0));
        }
        if key < end {
            let at = ((origin + key) * key_heads + key_head) * pieces;
            for piece in 0..pieces {
                let k = Vector::<f32, N>::cast_from(keys[at + piece]);
                #[unroll]
                for query in 0..group {
                    score[query] += k * asked[query * pieces + piece];
                }
            }
        }
        let mut own = Array::<f32>::new(group);
        #[unroll]
        for query in 0..group {
            own[query] = select(key < end, score[query].vector_sum(), f32::min_value());
            tile[query * UNITS + unit] = own[query];
        }
        sync_cube();
        look_through(&tile, &mut found, group, Wanted::Highest);
        // The sums so far fade as the highest score rises.
        #[unroll]
        for query in 0..group {
            let before = highest[query];
            let now = before.max(found[query * TEAM]);
            let fade = (before - now).exp();
            let weight = select(key < end, (own[query] - now).exp(), f32::new(0.0));
            highest[query] = now;
            total[query] = total[query] * fade + weight;
            sum[query] *= Vector::new(fade);
            tile[query * UNITS + unit] = weight;
        }
        sync_cube();
        // Units side by side add up the pieces of a value, others those of the next.
        for step in 0..pieces {
            let index = step * subsets + subset;
            let key = tile_start + index;
            if key < end {
                let at = ((origin + key) * key_heads + key_head) * pieces + piece;
                let v = Vector::<f32, N>::cast_from(values[at]);
                #[unroll]
                for query in 0..group {
                    sum[query] += v * Vector::new(tile[query * UNITS + index]);
                }
            }
        }
        sync_cube();
    }

    #[unroll]
    for query in 0..group {
        tile[query * UNITS + unit] = total[query];
    }
    sync_cube();
    look_through(&tile, &mut found, group, Wanted::Sum);
    if unit == 0 {
        #[unroll]
        for query in 0..group {
            let at = ((head + query) * spans + part) * 2;
            weights[at] = highest[query];
            weights[at + 1] = found[query * TEAM];
        }
    }
    let mut shares = Shared::<[Vector<f32, N>]>::new_slice(UNITS);
    #[unroll]
    for query in 0..group {
        shares[unit] = sum[query];
        sync_cube();
        if unit < pieces {
            let mut whole = shares[unit];
            for subset in 1..subsets {
                whole += shares[subset * pieces + unit];
            }
            sums[((head + query) * spans + part) * pieces + unit] = whole;
        }
        sync_cube();
    }
}

/// What [`look_through`] looks for.
#[derive_cube_comptime]
enum Wanted {
    Highest,
    Sum,
}

/// Finds the highest value, or the sum, of every query's `UNITS` values; leaves it in the first of its `TEAM` places of `found`.
#[cube]
fn look_through(
    values: &Shared<[f32]>,
    found: &mut Shared<[f32]>,
    #[comptime] group: usize,
    #[comptime] wanted: Wanted,
) {
    let unit = UNIT_POS as usize;
    for at in range_stepped(unit, group * TEAM, UNITS) {
        let from = at / TEAM * UNITS + at % TEAM;
        let mut value = values[from];
        #[unroll]
        for step in 1..UNITS / TEAM {
            value = both(value, values[from + step * TEAM], wanted);
        }
        found[at] = value;
    }
    sync_cube();
    for query in range_stepped(unit, group, UNITS) {
        let mut value = found[query * TEAM];
        #[unroll]
        for step in 1..TEAM {
            value = both(value, found[query * TEAM + step], wanted);
        }
        found[query * TEAM] = value;
    }
    sync_cube();
}

#[cube]
fn both(a: f32, b: f32, #[comptime] wanted: Wanted) -> f32 {
    match wanted {
        Wanted::Highest => a.max(b),
        Wanted::Sum => a + b,
    }
}

/// The second pass: what a row's spans gave, weighed by their highest scores. A unit adds up one piece of a head.
///
/// # Shapes
/// - as the first pass; `y`: `[rows, heads, head_dim]`
#[cube(launch)]
fn merge_spans<F: Float, N: Size>(
    sums: &[Vector<f32, N>],
    weights: &[f32],
    seen: &[i32],
    y: &mut [Vector<F, N>],
    span: usize,
    spans: usize,
    #[comptime] heads: usize,
    #[comptime] pieces: usize,
    #[define(F)] _dtype: ElemType,
) {
    let head = ABSOLUTE_POS / pieces; // of all rows
    if head >= seen.len() * heads {
        terminate!();
    }
    let piece = ABSOLUTE_POS % pieces;
    let filled = (seen[head / heads] as usize).div_ceil(span);
    let from = head * spans;
    let mut highest = weights[from * 2];
    for part in 1..filled {
        highest = highest.max(weights[(from + part) * 2]);
    }
    let mut total = f32::new(0.0);
    let mut sum = Vector::<f32, N>::new(f32::new(0.0));
    for part in 0..filled {
        let at = from + part;
        let weight = (weights[at * 2] - highest).exp();
        total += weights[at * 2 + 1] * weight;
        sum += sums[at * pieces + piece] * Vector::new(weight);
    }
    y[head * pieces + piece] = Vector::cast_from(sum / Vector::new(total));
}
