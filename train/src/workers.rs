//! A step's gradient on several threads, each with a pass of its own. The sums are made in the order of the workers, so that a run
//! repeats bit for bit. Knows no loss.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use model::Qwen;
use model::lora::drop_from;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::Error;
use crate::optim::Grads;

/// Where the random streams of what adapters drop begin: far above those of records and answers.
const DROPOUT: u64 = 1 << 48;

/// Threads that share a step.
#[derive(Debug)]
pub struct Workers {
    pools: Vec<ThreadPool>,
    seed: u64,
}

impl Workers {
    /// One pool of one thread a worker, so that the products inside a pass do not spread over the others' cores. What adapters drop is
    /// drawn under `seed`.
    ///
    /// # Panics
    /// When a thread cannot be started.
    pub fn new(count: usize, seed: u64) -> Self {
        let pool = |_| {
            ThreadPoolBuilder::new()
                .num_threads(1)
                .build()
                .expect("a thread can be started")
        };
        Self {
            pools: (0..count).map(pool).collect(),
            seed,
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.pools.len()
    }

    /// What every worker makes of the network by its number: the sum of their gradients, and the rest in their order. The same `draw` drops
    /// the same.
    ///
    /// # Errors
    /// The first worker's that has one.
    pub fn gradients<T: Send>(
        &self,
        network: &Qwen,
        draw: usize,
        work: impl Fn(&Qwen, usize) -> Result<(Grads, T), Error> + Sync,
    ) -> Result<(Grads, Vec<T>), Error> {
        let work = |worker: usize| {
            let mut replica = network.clone().map(&mut Replicator);
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(DROPOUT + (draw * self.count() + worker) as u64);
            drop_from(&mut replica, rng);
            work(&replica, worker)
        };
        let results: Vec<Result<(Grads, T), Error>> = std::thread::scope(|scope| {
            let work = &work;
            let workers = self.pools.iter().enumerate();
            let handles: Vec<_> = workers
                .map(|(worker, pool)| scope.spawn(move || pool.install(|| work(worker))))
                .collect();
            handles
                .into_iter()
                .map(|handle| handle.join().expect("a worker that panics ends the run"))
                .collect()
        });
        let (mut grads, mut rest) = (Grads::default(), vec![]);
        for result in results {
            let (part, told) = result?;
            grads.add(part);
            rest.push(told);
        }
        Ok((grads, rest))
    }
}

/// Gives a worker leaves of its own over the same values: burn's autodiff joins graphs that share a leaf, and two threads that
/// work on one joined graph wait for each other forever (burn-autodiff 0.22.1, `runtime/graph.rs`).
struct Replicator;

impl ModuleMapper for Replicator {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|value| {
            let tracked = value.is_require_grad();
            value
                .without_autodiff()
                .autodiff()
                .set_require_grad(tracked)
        })
    }
}
