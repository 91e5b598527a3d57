//! Answers drawn from the network as it stands, all of a batch at once on the service's engine. A function of weights, questions and
//! seeds: ADR 6 makes a row's bits independent of its neighbours. Judges nothing.

use std::sync::Arc;

use burn::tensor::Device;
use model::engine::{Job, Limits, Picture, Settings};
use model::generate::Chat;
use model::guide::{Script, SixSteps};
use model::lanes::Lanes;
use model::lora::merge;
use model::{Checkpoint, FinishReason, Sampling};
use proto::Enforce;

use super::config::Grpo;
use crate::Error;
use crate::example::Asked;
use crate::optim::plain;
use crate::pass::How;

/// Answers under way at most: nobody waits for a first word here, so more than a service has.
pub(crate) const AT_ONCE: usize = 64;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// Its tokens, the end token included.
    pub ids: Vec<u32>,
    /// Its text, without the end token.
    pub text: String,
    /// Whether it ended by itself.
    pub finished: bool,
}

/// How answers are drawn.
#[derive(Clone, Copy)]
pub struct Drawing<'a> {
    /// From what.
    pub checkpoint: &'a Checkpoint,
    /// Questions are shared among them; nothing else depends on how many there are.
    pub devices: &'a [Device],
    /// Leads the answers, if any.
    pub script: Option<&'a Arc<Script>>,
    /// The rest.
    pub grpo: &'a Grpo,
    /// How the passes that learn from the answers are computed.
    pub how: How,
}

impl Drawing<'_> {
    /// Draws `grpo.num_generations` answers to each of `asked`, with `seeds` one after another.
    ///
    /// # Errors
    /// A question that is too long for the engine.
    pub fn roll_out(
        &self,
        asked: &[Asked],
        seeds: impl Iterator<Item = u64>,
    ) -> Result<Vec<Vec<Rollout>>, Error> {
        let share = asked.len().div_ceil(self.devices.len()).max(1);
        let seeds: Vec<u64> = seeds
            .take(asked.len() * self.grpo.num_generations)
            .collect();
        let parts: Vec<Result<Vec<Vec<Rollout>>, Error>> = std::thread::scope(|scope| {
            let shares = asked
                .chunks(share)
                .zip(seeds.chunks(share * self.grpo.num_generations));
            let handles: Vec<_> = self
                .devices
                .iter()
                .zip(shares)
                .map(|(device, (asked, seeds))| scope.spawn(move || self.on(device, asked, seeds)))
                .collect();
            let join = |handle: std::thread::ScopedJoinHandle<'_, _>| {
                handle.join().expect("an engine that panics ends the run")
            };
            handles.into_iter().map(join).collect()
        });
        let parts: Vec<_> = parts.into_iter().collect::<Result<_, _>>()?;
        Ok(parts.into_iter().flatten().collect())
    }

    /// The same on one device.
    fn on(
        &self,
        device: &Device,
        asked: &[Asked],
        seeds: &[u64],
    ) -> Result<Vec<Vec<Rollout>>, Error> {
        let (grpo, mut checkpoint) = (self.grpo, self.checkpoint.clone());
        checkpoint.network = plain(checkpoint.network, device);
        merge(&mut checkpoint.network);
        checkpoint.network = self.how.rounded(&checkpoint.network);
        let checkpoint = Arc::new(checkpoint.for_answering());
        let prompt = asked.iter().map(|it| it.prompt.ids.len()).max();
        let longest = prompt.unwrap_or(0) + grpo.max_completion_length;
        let limits = Limits {
            sequences: AT_ONCE,
            cached_tokens: AT_ONCE * longest,
            ..Limits::default()
        };
        let settings = Settings {
            limits,
            ..Settings::on(device)
        };
        let lanes = Lanes::new(Arc::clone(&checkpoint), settings, longest);
        let mut jobs: Vec<Job> = vec![];
        for (question, seeds) in asked.iter().zip(seeds.chunks(grpo.num_generations)) {
            let pictures: Vec<Picture> =
                question.patches.iter().cloned().map(Picture::new).collect();
            for &seed in seeds {
                let longest = grpo.max_completion_length;
                let mut chat = Chat::over(question.prompt.clone(), pictures.clone(), longest);
                chat.sampling = Sampling {
                    temperature: grpo.temperature as f32,
                    seed,
                    ..Sampling::default()
                };
                let mut job = chat.job(&checkpoint);
                if let Some(script) = self.script {
                    let guide = SixSteps::new(Arc::clone(script), Enforce::Report, longest);
                    job.guide = Box::new(guide);
                }
                jobs.push(job);
            }
        }
        let end = &checkpoint.generation.eos_token_id;
        let mut rollouts = vec![];
        for completion in lanes.run(jobs) {
            let completion = completion.map_err(model::Error::from)?;
            let ids = completion.token_ids;
            let said = match ids.split_last() {
                Some((last, said)) if end.contains(last) => said,
                _ => &ids[..],
            };
            rollouts.push(Rollout {
                text: checkpoint.tokenizer.decode(said, false),
                finished: completion.finish_reason == FinishReason::Stop,
                ids,
            });
        }
        let groups = rollouts.chunks(grpo.num_generations);
        Ok(groups.map(<[Rollout]>::to_vec).collect())
    }
}
