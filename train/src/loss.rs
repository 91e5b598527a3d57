//! What the network thinks of the responses' tokens, and what Stage 1 minimises: their negative log-likelihood. Prompts teach
//! nothing.

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Int, Tensor, TensorData};

use crate::example::Example;
use model::{Qwen, Span};
use vision::Patches;

/// The summed loss of the responses' tokens, each counted by its weight.
///
/// # Shapes
/// - the result: `[1]`, in nats
///
/// # Panics
/// Without examples.
pub fn response_loss(network: &Qwen, examples: &[Example]) -> Tensor<1> {
    unlikelihood(response_scores(network, examples, None), examples)
}

/// The same of scores that are there.
///
/// # Shapes
/// - `scores`: `[response tokens, vocab]`
pub(crate) fn unlikelihood(scores: Tensor<2>, examples: &[Example]) -> Tensor<1> {
    let plain = scores.device().without_autodiff();
    let weights = Tensor::<1>::from_data(&weights(examples)[..], &plain);
    (chosen(scores, examples) * weights).sum().neg()
}

/// What each of the responses' tokens counts.
pub fn weights(examples: &[Example]) -> Vec<f32> {
    let weights = examples.iter().flat_map(|example| &example.weights);
    weights.copied().collect()
}

/// The log-probabilities of all tokens in place of each of the responses', predicted from all before it in its example, with scores
/// divided by `temperature`, if there is one. One pass; the beginning that all prompts have in common, images included, is computed once.
///
/// # Shapes
/// - the result: `[response tokens, vocab]`, in f32
///
/// # Panics
/// Without examples.
pub fn response_scores(
    network: &Qwen,
    examples: &[Example],
    temperature: Option<f64>,
) -> Tensor<2> {
    let rows = ResponseRows::of(examples, network.config().image_token_id);
    let images = rows.images();
    let image_rows = (!images.is_empty()).then(|| network.encode_images(&images));
    let hidden = network.hidden(&rows.spans(), image_rows, &mut []); // [rows, d]
    rows.scores(network, &hidden, temperature)
}

/// Examples as the rows of one pass: first those that all prompts begin with, then the rest of each.
pub(crate) struct ResponseRows<'a> {
    examples: &'a [Example],
    shared: Beginning,
}

impl<'a> ResponseRows<'a> {
    /// Those of `examples`; `image` is the token of image rows.
    ///
    /// # Panics
    /// Without examples.
    pub(crate) fn of(examples: &'a [Example], image: u32) -> Self {
        let shared = Beginning::of(examples, image);
        Self { examples, shared }
    }

    /// The pictures, in the order of their rows.
    pub(crate) fn images(&self) -> Vec<&'a Patches> {
        let (first, rest) = self.examples[0].patches.split_at(self.shared.images);
        let others = self.examples[1..]
            .iter()
            .flat_map(|it| &it.patches[self.shared.images..]);
        first.iter().chain(rest).chain(others).collect()
    }

    /// The rows: the last token of an example predicts nothing.
    pub(crate) fn spans(&self) -> Vec<Span<'a>> {
        let shared = self.shared.tokens;
        let beginning = (shared > 0).then(|| self.examples[0].span(0, shared));
        let rests = self.examples.iter();
        let rests = rests.map(|it| it.span(shared, it.ids.len() - 1));
        beginning.into_iter().chain(rests).collect()
    }

    /// [`response_scores`] from the last hidden states.
    ///
    /// # Shapes
    /// - `hidden`: `[rows, d]`
    /// - the result: `[response tokens, vocab]`
    pub(crate) fn scores(
        &self,
        network: &Qwen,
        hidden: &Tensor<2>,
        temperature: Option<f64>,
    ) -> Tensor<2> {
        let shared = self.shared.tokens;
        let mut start = shared;
        let mut predicting = Vec::with_capacity(self.examples.len());
        for example in self.examples {
            let count = example.ids.len() - example.response;
            let first = start + example.response - 1 - shared;
            predicting.push(hidden.clone().narrow(0, first, count));
            start += example.ids.len() - 1 - shared;
        }
        let hidden = Tensor::cat(predicting, 0); // [response tokens, d]
        let scores = network.logits(hidden).cast(DType::F32);
        let scores = match temperature {
            Some(temperature) => scores / temperature,
            None => scores,
        };
        log_softmax(scores, 1)
    }
}

/// Those of `scores` that belong to the responses' own tokens.
///
/// # Shapes
/// - `scores`: `[response tokens, vocab]`
/// - the result: `[response tokens]`
pub fn chosen(scores: Tensor<2>, examples: &[Example]) -> Tensor<1> {
    let targets: Vec<i32> = examples
        .iter()
        .flat_map(|example| &example.ids[example.response..])
        .map(|&id| id as i32)
        .collect();
    let shape = [targets.len(), 1];
    let targets = TensorData::new(targets, shape);
    let targets = Tensor::<2, Int>::from_data(targets, &scores.device());
    scores.gather(1, targets).squeeze_dim(1)
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
