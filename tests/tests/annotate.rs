//! `data annotate` against an expert that misbehaves by script, and against our own service.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::serve::ListenerExt as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::guide::response_ids;
use model::tokenizer::Tokenizer;
use model::{Extractor, Files, Options};
use proto::Ontology;
use serde_json::json;
use server::annotate::{Asking, ExpertSettings, Stop, filter, run};
use server::app::{AppState, RequestLimits, Setup};
use server::engine::Engine;
use tests::annotation::{Folder, adds_up, asking, line, resumed};
use tests::expert::{Expert, Reply, right};
use tests::question::photo;
use tests::{DEADLINE, LIMITS, setup, socket};
use tokio::net::TcpListener;
use train::annotate::{Lengths, Reason};

fn once_each(expert: &Expert, records: usize) {
    let counts = expert.counts();
    assert_eq!(counts.len(), records);
    assert!(counts.values().all(|&count| count == 1), "{counts:?}");
}

#[tokio::test]
async fn an_answer_becomes_a_record_to_learn_from() {
    let (folder, expert) = (Folder::new(1), Expert::right().await);
    let summary = folder.run(&asking(&expert)).await;
    assert_eq!(
        (summary.kept, summary.answered, summary.requests),
        (1, 1, 1)
    );
    assert!((summary.cost - 0.02).abs() < 1e-9, "{summary:?}");
    let kept = folder.kept();
    assert_eq!(kept[0].trace.as_deref(), Some(right().as_str()));
    assert_eq!(kept[0].entity(), "E0");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let tokenizer = Tokenizer::open(&Files::Dir(root.join("mini"))).expect("the mini's tokenizer");
    let ids = response_ids(&tokenizer, &right(), None); // what `train sft` makes of a trace
    assert!(ids.is_ok_and(|ids| ids.len() > 100));
    assert_eq!(folder.rejected(), BTreeMap::new());

    let asked = expert.asked().remove(0);
    assert_eq!(asked.authorization, "Bearer sk-secret");
    assert_eq!(asked.body["model"], "expert-1");
    assert_eq!(asked.body["temperature"], 0.5);
    assert_eq!(asked.body["max_tokens"], 100);
    let content = asked.body["messages"][0]["content"]
        .as_array()
        .expect("parts");
    let last = content.last().expect("parts")["text"]
        .as_str()
        .expect("text");
    assert!(last.contains("'/per/misc/present_in'"), "{last}");
    let images: Vec<image::RgbImage> = content
        .iter()
        .filter_map(|part| part["image_url"]["url"].as_str()?.split_once(";base64,"))
        .map(|(_, data)| {
            let file = STANDARD.decode(data).expect("base64");
            image::load_from_memory(&file).expect("an image").to_rgb8()
        })
        .collect();
    let file = vision::decode(&photo(120, 90), &LIMITS.image).expect("an image");
    assert_eq!(images[0].dimensions(), (120, 90));
    let pairs = images[0].iter().zip(file.pixels.iter());
    let furthest = pairs.map(|(&sent, &own)| sent.abs_diff(own)).max();
    assert!(furthest.is_some_and(|it| it <= 4), "{furthest:?}"); // what JPEG leaves of a gradient
    let format = vision::BoxFormat::Cxcywh;
    let region = vision::region(kept[0].bbox(), format, 120, 90).expect("a box inside");
    assert_eq!(images[1], vision::crop(&file.pixels, &region.pixels));
}

#[tokio::test]
async fn what_passes_is_asked_again() {
    let replies = [
        Reply::Status(429, "{}", Some(1)),
        Reply::Status(500, "oops", None),
        Reply::Status(503, "", Some(0)),
        Reply::Late(Duration::from_secs(30)),
        Reply::Torn,
        Reply::Garbage,
        Reply::Silent,
    ];
    let number = replies.len();
    let expert = Expert::start(move |entity, earlier| {
        let number: usize = entity[1..].parse().expect("E and a number");
        match earlier {
            0 => replies[number].clone(),
            _ => Reply::Write(right()),
        }
    });
    let (folder, expert) = (Folder::new(number), expert.await);
    let mut asking = asking(&expert);
    asking.expert.patience = Duration::from_secs(2);
    let summary = folder.run(&asking).await;
    assert_eq!((summary.kept, summary.answered), (number, number));
    assert_eq!(summary.requests, 2 * number - 1);
    let times = |entity: &str| -> Vec<Instant> {
        let asked = expert.asked().into_iter().filter(|it| it.entity == entity);
        asked.map(|it| it.at).collect()
    };
    assert!(times("E0")[1] - times("E0")[0] >= Duration::from_secs(1));
    // Nobody knows what the three without a readable reply took: they count as what they may have.
    assert_eq!(summary.usage.completion_tokens, 100 * (number as u64 + 3));
}

#[tokio::test]
async fn the_filter_gives_every_reason_and_can_change_its_mind() {
    let label = right().replace("<answer>/per/misc/present_in", "<answer>none");
    let leak = right().replace("The person plays", "By the gold answer the person plays");
    let short = proto::render(&["a", "b", "c", "d", "e", "f"], "/per/misc/present_in");
    let long = right().replace("a lawn", &"a lawn ".repeat(100));
    let replies = [
        right(),
        "I cannot help with that.".to_owned(),
        label,
        leak,
        short.expect("the form"),
        long,
    ];
    let expert = Expert::start(move |entity, _| {
        let number: usize = entity[1..].parse().expect("E and a number");
        Reply::Write(replies[number].clone())
    });
    let (mut folder, expert) = (Folder::new(6), expert.await);
    let summary = folder.run(&asking(&expert)).await;
    let reasons = [
        Reason::Structure,
        Reason::Label,
        Reason::Leak,
        Reason::Short,
        Reason::Long,
    ];
    assert_eq!(summary.rejected, reasons.map(|it| (it, 1)).into());
    let rejected = folder.rejected();
    for (entity, reason) in ["structure", "label", "leak", "short", "long"]
        .iter()
        .enumerate()
    {
        let line = &rejected[&format!("E{}", entity + 1)];
        assert_eq!(line["reason"], *reason);
        assert!(line["answer"].is_string(), "{line}");
    }
    assert_eq!(rejected["E3"]["detail"], "gold answer");

    let before = std::fs::read(&folder.job.journal).expect("it was written");
    folder.job.lengths = Lengths { min: 1, max: 2000 };
    let again = filter(&folder.job).expect("readable files");
    adds_up(&again);
    assert_eq!((again.kept, again.requests, again.resumed), (3, 0, 6));
    assert_eq!(folder.kept().len(), 3);
    assert!((again.cost - summary.cost).abs() < 1e-9);
    let after = std::fs::read(&folder.job.journal).expect("it is still there");
    assert!(before == after, "judging changes no answer");
    once_each(&expert, 6);
}

#[tokio::test]
async fn a_refusal_is_one_records_own() {
    let expert = Expert::start(|entity, earlier| match (entity, earlier) {
        ("E1", 0) => Reply::Status(400, r#"{"error": {"message": "not this photo"}}"#, None),
        ("E2", 0..4) => Reply::Status(500, "oops", None),
        _ => Reply::Write(right()),
    });
    let (folder, expert) = (Folder::new(4), expert.await);
    let text = std::fs::read_to_string(&folder.job.data).expect("it was written");
    let more = [
        text,
        line("E4").replace("photo.png", "nowhere.png"),
        line("E5").replace("present_in", "absent_in"),
        line("E0"), // the same question costs once
    ];
    std::fs::write(&folder.job.data, more.join("\n")).expect("writable");
    let summary = folder.run(&asking(&expert)).await;
    assert_eq!((summary.records, summary.kept, summary.answered), (7, 3, 2));
    let reasons = [
        (Reason::Refused, 1),
        (Reason::Failed, 1),
        (Reason::Record, 2),
    ];
    assert_eq!(summary.rejected, reasons.into());
    let rejected = folder.rejected();
    assert_eq!(rejected["E1"]["detail"], "400 Bad Request: not this photo");
    assert_eq!(rejected["E2"]["detail"], "500 Internal Server Error: oops");
    assert_eq!((expert.counts()["E1"], expert.counts()["E2"]), (1, 4));

    // What was not answered is asked again, nothing else is.
    let summary = folder.run(&resumed(&asking(&expert))).await;
    assert_eq!(
        (summary.kept, summary.answered, summary.requests),
        (5, 2, 2)
    );
    assert_eq!(expert.counts()["E0"], 1);
}

#[tokio::test]
async fn an_expert_that_answers_nobody_ends_the_run() {
    let broke = r#"{"error": {"message": "no money", "code": "insufficient_quota"}}"#;
    for (status, body) in [(401, ""), (402, ""), (403, ""), (404, "{}"), (429, broke)] {
        let expert = Expert::start(move |entity, earlier| match (entity, earlier) {
            ("E3", 0) => Reply::Status(status, body, None),
            _ => Reply::Write(right()),
        });
        let (folder, expert) = (Folder::new(40), expert.await);
        let summary = folder.run(&asking(&expert)).await;
        let Some(Stop::Expert(why)) = &summary.stopped else {
            panic!("{status}: {summary:?}");
        };
        assert!(why.starts_with(&status.to_string()), "{why}");
        assert!(summary.requests < 30, "{status}: {}", summary.requests);
        assert_eq!(summary.rejected[&Reason::Unanswered], 40 - summary.answered);
        let rest = folder.run(&resumed(&asking(&expert))).await;
        assert_eq!((rest.kept, rest.resumed), (40, summary.answered));
        let counts = expert.counts();
        let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
        assert_eq!(twice, [(&"E3".to_owned(), &2)], "{status}");
    }
}

#[tokio::test]
async fn refusals_without_any_answer_end_the_run() {
    let expert = Expert::start(|_, _| Reply::Status(400, "unknown parameter", None)).await;
    let folder = Folder::new(40);
    let summary = folder.run(&asking(&expert)).await;
    assert!(
        matches!(summary.stopped, Some(Stop::Expert(_))),
        "{summary:?}"
    );
    assert!(summary.requests < 25, "{}", summary.requests);
}

/// A key goes where the user sent it.
#[tokio::test]
async fn nobody_is_asked_in_the_place_of_the_expert() {
    let other = Expert::right().await;
    let address = format!("{}/chat/completions", other.base_url);
    let expert = Expert::start(move |_, _| Reply::Moved(address.clone())).await;
    let folder = Folder::new(2);
    let summary = folder.run(&asking(&expert)).await;
    let Some(Stop::Expert(why)) = &summary.stopped else {
        panic!("{summary:?}");
    };
    assert!(why.starts_with("307"), "{why}");
    assert!(!expert.asked().is_empty() && other.asked().is_empty());
}

/// Photos that an expert does not like may come first, and more of them than end a run.
#[tokio::test]
async fn refusals_do_not_stand_in_the_way_for_ever() {
    let expert = Expert::start(|entity, _| {
        let number: usize = entity[1..].parse().expect("E and a number");
        match number {
            0..25 => Reply::Status(400, r#"{"error": "not this photo"}"#, None),
            _ => Reply::Write(right()),
        }
    });
    let (folder, expert) = (Folder::new(30), expert.await);
    let first = folder.run(&asking(&expert)).await;
    assert!(matches!(first.stopped, Some(Stop::Expert(_))), "{first:?}");
    assert_eq!(first.answered, 0);
    let refused = first.rejected[&Reason::Refused];
    assert!((20..25).contains(&refused), "{first:?}");
    let rest = folder.run(&resumed(&asking(&expert))).await;
    assert_eq!((&rest.stopped, rest.kept), (&None, 5), "{rest:?}");
    assert_eq!(rest.rejected, [(Reason::Refused, 25)].into());
    // Those that are left were all refused before: that says nothing new about the expert.
    let again = folder.run(&resumed(&asking(&expert))).await;
    assert_eq!((&again.stopped, again.kept, again.requests), (&None, 5, 25));
}

/// Why a question was given up is known without the expert.
#[tokio::test]
async fn reasons_outlive_the_run() {
    let expert = Expert::start(|entity, _| match entity {
        "E1" => Reply::Status(400, r#"{"error": "not this photo"}"#, None),
        "E2" => Reply::Status(500, "oops", None),
        _ => Reply::Write(right()),
    });
    let (folder, expert) = (Folder::new(4), expert.await);
    let summary = folder.run(&asking(&expert)).await;
    let before = folder.rejected();
    let judged = filter(&folder.job).expect("readable files");
    assert_eq!(judged.rejected, summary.rejected);
    assert_eq!(folder.rejected(), before);
    assert_eq!(before["E1"]["detail"], "400 Bad Request: not this photo");
    // A run that ends early knows them too.
    let broke = Asking {
        budget: Some(0.0),
        ..resumed(&asking(&expert))
    };
    let early = folder.run(&broke).await;
    assert_eq!(early.stopped, Some(Stop::Budget));
    assert_eq!(early.rejected, summary.rejected);
}

#[tokio::test]
async fn an_expert_without_time_ends_the_run() {
    let expert = Expert::start(|_, _| Reply::Status(429, "{}", None)).await;
    let asking = Asking {
        failures: 6,
        ..asking(&expert)
    };
    let folder = Folder::new(12);
    let summary = folder.run(&asking).await;
    let Some(Stop::Expert(why)) = &summary.stopped else {
        panic!("{summary:?}");
    };
    assert!(
        why.contains("in a row failed") && why.contains("429"),
        "{why}"
    );
    assert!(summary.requests < 4 * 6, "{}", summary.requests);
    assert!(summary.rejected[&Reason::Unanswered] > 6, "{summary:?}");

    // One that finds time in the end is no dead one, however often it had none before.
    let expert = Expert::start(|_, earlier| match earlier {
        0..3 => Reply::Status(429, "{}", None),
        _ => Reply::Write(right()),
    });
    let expert = expert.await;
    let asking = Asking {
        expert: ExpertSettings {
            base_url: expert.base_url.clone(),
            ..asking.expert
        },
        ..asking
    };
    assert_eq!(Folder::new(12).run(&asking).await.kept, 12);
}

/// Too few questions for a row of failures are still too many without an answer.
#[tokio::test]
async fn a_dead_expert_is_none_for_two_questions_either() {
    let expert = Expert::start(|_, _| Reply::Status(503, "oops", None)).await;
    let folder = Folder::new(2);
    let summary = folder.run(&asking(&expert)).await;
    let Some(Stop::Expert(why)) = &summary.stopped else {
        panic!("{summary:?}");
    };
    assert!(why.starts_with("503"), "{why}");
    assert_eq!(summary.rejected, [(Reason::Failed, 2)].into());
}

/// `Retry-After` is for everybody, also where its question is given up.
#[tokio::test]
async fn who_gives_up_lets_the_others_wait() {
    let expert = Expert::start(|entity, _| match entity {
        "E0" => Reply::Status(429, "{}", Some(1)),
        _ => Reply::Write(right()),
    });
    let (folder, expert) = (Folder::new(2), expert.await);
    let asking = Asking {
        concurrency: 1,
        retries: 0,
        ..asking(&expert)
    };
    let summary = folder.run(&asking).await;
    assert_eq!((summary.kept, summary.requests), (1, 2));
    let times: Vec<Instant> = expert.asked().iter().map(|it| it.at).collect();
    assert!(times[1] - times[0] >= Duration::from_secs(1), "{times:?}");
}

/// Under a budget the first request goes alone; an expert that does not say what it took is then asked by several all the same.
#[tokio::test]
async fn an_expert_that_does_not_count_keeps_nobody_waiting() {
    let (folder, expert) = (Folder::new(5), Expert::start(|_, _| Reply::Silent).await);
    let asking = Asking {
        budget: Some(10.0),
        ..asking(&expert)
    };
    assert_eq!(folder.run(&asking).await.kept, 5);
    assert!(expert.most() > 1);
}

/// `Retry-After` is also for those whose turn was given out before.
#[tokio::test]
async fn who_has_a_turn_waits_too() {
    let number = AtomicUsize::new(0);
    let expert = Expert::start(move |_, _| match number.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::Status(429, "{}", Some(1)),
        _ => Reply::Write(right()),
    });
    let (folder, expert) = (Folder::new(3), expert.await);
    let asking = Asking {
        per_minute: 120,
        ..asking(&expert)
    };
    assert_eq!(folder.run(&asking).await.kept, 3);
    let times: Vec<Instant> = expert.asked().iter().map(|it| it.at).collect();
    assert!(times[1] - times[0] >= Duration::from_secs(1), "{times:?}");
}

/// What is claimed to be more than anybody can take says nothing.
#[tokio::test]
async fn an_impossible_count_is_none() {
    let expert = Expert::start(|_, _| Reply::Boast).await;
    let folder = Folder::new(3);
    let summary = folder.run(&asking(&expert)).await;
    assert_eq!((summary.kept, summary.usage.completion_tokens), (3, 300));
}

/// An expert that closes connections it kept open is asked on a new one.
#[tokio::test]
async fn no_connection_is_used_twice() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let expert = Expert::right().await; // only for the settings around it
    let mut asking = asking(&expert);
    asking.expert.base_url = format!("http://{address}/v1");
    asking.concurrency = 1;
    let paths = Router::new().fallback(|_: String| async {
        let message = json!({"role": "assistant", "content": right()});
        axum::Json(json!({"choices": [{"message": message}]}))
    });
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let listener = listener.tap_io(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    tokio::spawn(async move { axum::serve(listener, paths).await });
    assert_eq!(Folder::new(3).run(&asking).await.kept, 3);
    assert_eq!(connections.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_dead_expert_ends_the_run_and_takes_nothing_along() {
    let (folder, expert) = (Folder::new(12), Expert::right().await);
    let asking = Asking {
        budget: Some(0.07), // for three answers
        ..asking(&expert)
    };
    let first = folder.run(&asking).await;
    let dead = Asking {
        expert: ExpertSettings {
            // Port 9 (discard) is closed wherever tests run.
            base_url: "http://127.0.0.1:9/v1".to_owned(),
            ..asking.expert.clone()
        },
        failures: 6,
        budget: None,
        ..resumed(&asking)
    };
    let summary = folder.run(&dead).await;
    let Some(Stop::Expert(why)) = &summary.stopped else {
        panic!("{summary:?}");
    };
    assert!(why.contains("6 requests in a row failed"), "{why}");
    assert!(why.contains("cannot be reached"), "{why}");
    assert!(summary.requests <= 8, "{}", summary.requests);
    assert_eq!(summary.resumed, first.answered);
    assert!(
        (summary.cost - first.cost).abs() < 1e-9,
        "nothing was asked"
    );
    let rest = Asking {
        budget: None,
        ..resumed(&asking)
    };
    assert_eq!(folder.run(&rest).await.kept, 12);
    once_each(&expert, 12);
}

#[tokio::test]
async fn the_budget_holds_and_nobody_is_asked_twice() {
    let (folder, expert) = (Folder::new(20), Expert::right().await);
    let asking = Asking {
        concurrency: 8,
        budget: Some(0.13), // for six answers
        ..asking(&expert)
    };
    let first = folder.run(&asking).await;
    assert_eq!((&first.stopped, first.answered), (&Some(Stop::Budget), 6));
    assert!(first.cost <= 0.13, "{first:?}");
    // What was spent counts on.
    let none = folder.run(&resumed(&asking)).await;
    assert_eq!((&none.stopped, none.requests), (&Some(Stop::Budget), 0));
    let more = Asking {
        budget: Some(1.0),
        ..resumed(&asking)
    };
    let rest = folder.run(&more).await;
    assert_eq!((&rest.stopped, rest.kept, rest.resumed), (&None, 20, 6));
    assert!((rest.cost - 0.4).abs() < 1e-9, "{rest:?}");
    once_each(&expert, 20);
}

/// A run that was killed while it wrote an answer down.
#[tokio::test]
async fn a_torn_line_is_asked_again_and_no_other() {
    let (folder, expert) = (Folder::new(5), Expert::right().await);
    folder.run(&asking(&expert)).await;
    std::fs::remove_file(&folder.job.out).expect("it was written");
    let journal = std::fs::read(&folder.job.journal).expect("it was written");
    std::fs::write(&folder.job.journal, &journal[..journal.len() - 40]).expect("writable");
    let summary = folder.run(&resumed(&asking(&expert))).await;
    assert_eq!((summary.kept, summary.resumed, summary.requests), (5, 4, 1));
    assert_eq!(expert.asked().len(), 6);
    assert_eq!(expert.counts().len(), 5);
}

/// Without `--resume` nothing that was paid for is touched.
#[tokio::test]
async fn a_journal_is_never_begun_anew() {
    let (folder, expert) = (Folder::new(2), Expert::right().await);
    folder.run(&asking(&expert)).await;
    for _ in 0..2 {
        let error = run(&folder.job, &asking(&expert))
            .await
            .expect_err("it is there");
        assert!(error.to_string().contains("--resume"), "{error}");
        let _ = std::fs::remove_file(&folder.job.out); // the journal alone is enough
    }
    std::fs::remove_file(&folder.job.journal).expect("it was written");
    let error = run(&folder.job, &asking(&expert)).await;
    let error = error.expect_err("the rejected facts are there");
    assert!(error.to_string().contains(".rejected"), "{error}");
    once_each(&expert, 2);
}

#[tokio::test]
async fn no_more_requests_at_a_time_than_allowed() {
    let expert = Expert::start(|_, _| Reply::Late(Duration::from_millis(100))).await;
    let folder = Folder::new(12);
    folder.run(&asking(&expert)).await;
    assert_eq!(expert.most(), 3);
}

#[tokio::test]
async fn no_more_requests_a_minute_than_allowed() {
    let expert = Expert::start(|_, earlier| match earlier {
        0 => Reply::Status(500, "", None),
        _ => Reply::Write(right()),
    });
    let (folder, expert) = (Folder::new(4), expert.await);
    let asking = Asking {
        concurrency: 8,
        per_minute: 600,
        ..asking(&expert)
    };
    let begin = Instant::now();
    folder.run(&asking).await;
    let times: Vec<Instant> = expert.asked().iter().map(|it| it.at).collect();
    assert_eq!(times.len(), 8);
    for (turn, time) in (0..).zip(&times) {
        // One every 100 ms; what lies between sending and noting only makes them later.
        let earliest = begin + Duration::from_millis(100 * turn);
        assert!(*time >= earliest, "{times:?}");
    }
}

/// The mini is no expert, but it takes the same road.
#[tokio::test(flavor = "multi_thread")]
async fn our_own_service_can_be_the_expert() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let files = Files::Dir(root.join("mini"));
    let extractor = Extractor::open("mini", &files, Ontology::more().clone(), Options::default());
    let state = AppState::new(Setup {
        limits: RequestLimits {
            image: vision::Limits::default(),
            ..LIMITS
        },
        ..setup(DEADLINE)
    });
    let extractor = Arc::new(extractor.expect("the shipped checkpoint"));
    state.install(Engine::start(extractor, 4).expect("a thread"));
    let running = socket::start(state, Duration::from_secs(5)).await;

    let folder = Folder::new(3);
    let expert = Expert::right().await; // only for the settings around it
    let mut asking = asking(&expert);
    asking.expert.base_url = format!("http://{}/v1", running.address);
    asking.expert.model = "mini".to_owned();
    asking.expert.max_tokens = 32;
    asking.expert.patience = DEADLINE;
    let summary = folder.run(&asking).await;
    assert_eq!(summary.stopped, None);
    assert_eq!((summary.records, summary.answered), (3, 3), "{summary:?}");
    assert!(summary.usage.prompt_tokens > 300, "{summary:?}");
    let reasons: BTreeSet<Reason> = summary.rejected.keys().copied().collect();
    let judged = [
        Reason::Structure,
        Reason::Label,
        Reason::Leak,
        Reason::Short,
        Reason::Long,
    ];
    assert!(reasons.is_subset(&judged.into()), "{summary:?}");
    assert_eq!(folder.kept().len() + folder.rejected().len(), 3);
}
