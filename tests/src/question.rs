//! Questions, right and easily made wrong.

use std::io::Cursor;

use axum::body::Body;
use axum::http::{Method, Request, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};

/// What separates the parts of [`multipart`]'s bodies.
pub const BOUNDARY: &str = "more-r1-boundary";

/// A photo as a PNG file.
///
/// # Panics
/// Never: the encoder writes to memory.
pub fn photo(width: u32, height: u32) -> Vec<u8> {
    let pixels = RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 128]));
    let mut file = Cursor::new(Vec::new());
    pixels
        .write_to(&mut file, ImageFormat::Png)
        .expect("memory takes everything");
    file.into_inner()
}

/// A PNG that announces a size and holds next to nothing of it.
pub fn bomb(width: u32, height: u32) -> Vec<u8> {
    let mut file = photo(1, 1);
    // The header chunk: length, IHDR, width, height, five more bytes, checksum.
    file[16..20].copy_from_slice(&width.to_be_bytes());
    file[20..24].copy_from_slice(&height.to_be_bytes());
    let checksum = crc32(&file[12..29]);
    file[29..33].copy_from_slice(&checksum.to_be_bytes());
    file
}

/// PNG's checksum, bit by bit: twice a test run.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            (sum >> 1) ^ (0xEDB8_8320 * (sum & 1))
        })
    })
}

/// Base64, as the service wants it.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A question that has an answer.
pub fn question() -> Value {
    json!({
        "image": base64(&photo(120, 90)),
        "bbox": [10.0, 20.0, 60.5, 80.0],
        "text": "Italy Storms Back Into the World Cup",
        "entity": "World Cup",
    })
}

/// The question with one field set, or removed by null.
pub fn with(field: &str, value: Value) -> Value {
    let mut question = question();
    match (question.as_object_mut(), value) {
        (Some(fields), Value::Null) => drop(fields.shift_remove(field)),
        (Some(fields), value) => drop(fields.insert(field.to_owned(), value)),
        (None, _) => {}
    }
    question
}

/// `POST /extract` with a JSON body.
///
/// # Panics
/// Never: the request is fixed.
pub fn post(body: impl Into<Body>) -> Request<Body> {
    post_to("/extract", body)
}

/// `POST` to a path as JSON.
pub fn post_to(path: &str, body: impl Into<Body>) -> Request<Body> {
    request(Method::POST, path, "application/json", body.into())
}

/// `POST /extract` as a form; the bytes go as they are.
///
/// # Panics
/// Never: the request is fixed.
pub fn multipart(parts: &[(&str, &[u8])]) -> Request<Body> {
    let mut body = Vec::new();
    for (name, content) in parts {
        let file = if *name == "image" {
            "; filename=\"photo\""
        } else {
            ""
        };
        let head = format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    request(Method::POST, "/extract", &kind, body.into())
}

/// A GET.
pub fn get(path: &str) -> Request<Body> {
    request(Method::GET, path, "", Body::empty())
}

/// Any request.
///
/// # Panics
/// When a part of it cannot be sent.
pub fn request(method: Method, path: &str, kind: &str, body: Body) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if !kind.is_empty() {
        request = request.header(header::CONTENT_TYPE, kind);
    }
    request.body(body).expect("a request that can be sent")
}
