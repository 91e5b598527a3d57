//! Weights in eight and four bits, and maps that are joined: what rounding gives, by numbers that `golden/quantized.py` makes, and that products of few bits are
//! those of the weights they stand for.

use std::path::PathBuf;

use burn::module::Param;
use burn::tensor::quantization::{QuantScheme, QuantStore, QuantValue, ScaleDtype};
use burn::tensor::{DType, Device, Distribution, Tensor, TensorData, Tolerance};
use model::init::Init;
use model::linear::{Linear, affine};
use model::quantize::{BLOCK, Blocks};
use model::{Checkpoint, Files, Format, Quantization, Qwen, Span, save};
use safetensors::SafeTensors;

const KINDS: [(Quantization, &str, QuantValue); 2] = [
    (Quantization::Int8, "int8", QuantValue::Q8S),
    (Quantization::Int4, "int4", QuantValue::Q4S),
];

fn golden(name: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    dir.join(name)
}

/// A tensor of the golden file, and its shape.
fn read(blob: &SafeTensors<'_>, name: &str) -> (Vec<f32>, [usize; 2]) {
    let tensor = blob.tensor(name).expect("golden/quantized.py makes it");
    let values = tensor.data().as_chunks().0.iter();
    let shape = tensor.shape().try_into().expect("a matrix");
    (values.map(|&it| f32::from_le_bytes(it)).collect(), shape)
}

fn tensor(values: &[f32], shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex())
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("f32")
}

fn bits<const D: usize>(tensor: Tensor<D>) -> Vec<u32> {
    floats(tensor).into_iter().map(f32::to_bits).collect()
}

/// The weight that values and scales stand for, row by row.
fn written_out(blocks: &Blocks) -> Vec<f32> {
    let scales = blocks.scales.iter();
    let scales = scales.flat_map(|scale| std::iter::repeat_n(scale, BLOCK));
    let values = blocks.values.iter().zip(scales);
    values
        .map(|(value, scale)| f32::from(*value) * scale)
        .collect()
}

/// A map of random weights, and the same rounded.
fn maps(input: usize, output: usize, quantization: Quantization) -> (Linear, Linear, Blocks) {
    let device = Device::flex();
    let whole = Linear::new(input, output, true, &Init::normal(&device, 0.02, 7));
    let mut whole = whole;
    whole.bias = Some(Param::from_tensor(random([output])));
    let weight = floats(whole.weight.val());
    let mut rounded = whole.clone();
    rounded.quantize(&weight, quantization, &device);
    let blocks = Blocks::round(&weight, [output, input], quantization);
    (whole, rounded, blocks)
}

#[test]
fn values_and_scales_are_numpys() {
    let blob =
        std::fs::read(golden("quantized.safetensors")).expect("golden/quantized.py makes it");
    let blob = SafeTensors::deserialize(&blob).expect("safetensors");
    let ((weight, shape), (x, rows)) = (read(&blob, "weight"), read(&blob, "x"));
    let device = Device::flex();
    for (quantization, name, _) in KINDS {
        let blocks = Blocks::round(&weight, shape, quantization);
        let values = blob.tensor(&format!("{name}.values")).expect("made");
        let values: Vec<i8> = values.data().iter().map(|it| it.cast_signed()).collect();
        assert_eq!(blocks.values, values, "{name}");
        assert_eq!(
            blocks.scales,
            read(&blob, &format!("{name}.scales")).0,
            "{name}"
        );
        let mut map = Linear::new(shape[1], shape[0], false, &Init::lazy(&device));
        map.quantize(&weight, quantization, &device);
        let (y, shape) = read(&blob, &format!("{name}.y"));
        let got = map.forward(tensor(&x, rows, &device)).into_data();
        // 160 terms in f32, one row of them up to 1e30.
        got.assert_approx_eq::<f32>(&TensorData::new(y, shape), Tolerance::rel_abs(1e-4, 1e-5));
    }
}

#[test]
fn rounding_and_packing_are_burns() {
    let (shape, device) = ([37, 96], Device::flex());
    let weight = random(shape) * 0.02;
    for (quantization, name, value) in KINDS {
        let blocks = Blocks::round(&floats(weight.clone()), shape, quantization);
        let scheme = QuantScheme::default()
            .with_value(value)
            .with_store(QuantStore::Native)
            .per_block([BLOCK as u8], ScaleDtype::BF16);
        let burns = weight.clone().quantize_dynamic(&scheme).dequantize();
        assert_eq!(floats(burns), written_out(&blocks), "{name}");
        let packed = blocks.clone().into_tensor(&device).dequantize();
        assert_eq!(floats(packed), written_out(&blocks), "{name}");
    }
}

/// Bit for bit where the weight lies as panels do, with `[in, out]` in memory; several pieces, columns that do not fill a panel, enough for two threads.
#[test]
fn a_product_of_few_bits_is_that_of_the_weight_it_stands_for() {
    for (quantization, name, _) in KINDS {
        for (input, output, rows) in [(32, 1, 1), (96, 33, 5), (416, 77, 23), (608, 700, 12)] {
            let (_, rounded, blocks) = maps(input, output, quantization);
            let weight = tensor(&written_out(&blocks), blocks.shape, &Device::flex());
            let turned = Tensor::<2>::from_data(weight.transpose().into_data(), &Device::flex());
            let x = random([rows, input]);
            let bias = rounded.bias.as_ref().map(Param::val);
            let want = affine(x.clone(), turned.transpose(), bias);
            assert_eq!(
                bits(rounded.forward(x)),
                bits(want),
                "{name} {input} {output}"
            );
        }
    }
}

#[test]
fn rounding_moves_a_product_by_what_the_bits_allow() {
    let x = random([40, 512]);
    for ((quantization, name, _), most) in KINDS.into_iter().zip([0.008, 0.15]) {
        let (whole, rounded, _) = maps(512, 256, quantization);
        let bias = whole.bias.clone().expect("it has one").val().unsqueeze();
        let want = floats(whole.forward(x.clone()) - bias.clone());
        let got = floats(rounded.forward(x.clone()) - bias);
        let square = |of: &mut dyn Iterator<Item = f32>| of.map(|it| it * it).sum::<f32>();
        let off = square(&mut want.iter().zip(&got).map(|(a, b)| a - b));
        let share = (off / square(&mut want.into_iter())).sqrt();
        // 0.0055 and 0.10 of normal weights.
        assert!(share > most / 3.0 && share < most, "{name}: {share}");
    }
}

#[test]
fn where_no_product_of_ours_applies_the_weight_is_written_out() {
    for (quantization, name, _) in KINDS {
        let (_, rounded, _) = maps(96, 40, quantization);
        let x = random([3, 96]);
        let want = rounded.forward(x.clone());
        let tracked = Tensor::<2>::from_data(x.to_data(), &Device::flex().autodiff());
        let got = rounded.forward(tracked).into_data();
        got.assert_approx_eq::<f32>(&want.to_data(), Tolerance::rel_abs(1e-5, 1e-5));
        let half = rounded.forward(x.cast(DType::F16));
        assert_eq!(half.dtype(), DType::F16, "{name}");
        let half = half.cast(DType::F32).into_data();
        half.assert_approx_eq::<f32>(&want.into_data(), Tolerance::rel_abs(2e-3, 2e-3));
    }
}

/// On devices with kernels of their own burn keeps the weights; here its CPU backend stands for them, which writes them out for every product.
#[test]
fn a_weight_that_burn_keeps_multiplies_and_is_joined() {
    let device = Device::flex();
    for (quantization, _, _) in KINDS {
        let kept = |output| {
            let (mut map, _, blocks) = maps(64, output, quantization);
            let whole = tensor(&written_out(&blocks), blocks.shape, &device);
            map.weight = Param::from_tensor(blocks.into_tensor(&device));
            (map, whole)
        };
        let ((mut first, of_first), (mut second, of_second)) = (kept(40), kept(24));
        let x = random([5, 64]);
        let parts = [(&first, of_first), (&second, of_second)].map(|(map, whole)| {
            let bias = map.bias.as_ref().map(Param::val);
            let want = affine(x.clone(), whole, bias);
            let got = map.forward(x.clone()).into_data();
            // It rounds eight bits once more when it turns them. Values are of the size of 1, half bytes in the wrong order are off by 0.1.
            got.assert_approx_eq::<f32>(&want.to_data(), Tolerance::absolute(5e-3));
            want
        });
        let joined = Linear::joined([&mut first, &mut second]);
        assert!(matches!(joined.weight.val().dtype(), DType::QFloat(_)));
        let want = Tensor::cat(parts.to_vec(), 1).into_data();
        let got = joined.forward(x).into_data();
        got.assert_approx_eq::<f32>(&want, Tolerance::absolute(5e-3));
    }
}

fn open(variant: &str, format: impl Into<Format>) -> Checkpoint {
    let opened = Checkpoint::open(&Files::Dir(golden(variant)), format, &Device::flex());
    opened.expect("the golden checkpoint opens")
}

fn logits(network: &Qwen, checkpoint: &Checkpoint) -> Vec<f32> {
    let ids: Vec<u32> = (5..25).collect();
    let prompt = checkpoint.prompt(&ids, &[]).expect("no image");
    let axes = &prompt.positions.axes;
    let span = Span {
        ids: &ids,
        axes,
        held: 0,
    };
    floats(network.logits(network.hidden(&[span], None, &mut [])))
}

/// `a` has rows of 64 values, and some of 76, which are not whole blocks and stay as they are.
#[test]
fn weights_rounded_as_they_are_read_are_those_rounded_afterwards() {
    let whole = open("a", DType::F32);
    let before = logits(&whole.network, &whole);
    for (quantization, name, _) in KINDS {
        let format = Format {
            dtype: DType::F32,
            quantization: Some(quantization),
        };
        assert_eq!(format.to_string(), format!("f32+{name}"));
        let read = open("a", format).for_answering();
        let afterwards = whole.clone().quantized(quantization).for_answering();
        let got = logits(&read.network, &read);
        assert_eq!(got, logits(&afterwards.network, &afterwards), "{name}");
        assert_ne!(got, before, "{name}");
        assert_eq!(read.hash, whole.hash);
    }
}

#[test]
fn joined_maps_answer_as_each_alone() {
    for variant in ["a", "b", "c"] {
        let checkpoint = open(variant, DType::F32);
        let want = logits(&checkpoint.network, &checkpoint);
        let mut joined = checkpoint.clone().for_answering();
        joined.network.join();
        let want = TensorData::new(want.clone(), [want.len()]);
        let got = logits(&joined.network, &joined);
        let got = TensorData::new(got.clone(), [got.len()]);
        // Sums in another order; logits spread by 4.
        got.assert_approx_eq::<f32>(&want, Tolerance::absolute(2e-4));
    }
}

#[test]
#[should_panic(expected = "can neither be trained nor saved")]
fn joined_weights_are_not_saved() {
    let mut checkpoint = open("a", DType::F32);
    checkpoint.network.join();
    save::parameters(&checkpoint.network);
}

#[test]
#[should_panic(expected = "can neither be trained nor saved")]
fn rounded_weights_are_not_saved() {
    let checkpoint = open("a", DType::F32).quantized(Quantization::Int8);
    save::parameters(&checkpoint.network);
}
