//! From patch rows to image tokens. Images stand one after another and never see each other.

use burn::module::Module;
use burn::tensor::{DType, Int, Tensor, TensorData};

use ::vision::Patches;

use super::{Layout, Merger, VisionBlock};
use crate::config::VisionConfig;
use crate::init::Init;
use crate::linear::{Linear, named};
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
        let weight = self.patch_embed.proj.weight.val();
        let (device, dtype, width) = (weight.device(), weight.dtype(), self.config.patch_values());
        let grids: Vec<_> = images.iter().map(|image| image.grid).collect();
        let layout = Layout::new(&grids, &self.config);
        let all: Vec<&[f32]> = images
            .iter()
            .flat_map(|image| image.pixels.chunks(width))
            .collect();
        assert_eq!(
            all.len(),
            layout.order.len(),
            "{} patch rows for grids of {}",
            all.len(),
            layout.order.len()
        );
        let pixels: Vec<f32> = layout
            .order
            .iter()
            .flat_map(|&row| all[row].iter().copied())
            .collect();
        let pixels = TensorData::new(pixels, [layout.order.len(), width]);
        let mut x = self
            .patch_embed
            .proj
            .forward(Tensor::<2>::from_data(pixels, (&device, DType::F32)).cast(dtype)); // [p, d]
        let half = self.config.hidden_size / self.config.num_heads / 2;
        let rotation = Rotation::new(&layout.angles, half, DType::F32, &device); // the reference turns in f32
        for (index, block) in self.blocks.iter().enumerate() {
            let full = self.config.fullatt_block_indexes.contains(&index);
            x = block.forward(
                x,
                &rotation,
                if full {
                    &layout.frames
                } else {
                    &layout.windows
                },
            );
        }
        let restore: Vec<i32> = layout.restore.iter().map(|&row| row as i32).collect();
        let restore =
            Tensor::<1, Int>::from_data(TensorData::new(restore.clone(), [restore.len()]), &device);
        self.merger.forward(x).select(0, restore)
    }
}
