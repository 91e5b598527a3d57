//! How weights lie in memory while a network answers. Values, shapes and keys stay as they are.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Shape, Tensor};

use crate::Qwen;

/// Lays the weights of linear maps so that `x · Wᵀ` reads them in order. On flex burn's product of few rows otherwise copies the
/// whole weight first, every time: that was 44 % of the instructions sampled while answering (`docs/log.md`); those of our own (ADR 14) read many rows faster so. The weights take no more
/// room: `[out, in]` becomes a view of `[in, out]`. Training does not want it: its backward pass reads them the other way round.
pub fn for_answering(network: Qwen) -> Qwen {
    if network.device() != Device::flex() {
        return network; // the kernels of GPUs take either order
    }
    network.map(&mut Layout { linear: vec![] })
}

/// Whether the modules around a parameter are linear maps, innermost last.
struct Layout {
    linear: Vec<bool>,
}

impl ModuleMapper for Layout {
    fn enter_module(&mut self, _name: &str, container: &str) {
        self.linear.push(container.ends_with("Linear"));
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.linear.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        // A weight in few bits lies as its products read it.
        if D != 2 || self.linear.last() != Some(&true) || !param.is_initialized() {
            return param;
        }
        param.map(|weight| {
            let turned = weight.swap_dims(0, 1); // [in, out]
            let shape: Shape = turned.shape();
            let length = shape.num_elements();
            // Through one dimension: that writes the elements in their new order.
            let written: Tensor<1> = turned.reshape([length]);
            written.reshape::<D, Shape>(shape).swap_dims(0, 1)
        })
    }
}
