//! The kernels of `kernels` as operations of burn, on the devices of `CubeCL`. Holds no arithmetic. `pooled.rs` calls it, and does the same
//! by burn's own operations where [`computes`] says no.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, DispatchDevice, backend_extension};
use burn::tensor::{Int, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::std::tensor::TensorHandle;
use kernels::{Attention, Written};

use crate::pooled::SPAN;

/// Whether the kernels compute with `heads`, `[n, heads, head_dim]`: on a device of `CubeCL` that keeps no gradients.
pub fn computes(heads: &Tensor<3>) -> bool {
    let [_, _, head_dim] = heads.dims();
    let device = heads.device();
    matches!(device.as_dispatch(), DispatchDevice::Cube(_)) && kernels::fits(head_dim)
}

/// As [`crate::pooled::attend_pooled`], heads apart.
///
/// # Shapes
/// - `q` and the result: `[rows, heads, head_dim]`
pub fn attend(
    q: Tensor<3>,
    keys: Tensor<3>,
    values: Tensor<3>,
    first: Tensor<1, Int>,
    seen: Tensor<1, Int>,
    longest: usize,
) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::attend_rows(
        q.into_dispatch(),
        keys.into_dispatch(),
        values.into_dispatch(),
        first.into_dispatch(),
        seen.into_dispatch(),
        longest,
    ))
}

/// As [`crate::pooled::write_pooled`]; the results are the pool's tensors.
pub fn write(
    keys: Tensor<3>,
    values: Tensor<3>,
    new_keys: Tensor<3>,
    new_values: Tensor<3>,
    to: Tensor<1, Int>,
) -> (Tensor<3>, Tensor<3>) {
    let (keys, values) = Dispatch::write_rows(
        keys.into_dispatch(),
        values.into_dispatch(),
        new_keys.into_dispatch(),
        new_values.into_dispatch(),
        to.into_dispatch(),
    );
    (Tensor::from_dispatch(keys), Tensor::from_dispatch(values))
}

#[backend_extension(Cube, Fusion)]
trait PoolOps: Backend {
    #[fusion(dtype = queries, shape = queries)]
    fn attend_rows(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        first: IntTensor<Self>,
        seen: IntTensor<Self>,
        longest: usize,
    ) -> FloatTensor<Self>;

    #[fusion(meta = |keys, values, _new_keys, _new_values, _to| (keys.clone(), values.clone()))]
    fn write_rows(
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        new_keys: FloatTensor<Self>,
        new_values: FloatTensor<Self>,
        to: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl PoolOps for CubeBackend {
    fn attend_rows(
        queries: CubeTensor,
        keys: CubeTensor,
        values: CubeTensor,
        first: CubeTensor,
        seen: CubeTensor,
        longest: usize,
    ) -> CubeTensor {
        let (client, device) = (queries.client.clone(), queries.device.clone());
        let (shape, dtype) = (queries.meta.shape().clone(), queries.dtype);
        let y = kernels::attend(
            &client,
            Attention {
                queries: into_contiguous(queries).into(),
                keys: pool(keys),
                values: pool(values),
                first: into_contiguous(first).into(),
                seen: into_contiguous(seen).into(),
                longest,
                span: SPAN,
            },
        );
        CubeTensor::new_contiguous(client, device, shape, y.handle, dtype)
    }

    fn write_rows(
        keys: CubeTensor,
        values: CubeTensor,
        new_keys: CubeTensor,
        new_values: CubeTensor,
        to: CubeTensor,
    ) -> (CubeTensor, CubeTensor) {
        let rows = Written {
            keys: into_contiguous(new_keys).into(),
            values: into_contiguous(new_values).into(),
            places: into_contiguous(to).into(),
        };
        // In place whoever else holds the pool. That is nobody but views whose places no later row is written to (ADR 17); a copy would be
        // as large as everything cached.
        kernels::write(&keys.client, rows, pool(keys.clone()), pool(values.clone()));
        (keys, values)
    }
}

/// A pool as it lies in memory.
fn pool(tensor: CubeTensor) -> TensorHandle {
    assert!(
        tensor.is_contiguous(),
        "a pool of shape {:?} does not lie in one run",
        tensor.meta.shape()
    );
    tensor.into()
}
