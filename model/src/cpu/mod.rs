//! The network's arithmetic on CPUs: f32 tensors of burn's flex backend are read where they lie, vector instructions are chosen at run
//! time, and one pass over memory does what takes burn's operations several (ADR 14). No gradients, no other type, no other backend, no CPU
//! without fused multiplication and addition: there a function gives `None`, and its caller goes on with burn's operations. Those are also what each is tested against. `peak_and_total` reads plain slices anywhere.
//!
//! The bits of a row do not depend on the rows beside it: every sum has its terms in one order, whatever the tile.
//!
//! `product` rows times a matrix · `panels` a matrix in few bits · `attention` softmax and what is around it · `rows` what is done to each row by itself

#![expect(
    clippy::inline_always,
    reason = "only what is inlined into a dispatched function gets the instructions dispatched to"
)]

mod attention;
mod panels;
mod product;
mod rows;
#[cfg(test)]
mod tests;

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, Device, Tensor, TensorData};
use pulp::Arch;

pub use self::attention::attend;
pub use self::panels::Panels;
pub use self::product::{Map, affine};
pub use self::rows::{feed_forward, normalised, peak_and_total, rotated};

/// Multiplications from which work is divided among the threads of rayon's pool: a tenth of a millisecond of one core.
const WORTH_DIVIDING: usize = 1 << 22;

/// Whether one thread does `rows` rows of a product of this size by itself.
pub fn is_small(rows: usize, inner: usize, out: usize) -> bool {
    rows * inner * out < WORTH_DIVIDING
}

/// The vector instructions of this machine; none where a fused multiplication and addition would be a call.
fn arch() -> Option<Arch> {
    match Arch::new() {
        Arch::Scalar => None,
        arch => Some(arch),
    }
}

/// Whether these functions compute with tensors of `dtype` on `device`.
pub fn computes(dtype: DType, device: &Device) -> bool {
    // Devices are equal whether they keep gradients or not.
    let plain = *device == Device::flex() && !device.is_autodiff();
    arch().is_some() && dtype == DType::F32 && plain
}

/// A tensor on flex outside of autodiff.
type Held = FloatTensor<Flex>;

/// `x` as flex holds it, if it is there and f32.
fn held<const D: usize>(x: &Tensor<D>) -> Option<Held> {
    let held = x.clone().try_into_primitive::<Flex>().ok()?;
    (held.dtype() == DType::F32).then_some(held)
}

/// As [`held`], its values in order: copied if they are not.
fn in_order<const D: usize>(x: &Tensor<D>) -> Option<Held> {
    held(x).map(ordered)
}

/// A view of a part that lies in order stays one.
fn ordered(x: Held) -> Held {
    if x.is_contiguous() {
        x
    } else {
        x.to_contiguous()
    }
}

/// The values of what lies in order.
fn values(x: &Held) -> &[f32] {
    x.as_slice().expect("f32 in order")
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}
