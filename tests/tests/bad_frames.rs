//! Bodies whose frame is at fault: JSON that is none, forms with parts too many, too few, or broken.

use axum::body::Body;
use axum::http::Request;
use tests::question::{multipart, photo, post, question};
use tests::stub::{Manner, Stub};
use tests::{ask, state};

#[tokio::test]
async fn broken_json_says_where() {
    let state = state(Stub::new(Manner::Answer), 2);
    for (body, expected) in [
        ("", "400 json-syntax -"),
        ("{", "400 json-syntax -"),
        (r#"{"bbox":[1,2,NaN,4]}"#, "400 json-syntax bbox"),
        (r#"{"bbox":[1,2,3,1e999]}"#, "422 invalid-field bbox"),
        (r#"{"text":"a","text":"b"}"#, "422 duplicate-field text"),
        ("{} {}", "422 missing-field image"),
    ] {
        assert_eq!(ask(&state, post(body)).await.problem(), expected, "{body}");
    }
    let twice = format!("{} x", question());
    assert_eq!(
        ask(&state, post(twice)).await.problem(),
        "400 json-syntax -"
    );
    let deep = "[".repeat(100_000);
    assert_eq!(ask(&state, post(deep)).await.problem(), "400 json-syntax -");
    assert_eq!(
        ask(&state, post(b"{\"text\":\"\xFF\"}".to_vec()))
            .await
            .problem(),
        "400 json-syntax text"
    );
}

#[tokio::test]
async fn forms_are_as_strict() {
    let state = state(Stub::new(Manner::Answer), 2);
    let image = photo(120, 90);
    let good: [(&str, &[u8]); 4] = [
        ("image", &image),
        ("bbox", b"10,20,60,80"),
        ("text", b"the World Cup"),
        ("entity", b"World Cup"),
    ];
    let changed = |name: &'static str, content: &'static [u8]| -> Request<Body> {
        let kept = good
            .into_iter()
            .filter(|part| part.0 != name)
            .chain([(name, content)]);
        multipart(&kept.collect::<Vec<_>>())
    };
    for (form, expected) in [
        (multipart(&good[1..]), "422 missing-field image"),
        (multipart(&good[..3]), "422 missing-field entity"),
        (
            multipart(&[&good[..], &good[3..]].concat()),
            "422 duplicate-field entity",
        ),
        (changed("colour", b"red"), "422 unknown-field colour"),
        (changed("bbox", b"1,2,3"), "422 invalid-field bbox"),
        (changed("bbox", b"1,2,3,NaN"), "422 invalid-field bbox"),
        (changed("bbox", b"\xFF"), "422 invalid-field bbox"),
        (
            changed("box_format", b"yolo"),
            "422 invalid-field box_format",
        ),
        (changed("text", b"\xFF\xFE"), "422 invalid-field text"),
        (changed("text", b""), "422 invalid-field text"),
        (changed("image", b""), "422 invalid-field image"),
        (changed("image", b"GIF89a"), "422 invalid-image image"),
        (multipart(&[]), "422 missing-field image"),
    ] {
        let answer = ask(&state, form).await;
        assert_eq!(answer.problem(), expected, "{}", answer.body);
    }
    let mut cut = multipart(&good);
    *cut.body_mut() = Body::from(
        "--more-r1-boundary\r\ncontent-disposition: form-data; name=\"text\"\r\n\r\nabc",
    );
    assert_eq!(ask(&state, cut).await.problem(), "400 body-broken -");
    let mut unbounded = multipart(&good);
    unbounded.headers_mut().insert(
        "content-type",
        "multipart/form-data".parse().expect("a header"),
    );
    assert_eq!(ask(&state, unbounded).await.problem(), "400 body-broken -");
}
