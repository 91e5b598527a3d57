//! Images by address: only from origins that are named, not by a detour either, only so long and for so long.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Redirect;
use axum::routing::get;
use futures_util::stream;
use serde_json::{Value, json};
use server::app::{AppState, Setup};
use server::engine::Engine;
use server::fetch::{Addresses, Fetcher};
use std::sync::Arc;
use tests::question::{base64, photo, post, post_to, question, with};
use tests::stub::{Manner, Stub};
use tests::{DEADLINE, LIMITS, ask, setup};
use tokio::net::TcpListener;

/// Serves `paths` on a free port of loopback.
async fn host(paths: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    tokio::spawn(async move { axum::serve(listener, paths).await });
    address
}

/// A host with a photo, and with everything that goes wrong; `elsewhere` is where it leads astray.
async fn images(elsewhere: SocketAddr) -> SocketAddr {
    let away = format!("http://{elsewhere}/photo.png");
    let endless = || async {
        let pieces = stream::repeat_with(|| Ok::<_, std::convert::Infallible>(vec![0_u8; 65_536]));
        Body::from_stream(pieces)
    };
    let slow = || async {
        tokio::time::sleep(Duration::from_mins(1)).await;
        photo(120, 90)
    };
    let paths = Router::new()
        .route("/photo.png", get(|| async { photo(120, 90) }))
        .route("/page", get(|| async { "<html>" }))
        .route(
            "/moved",
            get(|| async { Redirect::temporary("/photo.png") }),
        )
        .route("/round", get(|| async { Redirect::temporary("/round") }))
        .route("/away", get(|| async move { Redirect::temporary(&away) }))
        .route(
            "/file",
            get(|| async { Redirect::temporary("file:///etc/hostname") }),
        )
        .route(
            "/long",
            get(|| async { vec![0_u8; LIMITS.image.max_bytes + 1] }),
        )
        .route("/endless", get(endless))
        .route("/slow", get(slow));
    host(paths).await
}

/// A service that fetches from `origins`.
fn fetching(origins: &[String], private: bool) -> AppState {
    let fetcher = Fetcher::new(&Addresses {
        origins: origins.to_vec(),
        private,
        max_bytes: LIMITS.image.max_bytes,
        patience: Duration::from_secs(1),
    });
    let state = AppState::new(Setup {
        fetcher: Some(fetcher.expect("origins")),
        ..setup(DEADLINE)
    });
    let stub = Arc::new(Stub::new(Manner::Answer));
    state.install(Engine::start(stub, 4).expect("a thread"));
    state
}

async fn elsewhere() -> SocketAddr {
    host(Router::new().route("/photo.png", get(|| async { photo(120, 90) }))).await
}

#[tokio::test]
async fn a_named_origin_is_fetched_from_and_no_other() {
    let elsewhere = elsewhere().await;
    let host = images(elsewhere).await;
    let state = fetching(&[format!("http://{host}")], true);
    let here = ask(&state, post(question().to_string())).await;
    for path in ["photo.png", "moved"] {
        let address = format!("http://{host}/{path}");
        let answer = ask(&state, post(with("image", json!(address)).to_string())).await;
        assert_eq!(answer.status, StatusCode::OK, "{path} {:?}", answer.body);
        assert_eq!(answer.body["image"], here.body["image"], "{path}");
    }
    for (address, problem) in [
        (
            format!("http://{elsewhere}/photo.png"),
            "422 invalid-field image",
        ),
        (format!("http://{host}/away"), "422 invalid-field image"),
        (format!("http://{host}/round"), "422 invalid-field image"),
        (format!("http://{host}/file"), "422 unreachable-image image"),
        (
            format!("http://u:p@{host}/photo.png"),
            "422 invalid-field image",
        ),
        (
            format!("https://{host}/photo.png"),
            "422 invalid-field image",
        ),
        (format!("http://{host}/page"), "422 invalid-image image"),
        (format!("http://{host}/none"), "422 unreachable-image image"),
        (format!("http://{host}/slow"), "422 unreachable-image image"),
        (format!("http://{host}/long"), "413 image-too-large image"),
        (
            format!("http://{host}/endless"),
            "413 image-too-large image",
        ),
        ("file:///etc/hostname".to_owned(), "422 invalid-field image"),
    ] {
        let begin = Instant::now();
        let answer = ask(&state, post(with("image", json!(address)).to_string())).await;
        assert_eq!(answer.problem(), problem, "{address} {:?}", answer.body);
        assert!(begin.elapsed() < Duration::from_secs(5), "{address}");
    }
    // Nobody listens: no place is lost by all that.
    assert_eq!(state.engine().expect("ready").taken(), 0);
}

/// A host that was named but lies in the service's own network, by number or by name.
#[tokio::test]
async fn an_own_network_is_not_reached_unless_that_is_said() {
    let host = images(elsewhere().await).await;
    for name in [host.to_string(), format!("localhost:{}", host.port())] {
        let origin = [format!("http://{name}")];
        let asked = with("image", json!(format!("http://{name}/photo.png"))).to_string();
        let refused = ask(&fetching(&origin, false), post(asked.clone())).await;
        assert_eq!(refused.problem(), "422 invalid-field image", "{name}");
        let detail = refused.body["detail"].as_str().expect("a detail");
        assert!(
            detail.contains("no public address") && !detail.contains("127."),
            "{detail}"
        );
        let answer = ask(&fetching(&origin, true), post(asked)).await;
        assert_eq!(answer.status, StatusCode::OK, "{name} {:?}", answer.body);
    }
}

#[tokio::test]
async fn every_interface_takes_addresses() {
    let host = images(elsewhere().await).await;
    let state = fetching(&[format!("http://{host}")], true);
    let (right, wrong) = (
        format!("http://{host}/photo.png"),
        format!("http://{host}/none"),
    );

    let pair = json!({"bbox": [10.0, 20.0, 60.5, 80.0], "entity": "World Cup"});
    let batch =
        |image: &str| json!({"image": image, "text": question()["text"], "pairs": [pair, pair]});
    let answer = ask(&state, post_to("/extract/batch", batch(&right).to_string())).await;
    let lines = answer.body.as_str().expect("lines");
    let answered = |line: &&str| line.contains("\"answer\":{\"relation\"");
    assert_eq!(lines.lines().filter(answered).count(), 2, "{lines}");
    let refused = ask(&state, post_to("/extract/batch", batch(&wrong).to_string())).await;
    assert_eq!(refused.problem(), "422 unreachable-image image");

    let chat = |image: &str| {
        let parts = json!([{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": image}}]);
        json!({"messages": [{"role": "user", "content": parts}]})
    };
    let turn = ask(
        &state,
        post_to("/v1/chat/completions", chat(&right).to_string()),
    )
    .await;
    assert_eq!(turn.status, StatusCode::OK, "{:?}", turn.body);
    let refused = ask(
        &state,
        post_to("/v1/chat/completions", chat(&wrong).to_string()),
    )
    .await;
    assert_eq!(refused.problem(), "422 invalid-field messages");

    let task = |image: &str| json!({"data": {"image": image, "text": question()["text"]}});
    let config =
        "<View><Image name=\"i\" value=\"$image\"/><Text name=\"t\" value=\"$text\"/></View>";
    let predict = json!({"label_config": config, "tasks": [task(&right), task(&wrong)]});
    let predicted = ask(&state, post_to("/labelstudio/predict", predict.to_string())).await;
    assert_eq!(
        predicted.body["results"][0].get("problem"),
        None,
        "{:?}",
        predicted.body
    );
    let problem = &predicted.body["results"][1]["problem"]["type"];
    assert_eq!(problem, "urn:more-r1:problem:unreachable-image");
}

/// As the service is without the flag.
#[tokio::test]
async fn nothing_is_fetched_unless_that_is_said() {
    let host = images(elsewhere().await).await;
    let state = tests::state(Stub::new(Manner::Answer), 4);
    let address: Value = json!(format!("http://{host}/photo.png"));
    let refused = ask(&state, post(with("image", address).to_string())).await;
    assert_eq!(refused.problem(), "422 invalid-field image");
    let detail = refused.body["detail"].as_str().expect("a detail");
    assert!(detail.contains("not fetched"), "{detail}");
    let sent = with("image", json!(base64(&photo(120, 90))));
    assert_eq!(
        ask(&state, post(sent.to_string())).await.status,
        StatusCode::OK
    );
}
