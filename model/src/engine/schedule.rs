//! Who is fed when: pure bookkeeping over ids and token counts. Knows no tensor, no clock, no grammar.

use std::collections::VecDeque;

/// Names a sequence inside one engine.
pub type Id = u64;

/// What an engine may hold and do at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sequences that run at once.
    pub sequences: usize,
    /// Tokens that all running sequences together may come to hold.
    pub cached_tokens: usize,
    /// Prompt tokens fed in one step, a multiple of [`BLOCK`](crate::text::BLOCK); those of answers come on top.
    pub chunk: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sequences: 16,
            cached_tokens: 32_768,
            chunk: 512,
        }
    }
}

/// A sequence that could never run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("prompt and answer may take {got} tokens, the engine holds {limit}")]
pub struct TooLong {
    /// Tokens it may come to hold.
    pub got: usize,
    /// Tokens the engine has room for.
    pub limit: usize,
}

/// The sequences of an engine, waiting and running.
#[derive(Debug)]
pub struct Schedule {
    limits: Limits,
    waiting: VecDeque<(Id, usize)>,
    running: Vec<Running>,
    /// Tokens reserved for the running.
    reserved: usize,
}

#[derive(Debug)]
struct Running {
    id: Id,
    capacity: usize,
    /// Prompt tokens not yet fed.
    prompt: usize,
    /// Tokens of the answer not yet fed; they stand behind the prompt.
    answer: usize,
}

impl Schedule {
    /// Nothing waits, nothing runs.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            waiting: VecDeque::new(),
            running: vec![],
            reserved: 0,
        }
    }

    /// Puts a sequence of at most `capacity` tokens at the end of the queue.
    ///
    /// # Errors
    /// If it could not run even alone.
    pub fn push(&mut self, id: Id, capacity: usize) -> Result<(), TooLong> {
        if capacity > self.limits.cached_tokens {
            return Err(TooLong {
                got: capacity,
                limit: self.limits.cached_tokens,
            });
        }
        self.waiting.push_back((id, capacity));
        Ok(())
    }

    /// Lets the first of the queue run, if there is room. Nobody overtakes, so nobody starves.
    pub fn admit(&mut self) -> Option<Id> {
        let &(id, capacity) = self.waiting.front()?;
        let fits = self.running.len() < self.limits.sequences
            && self.reserved + capacity <= self.limits.cached_tokens;
        if !fits {
            return None;
        }
        self.waiting.pop_front();
        self.reserved += capacity;
        self.running.push(Running {
            id,
            capacity,
            prompt: 0,
            answer: 0,
        });
        Some(id)
    }

    /// Says what `id` has to be fed next: so many tokens more of its prompt, so many of its answer.
    ///
    /// # Panics
    /// If it does not run.
    pub fn pend(&mut self, id: Id, prompt: usize, answer: usize) {
        let running = self.find(id);
        running.prompt += prompt;
        running.answer += answer;
    }

    /// The tokens to feed in this step, sequence by sequence in order of admission. Answers always go on; prompts share the
    /// chunk, the earliest first. `held` tells how many tokens a sequence already has: pieces of a prompt end at multiples of
    /// `block` or at its end, so that their shapes do not depend on who else is there.
    pub fn plan(&self, block: usize, held: impl Fn(Id) -> usize) -> Vec<(Id, usize)> {
        let mut room = self.limits.chunk;
        let mut plan = Vec::with_capacity(self.running.len());
        for running in &self.running {
            let count = if running.prompt == 0 {
                running.answer
            } else if running.prompt <= room {
                room -= running.prompt;
                running.prompt + running.answer
            } else {
                let start = held(running.id);
                let end = (start + room) / block * block;
                room = 0;
                end.saturating_sub(start)
            };
            if count > 0 {
                plan.push((running.id, count));
            }
        }
        plan
    }

    /// Notes that `count` tokens of `id` were fed; says whether nothing of it is pending.
    ///
    /// # Panics
    /// If it does not run, or had fewer tokens pending.
    pub fn fed(&mut self, id: Id, count: usize) -> bool {
        let running = self.find(id);
        let prompt = running.prompt.min(count);
        running.prompt -= prompt;
        running.answer = running
            .answer
            .checked_sub(count - prompt)
            .expect("only pending tokens are fed");
        running.prompt + running.answer == 0
    }

    /// Forgets `id`, wherever it is, and gives its room back; says whether it was there.
    pub fn remove(&mut self, id: Id) -> bool {
        if let Some(at) = self.running.iter().position(|it| it.id == id) {
            self.reserved -= self.running.remove(at).capacity;
            return true;
        }
        let before = self.waiting.len();
        self.waiting.retain(|&(it, _)| it != id);
        self.waiting.len() < before
    }

    /// What runs at once at most.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Sequences in the queue.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Sequences under way.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Tokens reserved for the sequences under way.
    pub fn reserved(&self) -> usize {
        self.reserved
    }

    fn find(&mut self, id: Id) -> &mut Running {
        let found = self.running.iter_mut().find(|it| it.id == id);
        found.unwrap_or_else(|| panic!("sequence {id} does not run"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    const BLOCK: usize = 8;
    const LIMITS: Limits = Limits {
        sequences: 3,
        cached_tokens: 100,
        chunk: 16,
    };

    #[derive(Clone, Debug)]
    enum Act {
        Push { prompt: usize, answer: usize },
        Cancel(usize),
        Step,
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            (1..70_usize, 0..50_usize).prop_map(|(prompt, answer)| Act::Push { prompt, answer }),
            (0..40_usize).prop_map(Act::Cancel),
            Just(Act::Step),
            Just(Act::Step),
        ];
        prop::collection::vec(act, 0..120)
    }

    /// A pretended engine: every sequence wants its prompt, then its answer token by token.
    struct World {
        schedule: Schedule,
        wants: BTreeMap<Id, (usize, usize)>,
        held: BTreeMap<Id, usize>,
        ended: BTreeSet<Id>,
    }

    impl World {
        fn step(&mut self) {
            while let Some(id) = self.schedule.admit() {
                assert!(self.held.insert(id, 0).is_none(), "{id} was admitted twice");
                self.schedule.pend(id, self.wants[&id].0, 0);
            }
            assert!(self.schedule.running() <= LIMITS.sequences);
            assert!(self.schedule.reserved() <= LIMITS.cached_tokens);
            let plan = self.schedule.plan(BLOCK, |id| self.held[&id]);
            assert!(
                !plan.is_empty() || self.schedule.running() == 0,
                "somebody goes on"
            );
            let mut prompts = 0;
            for (id, count) in plan {
                let (prompt, answer) = self.wants[&id];
                let held = self.held.get_mut(&id).expect("it runs");
                if *held < prompt {
                    prompts += count;
                    let end = *held + count;
                    assert!(end == prompt || end.is_multiple_of(BLOCK));
                }
                *held += count;
                let idle = self.schedule.fed(id, count);
                assert_eq!(idle, *held >= prompt);
                if *held == prompt + answer {
                    assert!(self.schedule.remove(id));
                    assert!(self.ended.insert(id), "{id} ended twice");
                    self.held.remove(&id);
                } else if idle {
                    self.schedule.pend(id, 0, 1);
                }
            }
            assert!(prompts <= LIMITS.chunk, "{prompts} prompt tokens");
        }
    }

    proptest! {
        #[test]
        fn every_sequence_ends_once_and_gives_its_room_back(acts in acts()) {
            let mut world = World {
                schedule: Schedule::new(LIMITS),
                wants: BTreeMap::new(),
                held: BTreeMap::new(),
                ended: BTreeSet::new(),
            };
            for (id, act) in (0..).zip(acts) {
                match act {
                    Act::Push { prompt, answer } => match world.schedule.push(id, prompt + answer) {
                        Ok(()) => drop(world.wants.insert(id, (prompt, answer))),
                        Err(refused) => prop_assert!(refused.got > LIMITS.cached_tokens),
                    },
                    Act::Cancel(which) => {
                        let known: Vec<Id> = world.wants.keys().copied().collect();
                        if let Some(&id) = known.get(which) {
                            let removed = world.schedule.remove(id);
                            prop_assert_eq!(removed, world.ended.insert(id));
                            world.held.remove(&id);
                        }
                    }
                    Act::Step => world.step(),
                }
            }
            for _ in 0..10_000 {
                if world.schedule.waiting() + world.schedule.running() == 0 {
                    break;
                }
                world.step();
            }
            prop_assert_eq!(world.schedule.reserved(), 0, "room leaked");
            prop_assert_eq!(world.ended.len(), world.wants.len(), "somebody starved");
        }
    }
}
