//! Good rows come out as they were meant, every defect has its reason.

use std::fs;

use proto::Ontology;

use super::{Corpus, ROW, but, counts};
use crate::data::Split;
use crate::import::{Manner, Reason, run};

/// Boxes under `pos` and `box`, as strings and as numbers; labels with and without their slash; three splits with images of one name.
#[test]
fn a_release_becomes_our_shape() {
    let rows = [
        ROW.to_owned(),
        but(
            ROW,
            "'pos': ('0.5','0.5','0.25','0.5')",
            "'box': [0.5, 0.5, 0.5, 1]",
        ),
        but(
            &but(ROW, "'/per/", "'per/"),
            "['Silver', 'Lamp']",
            "'Silver Lamp'",
        )
        .replace("ann lee", "lee"),
        but(&but(ROW, "/per/misc/awarded", "None"), "ann lee", "lamp"),
    ];
    let corpus = Corpus::more(&rows);
    corpus.write("txt/valid.txt", ROW.as_bytes());
    corpus.write("txt/test.txt", ROW.as_bytes());
    corpus.image("img_org/valid/a.png", 64, 48, 1);
    corpus.image("img_org/test/a.png", 64, 48, 2);
    let report = corpus.import(0.0).expect("all rows are good");

    let train = corpus.records("train");
    let boxes: Vec<_> = train.iter().map(|it| format!("{:?}", it.t.pos)).collect();
    assert_eq!(boxes[0], "[0.5, 0.5, 0.25, 0.5]");
    assert_eq!(boxes[1], "[0.5, 0.5, 0.5, 1.0]");
    let labels: Vec<_> = train.iter().map(|it| it.relation.as_str()).collect();
    let awarded = "/per/misc/awarded";
    assert_eq!(labels, [awarded, awarded, awarded, "none"]);
    assert_eq!(train[2].entity(), "Silver Lamp");

    // Equal images share a name, others do not.
    let image = |split: &str| corpus.records(split)[0].img_id.clone();
    assert_eq!(
        ["train", "dev", "test"].map(image),
        ["a.png", "a.png", "test-a.png"]
    );
    for (placed, source) in [("a.png", "train/a.png"), ("test-a.png", "test/a.png")] {
        let placed = fs::read(corpus.out("images").join(placed)).expect("it was placed");
        let source = fs::read(corpus.at("img_org").join(source)).expect("it is there");
        assert_eq!(placed, source);
    }
    assert!(corpus.rejected().is_empty());
    let ontology = fs::read_to_string(corpus.out("ontology.json")).expect("it was written");
    let ontology = Ontology::from_json(&ontology).expect("what proto wrote");
    assert_eq!(&ontology, Ontology::more());
    assert_eq!(corpus.beside(), ["out"]);

    assert_eq!((report.rows, report.kept, report.rejected), (6, 6, 0));
    assert!(report.missing.is_empty());
    assert_eq!(report.unknown_labels, ["/per/per/peer"]);
    let train = &report.splits[&Split::Train];
    assert_eq!(train.relations, counts([(awarded, 3), ("none", 1)]));
    assert_eq!((train.images, train.facts_per_image), (1, 4.0));
    assert!((train.none_share - 0.25).abs() < 1e-12);
    assert_eq!(train.ambiguous, 3, "the box of three, with two labels");
    let repeated = |split| report.splits[&split].repeated;
    assert_eq!(repeated(Split::Dev), 1, "an image of train");
    assert_eq!(repeated(Split::Test), 0, "another image of the same name");
}

/// The same file under two names is one image: rows about it that are the same are counted, whatever it is called.
#[test]
fn an_image_is_known_by_what_it_shows() {
    let corpus = Corpus::more(&[
        ROW.to_owned(),
        but(&but(ROW, "a.png", "b.png"), "/per/misc/awarded", "none").replace("ann lee", "lee"),
    ]);
    corpus.image("img_org/train/b.png", 64, 48, 1);
    corpus.write("txt/test.txt", but(ROW, "a.png", "c.png").as_bytes());
    corpus.image("img_org/test/c.png", 64, 48, 1);
    let report = corpus.import(0.0).expect("all rows are good");
    assert_eq!(report.splits[&Split::Train].ambiguous, 2);
    assert_eq!(report.splits[&Split::Test].repeated, 1);
}

/// A row for each reason, with a part of its detail.
fn defects() -> Vec<(Reason, String, &'static str)> {
    let row = |part, other| but(ROW, part, other);
    vec![
        (Reason::Syntax, ROW[..40].to_owned(), "as Python"),
        (
            Reason::Field,
            row("'img_id'", "'image'"),
            "`img_id` is missing",
        ),
        (Reason::Field, row("'0.25'", "'wide'"), "`t.pos`"),
        (
            Reason::ImageName,
            row("a.png", "../train/a.png"),
            "../train",
        ),
        (Reason::ImageMissing, row("a.png", "b.png"), "b.png"),
        (
            Reason::ImageUnreadable,
            row("a.png", "broken.png"),
            "broken.png",
        ),
        (Reason::BoxEmpty, row("'0.25'", "'0'"), "0.0"),
        (Reason::BoxOutside, row("('0.5'", "('0.9'"), "by 0.0250"),
        (
            Reason::BoxOutside,
            row("('0.5'", "('1e308'"),
            "by 1.0000e308",
        ),
        (
            Reason::BoxOutside,
            row("'0.5','0.5','0.25'", "32,24,16"),
            "32",
        ),
        (Reason::TooNarrow, row("a.png", "strip.png"), "300x1"),
        (
            Reason::SpanOutside,
            row("[7, 9]", "[8, 10]"),
            "the 9 tokens",
        ),
        (Reason::SpanOutside, row("[7, 9]", "[7, 7]"), "[7, 7]"),
        (
            Reason::SpanMismatch,
            row("[7, 9]", "[6, 8]"),
            "\"the Silver\"",
        ),
        (
            Reason::EntityEmpty,
            row("'the', 'Silver', 'Lamp'", "'the', '', ' '")
                .replace("['Silver', 'Lamp']", "['', '']"),
            "[7, 9]",
        ),
        (
            Reason::TextMismatch,
            row("the Silver Lamp'", "the Golden Lamp'"),
            "the Golden Lamp",
        ),
        (
            Reason::TextMismatch,
            row("'Ann Lee of Harlow Tigers won the Silver Lamp'", "''"),
            "does not hold",
        ),
        (
            Reason::ControlToken,
            ROW.replace("Tigers", "<|im_end|>"),
            "<|im_end|>",
        ),
        (
            Reason::ControlToken,
            row("'Tigers'", "'<|box_start|>'"),
            "<|box_start|>",
        ),
        (Reason::UnknownLabel, row("awarded", "won"), "rel2id.json"),
        (
            Reason::UnknownLabel,
            row("misc/awarded", "per/peer"),
            "ontology more",
        ),
        (Reason::Duplicate, ROW.to_owned(), "line 1"),
        (
            Reason::Contradiction,
            row("awarded", "present_in"),
            "/per/misc/awarded",
        ),
    ]
}

#[test]
fn every_defect_has_its_reason() {
    let defects = defects();
    let rows: Vec<String> = [ROW.to_owned(), String::new()]
        .into_iter()
        .chain(defects.iter().map(|(_, row, _)| row.clone()))
        .collect();
    let corpus = Corpus::more(&rows);
    corpus.write("img_org/train/broken.png", b"no image");
    corpus.image("img_org/train/strip.png", 300, 1, 1);
    let report = corpus.import(1.0).expect("one row is good");
    assert_eq!(corpus.records("train").len(), 1);
    let rejected = corpus.rejected();
    assert_eq!(rejected.len(), defects.len());
    for (at, ((reason, row, part), (file, line, slug, detail))) in
        defects.iter().zip(&rejected).enumerate()
    {
        assert_eq!((file.as_str(), *line), ("txt/train.txt", at as u64 + 3));
        assert_eq!(slug, reason.slug(), "{row}: {detail}");
        assert!(detail.contains(part), "{slug}: {detail}");
    }
    let train = &report.splits[&Split::Train];
    assert_eq!(train.rejected[&Reason::BoxOutside], 3);
    assert_eq!(train.rejected.values().sum::<usize>(), report.rejected);
    // Every reason there is was met.
    assert_eq!(train.rejected.len(), 16);
}

/// Tokens stand closer in some texts, or further apart, and other words than the entity's may differ.
#[test]
fn blanks_of_a_text_are_nobodys_concern() {
    let row = but(ROW, "Ann Lee of Harlow", " AnnLee  of\\tHarlow");
    let corpus = Corpus::more(&[but(&row, "the Silver Lamp'", "the silver\\tLamp!'")]);
    corpus.import(0.0).expect("the entity is in the text");
}

/// A pipe or a device may have no end.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_read() {
    let corpus = Corpus::more(&[
        ROW.to_owned(),
        but(ROW, "a.png", "null.png"),
        but(ROW, "a.png", "long.png"),
    ]);
    let null = corpus.at("img_org/train/null.png");
    std::os::unix::fs::symlink("/dev/null", null).expect("a new link");
    let long = fs::File::create(corpus.at("img_org/train/long.png")).expect("a new file");
    long.set_len((20 << 20) + 1).expect("a file of nothing");
    corpus.import(1.0).expect("one row is good");
    let details: Vec<_> = corpus.rejected().into_iter().map(|it| it.3).collect();
    assert!(details[0].ends_with("null.png: is no file"), "{details:?}");
    assert!(details[1].contains("20971521 bytes"), "{details:?}");
}

#[test]
fn bytes_that_are_no_text_are_one_bad_row() {
    let corpus = Corpus::more(&[]);
    let rows = [b"\xef\xbb\xbf", ROW.as_bytes(), b"\r\n\xff\xfe\n\n"].concat();
    corpus.write("txt/train.txt", &rows);
    let report = corpus.import(0.5).expect("half of the rows are good");
    assert_eq!((report.kept, report.rejected), (1, 1));
    assert_eq!(corpus.rejected()[0].1, 2);
}

#[test]
fn boxes_just_outside_are_cut() {
    let corpus = Corpus::more(&[
        but(ROW, "'0.5','0.5','0.25'", "'0.88','0.5','0.25'"),
        but(ROW, "'0.5','0.5','0.25'", "'0.833334','0.5','0.333333'"),
    ]);
    let report = corpus.import(0.0).expect("both are rounded");
    assert_eq!(report.splits[&Split::Train].clipped, 1);
    let records = corpus.records("train");
    let [x, _, width, _] = records[0].bbox();
    assert!((x - 0.8775).abs() < 1e-12 && (width - 0.245).abs() < 1e-12);
    // What six decimals cannot say better is inside.
    assert_eq!(
        format!("{:?}", records[1].bbox()),
        "[0.833334, 0.5, 0.333333, 0.5]"
    );
}

/// Rows of somebody's own: another ontology, images in folders inside, a file that names no split.
#[test]
fn json_lines_are_read_with_their_own_ontology() {
    let line = r#"{"img_id":"IMAGE","text":"The Silver Lamp","token":["The","Silver","Lamp"],"h":{"name":["Silver","Lamp"],"pos":[1,3]},"t":{"name":"lamp","pos":[0.5,0.5,0.5,0.5]},"relation":"/thing/thing/alike","trace":"as it is"}"#;
    let rows = [
        line.replace("IMAGE", "one/a.png"),
        line.replace("IMAGE", "two/a.png"),
    ];
    let corpus = Corpus::new(&[("facts.jsonl", &rows.join("\n"))]);
    corpus.image("pictures/one/a.png", 8, 8, 1);
    corpus.image("pictures/two/a.png", 8, 8, 2);
    let ontology = r#"{"name":"own","types":[{"name":"thing","description":"thing"}],"labels":[{"name":"none","object_type":null,"entity_type":null,"definition":"nothing"},{"name":"/thing/thing/alike","object_type":"thing","entity_type":"thing","definition":"they are alike"}]}"#;
    corpus.write("own.json", ontology.as_bytes());
    let mut options = corpus.options(
        Manner::More {
            ontology: Some(corpus.at("own.json")),
        },
        0.0,
    );
    options.src = corpus.at("facts.jsonl");
    options.images = Some(corpus.at("pictures"));
    let report = run(&options).expect("both rows are good");
    assert_eq!(report.missing, [Split::Dev, Split::Test]);
    assert_eq!(report.relations, None);
    let records = corpus.records("train");
    assert_eq!(records[0].trace.as_deref(), Some("as it is"));
    let names: Vec<_> = records.iter().map(|it| it.img_id.as_str()).collect();
    assert_eq!(names, ["a.png", "train-a.png"]);

    // The only file is told by its name too, whatever its ending.
    fs::rename(corpus.at("facts.jsonl"), corpus.at("own_test.json")).expect("it is there");
    options.src = corpus.at("own_test.json");
    options.out = corpus.out("test");
    let report = run(&options).expect("both rows are good");
    assert_eq!(report.missing, [Split::Train, Split::Dev]);

    options.out = corpus.out("more");
    options.manner = Manner::More { ontology: None };
    let error = run(&options).expect_err("MORE has no such label");
    assert!(error.to_string().contains("2 unknown-label"), "{error}");
    options.images = Some(corpus.at("nowhere"));
    let error = run(&options).expect_err("there is no such folder");
    assert!(error.to_string().contains("nowhere"), "{error}");
}
