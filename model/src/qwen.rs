//! The whole network: vision tower, decoder, head. Start reading here. Knows no tokenizer, no sampling, no file.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use ::vision::Patches;

use crate::config::Config;
use crate::init::Init;
use crate::linear::{Linear, affine, named};
use crate::text::{Cache, Decoder, Keys, Pool, Rows};
use crate::vision::VisionTower;

/// Qwen2.5-VL. Field names are checkpoint keys. Reference: `Qwen2_5_VLForConditionalGeneration`, transformers 5.23.0.
#[derive(Module, Debug)]
pub struct Qwen {
    visual: VisionTower,
    model: Decoder,
    /// Absent where the head is the embedding.
    lm_head: Option<Linear>,
    #[module(skip)]
    config: Config,
}

/// The new tokens of one sequence.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// Token ids, image placeholders included.
    pub ids: &'a [u32],
    /// Their positions.
    pub axes: &'a [[u32; 3]],
    /// Tokens before the new ones: those in the sequence's cache or, in a pass without caches, the pass's first rows, a beginning
    /// that sequences share.
    pub held: usize,
}

impl Qwen {
    /// A network of the sizes in `config`.
    pub fn new(config: &Config, init: &Init) -> Self {
        Self {
            visual: VisionTower::new(&config.vision, init),
            model: Decoder::new(&config.text, init),
            lm_head: (!config.tie_word_embeddings)
                .then(|| Linear::new(config.text.hidden_size, config.text.vocab_size, false, init)),
            config: config.clone(),
        }
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where the parameters live.
    pub fn device(&self) -> Device {
        self.model.embed_tokens.weight.val().device()
    }

    /// The type of the parameters.
    pub fn dtype(&self) -> DType {
        self.model.embed_tokens.weight.val().dtype()
    }

    /// Makes one product of those that have the same input: queries, keys and values, and gate and up. From here on the network answers, and can neither
    /// be trained nor saved.
    pub fn join(&mut self) {
        self.visual.join();
        self.model.join();
    }

    /// Every linear map but the patch projection, by the name of its weight in ours of the two spellings that checkpoints use, without
    /// `.weight`.
    pub fn linears_mut(&mut self) -> impl Iterator<Item = (String, &mut Linear)> {
        let visual = named("visual", self.visual.linears_mut());
        let model = named("model", self.model.linears_mut());
        let head = self.lm_head.iter_mut();
        let head = head.map(|head| ("lm_head".to_owned(), head));
        visual.chain(model).chain(head)
    }

    /// The tokens of `images`, in order.
    ///
    /// # Shapes
    /// - the result: `[tokens of all images, d]`
    pub fn encode_images(&self, images: &[&Patches]) -> Tensor<2> {
        self.visual.forward(images)
    }

    /// The last hidden states of the new tokens of every sequence. `image_rows` replace the embeddings of the image
    /// placeholders in order; with `caches` (one a sequence) keys and values are appended to them.
    ///
    /// # Shapes
    /// - `image_rows`: `[placeholders, d]`
    /// - the result: `[n, d]`, sequences one after another
    ///
    /// # Panics
    /// If the number of image rows is not that of the placeholders.
    pub fn hidden(
        &self,
        spans: &[Span<'_>],
        image_rows: Option<Tensor<2>>,
        caches: &mut [&mut Cache],
    ) -> Tensor<2> {
        let x = self.embedded(spans, image_rows);
        let rows = self.rows(spans, &Keys::of(caches), &x);
        self.model.forward(x, &rows, caches)
    }

    /// What enters the first layer in [`Qwen::hidden`].
    ///
    /// # Shapes
    /// - `image_rows`: `[placeholders, d]`
    /// - the result: `[n, d]`
    ///
    /// # Panics
    /// As [`Qwen::hidden`].
    pub fn embedded(&self, spans: &[Span<'_>], image_rows: Option<Tensor<2>>) -> Tensor<2> {
        let ids = spans.iter().flat_map(|span| span.ids.iter().copied());
        self.embed(&ids.collect::<Vec<u32>>(), image_rows)
    }

    /// How the rows `x` of `spans` see each other, and what came before them, in the layers.
    pub fn rows(&self, spans: &[Span<'_>], keys: &Keys, x: &Tensor<2>) -> Rows {
        let sequences: Vec<_> = spans.iter().map(|span| (span.axes, span.held)).collect();
        let config = &self.config.text;
        Rows::new(&sequences, keys, config, x.dtype(), &x.device())
    }

    /// The tower, for whoever runs its blocks one at a time.
    pub fn tower(&self) -> &VisionTower {
        &self.visual
    }

    /// The layers and what stands behind them, likewise.
    pub fn decoder(&self) -> &Decoder {
        &self.model
    }

    /// The last hidden states of a tree of tokens behind what `cache` holds; the cache is left as it was. `parents` names the row
    /// before each, none for those right behind the cache.
    ///
    /// # Shapes
    /// - the result: `[ids, d]`
    pub fn branches(
        &self,
        ids: &[u32],
        axes: &[[u32; 3]],
        parents: &[Option<usize>],
        cache: &mut Cache,
    ) -> Tensor<2> {
        let held = cache.len();
        let x = self.model.embed(ids);
        let config = &self.config.text;
        let keys = Keys::of(&[&mut *cache]);
        let (dtype, device) = (x.dtype(), x.device());
        let rows = Rows::tree(axes, parents, held, &keys, config, dtype, &device);
        let hidden = self.model.forward(x, &rows, &mut [cache]);
        cache.truncate(held);
        hidden
    }

    /// The scores of every vocabulary entry after each hidden row.
    ///
    /// # Shapes
    /// - `hidden`: `[n, d]`
    /// - the result: `[n, vocab]`
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        match &self.lm_head {
            Some(head) => head.forward(hidden),
            None => affine(hidden, self.model.embed_tokens.weight.val(), None),
        }
    }

    /// An empty cache for one sequence of at most `capacity` tokens.
    pub fn cache(&self, capacity: usize) -> Cache {
        Cache::new(&self.config.text, capacity, self.dtype(), &self.device())
    }

    /// Room for the caches of many sequences of `tokens` tokens in all, which attend in one operation.
    pub fn pool(&self, tokens: usize) -> Arc<Pool> {
        Pool::new(&self.config.text, tokens, self.dtype(), &self.device())
    }

    /// Embeddings with the image rows in their places: one gather over text rows followed by image rows.
    fn embed(&self, ids: &[u32], image_rows: Option<Tensor<2>>) -> Tensor<2> {
        let is_image = |id: &u32| *id == self.config.image_token_id;
        let wanted = ids.iter().filter(|id| is_image(id)).count();
        let got = image_rows.as_ref().map_or(0, |rows| rows.dims()[0]);
        assert_eq!(got, wanted, "{got} image rows for {wanted} placeholders");
        let Some(image_rows) = image_rows.filter(|_| wanted > 0) else {
            return self.model.embed(ids);
        };
        let text: Vec<u32> = ids.iter().copied().filter(|id| !is_image(id)).collect();
        let (mut next_text, mut next_image) = (0, text.len() as i32);
        let places: Vec<i32> = ids
            .iter()
            .map(|id| {
                let next = if is_image(id) {
                    &mut next_image
                } else {
                    &mut next_text
                };
                *next += 1;
                *next - 1
            })
            .collect();
        let places = TensorData::new(places, [ids.len()]);
        let rows = if text.is_empty() {
            image_rows
        } else {
            Tensor::cat(vec![self.model.embed(&text), image_rows], 0)
        };
        let places = Tensor::<1, Int>::from_data(places, &rows.device());
        rows.select(0, places)
    }
}
