//! Whether an NVIDIA GPU can be used here, and if not, why, in one sentence. Looking (`look`) needs the feature `cuda` and a process of its
//! own, since a driver may crash or never answer; what was found becomes a reason in any build. Starts no process, chooses no device.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[cfg(feature = "cuda")]
mod cache;
#[cfg(feature = "cuda")]
mod look;

#[cfg(feature = "cuda")]
pub use cache::keep_kernels;
#[cfg(feature = "cuda")]
pub use look::look;

/// The least compute capability. Kernels are compiled for the card's own architecture (`cubecl-cuda` 0.11.3, `compile_to_ptx`), and CUDA 13,
/// for which this is built, knows none below 7.5. `CubeCL` itself takes tensor cores, barriers and constant parameters from 7.0 and tensor
/// cores for bf16 from 8.0 (`runtime.rs`, `cubecl-cpp`'s `cuda/mma`); below those bf16 is slower, not wrong.
pub const LEAST: Capability = Capability(7, 5);

/// What a card can do, as NVIDIA counts it: a major and a minor number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Capability(pub u32, pub u32);

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// A GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// What its maker calls it.
    pub name: String,
    /// What it can do.
    pub capability: Capability,
}

/// What a look at one GPU found: the answers in the order of the questions, as far as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// How many GPUs the driver counts.
    pub gpus: Option<Result<usize, Unusable>>,
    /// The one that was asked for.
    pub card: Option<Result<Card, Unusable>>,
    /// Whether the headers are there that kernels include.
    pub headers: Option<Result<(), Unusable>>,
    /// Whether NVRTC compiles for the card.
    pub compiler: Option<Result<(), Unusable>>,
    /// Whether first operations gave a result.
    pub operation: Option<Result<(), Unusable>>,
}

impl Found {
    /// The GPU `number`, or why it cannot be used. Where an answer is missing, `end` says what became of who was looking.
    ///
    /// # Errors
    /// The first fault on the way.
    pub fn verdict(&self, number: usize, end: &str) -> Result<Card, Unusable> {
        let missing = |step| Unusable::Silent(step, end.to_owned());
        let gpus = (self.gpus.clone()).ok_or_else(|| missing(Step::Driver))??;
        if gpus == 0 {
            return Err(Unusable::NoGpu);
        }
        if number >= gpus {
            return Err(Unusable::NoSuchGpu(gpus));
        }
        let card = (self.card.clone()).ok_or_else(|| missing(Step::Card))??;
        if card.capability < LEAST {
            return Err(Unusable::TooOld(card));
        }
        (self.headers.clone()).ok_or_else(|| missing(Step::Headers))??;
        (self.compiler.clone()).ok_or_else(|| missing(Step::Compiler))??;
        (self.operation.clone()).ok_or_else(|| missing(Step::Operation))??;
        Ok(card)
    }

    /// Whether the verdict is known.
    pub fn settled(&self, number: usize) -> bool {
        !matches!(self.verdict(number, ""), Err(Unusable::Silent(..)))
    }
}

/// A question of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// What GPUs are there?
    Driver,
    /// What is this one?
    Card,
    /// Are the headers there?
    Headers,
    /// Does NVRTC compile for it?
    Compiler,
    /// Does it compute?
    Operation,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Driver => "starting the driver",
            Self::Card => "opening the GPU",
            Self::Headers => "looking for headers",
            Self::Compiler => "trying NVRTC",
            Self::Operation => "a first operation",
        })
    }
}

/// Why a GPU cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Unusable {
    /// The feature is off.
    #[error("this build has no CUDA (build with --features cuda)")]
    Build,
    /// No library of the driver's.
    #[error("no driver (libcuda.so.1 not found)")]
    NoDriver,
    /// A driver that does not start.
    #[error("the driver does not start: {0}")]
    Driver(String),
    /// A driver without a card, or one that may see none.
    #[error("the driver says no GPU")]
    NoGpu,
    /// A number behind the last.
    #[error("no such GPU: the driver has {0}, counted from 0")]
    NoSuchGpu(usize),
    /// A card that is busy or broken.
    #[error("the driver does not open the GPU: {0}")]
    Closed(String),
    /// A card of long ago.
    #[error("{} is too old: compute capability {}, {LEAST} is needed", .0.name, .0.capability)]
    TooOld(Card),
    /// No folder for headers.
    #[error("no headers: CUDA_PATH is not set, and CUDA is not in /usr/local/cuda or /opt/cuda")]
    NoFolder,
    /// A header that is not there.
    #[error("no headers under $CUDA_PATH/include: {} is not there", .0.display())]
    NoHeader(PathBuf),
    /// No library of NVRTC's.
    #[error("no NVRTC (libnvrtc.so not found)")]
    NoCompiler,
    /// An NVRTC that does not know the card, or is broken itself.
    #[error("NVRTC does not compile for compute capability {0}: {1}")]
    Compiler(Capability, String),
    /// A card that does not compute, or kernels that do not compile.
    #[error("a first operation failed: {0}")]
    Operation(String),
    /// Who was looking never answered.
    #[error("no answer from {0}: {1}")]
    Silent(Step, String),
}

impl Unusable {
    /// Whether another GPU of the same machine may still be usable.
    pub fn spares_others(&self) -> bool {
        matches!(
            self,
            Self::Closed(_) | Self::TooOld(_) | Self::Compiler(..) | Self::Operation(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(major: u32, minor: u32) -> Card {
        Card {
            name: "NVIDIA X".to_owned(),
            capability: Capability(major, minor),
        }
    }

    /// A look that found nothing wrong with the first of two GPUs.
    fn fine() -> Found {
        Found {
            gpus: Some(Ok(2)),
            card: Some(Ok(card(9, 0))),
            headers: Some(Ok(())),
            compiler: Some(Ok(())),
            operation: Some(Ok(())),
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn what_was_found_becomes_one_sentence() {
        let header = PathBuf::from("/cuda/include/cuda_fp16.h");
        let table: [(Found, &str); 16] = [
            (
                Found {
                    gpus: Some(Err(Unusable::NoDriver)),
                    ..Found::default()
                },
                "no driver (libcuda.so.1 not found)",
            ),
            (
                Found {
                    gpus: Some(Err(Unusable::Driver("a stub".to_owned()))),
                    ..Found::default()
                },
                "the driver does not start: a stub",
            ),
            (
                Found {
                    gpus: Some(Ok(0)),
                    ..fine()
                },
                "the driver says no GPU",
            ),
            (
                Found {
                    gpus: Some(Ok(1)),
                    ..fine()
                },
                "no such GPU: the driver has 1, counted from 0",
            ),
            (
                Found {
                    card: Some(Err(Unusable::Closed("busy".to_owned()))),
                    ..fine()
                },
                "the driver does not open the GPU: busy",
            ),
            (
                Found {
                    card: Some(Ok(card(7, 0))),
                    ..fine()
                },
                "NVIDIA X is too old: compute capability 7.0, 7.5 is needed",
            ),
            (
                Found {
                    card: Some(Ok(card(6, 9))),
                    headers: None,
                    compiler: None,
                    operation: None,
                    ..fine()
                },
                "NVIDIA X is too old: compute capability 6.9, 7.5 is needed",
            ),
            (
                Found {
                    headers: Some(Err(Unusable::NoFolder)),
                    ..fine()
                },
                "no headers: CUDA_PATH is not set, and CUDA is not in /usr/local/cuda or /opt/cuda",
            ),
            (
                Found {
                    headers: Some(Err(Unusable::NoHeader(header))),
                    // The first fault counts.
                    compiler: Some(Err(Unusable::NoCompiler)),
                    ..fine()
                },
                "no headers under $CUDA_PATH/include: /cuda/include/cuda_fp16.h is not there",
            ),
            (
                Found {
                    compiler: Some(Err(Unusable::NoCompiler)),
                    ..fine()
                },
                "no NVRTC (libnvrtc.so not found)",
            ),
            (
                Found {
                    compiler: Some(Err(Unusable::Compiler(Capability(9, 0), "sm_90a?".into()))),
                    ..fine()
                },
                "NVRTC does not compile for compute capability 9.0: sm_90a?",
            ),
            (
                Found {
                    operation: Some(Err(Unusable::Operation("out of memory".to_owned()))),
                    ..fine()
                },
                "a first operation failed: out of memory",
            ),
            (
                Found::default(),
                "no answer from starting the driver: it ended",
            ),
            (
                Found {
                    card: None,
                    ..fine()
                },
                "no answer from opening the GPU: it ended",
            ),
            (
                Found {
                    compiler: None,
                    ..fine()
                },
                "no answer from trying NVRTC: it ended",
            ),
            (
                Found {
                    operation: None,
                    ..fine()
                },
                "no answer from a first operation: it ended",
            ),
        ];
        for (found, sentence) in table {
            let fault = found.verdict(1, "it ended").expect_err(sentence);
            assert_eq!(fault.to_string(), sentence);
            let silent = matches!(fault, Unusable::Silent(..));
            assert_eq!(found.settled(1), !silent, "{sentence}");
            // As it comes from another process.
            let line = serde_json::to_string(&found).expect("plain values");
            assert_eq!(serde_json::from_str::<Found>(&line).ok(), Some(found));
        }
    }

    #[test]
    fn a_card_is_usable_from_the_least_capability_on() {
        for (major, minor) in [(7, 5), (8, 0), (8, 9), (9, 0), (10, 0), (12, 1)] {
            let found = Found {
                card: Some(Ok(card(major, minor))),
                ..fine()
            };
            assert_eq!(found.verdict(0, ""), Ok(card(major, minor)));
            assert!(found.settled(0));
        }
    }
}
