//! What users of other engines complained about, each made impossible here. Names are those of the threads; what the engine itself
//! has to keep is in `model/tests` (`tidy.rs` knows the whole list).

use std::io::Cursor;

use axum::http::StatusCode;
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use proto::{Enforce, Ontology};
use serde_json::{Value, json};
use server::app::AppState;
use tests::question::{base64, bomb, photo, post, question, with};
use tests::stub::{Manner, Stub};
use tests::{ask, state};

fn ready() -> AppState {
    state(Stub::new(Manner::Answer), 4)
}

/// The question about another photo and box.
fn about(file: &[u8], bbox: Value) -> String {
    let mut asked = question();
    asked["image"] = json!(base64(file));
    asked["bbox"] = bbox;
    asked.to_string()
}

/// QwenLM/Qwen3-VL#676, #1210, #1035, llama.cpp#16880: boxes are meant in the pixels of a resized image, or exceed the image.
#[tokio::test]
async fn qwen3_vl_676_boxes_are_in_the_pixels_of_the_photo() {
    let state = ready();
    // 1,600 × 1,200 is far above the processor's limit: the network sees it smaller.
    let large = photo(1600, 1200);
    let answer = ask(&state, post(about(&large, json!([800, 600, 1600, 1200])))).await;
    assert_eq!(answer.body["image"]["width"], 1600);
    assert_eq!(answer.body["crop"]["box"], json!([800, 600, 1600, 1200]));
    let grid = &answer.body["image"]["grid"];
    assert!(grid[2].as_u64().is_some_and(|it| it * 14 < 1600), "{grid}");
    let answer = ask(&state, post(about(&large, json!([800, 600, 1601, 1200])))).await;
    assert_eq!(answer.body["crop"]["box"], json!([800, 600, 1600, 1200]));
    assert_eq!(answer.body["crop"]["clipped"], true);
    let outside = ask(&state, post(about(&large, json!([1600, 0, 1700, 90])))).await;
    assert_eq!(outside.problem(), "422 invalid-box bbox");
}

/// A JPEG whose camera was held on its side: EXIF orientation 6.
fn turned(width: u32, height: u32) -> Vec<u8> {
    let pixels = RgbImage::from_pixel(width, height, Rgb([200, 30, 30]));
    let mut file = Cursor::new(Vec::new());
    let encoder = JpegEncoder::new_with_quality(&mut file, 90);
    pixels
        .write_with_encoder(encoder)
        .expect("memory takes everything");
    let file = file.into_inner();
    let exif: [&[u8]; 6] = [
        b"Exif\0\0MM\0*\0\0\0\x08",
        b"\0\x01",         // one entry
        b"\x01\x12\0\x03", // orientation, a short
        b"\0\0\0\x01",     // one of them
        b"\0\x06\0\0",     // to be turned right
        b"\0\0\0\0",       // no more
    ];
    let exif = exif.concat();
    let length = (exif.len() as u16 + 2).to_be_bytes();
    [&file[..2], b"\xff\xe1", &length, &exif, &file[2..]].concat()
}

/// sglang#33464, llama.cpp#20870, ollama#18418: the EXIF orientation is ignored.
#[tokio::test]
async fn sglang_33464_photos_are_upright_first() {
    let file = turned(120, 60);
    let state = ready();
    let answer = ask(&state, post(about(&file, json!([0, 90, 60, 120])))).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    assert_eq!(answer.body["image"]["width"], 60);
    assert_eq!(answer.body["image"]["height"], 120);
    // A box of the photo as it lies in the file is outside the upright one.
    let lying = ask(&state, post(about(&file, json!([90, 0, 120, 60])))).await;
    assert_eq!(lying.problem(), "422 invalid-box bbox");
}

/// vllm#15294, lmdeploy#3780, sglang#28587: gigabytes for a small file, decompression bombs.
#[tokio::test]
async fn vllm_15294_a_bomb_is_refused_by_its_header() {
    let state = ready();
    let begin = std::time::Instant::now();
    for (width, height) in [(30_000, 30_000), (4096, 4096), (100_000, 1)] {
        let answer = ask(
            &state,
            post(about(&bomb(width, height), json!([0, 0, 9, 9]))),
        )
        .await;
        assert_eq!(
            answer.problem(),
            "413 image-too-large image",
            "{width}×{height}"
        );
    }
    assert!(begin.elapsed().as_secs() < 5, "nothing was decoded");
}

/// vllm#15080, ollama#11297: an image below 28 pixels gives a 500, or a panic.
#[tokio::test]
async fn vllm_15080_small_images_are_answered_or_refused() {
    let state = ready();
    for (width, height) in [(1, 1), (2, 27), (27, 27), (28, 1), (13, 200)] {
        let whole = json!([0, 0, width, height]);
        let answer = ask(&state, post(about(&photo(width, height), whole))).await;
        assert_eq!(answer.status, StatusCode::OK, "{width}×{height}");
    }
    // A strip that cannot be resized is said to be one.
    let strip = ask(&state, post(about(&photo(1, 300), json!([0, 0, 1, 300])))).await;
    assert_eq!(strip.problem(), "422 invalid-image image");
    let strip = ask(&state, post(about(&photo(300, 300), json!([0, 0, 1, 300])))).await;
    assert_eq!(strip.problem(), "422 invalid-image bbox");
}

/// vllm#12619, #18255: a grammar breaks at the end of the thinking part.
#[tokio::test]
async fn vllm_12619_the_grammar_covers_the_whole_answer() {
    let answer = ask(
        &ready(),
        post(with("enforce", json!(Enforce::Strict)).to_string()),
    )
    .await;
    let raw = answer.body["trace"]["raw"].as_str().expect("the answer");
    assert!(proto::is_valid(Ontology::more(), raw));
    // Nothing that ends a part can be said inside of one.
    for broken in [
        raw.replacen("photo", "photo </think>", 1),
        raw.replacen("photo", "photo Step 3: ", 1),
        raw.replace("</think> <answer>", "</think> So: <answer>"),
        raw.replace("</answer>", "</answer> indeed"),
    ] {
        assert_ne!(broken, raw);
        assert!(!proto::is_valid(Ontology::more(), &broken), "{broken}");
    }
}

/// CVE-2026-22778: an error leaks addresses or paths.
#[tokio::test]
async fn cve_2026_22778_failures_say_nothing_of_the_inside() {
    let state = state(Stub::new(Manner::Fail("0x7f3a at /srv/secret")), 4);
    for (stream, sent) in [(false, r#""detail":"#), (true, "event: error")] {
        let answer = ask(&state, post(with("stream", json!(stream)).to_string())).await;
        let said = format!("{:?} {}", answer.headers, answer.body);
        assert!(said.contains(sent), "{said}");
        for inside in ["0x7f3a", "/srv", "secret", env!("CARGO_MANIFEST_DIR")] {
            assert!(!said.contains(inside), "{said}");
        }
    }
}
