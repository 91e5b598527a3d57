//! What training minimises: the negative log-likelihood of the responses' tokens. Prompts teach nothing.

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Int, Tensor, TensorData};

use crate::example::Example;
use model::Qwen;
use vision::Patches;

/// The summed loss of the responses' tokens, each predicted from all before it in its example and counted by its weight. One pass;
/// the beginning that all prompts have in common, images included, is computed
/// once.
///
/// # Shapes
/// - the result: `[1]`, in nats
///
/// # Panics
/// Without examples.
pub fn response_loss(network: &Qwen, examples: &[Example]) -> Tensor<1> {
    let Beginning {
        tokens: shared,
        images: shared_images,
    } = Beginning::of(examples, network.config().image_token_id);
    let images: Vec<&Patches> = examples[0].patches[..shared_images]
        .iter()
        .chain(examples.iter().flat_map(|it| &it.patches[shared_images..]))
        .collect();
    let image_rows = (!images.is_empty()).then(|| network.encode_images(&images));
    let mut spans = vec![];
    if shared > 0 {
        spans.push(examples[0].span(0, shared));
    }
    // The last token predicts nothing.
    let rests = examples.iter().map(|it| it.span(shared, it.ids.len() - 1));
    spans.extend(rests);
    let hidden = network.hidden(&spans, image_rows, &mut []); // [rows, d]
    let mut start = shared;
    let mut predicting = Vec::with_capacity(examples.len());
    for example in examples {
        let count = example.ids.len() - example.response;
        let first = start + example.response - 1 - shared;
        predicting.push(hidden.clone().narrow(0, first, count));
        start += example.ids.len() - 1 - shared;
    }
    let hidden = Tensor::cat(predicting, 0); // [response tokens, d]
    let scores = log_softmax(network.logits(hidden).cast(DType::F32), 1); // [response tokens, vocab]
    let targets: Vec<i32> = examples
        .iter()
        .flat_map(|example| &example.ids[example.response..])
        .map(|&id| id as i32)
        .collect();
    let weights: Vec<f32> = examples
        .iter()
        .flat_map(|example| example.weights.iter().copied())
        .collect();
    let shape = [targets.len(), 1];
    let targets = TensorData::new(targets, shape);
    let targets = Tensor::<2, Int>::from_data(targets, &scores.device());
    let weights = TensorData::new(weights, shape);
    let weights = Tensor::<2>::from_data(weights, &scores.device().without_autodiff());
    (scores.gather(1, targets) * weights).sum().neg()
}

/// What all prompts of a pass begin with. A row depends on nothing behind it, so these rows are the same for all.
struct Beginning {
    tokens: usize,
    images: usize,
}

impl Beginning {
    /// The longest of `examples`; one example shares with nobody. `image` is the token of image rows.
    fn of(examples: &[Example], image: u32) -> Self {
        let Some((first, others)) = examples.split_first() else {
            panic!("a loss needs examples");
        };
        let mut shared = Self {
            tokens: 0,
            images: 0,
        };
        // The row that predicts a response's first token is the example's own.
        let most = examples.iter().map(|it| it.response - 1).min().unwrap_or(0);
        while !others.is_empty() && shared.tokens < most {
            let i = shared.tokens;
            if others.iter().any(|other| other.ids[i] != first.ids[i]) {
                break;
            }
            if first.ids[i] != image {
                shared.tokens += 1;
                continue;
            }
            let picture = &first.patches[shared.images];
            if others
                .iter()
                .any(|it| it.patches[shared.images] != *picture)
            {
                break;
            }
            let run = first.ids[i..].iter().take_while(|&&id| id == image);
            shared.tokens += run.count();
            shared.images += 1;
        }
        shared
    }
}
