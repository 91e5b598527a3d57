//! From patch rows to image tokens. Images stand one after another and never see each other.

use burn::module::Module;
use burn::tensor::{DType, Int, Tensor, TensorData};

use ::vision::Patches;

use super::{Layout, Merger, Spans, VisionBlock};
use crate::config::VisionConfig;
use crate::init::Init;
use crate::linear::{Linear, named};
use crate::pooled::indices;
use crate::rope::Rotation;

/// The patch projection as the checkpoint names it.
#[derive(Module, Debug)]
pub struct PatchEmbed {
    proj: Linear,
}

/// Patch projection, blocks (windowed, or full where the configuration says so), merger.
///
/// Reference: `Qwen2_5_VisionTransformerPretrainedModel`, transformers 5.23.0.
#[derive(Module, Debug)]
pub struct VisionTower {
    patch_embed: PatchEmbed,
    blocks: Vec<VisionBlock>,
    merger: Merger,
    #[module(skip)]
    config: VisionConfig,
}

/// Where the patches of a set of images stand.
#[derive(Clone, Debug)]
pub struct Pass {
    /// As in [`Layout`].
    order: Vec<usize>,
    /// As in [`Layout`].
    restore: Tensor<1, Int>,
    /// Of every patch.
    pub rotation: Rotation,
    windows: Spans,
    frames: Spans,
}

impl VisionTower {
    /// A tower of the sizes in `config`.
    pub fn new(config: &VisionConfig, init: &Init) -> Self {
        Self {
            patch_embed: PatchEmbed {
                proj: Linear::new(config.patch_values(), config.hidden_size, false, init),
            },
            blocks: (0..config.depth)
                .map(|_| VisionBlock::new(config, init))
                .collect(),
            merger: Merger::new(config, init),
            config: config.clone(),
        }
    }

    /// Makes one product of those that have the same input.
    pub(crate) fn join(&mut self) {
        self.blocks.iter_mut().for_each(VisionBlock::join);
    }

    /// The maps of its blocks and its merger by name; the patch projection is stored as a convolution and left out.
    pub(crate) fn linears_mut(&mut self) -> impl Iterator<Item = (String, &mut Linear)> {
        let blocks = self.blocks.iter_mut().enumerate();
        let blocks =
            blocks.flat_map(|(index, block)| named(format!("blocks.{index}"), block.linears_mut()));
        blocks.chain(named("merger", self.merger.linears_mut()))
    }

    /// The tokens of `images`, in order.
    ///
    /// # Shapes
    /// - the result: `[tokens of all images, out_hidden_size]`
    ///
    /// # Panics
    /// If a patch row has not the length that `config.json` says.
    pub fn forward(&self, images: &[&Patches]) -> Tensor<2> {
        let pass = self.pass(images);
        let mut x = self.patches(images, &pass);
        for (index, block) in self.blocks.iter().enumerate() {
            x = block.forward(x, &pass.rotation, self.spans(index, &pass));
        }
        self.merged(x, &pass)
    }

    /// Where the patches of `images` stand.
    pub fn pass(&self, images: &[&Patches]) -> Pass {
        let grids: Vec<_> = images.iter().map(|image| image.grid).collect();
        let layout = Layout::new(&grids, &self.config);
        let half = self.config.hidden_size / self.config.num_heads / 2;
        let device = self.patch_embed.proj.weight.val().device();
        let rotation = Rotation::new(&layout.angles, half, DType::F32, &device); // the reference turns in f32
        Pass {
            rotation,
            windows: Spans::new(&layout.windows, &device),
            frames: Spans::new(&layout.frames, &device),
            restore: indices(layout.restore, &device),
            order: layout.order,
        }
    }

    /// What enters the first block.
    ///
    /// # Shapes
    /// - the result: `[p, d]`
    ///
    /// # Panics
    /// As [`VisionTower::forward`].
    pub fn patches(&self, images: &[&Patches], pass: &Pass) -> Tensor<2> {
        let weight = self.patch_embed.proj.weight.val();
        let (device, dtype, width) = (weight.device(), weight.dtype(), self.config.patch_values());
        let order = &pass.order;
        let all: Vec<&[f32]> = images
            .iter()
            .flat_map(|image| image.pixels.chunks(width))
            .collect();
        assert_eq!(
            all.len(),
            order.len(),
            "{} patch rows for grids of {}",
            all.len(),
            order.len()
        );
        let pixels: Vec<f32> = order
            .iter()
            .flat_map(|&row| all[row].iter().copied())
            .collect();
        let pixels = TensorData::new(pixels, [order.len(), width]);
        let pixels = Tensor::<2>::from_data(pixels, (&device, DType::F32));
        self.patch_embed.proj.forward(pixels.cast(dtype))
    }

    /// Its blocks, in order.
    pub fn blocks(&self) -> &[VisionBlock] {
        &self.blocks
    }

    /// The rows that see each other in block `index`.
    pub fn spans<'a>(&self, index: usize, pass: &'a Pass) -> &'a Spans {
        if self.config.fullatt_block_indexes.contains(&index) {
            &pass.frames
        } else {
            &pass.windows
        }
    }

    /// What leaves the last block, as tokens in the order of the images.
    ///
    /// # Shapes
    /// - `x`: `[p, d]`
    /// - the result: `[tokens of all images, out_hidden_size]`
    pub fn merged(&self, x: Tensor<2>, pass: &Pass) -> Tensor<2> {
        self.merger.forward(x).select(0, pass.restore.clone())
    }
}
