//! Products of the shapes that the network has, for one row up to a prompt, and of larger ones: how fast each is, and what the device
//! reaches at its best, which is what everything else is measured against.

use burn::tensor::{DType, Device, Distribution, Tensor};
use model::linear::affine;

use crate::clock::{Budget, Times, measure};
use crate::roofline::{Ceilings, Work};
use crate::{Bench, Error, Line};

const PART: &str = "matmul";

/// Rows of a step with so many sequences, and of MORE's prompt.
const ROWS: [usize; 5] = [1, 8, 64, 256, 734];

/// Bytes of weights that are read in turn, at most: no cache holds them.
const TURNS: f64 = (1u64 << 30) as f64;

/// Measures, and keeps the most operations and the most bytes a second of any shape as the run's ceilings where none were given.
pub fn run(bench: &mut Bench<'_>) -> Result<(), Error> {
    let sides = if bench.on_cpu() {
        [1024, 2048, 8192]
    } else {
        [4096, 8192, 16_384]
    };
    let text = &bench.config.text;
    let (d, inner) = (text.hidden_size, text.intermediate_size);
    let keys = text.num_key_value_heads * text.head_dim();
    let own = [
        ("gate or up", d, inner),
        ("down", inner, d),
        ("query or output", d, d),
        ("key or value", d, keys),
        ("head", d, text.vocab_size),
    ];
    let mut sweep = Sweep {
        budget: bench.budget(),
        cases: 5 + own.len() * ROWS.len(),
        best: Ceilings {
            operations: 0.0,
            bytes: 0.0,
        },
        bench,
    };
    for (rows, side) in [
        (sides[0], sides[0]),
        (sides[1], sides[1]),
        (8, sides[2]),
        (1, sides[2]),
    ] {
        sweep.products("square", side, side, &[rows])?;
    }
    sweep.pass(sides[2] * sides[2])?;
    for (name, inner, out) in own {
        sweep.products(name, inner, out, &ROWS)?;
    }
    let Sweep { bench, best, .. } = sweep;
    let tflops = Line::new(PART, "most of any shape, operations", "TFLOP/s");
    bench.emit(tflops.once(best.operations / 1e12))?;
    let gbs = Line::new(PART, "most of any shape, bytes", "GB/s");
    bench.emit(gbs.once(best.bytes / 1e9))?;
    bench.ceilings = Some(Ceilings {
        operations: bench.options.peak_operations.unwrap_or(best.operations),
        bytes: bench.options.peak_bytes.unwrap_or(best.bytes),
    });
    Ok(())
}

struct Sweep<'a, 'b> {
    bench: &'a mut Bench<'b>,
    budget: Budget,
    cases: usize,
    best: Ceilings,
}

impl Sweep<'_, '_> {
    /// Products of each of `rows` with `[inner, out]`. Between two uses of a weight others are read, as many bytes of them as a step
    /// reads: a cache that does not hold the network's weights does not hold these.
    fn products(
        &mut self,
        name: &str,
        inner: usize,
        out: usize,
        rows: &[usize],
    ) -> Result<(), Error> {
        let (device, dtype) = (&self.bench.options.device, self.bench.options.dtype);
        let (device, sizes) = (device.clone(), self.bench.sizes());
        let step = (sizes.width * (sizes.decoder + sizes.head)).min(TURNS);
        let turns = (step / (inner * out * dtype.size()) as f64).ceil() as usize;
        let mut weights = vec![];
        for &rows in rows {
            let case = format!("{name} [{rows}, {inner}] · [{inner}, {out}]");
            if self.budget.is_over() {
                self.bench.emit(Line::late(PART, case))?;
                continue;
            }
            if weights.is_empty() {
                weights.extend((0..turns).map(|_| weight(inner, out, dtype, &device)));
            }
            let x = random([rows, inner], dtype, &device);
            let times = measure(&device, self.budget.share(self.cases), |round| {
                let weight = weights[round % turns].clone();
                drop(affine(x.clone(), weight, None));
            })?;
            let work = Work::product(rows, inner, out, dtype.size());
            self.tell(case, &times, work)?;
        }
        Ok(())
    }

    /// Reads so many numbers and writes as many.
    fn pass(&mut self, numbers: usize) -> Result<(), Error> {
        let (device, dtype) = (&self.bench.options.device, self.bench.options.dtype);
        let x = random([1, numbers], dtype, device);
        let times = measure(device, self.budget.share(self.cases), |_| {
            drop(x.clone().mul_scalar(2));
        })?;
        let work = Work {
            operations: numbers as f64,
            bytes: (2 * numbers * dtype.size()) as f64,
        };
        self.tell(format!("{numbers} numbers times 2"), &times, work)
    }

    fn tell(&mut self, case: String, times: &Times, work: Work) -> Result<(), Error> {
        let line = Line::new(PART, case, "ms").millis(times).reached(work);
        self.bench.emit(line)?;
        let reached = Ceilings {
            operations: work.operations / times.median(),
            bytes: work.bytes / times.median(),
        };
        self.best.operations = self.best.operations.max(reached.operations);
        self.best.bytes = self.best.bytes.max(reached.bytes);
        Ok(())
    }
}

/// A weight `[out, in]` as it lies while a network answers: on processors in the order in which products read it (ADR 8).
fn weight(inner: usize, out: usize, dtype: DType, device: &Device) -> Tensor<2> {
    if *device == Device::flex() {
        random([inner, out], dtype, device).transpose()
    } else {
        random([out, inner], dtype, device)
    }
}

/// Values from -1 to 1: zeros would be faster than data.
pub fn random<const D: usize>(shape: [usize; D], dtype: DType, device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), (device, dtype))
}
