//! Continuous batching: sequences join and leave between steps, share what they have in common, and get the same bytes whoever else
//! is there. Engines may stand side by side, a thread each, over the same caches. Usable without HTTP. Starts no thread; knows no prompt
//! format; what may follow is a guide's business.
//!
//! `schedule` who is fed when · `sequence` one answer growing · `prefix` beginnings computed before · `choices` whole strings scored ·
//! `bounded` caches that forget

mod bounded;
mod choices;
mod prefix;
mod schedule;
mod sequence;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZero;
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::available_parallelism;
use std::time::Instant;

use blake3::Hash;
use burn::tensor::{DType, Device, Tensor};

use ::vision::Patches;

use self::bounded::Bounded;
pub use self::choices::Choices;
use self::prefix::Prefixes;
use self::schedule::Schedule;
pub use self::schedule::{Id, Limits, TooLong};
use self::sequence::Sequence;
use crate::checkpoint::{Checkpoint, Prompt};
use crate::cpu::is_small;
use crate::generate::{Completion, FinishReason, Guide};
use crate::pooled::indices;
use crate::qwen::Span;
use crate::sampling::{Sampling, log_probability};
use crate::text::{BLOCK, Cache, Pool, least_rows, padded};

/// At most so many patches are encoded in one pass, unless one picture has more: attention over whole frames keeps the square of each
/// frame's for every head.
const PATCHES: usize = 8192;

/// A picture in patches, named by what it shows.
#[derive(Clone, Debug)]
pub struct Picture {
    /// What the vision tower reads.
    pub patches: Arc<Patches>,
    /// BLAKE3 of the grid and every pixel.
    pub key: Hash,
}

impl Picture {
    /// Names `patches`.
    pub fn new(patches: Patches) -> Self {
        let mut hasher = blake3::Hasher::new();
        let grid = patches.grid;
        for side in [grid.t, grid.h, grid.w] {
            hasher.update(&(side as u64).to_le_bytes());
        }
        let mut bytes = Vec::with_capacity(patches.pixels.len() * 4);
        bytes.extend(patches.pixels.iter().flat_map(|value| value.to_le_bytes()));
        hasher.update(&bytes);
        Self {
            patches: Arc::new(patches),
            key: hasher.finalize(),
        }
    }
}

/// A sequence to be continued.
pub struct Job {
    /// Where it starts.
    pub prompt: Prompt,
    /// Its images, in the order of their placeholders.
    pub pictures: Vec<Picture>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// At most this many tokens are generated, forced ones included.
    pub max_new_tokens: usize,
    /// For so many of the most probable tokens at every place their log-probabilities are kept.
    pub top_logprobs: usize,
    /// Strings to be scored where the guide comes to choose among them.
    pub scored: Option<Arc<Choices>>,
    /// What may follow.
    pub guide: Box<dyn Guide + Send>,
}

impl Job {
    /// Tokens it may come to hold.
    fn capacity(&self) -> usize {
        let scored = self.scored.as_ref().map_or(0, |choices| choices.rows());
        self.prompt.ids.len() + self.max_new_tokens + scored
    }
}

/// How an engine is set up.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What runs at once.
    pub limits: Limits,
    /// Bytes of beginnings kept; 0 keeps none.
    pub prefix_bytes: usize,
    /// Bytes of encoded images kept; 0 keeps none.
    pub image_bytes: usize,
    /// Engines side by side over the same caches, each a thread's: as many as there are cores, 1 on a GPU.
    pub lanes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            prefix_bytes: 64 << 20,
            image_bytes: 32 << 20,
            lanes: available_parallelism().map_or(1, NonZero::get),
        }
    }
}

impl Settings {
    /// The defaults for `device`: a GPU has one lane, whose kernels fill it.
    pub fn on(device: &Device) -> Self {
        let settings = Self::default();
        let lanes = if *device == Device::flex() {
            settings.lanes
        } else {
            1
        };
        Self { lanes, ..settings }
    }

    /// The settings of one lane. What runs at once is divided among the lanes, of which there are fewer where one would have no
    /// room for `longest` tokens.
    #[must_use]
    pub fn divided(self, longest: usize) -> Self {
        let room = self.limits.cached_tokens / longest.max(1);
        let lanes = self.lanes.min(room).min(self.limits.sequences).max(1);
        let limits = Limits {
            sequences: self.limits.sequences.div_ceil(lanes),
            cached_tokens: self.limits.cached_tokens / lanes,
            ..self.limits
        };
        Self {
            limits,
            lanes,
            ..self
        }
    }
}

/// What was computed before and may come again; lanes have it in common.
#[derive(Clone, Debug)]
pub struct Caches(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    prefixes: Prefixes,
    images: Bounded<2>,
    budgets: (usize, usize),
}

impl Caches {
    /// Empty ones of the sizes that `settings` say.
    pub fn new(settings: &Settings) -> Self {
        let budgets = (settings.prefix_bytes, settings.image_bytes);
        Self(Arc::new(Mutex::new(Kept::new(budgets))))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(|poisoned| {
            // What a panic left behind is not to be trusted.
            let mut kept = poisoned.into_inner();
            *kept = Kept::new(kept.budgets);
            self.0.clear_poison();
            kept
        })
    }
}

impl Kept {
    fn new(budgets: (usize, usize)) -> Self {
        Self {
            prefixes: Prefixes::new(budgets.0),
            images: Bounded::new(budgets.1),
            budgets,
        }
    }
}

/// What an engine has done and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Sequences under way.
    pub running: usize,
    /// Sequences in the queue.
    pub waiting: usize,
    /// Tokens reserved for those under way.
    pub reserved_tokens: usize,
    /// Tokens that may be reserved.
    pub most_tokens: usize,
    /// Prompt tokens of all sequences that have begun.
    pub prompt_tokens: u64,
    /// Those of them that were not computed again.
    pub reused_tokens: u64,
    /// Images of all sequences that have begun, apart from those in a reused beginning.
    pub images: u64,
    /// Those of them that were not encoded again.
    pub reused_images: u64,
}

/// Where the keys and values of sequences under way lie.
enum Memory {
    /// In a buffer each, as long as it needs.
    Buffers,
    /// In one pool, made for the first sequence.
    Pool(Option<Arc<Pool>>),
}

/// A checkpoint and the sequences it continues.
pub struct Engine {
    checkpoint: Arc<Checkpoint>,
    schedule: Schedule,
    sequences: BTreeMap<Id, Sequence>,
    caches: Caches,
    memory: Memory,
    /// Admitted, but not begun.
    admitted: Vec<Id>,
    /// Blocks that a sequence under way will have computed soon.
    coming: HashSet<Hash>,
    next: Id,
    stats: Stats,
}

impl Engine {
    /// An engine without sequences, with caches of its own.
    ///
    /// # Panics
    /// If the chunk is less than a block: prompts would never be read.
    pub fn new(checkpoint: Arc<Checkpoint>, settings: &Settings) -> Self {
        Self::over(checkpoint, settings.limits, Caches::new(settings))
    }

    /// An engine without sequences over `caches`, which others may use at the same time.
    ///
    /// # Panics
    /// As [`Engine::new`].
    pub fn over(checkpoint: Arc<Checkpoint>, limits: Limits, caches: Caches) -> Self {
        let chunk = limits.chunk;
        assert!(
            chunk >= BLOCK,
            "chunks of {chunk} tokens, a block has {BLOCK}"
        );
        // A GPU is kept busy by one operation for all sequences; on CPUs each by itself is faster (ADR 17).
        let memory = if checkpoint.network.device() == Device::flex() {
            Memory::Buffers
        } else {
            Memory::Pool(None)
        };
        Self {
            memory,
            checkpoint,
            schedule: Schedule::new(limits),
            sequences: BTreeMap::new(),
            caches,
            admitted: vec![],
            coming: HashSet::new(),
            next: 0,
            stats: Stats::default(),
        }
    }

    /// Keeps keys and values in one pool on any device, as it is done on GPUs.
    #[must_use]
    pub fn pooled(self) -> Self {
        let memory = Memory::Pool(None);
        Self { memory, ..self }
    }

    /// Puts a job at the end of the queue.
    ///
    /// # Errors
    /// If it is longer than everything the engine may hold.
    pub fn submit(&mut self, job: Job) -> Result<Id, TooLong> {
        let id = self.next;
        self.schedule.push(id, job.capacity())?;
        self.next += 1;
        let merge = self.checkpoint.config.vision.spatial_merge_size;
        let pictures: Vec<(Hash, usize)> = job
            .pictures
            .iter()
            .map(|picture| (picture.key, picture.patches.grid.tokens(merge)))
            .collect();
        let blocks = prefix::keys(
            &job.prompt,
            &pictures,
            self.checkpoint.config.image_token_id,
        );
        let sequence = Sequence::new(job, blocks);
        self.sequences.insert(id, sequence);
        Ok(id)
    }

    /// Forgets a sequence; its room is free for the next step.
    pub fn cancel(&mut self, id: Id) {
        self.schedule.remove(id);
        self.admitted.retain(|&it| it != id);
        let Some(sequence) = self.sequences.remove(&id) else {
            return;
        };
        let reading = sequence.cache.is_some() && sequence.clock.read.is_none();
        for key in sequence.blocks.iter().filter(|_| reading) {
            self.coming.remove(key);
        }
    }

    /// What a sequence under way has generated so far, forced tokens included.
    pub fn generated(&self, id: Id) -> Option<&[u32]> {
        let sequence = self.sequences.get(&id)?;
        Some(&sequence.ids[sequence.prompt_len()..])
    }

    /// Whether there is nothing to do.
    pub fn is_idle(&self) -> bool {
        self.sequences.is_empty()
    }

    /// Whether a sequence that is submitted now would not wait for the number of those before it.
    pub fn has_room(&self) -> bool {
        let known = self.schedule.running() + self.schedule.waiting();
        known < self.schedule.limits().sequences
    }

    /// What it has done and holds.
    pub fn stats(&self) -> Stats {
        Stats {
            running: self.schedule.running(),
            waiting: self.schedule.waiting(),
            reserved_tokens: self.schedule.reserved(),
            most_tokens: self.schedule.limits().cached_tokens,
            ..self.stats
        }
    }

    /// Continues `jobs` together until all have ended; completions come in the order of the jobs.
    ///
    /// # Errors
    /// A job longer than everything the engine may hold fails alone.
    pub fn run(&mut self, jobs: Vec<Job>) -> Vec<Result<Completion, TooLong>> {
        let ids: Vec<Result<Id, TooLong>> = jobs.into_iter().map(|job| self.submit(job)).collect();
        let mut ended = BTreeMap::new();
        while !self.is_idle() {
            ended.extend(self.step());
        }
        ids.into_iter()
            .map(|id| Ok(ended.remove(&id?).expect("every sequence ends")))
            .collect()
    }

    /// Feeds every sequence that may go on, and lets each that is fed whole choose its next token; gives those that ended.
    pub fn step(&mut self) -> Vec<(Id, Completion)> {
        while let Some(id) = self.schedule.admit() {
            self.admitted.push(id);
        }
        self.begin();
        let plan = self.schedule.plan(BLOCK, |id| self.sequences[&id].held());
        if plan.is_empty() {
            return vec![];
        }
        let logits = self.feed(&plan);
        let mut logits = logits.chunks_exact(self.checkpoint.config.text.vocab_size);
        let mut ended = vec![];
        for &(id, count) in &plan {
            let done = self.schedule.fed(id, count);
            let sequence = self.sequences.get_mut(&id).expect("it was planned");
            let held = sequence.held();
            let prompt = sequence.prompt_len();
            // Rows whose next token is already known (forced) give its log-probability.
            for index in prompt.max(held - count + 1)..(held + 1).min(sequence.ids.len()) {
                let row = logits.next().expect("a row for every wanted place");
                sequence.logprobs[index - prompt] = log_probability(row, sequence.ids[index]);
                sequence.note_top(index - prompt, row);
            }
            if !done {
                continue;
            }
            let row = logits.next().expect("a row for every wanted place");
            let before = sequence.ids.len();
            if sequence.clock.read.is_none() {
                sequence.clock.read = Some(Instant::now());
                sequence.rows.clear();
                let cache = sequence.cache.as_ref().expect("it was fed");
                self.caches.lock().prefixes.keep(&sequence.blocks, cache);
                for key in &sequence.blocks {
                    self.coming.remove(key);
                }
            }
            if sequence.is_full() {
                sequence.finish = Some(FinishReason::Length);
            } else {
                sequence.score(&self.checkpoint, row);
                sequence.choose(&self.checkpoint, row);
            }
            if let Some(reason) = sequence.finish {
                let sequence = self.sequences.remove(&id).expect("it was planned");
                self.schedule.remove(id);
                ended.push((id, sequence.complete(reason)));
            } else {
                let pending = sequence.ids.len() - before;
                self.schedule.pend(id, 0, pending);
            }
        }
        ended
    }

    /// Room for `tokens` tokens of one sequence; none while the pool has it in pieces only.
    fn cache(&mut self, tokens: usize) -> Option<Cache> {
        let network = &self.checkpoint.network;
        match &mut self.memory {
            Memory::Buffers => Some(network.cache(tokens)),
            Memory::Pool(pool) => {
                let all = self.schedule.limits().cached_tokens;
                pool.get_or_insert_with(|| network.pool(all)).cache(tokens)
            }
        }
    }

    /// Gives those that were admitted their cache, as much of their prompt as is known, and their images.
    fn begin(&mut self) {
        let begun = self.seat();
        match self.memory {
            Memory::Buffers => begun.iter().for_each(|id| self.see(slice::from_ref(id))),
            Memory::Pool(_) => self.see(&begun),
        }
    }

    /// Gives those that were admitted their cache and as much of their prompt as is known; the ids of those that can be fed. One whose next
    /// block another is about to compute waits for it; where there is no room for one, nobody who came later takes it.
    fn seat(&mut self) -> Vec<Id> {
        let mut begun = vec![];
        let mut admitted = std::mem::take(&mut self.admitted).into_iter();
        while let Some(id) = admitted.next() {
            let sequence = self.sequences.get_mut(&id).expect("it was admitted");
            let missing = self.caches.lock().prefixes.missing(&sequence.blocks);
            if missing.is_some_and(|key| self.coming.contains(&key)) {
                self.admitted.push(id);
                continue;
            }
            let capacity = sequence.job.capacity();
            let Some(mut cache) = self.cache(capacity) else {
                self.admitted.push(id);
                self.admitted.extend(admitted);
                break;
            };
            let sequence = self.sequences.get_mut(&id).expect("it was admitted");
            sequence.clock.began = Some(Instant::now());
            let prompt = sequence.prompt_len();
            let mut kept = self.caches.lock();
            let held = kept.prefixes.restore(&sequence.blocks, &mut cache);
            if kept.prefixes.keeps() {
                self.coming.extend(&sequence.blocks[held / BLOCK..]);
            }
            drop(kept);
            sequence.cache = Some(cache);
            sequence.reused = held;
            self.stats.prompt_tokens += prompt as u64;
            self.stats.reused_tokens += held as u64;
            self.schedule
                .pend(id, prompt - held, sequence.ids.len() - prompt);
            begun.push(id);
        }
        begun
    }

    /// Fetches or computes the rows of the images that sequences which begin have not read yet.
    fn see(&mut self, begun: &[Id]) {
        let start = Instant::now();
        let image = self.checkpoint.config.image_token_id;
        let merge = self.checkpoint.config.vision.spatial_merge_size;
        // Of every sequence that reads an image: the image, and how many of its rows it has already.
        let mut wanted: Vec<(Id, Picture, usize)> = vec![];
        for &id in begun {
            let sequence = &self.sequences[&id];
            let read = sequence.ids[..sequence.held()].iter();
            let mut read = read.filter(|&&it| it == image).count();
            for picture in &sequence.job.pictures {
                let tokens = picture.patches.grid.tokens(merge);
                let skipped = read.min(tokens);
                read -= skipped;
                if skipped < tokens {
                    wanted.push((id, picture.clone(), skipped));
                }
            }
        }
        let pictures = wanted.iter().map(|(_, picture, _)| picture);
        let encoded = self.encoded(&pictures.collect::<Vec<_>>());
        for ((id, _, skipped), rows) in wanted.iter().zip(encoded) {
            let [tokens, _] = rows.dims();
            let sequence = self.sequences.get_mut(id).expect("it has begun");
            let rows = rows.narrow(0, *skipped, tokens - skipped);
            sequence.rows.push_back(rows);
            sequence.clock.vision = start.elapsed();
        }
    }

    /// The rows of `pictures`. On CPUs every one that is not known is encoded alone, on GPUs many at a time.
    fn encoded(&mut self, pictures: &[&Picture]) -> Vec<Tensor<2>> {
        let merge = self.checkpoint.config.vision.spatial_merge_size;
        let mut known: HashMap<Hash, Tensor<2>> = HashMap::new();
        let mut unknown: Vec<&Picture> = vec![];
        {
            let mut kept = self.caches.lock();
            for picture in pictures {
                if known.contains_key(&picture.key)
                    || unknown.iter().any(|it| it.key == picture.key)
                {
                    continue;
                }
                match kept.images.get(&picture.key) {
                    Some(rows) => {
                        known.insert(picture.key, rows);
                    }
                    None => unknown.push(picture),
                }
            }
        }
        self.stats.images += pictures.len() as u64;
        self.stats.reused_images += (pictures.len() - unknown.len()) as u64;
        let most = match self.memory {
            Memory::Buffers => 0,
            Memory::Pool(_) => PATCHES,
        };
        let mut unknown = &unknown[..];
        while !unknown.is_empty() {
            let (batch, rest) = unknown.split_at(at_once(unknown, most));
            let patches: Vec<&Patches> = batch.iter().map(|it| &*it.patches).collect();
            let network = &self.checkpoint.network;
            let rows = rayon::scope(|_| network.encode_images(&patches));
            let mut first = 0;
            for picture in batch {
                let tokens = picture.patches.grid.tokens(merge);
                let rows = if batch.len() == 1 {
                    rows.clone()
                } else {
                    // A copy: a view would keep the rows of all.
                    let places = indices(first..first + tokens, &rows.device());
                    rows.clone().select(0, places)
                };
                first += tokens;
                self.caches.lock().images.put(picture.key, rows.clone());
                known.insert(picture.key, rows);
            }
            unknown = rest;
        }
        let rows = pictures.iter().map(|picture| known[&picture.key].clone());
        rows.collect()
    }

    /// Runs the network over the planned tokens: the scores behind every fed token whose successor is in the answer, in the order of
    /// the plan, `vocab_size` a token.
    fn feed(&mut self, plan: &[(Id, usize)]) -> Vec<f32> {
        let image = self.checkpoint.config.image_token_id;
        let mut counts = plan.iter().copied().peekable();
        let mut fed = Vec::with_capacity(plan.len());
        // The plan is in order of admission, which is the order of ids.
        for (&id, sequence) in &mut self.sequences {
            let Some((_, count)) = counts.next_if(|&(planned, _)| planned == id) else {
                continue;
            };
            let held = sequence.held();
            let ids = sequence.ids[held..held + count].to_vec();
            let prompt = sequence.prompt_len();
            let placeholders = ids.iter().take(prompt.saturating_sub(held));
            let placeholders = placeholders.filter(|&&it| it == image).count();
            fed.push(Fed {
                images: sequence.take_rows(placeholders),
                axes: (held..held + count).map(|at| sequence.axes(at)).collect(),
                answered: (prompt - 1).saturating_sub(held).min(count),
                cache: sequence.cache.as_mut().expect("it has begun"),
                held,
                ids,
            });
        }
        assert!(
            counts.next().is_none(),
            "only sequences that exist are planned"
        );
        let checkpoint = &*self.checkpoint;
        let tokens: usize = plan.iter().map(|&(_, count)| count).sum();
        let text = &checkpoint.config.text;
        if is_small(tokens, text.hidden_size, text.intermediate_size) {
            // No product is worth another thread's waking up.
            return run(checkpoint, fed);
        }
        // Inside of the pool, so that the pieces of a product are not handed over one by one.
        rayon::scope(|_| run(checkpoint, fed))
    }
}

/// New tokens of one sequence.
struct Fed<'a> {
    ids: Vec<u32>,
    axes: Vec<[u32; 3]>,
    held: usize,
    /// How many of the tokens have their successor in the prompt.
    answered: usize,
    /// The rows of the images among them.
    images: Vec<Tensor<2>>,
    cache: &'a mut Cache,
}

/// Runs the network over the new tokens of several sequences.
fn run(checkpoint: &Checkpoint, fed: Vec<Fed<'_>>) -> Vec<f32> {
    let network = &checkpoint.network;
    let (mut inputs, mut caches, mut images) = (vec![], vec![], vec![]);
    for mut it in fed {
        images.append(&mut it.images);
        inputs.push((it.ids, it.axes, it.held, it.answered));
        caches.push(it.cache);
    }
    let spans: Vec<Span<'_>> = inputs
        .iter()
        .map(|(ids, axes, held, _)| Span {
            ids,
            axes,
            held: *held,
        })
        .collect();
    let images = (!images.is_empty()).then(|| Tensor::cat(images, 0));
    let hidden = network.hidden(&spans, images, &mut caches);
    let (mut start, mut wanted) = (0, vec![]);
    for (ids, _, _, answered) in &inputs {
        if *answered < ids.len() {
            let rows = hidden.clone();
            wanted.push(rows.narrow(0, start + answered, ids.len() - answered));
        }
        start += ids.len();
    }
    if wanted.is_empty() {
        return vec![];
    }
    let mut rows = Tensor::cat(wanted, 0);
    let count = rows.dims()[0];
    let least = least_rows(&checkpoint.config.text, network.dtype(), &network.device());
    if count < least {
        rows = padded(rows, least - count);
    }
    let logits = network.logits(rows); // [wanted and padding, vocab]
    let mut logits: Vec<f32> = logits
        .cast(DType::F32)
        .into_data()
        .try_into_vec()
        .expect("cast to f32 above");
    logits.truncate(count * checkpoint.config.text.vocab_size);
    logits
}

/// How many of `pictures`, of which there are some, have at most `most` patches together; one always may.
fn at_once(pictures: &[&Picture], most: usize) -> usize {
    let mut patches = 0;
    let fit = pictures.iter().take_while(|picture| {
        patches += picture.patches.grid.patches();
        patches <= most
    });
    fit.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn lanes_divide_what_there_is_and_have_room_for_the_longest() {
        let settings = Settings {
            lanes: 4,
            ..Settings::default()
        };
        let lane = settings.divided(1000);
        assert_eq!(lane.lanes, 4);
        assert_eq!(
            (lane.limits.sequences, lane.limits.cached_tokens),
            (4, 8192)
        );
        let lane = settings.divided(10_000);
        assert_eq!(lane.lanes, 3);
        assert_eq!(
            (lane.limits.sequences, lane.limits.cached_tokens),
            (6, 10_922)
        );
        // Too long for all together is refused later, by name.
        let lane = settings.divided(100_000);
        assert_eq!((lane.lanes, lane.limits), (1, settings.limits));
    }

    #[test]
    fn pictures_are_encoded_together_up_to_a_limit_and_a_large_one_alone() {
        let picture = |h| {
            let grid = ::vision::Grid { t: 1, h, w: 2 };
            let pixels = vec![0.0; 4];
            Picture::new(Patches { pixels, grid })
        };
        let pictures = [4, 2, 2, 40].map(picture); // 8, 4, 4 and 80 patches
        let pictures: Vec<&Picture> = pictures.iter().collect();
        assert_eq!(at_once(&pictures, 15), 2);
        assert_eq!(at_once(&pictures, 16), 3);
        assert_eq!(at_once(&pictures, 1000), 4);
        assert_eq!(at_once(&pictures[3..], 16), 1);
        assert_eq!(at_once(&pictures, 0), 1);
    }

    #[test]
    fn what_a_panic_left_behind_is_forgotten() {
        let caches = Caches::new(&Settings::default());
        let key = blake3::hash(b"image");
        let rows = Tensor::zeros([1, 1], &Device::flex());
        caches.lock().images.put(key, rows);
        let held = caches.clone();
        let panicked = std::thread::spawn(move || {
            let _kept = held.lock();
            panic!("in the middle of something");
        });
        assert!(panicked.join().is_err());
        assert!(!caches.lock().images.contains(&key));
        assert!(!caches.0.is_poisoned());
    }
}
