//! The gate holds for what is right, and for nothing else: a gate that cannot be missed would say nothing.

use std::path::Path;

use bench::gate::scores::Expected;
use bench::gate::{Gate, SMALL, Verdict};
use bench::{Line, Setting};
use burn::module::Param;
use burn::tensor::{DType, Device};
use model::{Checkpoint, Files};

fn mini() -> Files {
    Files::Dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../mini"))
}

fn checkpoint(which: usize, dtype: DType) -> Checkpoint {
    let made = SMALL[which].checkpoint(&mini(), 1, dtype, &Device::flex());
    made.expect("the mini's files are there")
}

/// The checks that `candidate` misses.
fn missed(expected: &Expected, candidate: Checkpoint) -> Vec<String> {
    let verdicts = expected.judge(candidate, "").expect("words that fit");
    let missed = verdicts.into_iter().filter(|it| !it.passed());
    missed.map(|it: Verdict| it.check).collect()
}

/// What may go wrong in a kernel: a map by the end of whose name it is known, and what becomes of its weight or bias.
const FAULTS: [(&str, f32, f32); 5] = [
    ("layers.1.self_attn.o_proj", 1.15, 1.0), // a softmax that does not add up to one
    ("layers.0.self_attn.q_proj", 0.7, 0.7),  // another scale of the scores
    ("layers.1.self_attn.v_proj", 1.0, 0.0),  // a forgotten bias
    ("layers.0.mlp.down_proj", 1.1, 1.0),
    ("blocks.1.attn.proj", 1.2, 1.0),
];

#[test]
fn a_kernel_that_is_a_little_wrong_is_caught_in_bf16() {
    let expected = Expected::of(checkpoint(0, DType::F32)).expect("words that fit");
    let whole = missed(&expected, checkpoint(0, DType::BF16));
    assert!(whole.is_empty(), "{whole:?}");
    for (name, scale, bias) in FAULTS {
        let mut wrong = checkpoint(0, DType::BF16);
        let mut found = false;
        for (map, linear) in wrong.network.linears_mut() {
            if map.ends_with(name) {
                found = true;
                linear.weight = Param::from_tensor(linear.weight.val() * scale);
                let old = linear.bias.take();
                linear.bias = old.map(|it| Param::from_tensor(it.val() * bias));
            }
        }
        assert!(found, "no map {name}");
        assert!(!missed(&expected, wrong).is_empty(), "{name}");
    }
}

#[test]
fn in_f32_other_tokens_and_other_sums_are_caught() {
    let expected = Expected::of(checkpoint(1, DType::F32)).expect("words that fit");
    assert!(missed(&expected, checkpoint(1, DType::F32)).is_empty());
    // Rounding does not decide which token comes next: no choice is as close as the sums of two devices may be apart.
    assert!(expected.closest() > 1e-4, "{}", expected.closest());
    let other = SMALL[1].checkpoint(&mini(), 9, DType::F32, &Device::flex());
    let missed = missed(&expected, other.expect("the mini's files are there"));
    for part in ["greedy answers", "scores' error", "vision rows"] {
        assert!(missed.iter().any(|it| it.starts_with(part)), "{missed:?}");
    }
}

#[test]
fn the_whole_gate_holds_on_a_processor() {
    let gate = Gate {
        mini: mini(),
        device: Device::flex(),
        dtypes: vec![DType::F32, DType::BF16],
        seeds: 1,
        records: 8,
    };
    let mut lines = vec![];
    let missed = gate.run(
        &Setting::default(),
        Box::new(|line: &Line| {
            lines.push(line.clone());
            Ok(())
        }),
    );
    assert_eq!(missed.expect("a processor"), Vec::<String>::new());
    // Two checkpoints: four checks in f32, three in bf16; and the labels in bf16.
    assert_eq!(lines.len(), 2 * (4 + 3) + 1);
    assert!(lines.iter().all(|line| line.passed == Some(true)));
    assert!(lines.iter().any(|line| line.setting.dtype == "bf16"));
}
