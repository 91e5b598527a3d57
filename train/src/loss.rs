//! What training minimises: the negative log-likelihood of the response's tokens. Prompts teach nothing.

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Int, Tensor, TensorData};

use crate::example::Example;
use model::{Qwen, Span};
use vision::Patches;

/// The summed loss of an example's response tokens, each predicted from all before it and counted by its weight.
///
/// # Shapes
/// - the result: `[1]`, in nats
pub fn response_loss(network: &Qwen, example: &Example) -> Tensor<1> {
    let images: Vec<&Patches> = example.patches.iter().collect();
    let rows = (!images.is_empty()).then(|| network.encode_images(&images));
    let n = example.ids.len();
    let span = Span {
        ids: &example.ids[..n - 1],
        axes: &example.axes[..n - 1],
        held: 0,
    };
    let hidden = network.hidden(&[span], rows, &mut []); // [n - 1, d]
    let count = n - example.response;
    let hidden = hidden.narrow(0, example.response - 1, count);
    let scores = log_softmax(network.logits(hidden).cast(DType::F32), 1); // [count, vocab]
    let targets: Vec<i32> = example.ids[example.response..]
        .iter()
        .map(|&id| id as i32)
        .collect();
    let targets =
        Tensor::<2, Int>::from_data(TensorData::new(targets, [count, 1]), &scores.device());
    let weights = TensorData::new(example.weights.clone(), [count, 1]);
    let weights = Tensor::<2>::from_data(weights, &scores.device().without_autodiff());
    (scores.gather(1, targets) * weights).sum().neg()
}
