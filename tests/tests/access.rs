//! Who is let in: keys, the admin's key, pages of other origins, and files that are read again.

use std::io::Write;

use axum::body::Body;
use axum::http::{Method, Request};
use server::app::{Access, AppState, Setup, Sources};
use server::auth::{Keys, make};
use server::engine::Engine;
use std::sync::Arc;
use tests::question::{get, post, post_to, question, request};
use tests::stub::{Manner, Stub};
use tests::{DEADLINE, ask, setup, state};

fn guarded(access: Access, sources: Sources) -> AppState {
    let state = AppState::new(Setup {
        access,
        sources,
        ..setup(DEADLINE)
    });
    let stub = Arc::new(Stub::new(Manner::Answer));
    state.install(Engine::start(stub, 4).expect("a thread"));
    state
}

fn with_header(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    let value = value.parse().expect("a header");
    request.headers_mut().insert(name, value);
    request
}

#[tokio::test]
async fn only_a_key_lets_in() {
    let ((alice, first), (root, second)) = (make("alice", false), make("root", true));
    let keys = Keys::parse(&format!("{first}\n{second}")).expect("two keys");
    let access = Access {
        keys: Some(keys),
        ..Access::default()
    };
    let state = guarded(access, Sources::default());
    let asked = || post(question().to_string());
    let refused = ask(&state, asked()).await;
    assert_eq!(refused.problem(), "401 unauthorized -");
    assert_eq!(refused.header("www-authenticate"), "Bearer");
    for wrong in ["Bearer x", "Basic eA==", "Bearer", &alice] {
        let refused = ask(&state, with_header(asked(), "authorization", wrong)).await;
        assert_eq!(refused.problem(), "401 unauthorized -", "{wrong}");
    }
    let bearer = format!("bearer {alice}");
    for (name, value) in [("authorization", bearer.as_str()), ("x-api-key", &alice)] {
        let answer = ask(&state, with_header(asked(), name, value)).await;
        assert_eq!(answer.status, 200);
    }
    for path in [
        "/extract/batch",
        "/v1/chat/completions",
        "/labelstudio/predict",
        "/labelstudio/setup",
    ] {
        assert_eq!(
            ask(&state, post_to(path, "{}")).await.problem(),
            "401 unauthorized -"
        );
    }
    for path in ["/ontology", "/v1/models", "/labelstudio/health"] {
        assert_eq!(ask(&state, get(path)).await.problem(), "401 unauthorized -");
    }
    // Who only looks whether the service is there needs none.
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json", "/"] {
        assert_eq!(ask(&state, get(path)).await.status, 200, "{path}");
    }
    let reload = || post_to("/admin/reload", "");
    assert_eq!(ask(&state, reload()).await.problem(), "401 unauthorized -");
    let refused = ask(&state, with_header(reload(), "x-api-key", &alice)).await;
    assert_eq!(refused.problem(), "403 forbidden -");
    assert_eq!(
        ask(&state, with_header(reload(), "x-api-key", &root))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn without_keys_nobody_is_admin() {
    let state = state(Stub::new(Manner::Answer), 4);
    assert_eq!(
        ask(&state, post_to("/admin/reload", "")).await.problem(),
        "403 forbidden -"
    );
}

#[tokio::test]
async fn files_are_read_again_whole_or_not_at_all() {
    let (root, line) = make("root", true);
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    writeln!(file, "{line}").expect("room");
    let ontology = tempfile::NamedTempFile::new().expect("a file");
    let more = serde_json::to_value(proto::Ontology::more()).expect("plain data");
    std::fs::write(ontology.path(), more.to_string()).expect("room");
    let access = Access {
        keys: Some(Keys::read(file.path()).expect("a key")),
        ..Access::default()
    };
    let sources = Sources {
        ontology: Some(ontology.path().to_owned()),
        keys: Some(file.path().to_owned()),
    };
    let state = guarded(access, sources);
    let reload = |key: &str| with_header(post_to("/admin/reload", ""), "x-api-key", key);
    let before = ask(&state, with_header(get("/ontology"), "x-api-key", &root)).await;
    let read = ask(&state, reload(&root)).await;
    assert_eq!(read.body["keys"], 1);
    assert_eq!(read.body["ontology_hash"], before.body["hash"]);
    // A broken ontology leaves the keys alone too.
    let (other, second) = make("other", true);
    std::fs::write(file.path(), &second).expect("room");
    std::fs::write(ontology.path(), "{").expect("room");
    assert_eq!(ask(&state, reload(&root)).await.problem(), "500 internal -");
    assert_eq!(
        ask(&state, reload(&other)).await.problem(),
        "401 unauthorized -"
    );
    let mut fewer = more;
    fewer["name"] = serde_json::json!("other");
    std::fs::write(ontology.path(), fewer.to_string()).expect("room");
    let read = ask(&state, reload(&root)).await;
    assert_ne!(read.body["ontology_hash"], before.body["hash"]);
    assert_eq!(
        ask(&state, reload(&root)).await.problem(),
        "401 unauthorized -"
    );
    let after = ask(&state, with_header(get("/ontology"), "x-api-key", &other)).await;
    assert_eq!(after.body["hash"], read.body["ontology_hash"]);
}

#[tokio::test]
async fn pages_of_other_origins_are_kept_out_until_named() {
    let origin = "https://example.org";
    let closed = state(Stub::new(Manner::Answer), 4);
    let answer = ask(&closed, with_header(get("/healthz"), "origin", origin)).await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
    let access = Access {
        origins: vec![origin.parse().expect("a header")],
        ..Access::default()
    };
    let open = guarded(access, Sources::default());
    for (from, allowed) in [(origin, origin), ("https://example.com", "")] {
        let answer = ask(&open, with_header(get("/healthz"), "origin", from)).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed);
    }
    let ask_first = request(Method::OPTIONS, "/extract", "", Body::empty());
    let ask_first = with_header(ask_first, "origin", origin);
    let ask_first = with_header(ask_first, "access-control-request-method", "POST");
    let answer = ask(&open, ask_first).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("access-control-allow-headers")
            .contains("authorization")
    );
}
