//! An example of a value that fits a schema.

use serde_json::{Map, Value, json};

/// Schemas within schemas that are followed; ours are not deeper.
const DEPTH_MAX: usize = 8;

/// The schema that `schema` refers to, or itself.
pub(super) fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let pointer = schema["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
    pointer.and_then(|pointer| document.pointer(pointer)).unwrap_or(schema)
}

/// A value that fits. `name` is the field's: it makes the value tell something.
pub(super) fn of(document: &Value, schema: &Value, name: &str) -> Value {
    deep(document, schema, name, 0)
}

fn deep(document: &Value, schema: &Value, name: &str, depth: usize) -> Value {
    let schema = resolve(document, schema);
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    let first = ["oneOf", "anyOf"].iter().find_map(|word| schema[word].as_array()?.first());
    if let Some(first) = first {
        return deep(document, first, name, depth + 1);
    }
    if let Some(all) = schema["allOf"].as_array() {
        let mut whole = Map::new();
        for part in all {
            if let Value::Object(fields) = deep(document, part, name, depth + 1) {
                whole.extend(fields);
            }
        }
        return Value::Object(whole);
    }
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return first.clone();
    }
    if let Some(usual) = schema.get("default").filter(|usual| !usual.is_null()) {
        return usual.clone();
    }
    match kind(schema) {
        "object" => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            Value::Object(fields.map(|(name, field)| (name.clone(), deep(document, field, name, depth + 1))).collect())
        }
        "array" => json!([deep(document, &schema["items"], name, depth + 1)]),
        "integer" => whole(schema, name),
        "boolean" => false.into(),
        "string" => text(schema, name).into(),
        _ => Value::Null,
    }
}

/// The type of a schema, apart from null.
pub(super) fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::String(kind) => kind,
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => "",
    }
}

fn whole(schema: &Value, name: &str) -> Value {
    let (least, most) = (schema["minimum"].as_u64().unwrap_or(0), schema["maximum"].as_u64().unwrap_or(u64::MAX));
    let telling = match name {
        _ if name.ends_with("_at") => 1_795_305_600_000,
        "status" => 422,
        "talk_limit_s" => 60,
        "expires_in_s" => 600,
        "bitrate" => 24_000,
        "seq" | "head" | "number" => 42,
        _ => 3,
    };
    telling.clamp(least, most).into()
}

fn text(schema: &Value, name: &str) -> String {
    let pattern = schema["pattern"].as_str().unwrap_or_default();
    let prefix = pattern.strip_prefix('^').and_then(|rest| rest.split_once("_[")).map(|(prefix, _)| prefix);
    if let Some(prefix) = prefix.filter(|prefix| prefix.bytes().all(|byte| byte.is_ascii_lowercase())) {
        return format!("{prefix}_3we5pbxdey2380jf2mvsgrt6j8");
    }
    if pattern == "^[0-9a-f]{64}$" {
        return "57d59e28722dfd55524b8d4faf279bd38f0a3f33106f9e54dfe9239fa2d0dfbf".to_owned();
    }
    match name {
        "login" => "sam",
        "name" | "workspace_name" => "Quay 3",
        "device_name" => "Sam's phone",
        "password" | "new_password" => "correct horse battery",
        "text" => "Stage is clear.",
        "access_token" | "token" => "eyJ0eXAiOiJhdCtqd3QiLC…",
        "refresh_token" => "hrt_…",
        "sync_token" => "AQAAAAGq…",
        "type" => "urn:holler:problem:out-of-bounds",
        "title" => "A value is outside its bounds",
        "detail" => "expected 1 to 80 characters that are not all blank; found 0",
        "field" => "name",
        "actor" => "cli",
        "action" => "member.set",
        "targets" => "room_3we5pbxdey2380jf2mvsgrt6j8",
        _ => "…",
    }
    .to_owned()
}
