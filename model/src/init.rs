//! Fresh parameters: drawn from a seeded stream for training from scratch, or left lazy for a loader to fill.

use std::sync::Arc;
use std::sync::Mutex;

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Shape, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Where the stream of adapters lies: far from those that training reads under the same seed.
const ADAPTERS: u64 = 1 << 49;

/// How new parameters come about.
#[derive(Clone, Debug)]
pub struct Init {
    device: Device,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    /// Nothing is allocated until a loader sets the value.
    Lazy,
    /// Values in the order of construction; those of weights are normal with this deviation (`initializer_range`).
    Random {
        deviation: f32,
        rng: Arc<Mutex<ChaCha8Rng>>,
    },
}

impl Init {
    /// Parameters that a loader will fill.
    pub fn lazy(device: &Device) -> Self {
        Self {
            device: device.clone(),
            source: Source::Lazy,
        }
    }

    /// Parameters drawn from `N(0, deviation²)`; the same seed gives the same network.
    pub fn normal(device: &Device, deviation: f32, seed: u64) -> Self {
        Self::random(device, deviation, ChaCha8Rng::seed_from_u64(seed))
    }

    /// Parameters of adapters (`lora.rs`), drawn from a stream of their own: the same seed gives the same adapters.
    pub fn adapters(device: &Device, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(ADAPTERS);
        Self::random(device, 0.0, rng)
    }

    fn random(device: &Device, deviation: f32, rng: ChaCha8Rng) -> Self {
        let rng = Arc::new(Mutex::new(rng));
        Self {
            device: device.clone(),
            source: Source::Random { deviation, rng },
        }
    }

    /// A weight matrix.
    pub fn weight(&self, shape: [usize; 2]) -> Param<Tensor<2>> {
        match &self.source {
            Source::Lazy => self.constant(shape, 0.0),
            Source::Random { deviation, rng } => {
                self.drawn(shape, rng, |rng| normal(rng) * deviation)
            }
        }
    }

    /// An adapter's A, `[r, in]`: uniform up to `1 / √in`, which is torch's `kaiming_uniform_(a = √5)`, as in PEFT.
    pub fn narrow(&self, shape: [usize; 2]) -> Param<Tensor<2>> {
        match &self.source {
            Source::Lazy => self.constant(shape, 0.0),
            Source::Random { rng, .. } => {
                let bound = (shape[1] as f32).sqrt().recip();
                self.drawn(shape, rng, |rng| (2.0 * rng.random::<f32>() - 1.0) * bound)
            }
        }
    }

    fn drawn(
        &self,
        shape: [usize; 2],
        rng: &Mutex<ChaCha8Rng>,
        draw: impl Fn(&mut ChaCha8Rng) -> f32,
    ) -> Param<Tensor<2>> {
        let mut rng = rng.lock().expect("no holder panics");
        let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| draw(&mut rng)).collect();
        let tensor = Tensor::from_data(TensorData::new(values, shape), &self.device);
        Param::from_tensor(tensor)
    }

    /// A bias, or an adapter's B.
    pub fn zeros<const D: usize>(&self, shape: [usize; D]) -> Param<Tensor<D>> {
        self.constant(shape, 0.0)
    }

    /// A norm's weight.
    pub fn ones(&self, shape: [usize; 1]) -> Param<Tensor<1>> {
        self.constant(shape, 1.0)
    }

    fn constant<const D: usize>(&self, shape: [usize; D], value: f32) -> Param<Tensor<D>> {
        let init = move |device: &Device, tracked: bool| {
            Tensor::full(shape, value, device).set_require_grad(tracked)
        };
        Param::uninitialized(
            ParamId::new(),
            init,
            self.device.clone(),
            true,
            Shape::from(shape),
        )
    }
}

/// One standard normal value (Box–Muller; the second of the pair is dropped).
fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let radius: f32 = 1.0 - rng.random::<f32>(); // (0, 1]: the logarithm stays finite
    let angle: f32 = rng.random();
    (-2.0 * radius.ln()).sqrt() * (std::f32::consts::TAU * angle).cos()
}
