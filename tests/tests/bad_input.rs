//! Bad input of every sort, over a real socket: each a 4xx that names the field, and the service lives on.

use std::time::Duration;

use serde_json::{Value, json};
use tests::question::{base64, bomb, get, photo, post, question, with};
use tests::socket::{exchange, raw_post, start};
use tests::stub::{Manner, Stub};
use tests::{LIMITS, ask, state};

#[expect(clippy::too_many_lines, reason = "one table of cases")]
fn cases() -> Vec<(&'static str, Value, &'static str)> {
    let whole = photo(120, 90);
    let jpeg_start = [0xFF, 0xD8, 0xFF, 0xE0, 0, 16, b'J', b'F', b'I', b'F', 0];
    let tiff = [b'I', b'I', 42, 0, 8, 0, 0, 0, 0, 0];
    vec![
        (
            "image gone",
            with("image", Value::Null),
            "422 missing-field image",
        ),
        (
            "image empty",
            with("image", json!("")),
            "422 invalid-field image",
        ),
        (
            "image a number",
            with("image", json!(7)),
            "422 invalid-field image",
        ),
        (
            "image not base64",
            with("image", json!("%%%")),
            "422 invalid-field image",
        ),
        (
            "image an address",
            with("image", json!("http://127.0.0.1/a.png")),
            "422 invalid-field image",
        ),
        (
            "image a text",
            with("image", json!(base64(b"hello, world"))),
            "422 invalid-image image",
        ),
        (
            "image no bytes",
            with("image", json!("data:image/png;base64,")),
            "422 invalid-field image",
        ),
        (
            "image cut off",
            with("image", json!(base64(&whole[..whole.len() / 2]))),
            "422 invalid-image image",
        ),
        (
            "image a bare start",
            with("image", json!(base64(&jpeg_start))),
            "422 invalid-image image",
        ),
        (
            "image a tiff",
            with("image", json!(base64(&tiff))),
            "415 unsupported-image image",
        ),
        (
            "image 30000x30000",
            with("image", json!(base64(&bomb(30_000, 30_000)))),
            "413 image-too-large image",
        ),
        (
            "image 4000x4000",
            with("image", json!(base64(&bomb(4000, 4000)))),
            "413 image-too-large image",
        ),
        (
            "image 0x5",
            with("image", json!(base64(&bomb(0, 5)))),
            "422 invalid-image image",
        ),
        (
            "image long file",
            with("image", json!(base64(&vec![0; 2_200_000]))),
            "413 image-too-large image",
        ),
        (
            "image a ribbon",
            with("image", json!(base64(&photo(300, 1)))),
            "422 invalid-box bbox",
        ),
        (
            "1x1 and its box",
            with("image", json!(base64(&photo(1, 1)))),
            "422 invalid-box bbox",
        ),
        (
            "bbox gone",
            with("bbox", Value::Null),
            "422 missing-field bbox",
        ),
        (
            "bbox a string",
            with("bbox", json!("1,2,3,4")),
            "422 invalid-field bbox",
        ),
        (
            "bbox of three",
            with("bbox", json!([1, 2, 3])),
            "422 invalid-field bbox",
        ),
        (
            "bbox of strings",
            with("bbox", json!(["1", "2", "3", "4"])),
            "422 invalid-field bbox",
        ),
        (
            "bbox with null",
            with("bbox", json!([1, 2, null, 4])),
            "422 invalid-field bbox",
        ),
        (
            "bbox outside",
            with("bbox", json!([500, 500, 600, 600])),
            "422 invalid-box bbox",
        ),
        (
            "bbox before",
            with("bbox", json!([-20, -20, -10, -10])),
            "422 invalid-box bbox",
        ),
        (
            "bbox inverted",
            with("bbox", json!([60, 80, 10, 20])),
            "422 invalid-box bbox",
        ),
        (
            "bbox empty",
            with("bbox", json!([10, 20, 10, 20])),
            "422 invalid-box bbox",
        ),
        (
            "bbox overflowing",
            with("bbox", json!([1e308, 0, 1e308, 5])),
            "422 invalid-box bbox",
        ),
        (
            "format unknown",
            with("box_format", json!("yolo")),
            "422 invalid-field box_format",
        ),
        (
            "format a number",
            with("box_format", json!(1)),
            "422 invalid-field box_format",
        ),
        (
            "text gone",
            with("text", Value::Null),
            "422 missing-field text",
        ),
        (
            "text empty",
            with("text", json!("")),
            "422 invalid-field text",
        ),
        (
            "text blank",
            with("text", json!(" \t\n")),
            "422 invalid-field text",
        ),
        (
            "text a list",
            with("text", json!(["a"])),
            "422 invalid-field text",
        ),
        (
            "text long",
            with("text", json!("World Cup ".repeat(40))),
            "422 invalid-field text",
        ),
        (
            "entity gone",
            with("entity", Value::Null),
            "422 missing-field entity",
        ),
        (
            "entity empty",
            with("entity", json!("")),
            "422 invalid-field entity",
        ),
        (
            "entity long",
            with("entity", json!("World Cup ".repeat(9))),
            "422 invalid-field entity",
        ),
        (
            "entity elsewhere",
            with("entity", json!("Spain")),
            "422 entity-not-in-text entity",
        ),
        (
            "unknown field",
            with("colour", json!("red")),
            "422 unknown-field colour",
        ),
        ("no object", json!([1, 2]), "422 not-an-object -"),
        ("no fields", json!({}), "422 missing-field image"),
    ]
}

#[tokio::test]
async fn every_wrong_field_is_named() {
    let state = state(Stub::new(Manner::Answer), 2);
    for (name, body, expected) in cases() {
        let answer = ask(&state, post(body.to_string())).await;
        assert_eq!(answer.problem(), expected, "{name}: {}", answer.body);
        assert!(
            answer.body.to_string().len() < 1500,
            "{name} echoes its input"
        );
    }
}

#[tokio::test]
async fn a_single_pixel_is_answered() {
    let state = state(Stub::new(Manner::Answer), 2);
    let mut body = with("image", json!(base64(&photo(1, 1))));
    body["bbox"] = json!([0, 0, 1, 1]);
    assert_eq!(ask(&state, post(body.to_string())).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_stays_up_and_small() {
    let service = start(state(Stub::new(Manner::Answer), 2), Duration::from_secs(5)).await;
    let address = service.address;
    let before = resident();
    let rude = tokio::task::spawn_blocking(move || {
        for (name, body, expected) in cases() {
            let answer = exchange(address, &raw_post(body.to_string().as_bytes()));
            let status = &expected[..3];
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{name}: {answer}"
            );
            assert!(
                answer.contains("application/problem+json"),
                "{name}: {answer}"
            );
        }
        let huge = vec![b' '; 8 * LIMITS.body];
        let answer = exchange(address, &raw_post(&huge));
        assert!(
            answer.starts_with("HTTP/1.1 413") && answer.contains("body-too-large"),
            "{answer}"
        );
        // A body that breaks off, a client that speaks no HTTP, one that says nothing and leaves.
        let promised = b"POST /extract HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n";
        drop(
            std::net::TcpStream::connect(address)
                .map(|mut stream| std::io::Write::write_all(&mut stream, promised)),
        );
        assert!(exchange(address, b"hello\r\n\r\n").starts_with("HTTP/1.1 400"));
        drop(std::net::TcpStream::connect(address));
        exchange(address, &raw_post(question().to_string().as_bytes()))
    });
    let last = rude.await.expect("no assertion failed");
    assert!(last.starts_with("HTTP/1.1 200"), "{last}");
    let grown = resident().saturating_sub(before);
    assert!(grown < 200 << 20, "grew by {grown} bytes");
    service.stop.send(()).expect("it still runs");
    service.ended.await.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn limits_are_numbers() {
    let state = state(Stub::new(Manner::Answer), 2);
    let long = with("text", json!("World Cup ".repeat(40))).to_string();
    assert_eq!(ask(&state, post(long)).await.body["limit"], 300);
    let huge = ask(&state, post(vec![b' '; LIMITS.body + 1])).await;
    assert_eq!(
        (huge.problem().as_str(), &huge.body["limit"]),
        ("413 body-too-large -", &json!(LIMITS.body))
    );
    let many = with("image", json!(base64(&bomb(4000, 4000)))).to_string();
    assert_eq!(ask(&state, post(many)).await.body["limit"], 4_000_000);
    assert_eq!(ask(&state, get("/readyz")).await.status, 200);
}

/// Bytes of memory this process holds; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kib| kib << 10)
}
