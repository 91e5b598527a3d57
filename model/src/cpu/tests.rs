//! Each kernel against burn's operations, which the same function falls back to where gradients are wanted; and the law of rows, bit
//! for bit.

use burn::tensor::{DType, Device, Distribution, Tensor, Tolerance};

use rayon::ThreadPoolBuilder;

use super::rows::exp;
use super::{Map, affine, attend, computes, feed_forward, normalised, peak_and_total, rotated};
use crate::attention::{self, Visible};
use crate::init::Init;
use crate::linear::Linear;
use crate::rope::Rotation;

fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex())
}

/// The same values where gradients are kept: out of the kernels' reach.
fn tracked<const D: usize>(x: &Tensor<D>) -> Tensor<D> {
    Tensor::from_data(x.to_data(), &Device::flex().autodiff())
}

fn assert_close<const D: usize>(kernel: Option<Tensor<D>>, twin: Tensor<D>) {
    kernel
        .expect("f32 on flex")
        .into_data()
        .assert_approx_eq::<f32>(&twin.into_data(), Tolerance::rel_abs(1e-5, 5e-5));
}

/// In a pool of three threads, whatever the machine has: work that is worth it is divided.
fn divided(run: impl FnOnce() + Send) {
    let pool = ThreadPoolBuilder::new().num_threads(3).build();
    pool.expect("three threads").install(run);
}

fn bits<const D: usize>(x: Tensor<D>) -> Vec<u32> {
    let values: Vec<f32> = x.into_data().try_into_vec().expect("f32");
    values.into_iter().map(f32::to_bits).collect()
}

#[test]
fn products_are_burns_in_either_order_of_the_weight() {
    for (rows, inner, out) in [
        (1, 7, 1),
        (2, 16, 33),
        (5, 40, 64),
        (9, 65, 47),
        (23, 64, 100),
        (300, 192, 128),
    ] {
        let (x, bias) = (random([rows, inner]), random([out]));
        let weight = random([out, inner]);
        let twin = tracked(&x).matmul(tracked(&weight).transpose()) + tracked(&bias).unsqueeze();
        assert_close(affine(&x, &weight, Some(&bias)), twin.clone());
        let turned =
            Tensor::<2>::from_data(weight.clone().transpose().into_data(), &Device::flex());
        assert_close(affine(&x, &turned.transpose(), Some(&bias)), twin);
    }
}

#[test]
fn a_row_has_the_same_bits_alone_and_in_company() {
    // Of the last two there is enough to be divided among threads, by rows and by columns.
    for (rows, inner, out) in [(9, 40, 47), (23, 65, 100), (40, 512, 512), (12, 600, 700)] {
        let x = random([rows, inner]);
        let weight = random([inner, out]);
        for weight in [
            weight.clone().transpose(),
            Tensor::from_data(weight.transpose().into_data(), &Device::flex()),
        ] {
            let all = || affine(&x, &weight, None).expect("f32 on flex");
            let together = bits(all());
            divided(|| assert_eq!(bits(all()), together));
            for row in 0..rows {
                let alone = affine(&x.clone().narrow(0, row, 1), &weight, None);
                assert_eq!(
                    bits(alone.expect("f32 on flex")),
                    together[row * out..(row + 1) * out],
                    "row {row} of [{rows}, {inner}] times [{inner}, {out}]"
                );
            }
        }
    }
}

#[test]
fn values_out_of_order_are_put_in_order() {
    let (x, weight) = (random([6, 5]), random([7, 9]));
    let turned = x.clone().transpose().narrow(0, 1, 4); // [4, 6]
    let part = weight.clone().narrow(1, 2, 6); // [7, 6]
    let ordered = |x: &Tensor<2>| Tensor::<2>::from_data(x.to_data(), &Device::flex());
    let expected = affine(&ordered(&turned), &ordered(&part), None).expect("f32 on flex");
    let given = affine(&turned, &part, None).expect("f32 on flex");
    assert_eq!(bits(given), bits(expected));
}

#[test]
fn attention_is_burns_with_one_and_with_several_key_heads() {
    for (queries, heads, keys, key_heads, head_dim) in [
        (1, 3, 1, 1, 64),
        (5, 4, 7, 2, 8),
        (40, 3, 90, 1, 20),
        (33, 4, 33, 4, 32),
    ] {
        let q = random([queries, heads, head_dim]);
        let (k, v) = (
            random([keys, key_heads, head_dim]),
            random([keys, key_heads, head_dim]),
        );
        for visible in [
            Visible::All,
            Visible::causal(queries, keys, &Device::flex()),
        ] {
            let twin = attention::attend(
                tracked(&q),
                tracked(&k),
                tracked(&v),
                &tracked_mask(&visible),
            );
            assert_close(attend(&q, &k, &v, &visible), twin);
        }
    }
}

fn tracked_mask(visible: &Visible) -> Visible {
    match visible {
        Visible::All => Visible::All,
        Visible::Mask(mask) => Visible::Mask(tracked(mask)),
    }
}

#[test]
fn keys_that_a_query_does_not_see_change_no_bit_of_it() {
    // Of the second there is enough to be divided among threads.
    for (queries, keys) in [(6, 50), (40, 700)] {
        let (q, k, v) = (
            random([queries, 3, 64]),
            random([keys, 1, 64]),
            random([keys, 1, 64]),
        );
        let visible = Visible::causal(queries, keys, &Device::flex());
        let all = || attend(&q, &k, &v, &visible).expect("f32 on flex");
        let together = bits(all());
        divided(|| assert_eq!(bits(all()), together));
        for query in 0..queries {
            let seen = |x: &Tensor<3>| x.clone().narrow(0, 0, keys - queries + 1 + query);
            let alone = attend(
                &q.clone().narrow(0, query, 1),
                &seen(&k),
                &seen(&v),
                &Visible::All,
            );
            assert_eq!(
                bits(alone.expect("f32 on flex")),
                together[query * 192..(query + 1) * 192]
            );
        }
    }
}

#[test]
fn norm_rotation_and_feed_forward_are_burns() {
    let (x, weight) = (random([5, 37]), random([37]));
    let mean = tracked(&x).square().mean_dim(1);
    let twin = tracked(&x) / (mean + 1e-6).sqrt() * tracked(&weight).unsqueeze();
    assert_close(normalised(&x, &weight, 1e-6), twin);

    let (x, weights) = (random([5, 12]), [[37, 12], [37, 12], [12, 37]].map(random));
    let [gate, up, down] = weights.each_ref().map(|weight| tracked(weight).transpose());
    let gate = burn::tensor::activation::silu(tracked(&x).matmul(gate));
    let twin = (gate * tracked(&x).matmul(up)).matmul(down);
    let [gate, up, down] = weights.map(|weight| Map::of(&weight, None).expect("f32 on flex"));
    assert_close(feed_forward(&x, &gate, &up, &down), twin);

    let (x, angles): (_, Vec<f32>) = (
        random([4, 3, 10]),
        (0..20).map(|i| i as f32 * 0.7).collect(),
    );
    let rotation = |device: &Device| Rotation::new(&angles, 5, DType::F32, device);
    let twin = rotation(&Device::flex().autodiff()).apply(tracked(&x));
    let here = rotation(&Device::flex());
    assert_close(rotated(&x, &here.cos, &here.sin), twin);
}

#[test]
fn the_exponential_is_near() {
    for step in -870_000..=870_000 {
        let x = step as f32 * 1e-4;
        let (exact, near) = (f64::from(x).exp(), f64::from(exp(x)));
        assert!(
            ((near - exact) / exact).abs() <= 2.0 * f64::from(f32::EPSILON),
            "e^{x} is {exact}, not {near}"
        );
    }
    for (x, exact) in [
        (0.0, 1.0),
        (f32::NEG_INFINITY, 0.0),
        (-87.1, 0.0),
        (1e9, f32::INFINITY),
    ] {
        assert_eq!(exp(x).to_bits(), exact.to_bits(), "e^{x}");
    }
    assert!(exp(f32::NAN).is_nan());
}

#[test]
fn the_sum_under_a_softmax_is_near() {
    for count in [1, 15, 16, 33, 1024, 1025, 5000] {
        let mut x: Vec<f32> = random::<1>([count])
            .mul_scalar(8.0)
            .into_data()
            .try_into_vec()
            .expect("f32");
        if count > 1 {
            x[count / 2] = f32::NEG_INFINITY; // what may not follow
        }
        let highest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exact: f64 = x.iter().map(|&x| f64::from(x - highest).exp()).sum();
        let (peak, total) = peak_and_total(&x);
        assert_eq!(peak.to_bits(), highest.to_bits(), "of {count}");
        assert!(
            (total / exact - 1.0).abs() < 1e-6,
            "{total} of {count}, not {exact}"
        );
    }
}

#[test]
fn where_gradients_are_wanted_burn_computes() {
    let device = Device::flex().autodiff();
    let x = tracked(&random([2, 3]));
    assert!(!computes(DType::F32, &device) && computes(DType::F32, &Device::flex()));
    assert!(affine(&x, &x, None).is_none());
    assert!(normalised(&x, &tracked(&random([3])), 1e-6).is_none());
    let linear = Linear::new(3, 2, true, &Init::normal(&device, 0.02, 1));
    assert_eq!(linear.forward(x).dims(), [2, 2]);
}
