use std::collections::BTreeSet;

use super::*;

/// The text of each `begin…end` in `html`.
fn between<'a>(html: &'a str, begin: &str, end: &str) -> Vec<&'a str> {
    html.split(begin).skip(1).filter_map(|rest| rest.split(end).next()).collect()
}

#[test]
fn the_page_has_every_endpoint_schema_and_problem() {
    let page = render::page(&DOCUMENT, "");
    let ids: BTreeSet<_> = between(&page, "id=\"", "\"").into_iter().collect();
    for methods in DOCUMENT["paths"].as_object().unwrap().values() {
        for operation in methods.as_object().unwrap().values() {
            assert!(ids.contains(operation["operationId"].as_str().unwrap()), "{operation}");
        }
    }
    for name in DOCUMENT["components"]["schemas"].as_object().unwrap().keys() {
        assert!(ids.contains(format!("schema-{name}").as_str()), "{name}");
    }
    for kind in ProblemKind::ALL {
        assert!(page.contains(&format!("urn:holler:problem:{}<", kind.as_str())), "{kind:?}");
    }
}

#[test]
fn every_link_leads_somewhere_and_nothing_is_loaded_or_run() {
    for words in ["", "room", "burst frames", "no such words"] {
        let page = render::page(&DOCUMENT, words);
        let ids: Vec<_> = between(&page, "id=\"", "\"");
        assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "each id is there once");
        for target in between(&page, "href=\"", "\"") {
            match target.strip_prefix('#') {
                Some(id) => assert!(ids.contains(&id), "{words}: {target}"),
                None => assert!(target.starts_with("/api/v1/") || target.starts_with("data:"), "{target}"),
            }
        }
        for word in ["<script", "javascript:", "src=", "@import", "url(", "onclick=", "onload=", "onerror="] {
            assert!(!page.contains(word), "{words}: {word}");
        }
        assert!(!page.contains("{index}") && !page.contains("{body}") && !page.contains("{words}"));
    }
}

#[test]
fn what_is_looked_for_is_escaped_and_narrows_the_page() {
    let page = render::page(&DOCUMENT, "<b>\"'&{body}");
    assert!(page.contains("value=\"&lt;b&gt;&quot;&#39;&amp;&#123;body}\""));
    assert!(page.contains("No endpoint has all these words"));
    let page = render::page(&DOCUMENT, "ROOMS delete");
    assert!(page.contains("id=\"remove_member\"") && !page.contains("id=\"sign_in\""));
}

#[test]
fn examples_fit_what_they_are_examples_of() {
    let value = example::of(&DOCUMENT, &serde_json::json!({"$ref": "#/components/schemas/NewRoom"}), "");
    let room: holler_core::wire::rest::NewRoom = serde_json::from_value(value).unwrap();
    assert_eq!(room.name, "Quay 3");
    let value = example::of(&DOCUMENT, &serde_json::json!({"$ref": "#/components/schemas/Room"}), "");
    serde_json::from_value::<holler_core::wire::rest::Room>(value).unwrap();
    let value = example::of(&DOCUMENT, &serde_json::json!({"$ref": "#/components/schemas/EventPage"}), "");
    serde_json::from_value::<holler_core::wire::rest::EventPage>(value).unwrap();
}
