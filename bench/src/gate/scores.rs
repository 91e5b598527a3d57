//! The scores of a random checkpoint's answers, and the rows of its vision tower, on one device against another. Everything is asked of
//! the engine: chosen tokens of a free answer, then all log-probabilities of the reference's tokens, chosen one by one.

use std::sync::Arc;

use burn::tensor::DType;
use model::engine::{Job, Limits, Picture, Settings};
use model::extract::question_ids;
use model::generate::Completion;
use model::{Checkpoint, Engine};
use proto::{Ontology, Template};

use super::Verdict;
use crate::Error;
use crate::jobs::{Endless, Recited, ids, job, picture, plain};

/// Tokens of an answer.
const ANSWER: usize = 24;

/// Of the reference's spread (standard deviation), root mean square: what 16 bits may be off. Two attention kernels of one library
/// differ by as much.
const HALF: f64 = 0.03;

/// The same in f32. Sums in another order move scores by some 1e-6 of their spread, TF32 products by 3e-4.
const FULL: f64 = 1e-3;

/// A reference's best two scores have to be so many errors apart to be told apart.
const ERRORS: f64 = 3.0;

/// Scores by place of the answer and id, the mean of a place taken off: that is lost when probabilities are made of them.
type Scores = Vec<Vec<f32>>;

/// What the reference says.
pub struct Expected {
    answers: Vec<(Vec<u32>, Scores)>,
    rows: Vec<Vec<f32>>,
}

impl Expected {
    /// Asks `reference`, one question after another.
    ///
    /// # Errors
    /// Words that have no place in the checkpoint.
    pub fn of(reference: Checkpoint) -> Result<Self, Error> {
        let reference = Arc::new(reference.for_answering());
        let questions = questions(&reference)?;
        let answers = questions.iter().map(|question| {
            let completion = run(&reference, vec![question.free(&reference)]).remove(0);
            let scores = scores(&reference, &completion);
            (completion.token_ids, scores)
        });
        Ok(Self {
            answers: answers.collect(),
            rows: rows(&reference, &questions),
        })
    }

    /// How far the best score is ahead of the second, in spreads, where it is least: greedy tokens that differ by rounding alone would
    /// differ there.
    pub fn closest(&self) -> f64 {
        let places = self.answers.iter().flat_map(|(_, scores)| scores);
        let spread = spread(places.clone().flatten().copied());
        let gaps = places.map(|place| f64::from(gap(place)));
        gaps.fold(f64::INFINITY, f64::min) / spread
    }

    /// Asks `candidate` all questions at once.
    ///
    /// # Errors
    /// As [`Expected::of`].
    pub fn judge(&self, candidate: Checkpoint, which: &str) -> Result<Vec<Verdict>, Error> {
        let exact = candidate.network.dtype() == DType::F32;
        let candidate = Arc::new(candidate.for_answering());
        let questions = questions(&candidate)?;
        let limit = if exact { FULL } else { HALF };
        let mut verdicts = vec![];
        if exact {
            let jobs = questions.iter().map(|it| it.free(&candidate)).collect();
            let said = run(&candidate, jobs);
            let pairs = said.iter().zip(&self.answers);
            let other = pairs.filter(|(said, (ids, _))| said.token_ids != *ids);
            verdicts.push(Verdict {
                check: format!("greedy answers that differ ({which})"),
                unit: "answers",
                value: other.count() as f64,
                limit: 0.0,
                at_least: false,
                note: format!(
                    "of {}; the closest choice is {:.1e} spreads apart",
                    said.len(),
                    self.closest()
                ),
            });
        }
        let jobs = questions.iter().zip(&self.answers);
        let jobs = jobs
            .map(|(question, (ids, _))| question.recited(ids))
            .collect();
        let said = run(&candidate, jobs);
        let found: Vec<Scores> = said.iter().map(|it| scores(&candidate, it)).collect();
        verdicts.extend(self.compared(&found, which, limit));
        let found = rows(&candidate, &questions);
        let expected = || self.rows.iter().flatten().copied();
        verdicts.push(Verdict {
            check: format!("vision rows' error ({which})"),
            unit: "spreads",
            value: distance(expected(), found.iter().flatten().copied()) / spread(expected()),
            limit,
            at_least: false,
            note: String::new(),
        });
        Ok(verdicts)
    }

    fn compared(&self, found: &[Scores], which: &str, limit: f64) -> [Verdict; 2] {
        let expected = || self.answers.iter().flat_map(|(_, scores)| scores);
        let found = || found.iter().flatten();
        let flat = || expected().flatten().copied();
        let error = distance(flat(), found().flatten().copied());
        let told = |place: &&Vec<f32>| f64::from(gap(place)) > ERRORS * error;
        let apart = expected().filter(told).count();
        let pairs = expected().zip(found()).filter(|(place, _)| told(place));
        let other = pairs.filter(|(expected, found)| best(expected) != best(found));
        [
            Verdict {
                check: format!("scores' error ({which})"),
                unit: "spreads",
                value: error / spread(flat()),
                limit,
                at_least: false,
                note: format!("{} places, all ids of each", expected().count()),
            },
            Verdict {
                check: format!("best tokens that differ ({which})"),
                unit: "places",
                value: other.count() as f64,
                limit: 0.0,
                at_least: false,
                note: format!("of {apart} whose best two are more than {ERRORS} errors apart"),
            },
        ]
    }
}

/// A prompt and its pictures.
struct Question {
    prompt: model::checkpoint::Prompt,
    pictures: Vec<Picture>,
}

impl Question {
    /// Answered as the model likes, all scores kept.
    fn free(&self, checkpoint: &Checkpoint) -> Job {
        let mut job = job(
            self.prompt.clone(),
            &self.pictures,
            ANSWER,
            Endless::new(checkpoint),
        );
        job.top_logprobs = checkpoint.config.text.vocab_size;
        job
    }

    /// Answered with `ids`, all scores kept.
    fn recited(&self, ids: &[u32]) -> Job {
        let guide = Recited::new(ids.to_vec());
        let mut job = job(self.prompt.clone(), &self.pictures, ids.len(), guide);
        job.top_logprobs = usize::MAX;
        job
    }
}

/// The task's question in both orders with a photo and a crop, and bare ids: fewer than a block, and more than two.
fn questions(checkpoint: &Checkpoint) -> Result<Vec<Question>, Error> {
    let mut questions = vec![];
    for (seed, template) in [(1, Template::Paper), (2, Template::Prefix)] {
        let pictures = [((200, 150), seed), ((60, 90), seed + 7)];
        let pictures = pictures
            .map(|(size, seed)| Ok(Picture::new(picture(checkpoint, size, seed)?)))
            .into_iter()
            .collect::<Result<Vec<_>, Error>>()?;
        let grids: Vec<_> = pictures.iter().map(|it| it.patches.grid).collect();
        let text = "The Silver Lamp goes to Walter Finch, a regular of Harlow Tigers";
        let ids = question_ids(checkpoint, template, Ontology::more(), text, "Silver Lamp")?;
        questions.push(Question {
            prompt: checkpoint.prompt(&ids, &grids)?,
            pictures,
        });
    }
    questions.extend([(3, 5), (4, 77)].map(|(seed, length)| Question {
        prompt: plain(checkpoint, &ids(seed, length)),
        pictures: vec![],
    }));
    Ok(questions)
}

/// Runs `jobs` together on an engine without a past.
fn run(checkpoint: &Arc<Checkpoint>, jobs: Vec<Job>) -> Vec<Completion> {
    let settings = Settings {
        limits: Limits {
            sequences: jobs.len(),
            ..Limits::default()
        },
        lanes: 1,
        ..Settings::default()
    };
    let completions = Engine::new(Arc::clone(checkpoint), &settings).run(jobs);
    completions
        .into_iter()
        .map(|it| it.expect("short answers"))
        .collect()
}

/// The scores behind a completion, by id.
fn scores(checkpoint: &Checkpoint, completion: &Completion) -> Scores {
    let vocab = checkpoint.config.text.vocab_size;
    let place = |top: &Vec<(u32, f32)>| {
        assert_eq!(top.len(), vocab, "scores of all ids");
        let mean = top.iter().map(|(_, score)| score).sum::<f32>() / vocab as f32;
        let mut scores = vec![0.0; vocab];
        for &(id, score) in top {
            scores[id as usize] = score - mean;
        }
        scores
    };
    completion.tops.iter().map(place).collect()
}

/// What the tower makes of the pictures, each alone.
fn rows(checkpoint: &Checkpoint, questions: &[Question]) -> Vec<Vec<f32>> {
    let pictures = questions.iter().flat_map(|it| &it.pictures);
    let rows = |picture: &Picture| {
        let rows = checkpoint.network.encode_images(&[&*picture.patches]);
        let rows = rows.cast(DType::F32).into_data().try_into_vec();
        rows.expect("cast to f32")
    };
    pictures.map(rows).collect()
}

/// Root mean square of the differences; infinite where they are no numbers.
fn distance(a: impl Iterator<Item = f32>, b: impl Iterator<Item = f32>) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for (a, b) in a.zip(b) {
        sum += (f64::from(a) - f64::from(b)).powi(2);
        count += 1;
    }
    let distance = (sum / f64::from(count)).sqrt();
    if distance.is_finite() {
        distance
    } else {
        f64::INFINITY
    }
}

/// Standard deviation.
fn spread(values: impl Iterator<Item = f32> + Clone) -> f64 {
    let count = values.clone().count() as f64;
    let mean = values.clone().map(f64::from).sum::<f64>() / count;
    let square: f64 = values.map(|it| (f64::from(it) - mean).powi(2)).sum();
    (square / count).sqrt()
}

/// How far the best score is ahead of the second.
fn gap(place: &[f32]) -> f32 {
    let (mut first, mut second) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
    for &score in place {
        if score > first {
            (first, second) = (score, first);
        } else if score > second {
            second = score;
        }
    }
    first - second
}

fn best(place: &[f32]) -> Option<usize> {
    (0..place.len()).max_by(|&a, &b| place[a].total_cmp(&place[b]))
}
