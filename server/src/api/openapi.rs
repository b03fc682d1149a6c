//! The descriptions, generated from the code: OpenAPI 3.1 of the REST interface, and JSON Schema 2020-12 of the socket's
//! messages. `hollerd openapi` and `hollerd socket-schema` print them; `docs/` holds copies, which a test compares.
//!
//! What holds for many endpoints is written once here instead of at each: the errors that any of them can give, the media type
//! of errors, and what each needs, from [`super::access::TABLE`].

use axum::http::Method;
use holler_core::wire::limits::{BURST_BITRATE, FRAMES_PER_BURST_MAX, IDEMPOTENCY_KEY_CHARS_MAX};
use holler_core::wire::problem::{MEDIA_TYPE, Problem, ProblemKind};
use holler_core::wire::socket::{ClientMessage, ServerMessage};
use serde_json::{Map, Value, json};
use utoipa::OpenApi as _;

use super::access::{Need, need};
use super::conditional::CONDITIONAL;

const ABOUT: &str = "Holler: push-to-talk for teams on bad networks. Errors are problem documents (RFC 9457) whose `type` is \
    `urn:holler:problem:` and a stable word. Identifiers are a prefix, `_`, and 26 characters of Crockford's base 32. Live \
    events and voice travel on the socket `/api/v1/socket`, which `/api/v1/socket.schema.json` describes.";

#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(Problem, ProblemKind)))]
struct Shared;

#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(ClientMessage, ServerMessage)))]
struct Socket;

/// The OpenAPI document of the REST interface.
pub fn rest() -> String {
    let mut openapi = super::endpoints().into_openapi();
    openapi.merge(Shared::openapi());
    let mut document = serde_json::to_value(&openapi).unwrap_or_default();
    document["info"] = json!({
        "title": "Holler",
        "version": env!("CARGO_PKG_VERSION"),
        "description": ABOUT,
        "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
    });
    document["components"]["securitySchemes"] =
        json!({"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}});
    if let Some(paths) = document["paths"].as_object_mut() {
        for (path, methods) in paths {
            for (method, operation) in methods.as_object_mut().into_iter().flatten() {
                let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else { continue };
                let need = need(&method, path);
                complete(operation, need);
                add_fields(operation, &method, path, need);
            }
        }
    }
    bound(&mut document);
    print(&document)
}

/// Says of every whole number how large it may be: as the limit of its type says, or as its size and JSON allow (RFC 8259 section 6:
/// beyond 2^53 numbers are not exact everywhere).
fn bound(document: &mut Value) {
    for (name, most) in [("FrameNo", u64::from(FRAMES_PER_BURST_MAX)), ("Bitrate", u64::from(*BURST_BITRATE.end()))] {
        for at in ["/components/schemas/", "/$defs/"] {
            if let Some(schema) = document.pointer_mut(&format!("{at}{name}")) {
                schema["maximum"] = most.into();
            }
        }
    }
    bound_all(document);
}

fn bound_all(value: &mut Value) {
    match value {
        Value::Object(object) => {
            let whole = match object.get("type") {
                Some(Value::String(kind)) => kind == "integer",
                Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "integer"),
                Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => false,
            };
            if whole && !object.contains_key("maximum") {
                let small = object.get("format").is_some_and(|format| format == "int32");
                let most = if small { u64::from(u32::MAX) } else { (1 << 53) - 1 };
                object.insert("maximum".to_owned(), most.into());
            }
            object.values_mut().for_each(bound_all);
        }
        Value::Array(items) => items.iter_mut().for_each(bound_all),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Adds what the endpoint needs, and the errors that it shares with others.
fn complete(operation: &mut Value, need: Option<Need>) {
    let takes_body = operation.get("requestBody").is_some();
    let takes_parameters = operation.get("parameters").is_some();
    let takes_query = operation["parameters"].as_array().into_iter().flatten().any(|each| each["in"] == "query");
    let mut shared = vec![
        ("500", "internal: a fault of the server"),
        ("503", "unavailable: not possible at the moment; Retry-After"),
    ];
    if takes_body || takes_parameters {
        shared.push(("400", "malformed: the request can't be read; `field` names the field"));
    }
    if takes_body || takes_query {
        shared.push(("422", "out-of-bounds: a value is outside its bounds; `field` names the field"));
    }
    if takes_body {
        shared.push(("413", "too-large: the body has more than 262,144 bytes"));
        shared.push(("415", "unsupported-media-type: expected application/json"));
    }
    let needed = match need {
        None | Some(Need::Public) => None,
        Some(Need::SignedIn) => Some("Needs an access token.".to_owned()),
        Some(Need::Session) => Some("Needs an access token from a sign-in, or one with the scope `admin`.".to_owned()),
        Some(Need::Scope(scope)) => Some(format!("Needs an access token with the scope `{scope}`.")),
        Some(Need::Admin) => Some("Needs an admin of the workspace, with the scope `admin`.".to_owned()),
    };
    if let Some(needed) = needed {
        shared.push(("401", "unauthenticated: no valid access token; revoked: the device or its sign-in was ended"));
        if need != Some(Need::SignedIn) {
            shared.push(("403", "forbidden: the token's scopes, or the role, do not allow it"));
        }
        operation["security"] = json!([{"bearer": []}]);
        let text =
            operation["description"].as_str().map_or_else(|| needed.clone(), |text| format!("{text}\n\n{needed}"));
        operation["description"] = text.into();
    }
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (status, description) in shared {
        responses.entry(status).or_insert_with(|| json!({ "description": description }));
    }
    for (status, response) in responses.iter_mut() {
        if status.starts_with(['4', '5']) {
            response["content"] = json!({ MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}} });
        }
    }
}

/// Adds the header fields that many endpoints understand, and what is answered because of them.
fn add_fields(operation: &mut Value, method: &Method, path: &str, need: Option<Need>) {
    let field = |name: &str, about: &str, schema: Value| json!({"name": name, "in": "header", "required": false, "description": about, "schema": schema});
    let mut fields = Vec::new();
    let mut answers = vec![("429", problem("rate-limited: too many requests; Retry-After"))];
    if matches!(*method, Method::POST | Method::PATCH) && need.is_some_and(|need| need != Need::Public) {
        let about = "Done once, however often it is sent with this key within 24 hours, and answered alike.";
        let schema = json!({"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_CHARS_MAX, "pattern": "^[!#-\\[\\]-~]+$"});
        fields.push(field("Idempotency-Key", about, schema));
        answers
            .push(("409", problem("conflict: the first request with this key is under way, or its end is not known")));
        answers.push(("422", problem("idempotency-key-reused: the key was used for something else")));
        answers.push(("400", problem("malformed: `Idempotency-Key` can't be read")));
    }
    let changes = matches!(*method, Method::POST | Method::PATCH | Method::PUT | Method::DELETE);
    if CONDITIONAL.iter().any(|(m, p)| m == method && *p == path) {
        let about = "The `ETag` of the state that the change was made from, or `*`.";
        fields.push(field("If-Match", about, json!({"type": "string"})));
    } else if changes {
        answers.push(("412", problem("precondition-failed: this change compares no `ETag`; leave out `If-Match`")));
    }
    let tagged =
        |content: &Value| content.as_object().is_some_and(|kinds| kinds.keys().any(|kind| kind.contains("json")));
    if *method == Method::GET && tagged(&operation["responses"]["200"]["content"]) {
        let about = "The `ETag` of an earlier answer; where it is still current, the answer is 304.";
        fields.push(field("If-None-Match", about, json!({"type": "string"})));
        answers.push(("304", json!({"description": "It is as it was; no body"})));
    }
    if !fields.is_empty() {
        let parameters =
            operation.as_object_mut().map(|object| object.entry("parameters").or_insert_with(|| json!([])));
        parameters.and_then(Value::as_array_mut).into_iter().for_each(|parameters| parameters.append(&mut fields));
    }
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (status, answer) in answers {
        responses.entry(status).or_insert(answer);
    }
}

fn problem(description: &str) -> Value {
    json!({"description": description, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}})
}

/// The JSON Schema of the socket's messages.
pub fn socket() -> String {
    let document = serde_json::to_value(Socket::openapi()).unwrap_or_default();
    let mut schemas = document["components"]["schemas"].clone();
    relocate(&mut schemas);
    // What `deny_unknown_fields` does for a message of the client; the generator says it for plain objects only.
    for message in schemas["ClientMessage"]["oneOf"].as_array_mut().into_iter().flatten() {
        message["additionalProperties"] = false.into();
    }
    let mut document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:holler:schema:socket:v1",
        "title": "Messages of Holler's socket, subprotocol holler.v1",
        "description": "Each text message is one of these. $defs/ClientMessage is what a client sends, $defs/ServerMessage what \
            the server sends. Clients ignore types and fields that they do not know.",
        "oneOf": [{"$ref": "#/$defs/ClientMessage"}, {"$ref": "#/$defs/ServerMessage"}],
        "$defs": schemas,
    });
    bound(&mut document);
    print(&document)
}

/// OpenAPI keeps schemas elsewhere than JSON Schema does.
fn relocate(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(target)) = object.get_mut("$ref") {
                *target = target.replace("#/components/schemas/", "#/$defs/");
            }
            object.remove("discriminator");
            object.values_mut().for_each(relocate);
        }
        Value::Array(items) => items.iter_mut().for_each(relocate),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The same bytes for the same code: keys are sorted.
fn print(document: &Value) -> String {
    let mut text = serde_json::to_string_pretty(&sorted(document)).unwrap_or_default();
    text.push('\n');
    text
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut keys: Vec<_> = object.keys().collect();
            keys.sort();
            Value::Object(Map::from_iter(keys.into_iter().map(|key| (key.clone(), sorted(&object[key])))))
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::super::access::TABLE;
    use super::*;

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    fn operations(document: &Value) -> Vec<(String, String, &Value)> {
        let paths = document["paths"].as_object().unwrap();
        let each = paths.iter().flat_map(|(path, methods)| {
            methods.as_object().unwrap().iter().map(move |(method, op)| (method.to_uppercase(), path.clone(), op))
        });
        each.collect()
    }

    #[test]
    fn the_table_of_needs_has_exactly_the_routes() {
        let document = parsed(&rest());
        let routes: BTreeSet<_> = operations(&document).into_iter().map(|(method, path, _)| (method, path)).collect();
        let table: BTreeSet<_> =
            TABLE.iter().map(|(method, path, _)| (method.to_string(), (*path).to_owned())).collect();
        assert_eq!(routes, table);
    }

    #[test]
    fn every_operation_documents_its_errors_and_itself() {
        let document = parsed(&rest());
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let mut ids = BTreeSet::new();
        for (method, path, operation) in operations(&document) {
            let name = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{name}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.contains_key("500") && responses.contains_key("503"), "{name}");
            for (status, response) in responses.iter().filter(|(status, _)| status.starts_with('4')) {
                assert!(response["content"][MEDIA_TYPE].is_object(), "{name} {status}");
            }
            assert_eq!(
                responses.contains_key("401"),
                operation.get("security").is_some() || path.contains("/auth/"),
                "{name}"
            );
        }
    }

    #[test]
    fn every_whole_number_has_a_largest() {
        let text = rest() + &socket();
        for (from, _) in text.match_indices("\"type\": \"integer\"") {
            let object = text[..from].rfind('{').unwrap();
            assert!(text[object..from].contains("\"maximum\""), "{}", &text[object..from]);
        }
        let frame = &parsed(&rest())["components"]["schemas"]["FrameNo"];
        assert_eq!(frame["maximum"], 15_000);
    }

    /// Every reference leads somewhere.
    fn check_references(document: &Value, value: &Value) {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(target)) = object.get("$ref") {
                    let pointer = target.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{target}");
                }
                object.values().for_each(|value| check_references(document, value));
            }
            Value::Array(items) => items.iter().for_each(|value| check_references(document, value)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        for text in [rest(), socket()] {
            let document = parsed(&text);
            check_references(&document, &document);
        }
    }

    #[test]
    fn the_copies_in_docs_are_current() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        for (file, generated, command) in
            [("openapi.json", rest(), "openapi"), ("socket.schema.json", socket(), "socket-schema")]
        {
            let kept = std::fs::read_to_string(docs.join(file)).unwrap_or_default();
            assert!(
                kept == generated,
                "docs/{file} is out of date: run `cargo run --bin hollerd -- {command} > docs/{file}`"
            );
        }
    }
}
