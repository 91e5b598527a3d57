//! One pass forward and backward over examples: in which precision it computes, and what it keeps from the way forward to the way
//! back. Knows no loss: it is given one.

use burn::module::{Module, Param};
use burn::tensor::{DType, Gradients, Tensor};
use model::Qwen;
use model::text::Keys;
use vision::Patches;

use crate::example::Example;
use crate::loss::{ResponseRows, response_scores};
use crate::optim::{Grads, plain};
use crate::params::{Change, Look, change, look};

/// How a pass is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// Weights and activations are rounded to bf16; weights, gradients and moments between the passes stay f32.
    pub bf16: bool,
    /// Only what enters a block is kept, and the block is computed once more on the way back.
    pub gradient_checkpointing: bool,
}

/// A pass.
#[derive(Clone, Copy, Debug)]
pub struct Pass<'a> {
    /// Whose parameters learn.
    pub network: &'a Qwen,
    /// From what.
    pub examples: &'a [Example],
    /// Divides the scores, if there is one.
    pub temperature: Option<f64>,
    /// How it is computed.
    pub how: How,
}

impl Pass<'_> {
    /// The gradient of what `loss` makes of [`response_scores`], and what else it tells.
    ///
    /// # Panics
    /// Without examples.
    pub fn gradient<T>(&self, loss: impl FnOnce(Tensor<2>) -> (Tensor<1>, T)) -> (Grads, T) {
        if self.how.gradient_checkpointing {
            return self.again(loss);
        }
        let network = self.how.rounded(self.network);
        let (loss, told) = loss(response_scores(&network, self.examples, self.temperature));
        (Grads::take(self.network, loss.backward()), told)
    }

    /// The same, block by block: forward without a tape, backward with the tape of one block at a time.
    fn again<T>(&self, loss: impl FnOnce(Tensor<2>) -> (Tensor<1>, T)) -> (Grads, T) {
        let (how, network) = (self.how, self.network);
        let still = plain(network.clone(), &network.device().without_autodiff());
        let learning = look(network, Learners::default());
        let rows = ResponseRows::of(self.examples, network.config().image_token_id);
        let (images, spans) = (rows.images(), rows.spans());
        let looked = (!images.is_empty()).then(|| Looked::forward(&still, &images, how));
        let seen = looked.as_ref().map(|it| it.tokens.clone());
        let mut x = how.around_blocks(&still).embedded(&spans, seen.clone());
        let places = network.rows(&spans, &Keys::Passing, &x);
        let layer = |network: &Qwen, index: usize, x| {
            let layer = how.rounded(&network.decoder().layers()[index]);
            layer.forward(x, &places, index, &mut [])
        };
        let mut entered = vec![];
        for index in 0..still.decoder().layers().len() {
            entered.push(x.clone());
            x = layer(&still, index, x);
        }
        let mut walk = Walk {
            network,
            grads: Grads::default(),
        };
        let (mut grad, told) = walk.begin(x, |x| {
            let network = how.around_blocks(network);
            let hidden = network.decoder().normed(x);
            loss(rows.scores(&network, &hidden, self.temperature))
        });
        for (index, x) in entered.into_iter().enumerate().rev() {
            if learning.up_to_layer(index) {
                grad = walk.back(x, grad, |x| layer(network, index, x));
            }
        }
        if learning.tower {
            let looked = looked.expect("a tower that learns is looked through");
            let seen = seen.expect("likewise");
            let grad = walk.back(seen, grad, |seen| {
                how.around_blocks(network).embedded(&spans, Some(seen))
            });
            looked.backward(&mut walk, grad, &images, how);
        } else if learning.embedding {
            walk.end(grad, || how.around_blocks(network).embedded(&spans, seen));
        }
        (walk.grads, told)
    }
}

/// What the tower made of the pictures, and what entered each of its blocks.
struct Looked {
    pass: model::vision::Pass,
    entered: Vec<Tensor<2>>,
    left: Tensor<2>,
    /// `[tokens of all images, d]`
    tokens: Tensor<2>,
}

impl Looked {
    /// Keeps no tape.
    fn forward(still: &Qwen, images: &[&Patches], how: How) -> Self {
        let pass = still.tower().pass(images);
        let tower = how.around_blocks(still);
        let mut x = tower.tower().patches(images, &pass);
        let mut entered = vec![];
        for index in 0..still.tower().blocks().len() {
            entered.push(x.clone());
            x = Self::block(still, index, x, &pass, how);
        }
        Self {
            tokens: tower.tower().merged(x.clone(), &pass),
            pass,
            entered,
            left: x,
        }
    }

    /// From the gradient of its tokens down to the patches.
    fn backward(self, walk: &mut Walk<'_>, grad: Tensor<2>, images: &[&Patches], how: How) {
        let (network, pass) = (walk.network, &self.pass);
        let mut grad = walk.back(self.left, grad, |x| {
            how.around_blocks(network).tower().merged(x, pass)
        });
        for (index, x) in self.entered.into_iter().enumerate().rev() {
            grad = walk.back(x, grad, |x| Self::block(network, index, x, pass, how));
        }
        walk.end(grad, || {
            how.around_blocks(network).tower().patches(images, pass)
        });
    }

    fn block(
        network: &Qwen,
        index: usize,
        x: Tensor<2>,
        pass: &model::vision::Pass,
        how: How,
    ) -> Tensor<2> {
        let tower = network.tower();
        let block = how.rounded(&tower.blocks()[index]);
        block.forward(x, &pass.rotation, tower.spans(index, pass))
    }
}

/// The way back through a pass: pieces that are computed again, each with a tape of its own.
struct Walk<'a> {
    network: &'a Qwen,
    /// What was found on the way.
    grads: Grads,
}

impl Walk<'_> {
    /// The piece behind `x` ends in a loss: the gradient of `x`, and what else it tells.
    fn begin<T>(
        &mut self,
        x: Tensor<2>,
        piece: impl FnOnce(Tensor<2>) -> (Tensor<1>, T),
    ) -> (Tensor<2>, T) {
        let x = x.autodiff().require_grad();
        let (loss, told) = piece(x.clone());
        (self.take(&x, loss.backward()), told)
    }

    /// `piece` makes of `x` what has the gradient `grad`: the gradient of `x`.
    fn back(
        &mut self,
        x: Tensor<2>,
        grad: Tensor<2>,
        piece: impl FnOnce(Tensor<2>) -> Tensor<2>,
    ) -> Tensor<2> {
        let x = x.autodiff().require_grad();
        // The gradient of this sum for what it is made of is `grad`.
        let sum = (piece(x.clone()) * grad).sum();
        self.take(&x, sum.backward())
    }

    /// `piece` begins with nothing that has a gradient.
    fn end(&mut self, grad: Tensor<2>, piece: impl FnOnce() -> Tensor<2>) {
        let made = piece();
        if made.is_tracked() {
            let gradients = (made * grad).sum().backward();
            self.grads.add(Grads::take(self.network, gradients));
        }
    }

    fn take(&mut self, x: &Tensor<2>, mut gradients: Gradients) -> Tensor<2> {
        let grad = x.grad_remove(&mut gradients);
        self.grads.add(Grads::take(self.network, gradients));
        grad.expect("every piece reads what it is given")
    }
}

/// Which parts of a network learn.
#[derive(Debug, Default)]
struct Learners {
    tower: bool,
    embedding: bool,
    /// The lowest layer.
    layer: Option<usize>,
}

impl Learners {
    /// Whether anything in layer `index` or below it learns.
    fn up_to_layer(&self, index: usize) -> bool {
        self.tower || self.embedding || self.layer.is_some_and(|lowest| lowest <= index)
    }
}

impl Look for Learners {
    fn look<const D: usize>(&mut self, path: &[String], param: &Param<Tensor<D>>) {
        if !param.val().is_require_grad() {
            return;
        }
        match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["visual", ..] => self.tower = true,
            ["model", "embed_tokens", ..] => self.embedding = true,
            ["model", "layers", index, ..] => {
                let index = index.parse().expect("layers are numbered");
                self.layer = Some(self.layer.map_or(index, |lowest| lowest.min(index)));
            }
            _ => {}
        }
    }
}

impl How {
    /// The type of weights in a pass.
    pub fn dtype(self) -> DType {
        if self.bf16 { DType::BF16 } else { DType::F32 }
    }

    /// `module` as a pass computes with it; gradients go through the rounding to the parameters themselves.
    pub(crate) fn rounded<M: Module>(self, module: &M) -> M {
        self.rounded_but(module, &[])
    }

    /// The same of what stands around the blocks of tower and decoder, which stay as they are.
    fn around_blocks(self, network: &Qwen) -> Qwen {
        self.rounded_but(network, &["layers", "blocks"])
    }

    fn rounded_but<M: Module>(self, module: &M, kept: &'static [&'static str]) -> M {
        let module = module.clone();
        if self.bf16 {
            change(module, Rounder { kept })
        } else {
            module
        }
    }
}

struct Rounder {
    /// Rooms that stay as they are.
    kept: &'static [&'static str],
}

impl Change for Rounder {
    fn change<const D: usize>(
        &mut self,
        path: &[String],
        param: Param<Tensor<D>>,
    ) -> Param<Tensor<D>> {
        if path.iter().any(|it| self.kept.contains(&it.as_str())) {
            return param;
        }
        param.map(|value| value.cast(DType::BF16))
    }
}
