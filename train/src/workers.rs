//! A step's gradient by several workers at once, each with a pass of its own, on one device or on several: data parallelism in one
//! process (ADR 15). The sums are made in the order of the workers, so that a run repeats bit for bit. Knows no loss.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor};
use model::Qwen;
use model::lora::drop_from;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::Error;
use crate::optim::Grads;

/// Where the random streams of what adapters drop begin: far above those of records and answers.
const DROPOUT: u64 = 1 << 48;

/// Threads that share a step, spread evenly over devices.
#[derive(Debug)]
pub struct Workers {
    /// One a worker.
    pools: Vec<ThreadPool>,
    devices: Vec<Device>,
    seed: u64,
}

impl Workers {
    /// One pool of one thread a worker, so that the products inside a pass do not spread over the others' cores. Worker `w` computes
    /// on device `w` modulo their number; sums are made on the first. What adapters drop is drawn under `seed`.
    ///
    /// # Errors
    /// If the devices would not get the same number of workers.
    ///
    /// # Panics
    /// When a thread cannot be started.
    pub fn new(count: usize, devices: &[Device], seed: u64) -> Result<Self, String> {
        if devices.is_empty() || !count.is_multiple_of(devices.len()) {
            return Err(format!(
                "training.workers is {count} and must be a multiple of the number of devices, {}",
                devices.len()
            ));
        }
        let pool = |_| {
            ThreadPoolBuilder::new()
                .num_threads(1)
                .build()
                .expect("a thread can be started")
        };
        Ok(Self {
            pools: (0..count).map(pool).collect(),
            devices: devices.to_vec(),
            seed,
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.pools.len()
    }

    /// The number of the device on which a worker computes.
    pub fn seat(&self, worker: usize) -> usize {
        worker % self.devices.len()
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
        // Weights travel once to a device, not to each of its workers.
        let there: Vec<Qwen> = self.devices.iter().map(|it| on(network, it)).collect();
        let work = |worker: usize| {
            let seat = self.seat(worker);
            let mut replica = on(&there[seat], &self.devices[seat]);
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
            grads.add(part.on(&self.devices[0]));
            rest.push(told);
        }
        Ok((grads, rest))
    }
}

/// The network on `device`, with leaves of its own: burn's autodiff joins graphs that share a leaf, and two threads that work on one
/// joined graph wait for each other forever (burn-autodiff 0.22.1, `runtime/graph.rs`). On its own device it shares the values.
fn on(network: &Qwen, device: &Device) -> Qwen {
    network.clone().map(&mut Replicator(device))
}

struct Replicator<'a>(&'a Device);

impl ModuleMapper for Replicator<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|value| {
            let tracked = value.is_require_grad();
            value
                .without_autodiff()
                .to_device(self.0)
                .autodiff()
                .set_require_grad(tracked)
        })
    }
}
