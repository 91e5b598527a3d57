//! New keys and values of many sequences, written into their pool where it lies.

use cubecl::prelude::*;
use cubecl::std::tensor::TensorHandle;

use crate::attention::vector_size;

/// Units of a cube.
const UNITS: u32 = 256;

/// What is written, and where.
pub struct Written {
    /// `[rows, key_heads, head_dim]`
    pub keys: TensorHandle,
    /// The same for values.
    pub values: TensorHandle,
    /// The place of every row, `[rows]`, i32.
    pub places: TensorHandle,
}

/// Writes rows into a pool. The pool's own memory is written, whoever else holds it: a copy would be as large as everything that is cached.
///
/// # Shapes
/// - `keys`, `values`: `[places, key_heads, head_dim]`
///
/// # Panics
/// If the shapes or types do not fit together.
pub fn write(client: &Client, rows: Written, keys: TensorHandle, values: TensorHandle) {
    let [count, key_heads, head_dim] = *rows.keys.shape().as_slice() else {
        panic!("new keys of shape {:?}", rows.keys.shape());
    };
    assert_eq!(rows.values.shape(), rows.keys.shape(), "values for keys");
    assert_eq!(rows.places.shape().as_slice(), [count], "places for keys");
    assert_eq!(keys.shape(), values.shape(), "a pool's keys and values");
    let pool = keys.shape().as_slice();
    assert_eq!(pool[1..], [key_heads, head_dim], "a pool for the rows");
    let dtype = keys.dtype;
    for (name, other) in [
        ("values", values.dtype),
        ("new keys", rows.keys.dtype),
        ("new values", rows.values.dtype),
    ] {
        assert_eq!(other, dtype, "{name} for keys");
    }
    assert_eq!(rows.places.dtype, i32::elem_type_native(), "places");
    let vector = vector_size(client, dtype, head_dim);
    let width = key_heads * head_dim / vector;
    write_rows::launch(
        client,
        CubeCount::new_1d((count * width).div_ceil(UNITS as usize) as u32),
        CubeDim::new_1d(UNITS),
        vector,
        rows.keys.into_arg().into_buffer_arg(),
        rows.values.into_arg().into_buffer_arg(),
        rows.places.into_arg().into_buffer_arg(),
        keys.into_arg().into_buffer_arg(),
        values.into_arg().into_buffer_arg(),
        width,
        dtype,
    );
}

#[cube(launch)]
fn write_rows<F: Float, N: Size>(
    new_keys: &[Vector<F, N>],
    new_values: &[Vector<F, N>],
    places: &[i32],
    keys: &mut [Vector<F, N>],
    values: &mut [Vector<F, N>],
    #[comptime] width: usize,
    #[define(F)] _dtype: ElemType,
) {
    let from = ABSOLUTE_POS;
    if from < places.len() * width {
        let to = places[from / width] as usize * width + from % width;
        keys[to] = new_keys[from];
        values[to] = new_values[from];
    }
}
