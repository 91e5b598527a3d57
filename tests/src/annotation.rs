//! What the tests of `data annotate` share: records in a folder, and an impatient way to ask. The expert is `expert.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::Ontology;
use serde_json::{Value, json};
use server::annotate::{Asking, ExpertSettings, Job, Key, Summary, run};
use tempfile::TempDir;
use train::annotate::{Lengths, Prices};
use train::data::{Record, read_records};

use crate::expert::Expert;
use crate::question::photo;

/// Records about the entities `E0`, `E1`, … in one folder, which is gone after the test.
pub struct Folder {
    folder: TempDir,
    /// What becomes of which files.
    pub job: Job,
}

impl Folder {
    /// So many records, all of them `/per/misc/present_in`.
    ///
    /// # Panics
    /// When the system gives no folder.
    pub fn new(records: usize) -> Self {
        let folder = TempDir::new().expect("a folder for the test");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("photo.png"), photo(120, 90)).expect("a new file");
        let lines: Vec<String> = (0..records).map(|it| line(&format!("E{it}"))).collect();
        std::fs::write(path("data.jsonl"), lines.join("\n")).expect("a new file");
        let job = Job {
            data: path("data.jsonl"),
            images: folder.path().to_owned(),
            out: path("out.jsonl"),
            rejected: path("out.jsonl.rejected"),
            journal: path("out.jsonl.journal"),
            ontology: Ontology::more().clone(),
            lengths: Lengths {
                min: 400,
                max: 1000,
            },
            prices: Prices {
                input: 10.0,
                output: 100.0,
            }, // an answer of the script costs 0.02
        };
        Self { folder, job }
    }

    /// The records with traces.
    ///
    /// # Panics
    /// When there are no results.
    pub fn kept(&self) -> Vec<Record> {
        read_records(&self.job.out).expect("it was written")
    }

    /// The entities without a trace, and why.
    ///
    /// # Panics
    /// When there are no results.
    pub fn rejected(&self) -> BTreeMap<String, Value> {
        let text = std::fs::read_to_string(&self.job.rejected).expect("it was written");
        let read = |line: &str| {
            let line: Value = serde_json::from_str(line).expect("a line of JSON");
            let entity = line["record"]["h"]["name"][0].as_str().expect("an entity");
            (entity.to_owned(), line)
        };
        text.lines().map(read).collect()
    }

    /// Runs, and checks what holds for every run.
    ///
    /// # Panics
    /// When it does not.
    pub async fn run(&self, asking: &Asking) -> Summary {
        let before = std::fs::read(&self.job.out).ok();
        let summary = run(&self.job, asking).await.expect("readable files");
        adds_up(&summary);
        if summary.stopped.is_some() {
            assert!(
                std::fs::read(&self.job.out).ok() == before,
                "results are there when they are whole"
            );
        }
        let parts = std::fs::read_dir(&self.folder).expect("a folder");
        let names = parts.map(|it| it.expect("an entry").file_name());
        assert!(
            names
                .into_iter()
                .all(|it| !it.to_string_lossy().contains(".part"))
        );
        summary
    }
}

/// A record about `entity`, as a line of a file.
pub fn line(entity: &str) -> String {
    json!({
        "img_id": "photo.png", "text": format!("{entity} begins today"), "token": [entity, "begins", "today"],
        "h": {"name": [entity], "pos": [0, 1]}, "t": {"name": "player", "pos": [0.5, 0.5, 0.4, 0.6]},
        "relation": "/per/misc/present_in",
    })
    .to_string()
}

/// Checks that every record is somewhere.
///
/// # Panics
/// When one is not.
pub fn adds_up(summary: &Summary) {
    let rejected: usize = summary.rejected.values().sum();
    assert_eq!(summary.kept + rejected, summary.records, "{summary:?}");
}

/// Asks `expert`, quick about everything.
pub fn asking(expert: &Expert) -> Asking {
    Asking {
        expert: ExpertSettings {
            base_url: expert.base_url.clone(),
            model: "expert-1".to_owned(),
            key: Some(Key("sk-secret".to_owned())),
            temperature: Some(0.5),
            max_tokens: 100,
            patience: Duration::from_secs(10),
        },
        concurrency: 3,
        per_minute: 0,
        retries: 3,
        backoff: Duration::from_millis(10),
        failures: 20,
        budget: None,
        resume: false,
    }
}

/// Goes on.
pub fn resumed(asking: &Asking) -> Asking {
    Asking {
        resume: true,
        ..asking.clone()
    }
}
