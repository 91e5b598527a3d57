//! An output is whole or not there; two candidates are refused, what is absent is named.

use std::fs;

use proto::Ontology;

use super::{Corpus, RELATIONS, ROW, but};
use crate::data::{self, Split};
use crate::import::find::SplitFiles;
use crate::import::sort::{Kept, Sorted};
use crate::import::{Error, folder};

#[test]
fn too_many_bad_rows_leave_nothing_behind() {
    let corpus = Corpus::more(&[ROW.to_owned(), ROW.to_owned(), but(ROW, "a.png", "b.png")]);
    let error = corpus.import(0.6).expect_err("two of three are bad");
    let text = error.to_string();
    assert!(
        matches!(
            error,
            Error::Rejected {
                rejected: 2,
                rows: 3,
                ..
            }
        ),
        "{text}"
    );
    assert!(text.contains("1 duplicate (first ") && text.contains("line 2: the same as line 1"));
    assert!(text.contains("1 image-missing"), "{text}");
    assert_eq!(corpus.beside(), Vec::<String>::new());

    let corpus = Corpus::more(&["nothing".to_owned()]);
    let error = corpus.import(1.0).expect_err("no row is good");
    assert!(matches!(error, Error::Nothing { rows: 1, .. }), "{error}");
    assert_eq!(corpus.beside(), Vec::<String>::new());
}

#[test]
fn a_corpus_without_rows_is_told_so() {
    let corpus = Corpus::more(&[]);
    let error = corpus.import(1.0).expect_err("there is nothing to sort");
    assert!(matches!(error, Error::Files(_)), "{error}");
    assert!(error.to_string().ends_with("has no rows"), "{error}");
    assert_eq!(corpus.beside(), Vec::<String>::new());
}

#[test]
fn a_mark_before_the_list_of_relations_is_skipped() {
    let corpus = Corpus::more(&[ROW.to_owned()]);
    corpus.write("rel2id.json", format!("\u{feff}{RELATIONS}").as_bytes());
    corpus.import(0.0).expect("the list is whole");
}

#[test]
fn a_taken_folder_is_left_alone() {
    let corpus = Corpus::more(&[ROW.to_owned()]);
    fs::create_dir(corpus.out("")).expect("a new folder");
    corpus.import(0.0).expect("an empty folder is free");
    let before = fs::read(corpus.out("train.jsonl")).expect("it was written");
    let error = corpus.import(0.0).expect_err("it is not empty any more");
    assert!(
        matches!(error, Error::Files(crate::Error::Config { .. })),
        "{error}"
    );
    assert_eq!(
        fs::read(corpus.out("train.jsonl")).expect("it is there"),
        before
    );
    assert_eq!(corpus.beside(), ["out"]);
}

/// The second image is gone when its turn comes: the first goes too.
#[test]
fn a_write_that_fails_leaves_nothing_behind() {
    let corpus = Corpus::more(&[ROW.to_owned()]);
    let image = corpus.at("img_org/train/a.png");
    let record = data::record(&data::parse_fields(ROW).expect("a dict")).expect("a record");
    let sorted = Sorted {
        files: SplitFiles {
            split: Split::Train,
            rows: corpus.at("txt/train.txt"),
            images: corpus.at("img_org/train"),
        },
        kept: [image.clone(), image.with_file_name("b.png")]
            .map(|image| Kept {
                record: record.clone(),
                hash: blake3::hash(image.as_os_str().as_encoded_bytes()),
                image,
            })
            .into(),
        rejected: vec![],
        clipped: 0,
        repeated: 0,
        ambiguous: 0,
    };
    let (out, src) = (corpus.out(""), corpus.at(""));
    let error = folder::write(&out, &src, Ontology::more(), &[sorted]);
    let error = error.expect_err("there is no second image");
    assert!(error.to_string().contains("b.png"), "{error}");
    assert_eq!(corpus.beside(), Vec::<String>::new());
    assert!(image.is_file());
}

#[test]
fn two_candidates_are_refused() {
    let cases: [(&str, &str, &[&str]); 5] = [
        ("ours_train.txt", "", &["rows of train", "txt/train.txt"]),
        ("ours_rel2id.json", RELATIONS, &["list of relations"]),
        ("images/a.png", "", &["folder of images"]),
        ("img_org/train/a", "", &[]),
        ("txt/._train.txt", "", &[]),
    ];
    for (path, text, parts) in cases {
        let corpus = Corpus::more(&[ROW.to_owned()]);
        corpus.write(path, text.as_bytes());
        match corpus.import(0.0) {
            Ok(_) => assert!(parts.is_empty(), "{path} was overlooked"),
            Err(error) => {
                let text = error.to_string();
                assert!(matches!(error, Error::Files(_)), "{text}");
                assert!(!parts.is_empty(), "{path}: {text}");
                assert!(parts.iter().all(|part| text.contains(part)), "{text}");
            }
        }
    }
    let corpus = Corpus::more(&[ROW.to_owned()]);
    corpus.write("txt/dev.txt", ROW.as_bytes());
    corpus.image("img_org/dev/a.png", 8, 8, 1);
    corpus.image("img_org/val/a.png", 8, 8, 1);
    let error = corpus
        .import(0.0)
        .expect_err("images of dev lie in two folders");
    assert!(error.to_string().contains("the images of dev"), "{error}");
}

#[test]
fn what_is_not_there_is_named() {
    let corpus = Corpus::new(&[]);
    let error = corpus.import(0.0).expect_err("no corpus");
    assert!(error.to_string().contains("no folder"), "{error}");
    corpus.write("notes.txt", b"");
    let error = corpus.import(0.0).expect_err("no images");
    assert!(error.to_string().contains("img_org"), "{error}");
    corpus.image("images/a.png", 8, 8, 1);
    let error = corpus.import(0.0).expect_err("no rows");
    assert!(error.to_string().contains("no file of rows"), "{error}");
    corpus.write("train.txt", ROW.as_bytes());
    corpus.write("rel2id.json", b"[1]");
    let error = corpus.import(0.0).expect_err("a list is no dict");
    assert!(error.to_string().contains("rel2id.json"), "{error}");
}

/// An image that is itself a link arrives as a file.
#[cfg(unix)]
#[test]
fn linked_images_arrive_whole() {
    let corpus = Corpus::more(&[but(ROW, "a.png", "link.png")]);
    let link = corpus.at("img_org/train/link.png");
    std::os::unix::fs::symlink("a.png", link).expect("a new link");
    corpus.import(0.0).expect("the link leads to an image");
    let placed = fs::symlink_metadata(corpus.out("images/link.png")).expect("it was placed");
    assert!(placed.is_file());
}

/// Names that differ in nothing but their letters are one on some file systems: there the second image would be written over the first.
#[test]
fn names_that_differ_in_capitals_are_two_names() {
    let rows = [ROW.to_owned(), but(ROW, "a.png", "A.png")];
    let corpus = Corpus::more(&rows);
    corpus.image("img_org/train/A.png", 64, 48, 2);
    corpus.import(0.0).expect("both rows are good");
    let records = corpus.records("train");
    let names: Vec<_> = records.iter().map(|it| it.img_id.as_str()).collect();
    assert_eq!(names, ["a.png", "train-A.png"]);
}

/// The same image under two such names keeps the first.
#[test]
fn an_image_has_one_name_however_it_is_spelled() {
    let other = but(ROW, "a.png", "A.png").replace("ann lee", "lee");
    let corpus = Corpus::more(&[ROW.to_owned(), other]);
    corpus.image("img_org/train/A.png", 64, 48, 1);
    corpus.write("txt/test.txt", but(ROW, "a.png", "A.PNG").as_bytes());
    corpus.image("img_org/test/A.PNG", 64, 48, 1);
    corpus.import(0.0).expect("all rows are good");
    let records = ["train", "test"]
        .map(|split| corpus.records(split))
        .concat();
    let names: Vec<_> = records.iter().map(|it| it.img_id.as_str()).collect();
    assert_eq!(names, ["a.png"; 3]);
    assert!(corpus.out("images/a.png").is_file());
}

/// A copy would be a second file: writing to it would leave the first as it was.
#[cfg(unix)]
#[test]
fn images_are_second_names_of_the_same_files() {
    use std::os::unix::fs::MetadataExt;

    let corpus = Corpus::more(&[ROW.to_owned()]);
    corpus.import(0.0).expect("the row is good");
    let number = |path| fs::metadata(path).expect("it is there").ino();
    assert_eq!(
        number(corpus.out("images/a.png")),
        number(corpus.at("img_org/train/a.png"))
    );
}
