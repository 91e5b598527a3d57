//! Any bytes as the JSON of a question, a batch, a conversation or an ontology.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::{BatchRequest, ExtractRequest, Ontology, PairRequest};

fuzz_target!(|body: &[u8]| {
    if let Ok(request) = serde_json::from_slice::<ExtractRequest>(body) {
        if let Some(ontology) = &request.ontology {
            let _ = ontology.validate();
        }
        let again = serde_json::to_vec(&request).expect("plain data");
        assert!(serde_json::from_slice::<ExtractRequest>(&again).is_ok());
    }
    if let Ok(batch) = serde_json::from_slice::<BatchRequest>(body) {
        for pair in batch.pairs.iter().flatten() {
            let _ = serde_json::from_str::<PairRequest>(pair.get());
        }
    }
    let _ = serde_json::from_slice::<proto::chat::ChatRequest>(body);
    if let Ok(text) = std::str::from_utf8(body) {
        if let Ok(ontology) = Ontology::from_json(text) {
            let labels = ontology.labels.iter();
            assert!(labels.clone().any(|label| label.name == proto::NONE));
            assert_eq!(ontology.hash().len(), 64);
        }
    }
});
