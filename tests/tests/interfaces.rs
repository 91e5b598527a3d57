//! Other people's interfaces: graphs for knowledge bases, chat for `OpenAI`'s clients, predictions for Label Studio, metrics for
//! Prometheus. Over a model without weights.

use axum::body::to_bytes;
use axum::http::StatusCode;
use serde_json::{Value, json};
use server::app::{AppState, app};
use tests::question::{base64, get, photo, post, post_to, question, with};
use tests::stub::{Manner, Stub};
use tests::{ask, state};
use tower::ServiceExt;

fn ready() -> AppState {
    state(Stub::new(Manner::Answer), 4)
}

/// Status, media type and text of an answer.
async fn text(
    state: &AppState,
    request: axum::http::Request<axum::body::Body>,
) -> (u16, String, String) {
    let response = app(state.clone()).oneshot(request).await;
    let response = response.expect("the service never fails");
    let status = response.status().as_u16();
    let kind = response.headers().get("content-type");
    let kind = kind
        .map_or("", |it| it.to_str().expect("plain text"))
        .to_owned();
    let bytes = to_bytes(response.into_body(), 16 << 20).await;
    let bytes = bytes.expect("a body in memory").to_vec();
    (status, kind, String::from_utf8(bytes).expect("text"))
}

#[tokio::test]
async fn an_answer_comes_in_the_form_that_is_asked_for() {
    let state = ready();
    for (format, kind, part) in [
        (
            "json",
            "application/json",
            "\"relation\":{\"label\":\"/per/misc/present_in\"",
        ),
        (
            "jsonld",
            "application/ld+json",
            "\"urn:more-r1:relation:per/misc/present_in\":{\"id\":\"urn:more-r1:entity:World%20Cup\"}",
        ),
        (
            "turtle",
            "text/turtle",
            "<urn:more-r1:relation:per/misc/present_in> <urn:more-r1:entity:World%20Cup>",
        ),
        (
            "cypher",
            "application/x-cypher-query",
            "[relation:`present_in` {id: 'urn:blake3:",
        ),
        ("csv", "text/csv", ",present_in,/per/misc/present_in,,true,"),
    ] {
        let asked = with("source", json!("https://example.org/1.png")).to_string();
        let by_name = post_to(&format!("/extract?format={format}"), asked.clone());
        let (status, got, body) = text(&state, by_name).await;
        assert_eq!((status, got.as_str()), (200, kind));
        assert!(body.contains(part), "{body}");
        assert!(body.contains("https://example.org/1.png"), "{body}");
        assert!(
            format == "json" || body.contains("xywh=pixel:10,20,51,60"),
            "{body}"
        );
        let mut by_header = post(asked);
        let value = kind.parse().expect("a header");
        by_header.headers_mut().insert("accept", value);
        assert_eq!(text(&state, by_header).await.1, kind);
    }
}

#[tokio::test]
async fn forms_that_do_not_exist_are_refused() {
    let state = ready();
    let asked = || question().to_string();
    let refused = ask(&state, post_to("/extract?format=xml", asked())).await;
    assert_eq!(refused.problem(), "422 invalid-field format");
    let refused = ask(&state, post_to("/extract?form=csv", asked())).await;
    assert_eq!(refused.problem(), "422 invalid-field format");
    let mut request = post(asked());
    request
        .headers_mut()
        .insert("accept", "image/png".parse().expect("a header"));
    assert_eq!(ask(&state, request).await.problem(), "406 not-acceptable -");
    let streamed = with("stream", json!(true)).to_string();
    let refused = ask(&state, post_to("/extract?format=csv", streamed)).await;
    assert_eq!(refused.problem(), "422 invalid-field stream");
    for source in ["no address", "https://example.org/#a", ""] {
        let refused = ask(&state, post(with("source", json!(source)).to_string())).await;
        assert_eq!(refused.problem(), "422 invalid-field source", "{source}");
    }
}

#[tokio::test]
async fn a_batch_is_one_graph() {
    let state = ready();
    let batch =
        json!({"items": [question(), with("entity", json!("Spain")), question()]}).to_string();
    let (status, kind, body) =
        text(&state, post_to("/extract/batch?format=csv", batch.clone())).await;
    assert_eq!((status, kind.as_str()), (200, "text/csv"));
    assert_eq!(body.lines().count(), 4, "{body}");
    assert!(body.starts_with("object,photo,"));
    assert!(body.contains("question 1: entity-not-in-text"));
    for (format, remark) in [
        ("turtle", "# question 1: entity-not-in-text\n"),
        ("cypher", "// question 1: entity-not-in-text\n"),
    ] {
        let path = format!("/extract/batch?format={format}");
        let (_, _, body) = text(&state, post_to(&path, batch.clone())).await;
        assert!(body.contains(remark), "{body}");
    }
    let (_, kind, body) = text(&state, post_to("/extract/batch?format=jsonld", batch)).await;
    assert_eq!(kind, "application/x-ndjson");
    let lines: Vec<Value> = body
        .lines()
        .map(|it| serde_json::from_str(it).expect("JSON"))
        .collect();
    assert_eq!(
        lines.iter().filter(|it| it["type"] == "Annotation").count(),
        2
    );
    assert_eq!(
        lines
            .iter()
            .filter(|it| it["index"] == 1 && it["problem"].is_object())
            .count(),
        1
    );
}

#[tokio::test]
async fn samples_tell_how_far_they_agree() {
    let state = ready();
    let answer = ask(&state, post(with("samples", json!(3)).to_string())).await;
    // The stub says `present_in`, and draws `none` always.
    let labels = json!([{"label": "none", "count": 3}]);
    assert_eq!(
        answer.body["samples"],
        json!({"drawn": 3, "agreement": 0.0, "labels": labels})
    );
    let plain = ask(&state, post(question().to_string())).await;
    assert!(plain.body.get("samples").is_none());
    let refused = ask(&state, post(with("samples", json!(17)).to_string())).await;
    assert_eq!(refused.problem(), "422 invalid-field samples");
    assert_eq!(refused.body["limit"], 16);
}

#[tokio::test]
async fn an_entity_is_placed_in_the_text() {
    let mut asked = with("entity", json!("world  cup"));
    asked["text"] = json!("Überall: World Cup");
    let answer = ask(&ready(), post(asked.to_string())).await;
    assert_eq!(
        answer.body["entity"],
        json!({"name": "world  cup", "start": 9, "end": 18})
    );
    let id = answer.body["image"]["id"].as_str().expect("an address");
    assert_eq!(id.len(), "urn:blake3:".len() + 64);
}

fn chat(extra: &Value) -> axum::http::Request<axum::body::Body> {
    let mut body = json!({"messages": [{"role": "user", "content": "Hello"}]});
    let fields = body.as_object_mut().expect("an object");
    fields.extend(extra.as_object().expect("an object").clone());
    post_to("/v1/chat/completions", body.to_string())
}

#[tokio::test]
async fn a_conversation_goes_on() {
    let state = ready();
    let answer = ask(
        &state,
        chat(&json!({"model": "stub", "max_tokens": 9, "user": "me"})),
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body["object"], "chat.completion");
    let choice = &answer.body["choices"][0];
    assert_eq!(
        choice["message"],
        json!({"role": "assistant", "content": "It says so."})
    );
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(choice["logprobs"], Value::Null);
    assert_eq!(answer.body["usage"]["prompt_tokens"], 7);
    let models = ask(&state, get("/v1/models")).await;
    assert_eq!(models.body["data"][0]["id"], "stub");
    let url = format!("data:image/png;base64,{}", base64(&photo(60, 60)));
    let image = json!({"type": "image_url", "image_url": {"url": url, "detail": "high"}});
    let parts = json!([image, {"type": "text", "text": "What is it?"}]);
    let shown = chat(
        &json!({"messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}]}),
    );
    assert_eq!(ask(&state, shown).await.status, StatusCode::OK);
    let tokens = ask(&state, chat(&json!({"logprobs": true, "top_logprobs": 2}))).await;
    let content = tokens.body["choices"][0]["logprobs"]["content"]
        .as_array()
        .expect("tokens")
        .clone();
    let bytes: Vec<u8> = content
        .iter()
        .flat_map(|it| it["bytes"].as_array().expect("bytes").clone())
        .map(|it| it.as_u64().expect("a byte") as u8)
        .collect();
    assert_eq!(String::from_utf8_lossy(&bytes), "It says so.");
    assert!(content.iter().all(|it| {
        it["top_logprobs"]
            .as_array()
            .is_some_and(|it| it.len() == 2)
    }));
}

#[tokio::test]
async fn stops_and_choices_are_kept_to() {
    let state = ready();
    let cut = ask(&state, chat(&json!({"stop": " so"}))).await;
    assert_eq!(cut.body["choices"][0]["message"]["content"], "It says");
    let chosen = ask(
        &state,
        chat(&json!({"structured_outputs": {"choice": ["yes", "no"]}})),
    )
    .await;
    assert_eq!(chosen.body["choices"][0]["message"]["content"], "yes");
    let schema = json!({"type": "json_schema", "json_schema": {"name": "a", "strict": true, "schema": {"type": "string", "enum": ["no", "yes"]}}});
    let chosen = ask(&state, chat(&json!({"response_format": schema}))).await;
    assert_eq!(chosen.body["choices"][0]["message"]["content"], "\"no\"");
}

#[tokio::test]
async fn a_conversation_comes_in_events() {
    let request =
        chat(&json!({"stream": true, "stream_options": {"include_usage": true}, "stop": "so"}));
    let (_, kind, body) = text(&ready(), request).await;
    assert_eq!(kind, "text/event-stream");
    let events: Vec<&str> = body
        .split("\n\n")
        .filter_map(|it| it.strip_prefix("data: "))
        .collect();
    assert_eq!(events.last(), Some(&"[DONE]"));
    let chunks: Vec<Value> = events[..events.len() - 1]
        .iter()
        .map(|it| serde_json::from_str(it).expect("JSON"))
        .collect();
    let content: String = chunks
        .iter()
        .filter_map(|it| it["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(content, "It says ");
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let reasons: Vec<&Value> = chunks
        .iter()
        .map(|it| &it["choices"][0]["finish_reason"])
        .filter(|it| !it.is_null())
        .collect();
    assert_eq!(reasons, ["stop"]);
    assert_eq!(chunks.last().expect("chunks")["usage"]["prompt_tokens"], 7);
    assert_eq!(chunks.last().expect("chunks")["choices"], json!([]));
}

#[tokio::test]
async fn a_wrong_conversation_is_told_what_is_wrong() {
    let state = ready();
    let image = |url: &str| json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]});
    for (extra, problem) in [
        (json!({"model": "gpt"}), "404 unknown-model model"),
        (json!({"messages": []}), "422 invalid-field messages"),
        (
            json!({"messages": [{"role": "user"}]}),
            "422 invalid-field messages",
        ),
        (
            json!({"messages": [{"role": "tool", "content": "x"}]}),
            "422 invalid-field messages",
        ),
        (json!({"max_tokens": 0}), "422 invalid-field max_tokens"),
        (json!({"max_tokens": 65}), "422 invalid-field max_tokens"),
        (
            json!({"temperature": -0.1}),
            "422 invalid-field temperature",
        ),
        (json!({"top_p": 1.5}), "422 invalid-field top_p"),
        (
            json!({"presence_penalty": 1}),
            "422 invalid-field presence_penalty",
        ),
        (json!({"n": 2}), "422 invalid-field n"),
        (
            json!({"stop": ["a", "b", "c", "d", "e"]}),
            "422 invalid-field stop",
        ),
        (json!({"stop": ""}), "422 invalid-field stop"),
        (json!({"top_logprobs": 3}), "422 invalid-field top_logprobs"),
        (
            json!({"logprobs": true, "top_logprobs": 21}),
            "422 invalid-field top_logprobs",
        ),
        (json!({"tools": []}), "422 unknown-field tools"),
        (
            json!({"stream_options": {}}),
            "422 invalid-field stream_options",
        ),
        (
            json!({"response_format": {"type": "json_object"}}),
            "422 invalid-field response_format",
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}}),
            "422 invalid-field response_format",
        ),
        (
            json!({"structured_outputs": {"choice": []}}),
            "422 invalid-field structured_outputs",
        ),
        (
            json!({"structured_outputs": {"regex": "a"}}),
            "422 invalid-field structured_outputs",
        ),
        (
            image("https://example.org/a.png"),
            "422 invalid-field messages",
        ),
        (image("file:///etc/passwd"), "422 invalid-field messages"),
        (
            image("data:image/png;base64,AQI="),
            "422 invalid-image messages",
        ),
    ] {
        assert_eq!(
            ask(&state, chat(&extra)).await.problem(),
            problem,
            "{extra}"
        );
    }
}

/// A set-up with other names than the usual, a box, two spans.
fn task() -> Value {
    let url = format!("data:image/png;base64,{}", base64(&photo(120, 90)));
    json!({
        "label_config": "<View><Image name=\"img\" value=\"$photo\"/><RectangleLabels name=\"box\" toName=\"img\"><Label value=\"o\"/></RectangleLabels>\
                         <Text name=\"txt\" value=\"$headline\"/><Labels name=\"span\" toName=\"txt\"><Label value=\"e\"/></Labels></View>",
        "project": "1.1",
        "tasks": [{"id": 5, "data": {"photo": url, "headline": "Italy Storms Back Into the World Cup"}, "annotations": [{"result": [
            {"id": "b", "type": "rectanglelabels", "from_name": "box", "to_name": "img", "original_width": 120, "original_height": 90,
             "value": {"x": 10.0, "y": 20.0, "width": 50.0, "height": 60.0, "rotation": 0, "rectanglelabels": ["o"]}},
            {"id": "s", "type": "labels", "from_name": "span", "to_name": "txt", "value": {"start": 27, "end": 36, "text": "World Cup", "labels": ["e"]}},
            {"id": "t", "type": "labels", "from_name": "span", "to_name": "txt", "value": {"start": 0, "end": 5, "text": "Italy", "labels": ["e"]}},
        ]}]}],
    })
}

#[tokio::test]
async fn label_studio_gets_relations_between_its_regions() {
    let state = ready();
    assert_eq!(
        ask(&state, get("/labelstudio/health")).await.body["status"],
        "UP"
    );
    let setup = ask(
        &state,
        post_to("/labelstudio/setup", "{\"project\": \"1\"}"),
    )
    .await;
    assert_eq!(setup.body["model_version"], "stub@000000000000");
    let predicted = ask(&state, post_to("/labelstudio/predict", task().to_string())).await;
    let results = predicted.body["results"].as_array().expect("results");
    assert_eq!(results.len(), 1);
    let regions = results[0]["result"].as_array().expect("regions");
    assert_eq!(regions.len(), 5, "{regions:?}");
    let relation = json!({"type": "relation", "from_id": "b", "to_id": "s", "direction": "right", "labels": ["/per/misc/present_in"]});
    assert!(regions.contains(&relation));
    assert!((results[0]["score"].as_f64().expect("a score") - 1.0 / 21.0).abs() < 1e-9);
}

#[tokio::test]
async fn a_task_fails_alone() {
    let state = ready();
    let mut two = task();
    let mut wrong = two["tasks"][0].clone();
    wrong["data"]["photo"] = json!("/data/upload/1.png");
    two["tasks"].as_array_mut().expect("tasks").push(wrong);
    let predicted = ask(&state, post_to("/labelstudio/predict", two.to_string())).await;
    assert_eq!(
        predicted.body["results"][0]["result"]
            .as_array()
            .map(Vec::len),
        Some(5)
    );
    assert_eq!(predicted.body["results"][1]["result"], json!([]));
    assert_eq!(predicted.body["results"][1]["problem"]["field"], "image");
    let mut turned = task();
    turned["tasks"][0]["annotations"][0]["result"][0]["value"]["rotation"] = json!(30);
    let predicted = ask(&state, post_to("/labelstudio/predict", turned.to_string())).await;
    assert_eq!(
        predicted.body["results"][0]["problem"]["field"],
        "value.rotation"
    );
    let mut unnamed = task();
    unnamed["label_config"] = json!("<View/>");
    let refused = ask(&state, post_to("/labelstudio/predict", unnamed.to_string())).await;
    assert_eq!(refused.problem(), "422 invalid-field label_config");
}

#[tokio::test]
async fn metrics_count_what_was_answered() {
    let state = ready();
    ask(&state, post(question().to_string())).await;
    ask(&state, post(with("entity", json!("Spain")).to_string())).await;
    let (status, kind, body) = text(&state, get("/metrics")).await;
    assert_eq!(status, 200);
    assert!(kind.starts_with("application/openmetrics-text"));
    for line in [
        "more_r1_http_requests_total{path=\"/extract\",status=\"200\"} 1",
        "more_r1_http_requests_total{path=\"/extract\",status=\"422\"} 1",
        "more_r1_request_success_total{finished_reason=\"stop\"} 1",
        "more_r1_generation_tokens_total 50",
        "more_r1_time_to_first_token_seconds_count 1",
        "more_r1_num_requests_waiting 0",
        "more_r1_places 4",
        "more_r1_places_taken 0",
    ] {
        assert!(body.lines().any(|it| it == line), "{line}\n{body}");
    }
    assert!(body.ends_with("# EOF\n"));
    // A task that a panic takes along has ended too.
    let broken = tests::state(Stub::new(Manner::Panic), 4);
    ask(&broken, post(question().to_string())).await;
    let failed = "more_r1_request_success_total{finished_reason=\"error\"} 1";
    assert!(text(&broken, get("/metrics")).await.2.contains(failed));
    // Before there is a model there is something to say already.
    let loading = AppState::new(tests::setup(tests::DEADLINE));
    assert_eq!(text(&loading, get("/metrics")).await.0, 200);
}

/// The dashboard asks for nothing that is not there.
#[tokio::test]
async fn the_dashboard_fits_the_metrics() {
    let state = ready();
    ask(&state, post(question().to_string())).await;
    let (_, _, body) = text(&state, get("/metrics")).await;
    let dashboard: Value =
        serde_json::from_str(include_str!("../../docker/grafana.json")).expect("JSON");
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().expect("targets") {
            let expression = target["expr"].as_str().expect("an expression");
            let words = expression.split(|it: char| !it.is_alphanumeric() && it != '_');
            for name in words.filter(|it| it.starts_with("more_r1_")) {
                assert!(body.contains(&format!("\n{name}")), "{name}");
                asked += 1;
            }
        }
    }
    assert!(asked > 20, "{asked}");
}

#[tokio::test]
async fn the_interface_can_be_browsed() {
    let state = ready();
    let (status, _, page) = text(&state, get("/docs/")).await;
    assert!(status == 200 && page.contains("swagger-ui"), "{page}");
    let (status, _, script) = text(&state, get("/docs/swagger-initializer.js")).await;
    assert!(
        status == 200 && script.contains("/openapi.json"),
        "{script}"
    );
}
