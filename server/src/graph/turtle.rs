//! The annotation of `json_ld.rs` as triples; a test holds the two together.

use oxrdf::vocab::{rdf, xsd};
use oxrdf::{BlankNode, Literal, NamedNode, NamedOrBlankNode, Term, Triple};
use oxttl::TurtleSerializer;

use super::{Fact, json_ld, term};

const OA: &str = "http://www.w3.org/ns/oa#";
const DCTERMS: &str = "http://purl.org/dc/terms/";

/// The triples of one answer.
pub fn triples(fact: &Fact<'_>) -> String {
    let serializer = TurtleSerializer::new()
        .with_prefix("oa", OA)
        .and_then(|it| it.with_prefix("dcterms", DCTERMS))
        .and_then(|it| it.with_prefix("rdf", "http://www.w3.org/1999/02/22-rdf-syntax-ns#"));
    let mut writer = serializer.expect("three IRIs").for_writer(vec![]);
    for triple in &graph(fact) {
        writer.serialize_triple(triple).expect("memory takes all");
    }
    let bytes = writer.finish().expect("memory takes all");
    String::from_utf8(bytes).expect("Turtle is text")
}

fn iri(text: impl Into<String>) -> NamedNode {
    NamedNode::new_unchecked(text) // `source` was checked on arrival, the others are made here
}

fn oa(name: &str) -> NamedNode {
    iri(format!("{OA}{name}"))
}

/// What is said of one node.
struct Node<'a> {
    subject: NamedOrBlankNode,
    triples: &'a mut Vec<Triple>,
}

impl Node<'_> {
    fn says(&mut self, predicate: NamedNode, object: impl Into<Term>) -> &mut Self {
        let triple = Triple::new(self.subject.clone(), predicate, object);
        self.triples.push(triple);
        self
    }

    fn is(&mut self, class: NamedNode) -> &mut Self {
        self.says(rdf::TYPE.into_owned(), class)
    }
}

fn graph(fact: &Fact<'_>) -> Vec<Triple> {
    let answer = fact.answer;
    let mut triples = vec![];
    let mut node = |subject: NamedOrBlankNode, say: &dyn Fn(&mut Node<'_>)| {
        say(&mut Node {
            subject,
            triples: &mut triples,
        });
    };
    let (object, entity, text) = (iri(fact.object()), iri(fact.entity()), iri(fact.text_id()));
    let [area, quote, position] = ["area", "quote", "position"].map(|_| BlankNode::default());
    let property = |name: &str| iri(term("property", name));
    node(iri(fact.id()).into(), &|it| {
        it.is(oa("Annotation"))
            .says(oa("motivatedBy"), oa("linking"))
            .says(oa("hasTarget"), object.clone())
            .says(oa("hasBody"), entity.clone())
            .says(
                property("label"),
                Literal::from(answer.relation.label.as_str()),
            )
            .says(
                property("consistent"),
                Literal::from(answer.trace.consistent),
            )
            .says(property("model"), Literal::from(answer.model.id.as_str()))
            .says(
                property("ontology"),
                Literal::from(answer.model.ontology_hash.as_str()),
            );
        if let Some(probability) = fact.answer.probability() {
            let value = Literal::new_typed_literal(format!("{probability:?}"), xsd::DOUBLE);
            it.says(property("probability"), value);
        }
    });
    node(object.clone().into(), &|it| {
        it.is(oa("SpecificResource"))
            .says(oa("hasSource"), iri(fact.photo()))
            .says(oa("hasSelector"), area.clone());
        if let Some(kind) = &answer.relation.object_type {
            it.is(iri(term("type", kind)));
        }
        if let Some(label) = fact.label() {
            it.says(iri(term("relation", label)), entity.clone());
        }
    });
    node(area.clone().into(), &|it| {
        let fragments = iri("http://www.w3.org/TR/media-frags/");
        it.is(oa("FragmentSelector"))
            .says(iri(format!("{DCTERMS}conformsTo")), fragments)
            .says(rdf::VALUE.into_owned(), Literal::from(fact.fragment()));
    });
    node(entity.clone().into(), &|it| {
        it.is(oa("SpecificResource"))
            .says(oa("hasSource"), text.clone())
            .says(oa("hasSelector"), quote.clone())
            .says(oa("hasSelector"), position.clone());
        if let Some(kind) = &answer.relation.entity_type {
            it.is(iri(term("type", kind)));
        }
    });
    node(text.clone().into(), &|it| {
        it.is(oa("TextualBody"))
            .says(rdf::VALUE.into_owned(), Literal::from(fact.text));
    });
    let (prefix, suffix) = fact.context();
    node(quote.clone().into(), &|it| {
        it.is(oa("TextQuoteSelector"))
            .says(oa("exact"), Literal::from(json_ld::quoted(fact)))
            .says(oa("prefix"), Literal::from(prefix.as_str()))
            .says(oa("suffix"), Literal::from(suffix.as_str()));
    });
    node(position.clone().into(), &|it| {
        let count = |n: usize| Literal::new_typed_literal(n.to_string(), xsd::NON_NEGATIVE_INTEGER);
        it.is(oa("TextPositionSelector"))
            .says(oa("start"), count(answer.entity.start))
            .says(oa("end"), count(answer.entity.end));
    });
    triples
}
