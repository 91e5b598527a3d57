//! `GET /`: a page on which a question is put by hand, and its examples. The files are compiled in and answered with
//! a policy under which the page loads nothing from elsewhere and runs nothing that is not here.
//!
//! Not here: what the page does (`assets/page.js`). It asks `POST /extract` like everybody else.

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const JSON: &str = "application/json";
const JPEG: &str = "image/jpeg";

/// A file as it is served.
struct File {
    path: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

/// A file of the folder `assets` under its path.
macro_rules! file {
    ($path:literal, $name:literal, $media_type:expr) => {
        File {
            path: $path,
            media_type: $media_type,
            bytes: include_bytes!(concat!("../../assets/", $name)),
        }
    };
}

static FILES: [File; 10] = [
    file!("/", "page.html", HTML),
    file!("/page.css", "page.css", CSS),
    file!("/page.js", "page.js", SCRIPT),
    file!("/examples/index.json", "examples/index.json", JSON),
    file!("/examples/1.jpg", "examples/1.jpg", JPEG),
    file!("/examples/2.jpg", "examples/2.jpg", JPEG),
    file!("/examples/3.jpg", "examples/3.jpg", JPEG),
    file!("/examples/4.jpg", "examples/4.jpg", JPEG),
    file!("/examples/5.jpg", "examples/5.jpg", JPEG),
    file!("/examples/6.jpg", "examples/6.jpg", JPEG),
];

/// The paths of the page and everything it loads.
pub fn paths() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|file| file.path)
}

/// The page and everything it loads.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, file| {
        let tag = file.tag();
        let handler = move |asked: HeaderMap| async move { file.answer(tag, &asked) };
        router.route(file.path, get(handler))
    })
}

impl File {
    /// The entity tag: the hash of the bytes, which a new build may have changed.
    fn tag(&self) -> HeaderValue {
        HeaderValue::try_from(format!("\"{}\"", blake3::hash(self.bytes).to_hex()))
            .expect("quotes and hexadecimal digits are a header value")
    }

    /// The file, or 304 when the client has it under `tag` already.
    fn answer(&self, tag: HeaderValue, asked: &HeaderMap) -> Response {
        let held = asked
            .get_all(IF_NONE_MATCH)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .any(|held| held == b"*" || held.strip_prefix(b"W/").unwrap_or(held) == tag.as_bytes());
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static(self.media_type)),
            (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (ETAG, tag),
        ];
        if held {
            (StatusCode::NOT_MODIFIED, headers).into_response()
        } else {
            (headers, self.bytes).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    async fn get_with(path: &str, tag: Option<&str>) -> Response {
        let request = Request::get(path);
        let request = match tag {
            Some(tag) => request.header(IF_NONE_MATCH, tag),
            None => request,
        };
        let request = request.body(Body::empty()).expect("a plain request");
        let Ok(response) = routes::<()>().oneshot(request).await;
        response
    }

    fn header(response: &Response, name: &str) -> String {
        let value = response.headers().get(name).expect(name);
        value.to_str().expect("plain text").to_owned()
    }

    #[tokio::test]
    async fn every_file_is_served_under_the_policy() {
        for file in &FILES {
            let response = get_with(file.path, None).await;
            assert_eq!(response.status(), StatusCode::OK, "{}", file.path);
            assert_eq!(header(&response, "content-type"), file.media_type);
            assert_eq!(header(&response, "content-security-policy"), POLICY);
            assert_eq!(header(&response, "x-content-type-options"), "nosniff");
            assert_eq!(header(&response, "referrer-policy"), "no-referrer");
            assert_eq!(header(&response, "cache-control"), "no-cache");
            let body = to_bytes(response.into_body(), usize::MAX).await;
            assert_eq!(body.expect("bytes in memory"), file.bytes);
        }
    }

    #[tokio::test]
    async fn who_has_a_file_does_not_get_it_again() {
        let tag = header(&get_with("/page.js", None).await, "etag");
        for held in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"old\", {tag}"),
            "*".to_owned(),
        ] {
            let response = get_with("/page.js", Some(&held)).await;
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{held}");
            assert_eq!(header(&response, "etag"), tag);
            let body = to_bytes(response.into_body(), usize::MAX).await;
            assert!(body.expect("no bytes").is_empty());
        }
        let response = get_with("/page.js", Some("\"old\"")).await;
        assert_eq!(response.status(), StatusCode::OK);
    }

    #[test]
    fn the_page_fits_its_policy() {
        let page = include_str!("../../assets/page.html");
        for forbidden in [" style=", "<style", "<script>", " onclick="] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn examples_are_small_complete_and_served() {
        let index = include_str!("../../assets/examples/index.json");
        let examples: Vec<Value> = serde_json::from_str(index).expect("a list");
        let ontology = proto::Ontology::more();
        assert_eq!(examples.len(), 6);
        for example in &examples {
            let path = format!("/examples/{}", example["file"].as_str().expect("a name"));
            let file = FILES.iter().find(|file| file.path == path).expect(&path);
            assert!(file.bytes.len() < 20_000, "{path}");
            let part = |name: &str| example[name].as_str().expect("a string").to_owned();
            assert!(part("text").contains(&part("entity")), "{path}");
            assert!(!part("title").is_empty(), "{path}");
            assert!(ontology.find(&part("relation")).is_some(), "{path}");
            let bbox = proto::parse_bbox(example["bbox"].to_string().trim_matches(['[', ']']));
            let [x0, y0, x1, y1] = bbox.expect("four numbers");
            assert!(x0 < x1 && y0 < y1 && x1 <= 320.0 && y1 <= 240.0, "{path}");
        }
    }
}
