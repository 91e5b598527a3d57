//! The kernels on whatever runtime is there (lavapipe, a Vulkan driver on the CPU, in CI) against their twins in plain Rust.

use cubecl::Device;
use cubecl::prelude::*;
use cubecl::std::tensor::TensorHandle;
use half::f16;
use kernels::twin::{self, Sizes};
use kernels::{Attention, Written, attend, write};

/// What no row may read.
const HIDDEN: f32 = f32::NAN;

fn client() -> Client {
    Device::default().client()
}

/// Numbers that look random, the same in every run: a linear congruence (Knuth's MMIX).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        let Self(state) = self;
        *state = state.wrapping_mul(6_364_136_223_846_793_005);
        *state = state.wrapping_add(1_442_695_040_888_963_407);
        *state >> 33
    }

    /// Between −2 and 2.
    fn float(&mut self) -> f32 {
        self.next() as f32 / (1_u64 << 31) as f32 * 4.0 - 2.0
    }

    fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
    }
}

/// Rows over a pool whose places are seen by one row or by none.
#[derive(Clone)]
struct Case {
    sizes: Sizes,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    first: Vec<usize>,
    seen: Vec<usize>,
}

impl Case {
    /// One row for each of `seen`, in slots that lie in the pool in another order than the rows. What lies between the slots
    /// is hidden.
    fn new(sizes: Sizes, seen: &[usize], numbers: &mut Numbers) -> Self {
        let longest = seen.iter().copied().max().expect("rows");
        let room = longest + 3;
        let width = sizes.key_heads * sizes.head_dim;
        let count = seen.len();
        let (mut keys, mut values) = (vec![HIDDEN; count * room * width], vec![]);
        values.clone_from(&keys);
        let mut first = vec![0; count];
        for (row, &seen) in seen.iter().enumerate() {
            first[row] = (row * 5 + 3) % count * room + 2; // 5 is prime to the numbers of rows used here
            let places = first[row] * width..(first[row] + seen) * width;
            keys[places.clone()].copy_from_slice(&numbers.floats(places.len()));
            values[places.clone()].copy_from_slice(&numbers.floats(places.len()));
        }
        Self {
            queries: numbers.floats(count * sizes.heads * sizes.head_dim),
            keys,
            values,
            first,
            seen: seen.to_vec(),
            sizes,
        }
    }

    fn longest(&self) -> usize {
        self.seen.iter().copied().max().expect("rows")
    }

    /// The rows in `rows` alone.
    fn only(&self, rows: &[usize]) -> Self {
        let width = self.sizes.heads * self.sizes.head_dim;
        let query = |&row: &usize| self.queries[row * width..(row + 1) * width].to_vec();
        Self {
            queries: rows.iter().flat_map(query).collect(),
            first: rows.iter().map(|&row| self.first[row]).collect(),
            seen: rows.iter().map(|&row| self.seen[row]).collect(),
            ..self.clone()
        }
    }

    /// What the twin makes of it, from numbers as `T` holds them.
    fn expected<T: Stored>(&self) -> Vec<f32> {
        let rounded = |values: &[f32]| -> Vec<f32> {
            let values = values.iter();
            values.map(|&it| T::of(it).float()).collect()
        };
        let (keys, values) = (rounded(&self.keys), rounded(&self.values));
        let queries = rounded(&self.queries);
        twin::attend(
            self.sizes,
            &queries,
            &keys,
            &values,
            &self.first,
            &self.seen,
        )
    }

    /// What the kernel makes of it.
    fn attended<T: Stored>(&self, client: &Client, span: usize, longest: usize) -> Vec<f32> {
        let Sizes {
            heads,
            key_heads,
            head_dim,
        } = self.sizes;
        let rows = self.seen.len();
        let places = self.keys.len() / key_heads / head_dim;
        let y = attend(
            client,
            Attention {
                queries: stored::<T>(client, &self.queries, &[rows, heads, head_dim]),
                keys: stored::<T>(client, &self.keys, &[places, key_heads, head_dim]),
                values: stored::<T>(client, &self.values, &[places, key_heads, head_dim]),
                first: indices(client, &self.first),
                seen: indices(client, &self.seen),
                longest,
                span,
            },
        );
        assert_eq!(y.shape().as_slice(), [rows, heads, head_dim]);
        read::<T>(client, y)
    }
}

/// A type that pools have.
trait Stored: CubeElement + Float {
    fn of(value: f32) -> Self;
    fn float(self) -> f32;
}

impl Stored for f32 {
    fn of(value: f32) -> Self {
        value
    }
    fn float(self) -> f32 {
        self
    }
}

impl Stored for f16 {
    fn of(value: f32) -> Self {
        Self::from_f32(value)
    }
    fn float(self) -> f32 {
        self.to_f32()
    }
}

fn stored<T: Stored>(client: &Client, values: &[f32], shape: &[usize]) -> TensorHandle {
    let values: Vec<T> = values.iter().map(|&value| T::of(value)).collect();
    let handle = client.create_from_slice(T::as_bytes(&values));
    TensorHandle::new_contiguous(shape, handle, T::elem_type_native())
}

fn indices(client: &Client, values: &[usize]) -> TensorHandle {
    let values: Vec<i32> = values.iter().map(|&value| value as i32).collect();
    let handle = client.create_from_slice(i32::as_bytes(&values));
    TensorHandle::new_contiguous([values.len()], handle, i32::elem_type_native())
}

fn read<T: Stored>(client: &Client, tensor: TensorHandle) -> Vec<f32> {
    let bytes = client.read_one(tensor.handle).expect("it was launched");
    T::from_bytes(&bytes).iter().map(|it| it.float()).collect()
}

fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let apart = |(a, b): (&f32, &f32)| {
        assert!(!a.is_nan(), "a hidden key was read");
        (a - b).abs()
    };
    a.iter().zip(b).map(apart).fold(0.0, f32::max)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn sizes(group: usize, key_heads: usize, head_dim: usize) -> Sizes {
    Sizes {
        heads: group * key_heads,
        key_heads,
        head_dim,
    }
}

/// Around the ends of blocks and of tiles, and long.
const SEEN: [usize; 6] = [1, 1000, 31, 33, 32, 129];

#[test]
fn every_group_and_width_of_head_equals_the_twin() {
    let client = client();
    for group in [1, 2, 4, 7] {
        for head_dim in [16, 64, 128] {
            let sizes = sizes(group, 2, head_dim);
            let case = Case::new(sizes, &SEEN, &mut Numbers(1));
            let off = furthest(
                &case.attended::<f32>(&client, 256, case.longest()),
                &case.expected::<f32>(),
            );
            assert!(off < 1e-5, "{sizes:?}: {off}");
        }
    }
}

#[test]
fn one_span_or_eight_give_the_same() {
    let client = client();
    let case = Case::new(sizes(7, 4, 128), &SEEN, &mut Numbers(2));
    let longest = case.longest();
    let whole = case.attended::<f32>(&client, longest, longest);
    for spans in 1..=8 {
        let split = case.attended::<f32>(&client, longest.div_ceil(spans), longest);
        let off = furthest(&split, &whole);
        assert!(off < 2e-6, "{spans} spans: {off}");
        // Room for longer rows changes nothing.
        let roomy = case.attended::<f32>(&client, longest.div_ceil(spans), 3 * longest);
        assert_eq!(bits(&roomy), bits(&split), "{spans} spans");
    }
}

#[test]
fn a_row_has_the_same_bits_alone_and_in_company() {
    let client = client();
    let case = Case::new(sizes(7, 2, 64), &SEEN, &mut Numbers(3));
    let width = case.sizes.heads * case.sizes.head_dim;
    for span in [100, 256, 1000] {
        let together = case.attended::<f32>(&client, span, case.longest());
        for row in 0..SEEN.len() {
            let alone = case.only(&[row]);
            let alone = alone.attended::<f32>(&client, span, alone.longest());
            let beside = &together[row * width..(row + 1) * width];
            assert_eq!(bits(&alone), bits(beside), "row {row}, spans of {span}");
        }
        let turned: Vec<usize> = (0..SEEN.len()).rev().collect();
        let turned = case.only(&turned);
        let turned = turned.attended::<f32>(&client, span, case.longest());
        let mut back: Vec<f32> = vec![];
        for row in turned.chunks_exact(width).rev() {
            back.extend(row);
        }
        assert_eq!(bits(&back), bits(&together), "spans of {span}");
    }
}

/// Rows of one sequence that follow each other see its keys up to their own.
#[test]
fn rows_may_share_a_sequence() {
    let client = client();
    let mut case = Case::new(sizes(4, 1, 64), &[40, 40, 40], &mut Numbers(4));
    case.first = vec![case.first[1]; 3];
    case.seen = vec![38, 39, 40];
    let off = furthest(
        &case.attended::<f32>(&client, 256, 40),
        &case.expected::<f32>(),
    );
    assert!(off < 1e-5, "{off}");
}

/// Scores far above what an exponential holds, and far apart.
#[test]
fn large_scores_do_not_overflow() {
    let client = client();
    let mut case = Case::new(sizes(2, 1, 64), &SEEN, &mut Numbers(5));
    for query in &mut case.queries {
        *query *= 300.0;
    }
    let off = furthest(
        &case.attended::<f32>(&client, 256, case.longest()),
        &case.expected::<f32>(),
    );
    assert!(off < 1e-3, "{off}"); // scores of some thousands have an f32 step of 2e-4
}

#[test]
fn halves_are_added_in_whole_floats() {
    let client = client();
    let half = f16::elem_type_native();
    if !client.properties().supports_type(half) {
        println!("not run: this runtime has no f16");
        return;
    }
    for head_dim in [16, 128] {
        let case = Case::new(sizes(7, 2, head_dim), &SEEN, &mut Numbers(6));
        let got = case.attended::<f16>(&client, 256, case.longest());
        // The result is rounded once: values below 2 have steps of 2⁻¹⁰ at most.
        let off = furthest(&got, &case.expected::<f16>());
        assert!(off < 6e-4, "heads of {head_dim}: {off}");
    }
}

#[test]
fn rows_are_written_where_they_belong_and_nowhere_else() {
    let client = client();
    let mut numbers = Numbers(7);
    for (key_heads, head_dim, rows) in [(1, 16, 1), (4, 128, 5), (2, 64, 70)] {
        let (places, width) = (200, key_heads * head_dim);
        let mut pools = [(); 2].map(|()| numbers.floats(places * width));
        let new = [(); 2].map(|()| numbers.floats(rows * width));
        let to: Vec<usize> = (0..rows).map(|row| (row * 77 + 11) % places).collect();
        let [keys, values] = [0, 1]
            .map(|index| stored::<f32>(&client, &pools[index], &[places, key_heads, head_dim]));
        let [new_keys, new_values] =
            [0, 1].map(|index| stored::<f32>(&client, &new[index], &[rows, key_heads, head_dim]));
        let written = Written {
            keys: new_keys,
            values: new_values,
            places: indices(&client, &to),
        };
        write(&client, written, keys.clone(), values.clone());
        for (pool, new) in pools.iter_mut().zip(&new) {
            for (row, &to) in to.iter().enumerate() {
                let row = &new[row * width..(row + 1) * width];
                pool[to * width..(to + 1) * width].copy_from_slice(row);
            }
        }
        assert_eq!(read::<f32>(&client, keys), pools[0], "{rows} rows of keys");
        assert_eq!(
            read::<f32>(&client, values),
            pools[1],
            "{rows} rows of values"
        );
    }
}

#[test]
#[should_panic(expected = "values for keys")]
fn pools_of_two_shapes_are_refused() {
    let client = client();
    let case = Case::new(sizes(1, 1, 16), &[3], &mut Numbers(8));
    let pool = |values: &[f32]| stored::<f32>(&client, values, &[values.len() / 16, 1, 16]);
    let asked = Attention {
        queries: stored::<f32>(&client, &case.queries, &[1, 1, 16]),
        keys: pool(&case.keys),
        values: pool(&case.values[16..]),
        first: indices(&client, &case.first),
        seen: indices(&client, &case.seen),
        longest: 3,
        span: 256,
    };
    attend(&client, asked);
}
