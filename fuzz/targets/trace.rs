//! Any text as an answer: what is read is whole, and what the strict reader takes the lenient one takes too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::{Ontology, is_valid, parse, pieces, steps_so_far};

fuzz_target!(|text: &str| {
    let ontology = Ontology::more();
    let so_far = steps_so_far(text);
    assert!(so_far.len() <= 6);
    let read = parse(ontology, text);
    if let Ok(trace) = &read {
        assert_eq!(trace.steps.len(), 6);
        assert!(ontology.find(&trace.label).is_some());
        let _ = trace.consistent(ontology);
    }
    if is_valid(ontology, text) {
        assert!(read.is_ok(), "{text:?}");
        let pieces = pieces(text).expect("a valid answer follows the grammar");
        assert_eq!(pieces.concat(), text);
    }
});
