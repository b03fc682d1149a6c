//! The page.

use std::fmt::Write as _;

use axum::http::Method;
use holler_core::wire::problem::{ProblemKind, TYPE_PREFIX};
use serde_json::{Map, Value};

use super::example::{self, kind, resolve};
use crate::api::access::{Need, need};

const FRAME: &str = include_str!("page.html");

/// The sections in their order; what has another tag comes after them.
const SECTIONS: &[(&str, &str)] = &[
    ("auth", "Signing in"),
    ("people", "People"),
    ("devices", "Devices and tokens"),
    ("rooms", "Rooms"),
    ("log", "Room logs"),
    ("bursts", "Bursts"),
    ("workspace", "Workspace"),
    ("server", "Server"),
];

struct Operation<'a> {
    method: String,
    path: &'a str,
    tag: &'a str,
    id: &'a str,
    what: &'a Value,
}

/// The whole page, or what has all of `words`.
pub(super) fn page(document: &Value, words: &str) -> String {
    let wanted: Vec<_> = words.split_whitespace().map(str::to_lowercase).collect();
    let operations: Vec<_> = operations(document)
        .into_iter()
        .filter(|operation| {
            let text = format!("{} {} {}", operation.method, operation.path, operation.what).to_lowercase();
            wanted.iter().all(|word| text.contains(word.as_str()))
        })
        .collect();
    let (mut index, mut body) = (String::new(), String::new());
    for (tag, title) in sections(&operations) {
        let _ = write!(index, "<p>{}</p><ul>", escape(&title));
        let _ = write!(body, "<h2 id=\"{0}\">{1}</h2>", escape(&tag), escape(&title));
        for operation in operations.iter().filter(|operation| operation.tag == tag) {
            let Operation { method, path, id, .. } = operation;
            let _ = write!(
                index,
                "<li><a href=\"#{id}\"><b class=\"m {method}\">{method}</b> {}</a></li>",
                breakable(path.strip_prefix("/api/v1").unwrap_or(path))
            );
            body.push_str(&section(document, operation));
        }
        index.push_str("</ul>");
    }
    if operations.is_empty() {
        body.push_str("<p>No endpoint has all these words. <a href=\"/api/v1/docs\">Show all</a></p>");
    }
    if wanted.is_empty() {
        index.push_str("<p>Reference</p><ul><li><a href=\"#problems\">Problems</a></li><li><a href=\"#schemas\">Schemas</a></li></ul>");
        body.push_str(&problems());
    }
    body.push_str(&schemas(document, &operations, wanted.is_empty()));
    FRAME
        .replace("{version}", env!("CARGO_PKG_VERSION"))
        .replace("{about}", &prose(document["info"]["description"].as_str().unwrap_or_default()))
        .replace("{words}", &escape(words))
        .replace(
            "{count}",
            &if operations.len() == 1 { "1 endpoint".to_owned() } else { format!("{} endpoints", operations.len()) },
        )
        .replace("{index}", &index)
        .replace("{body}", &body)
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    const ORDER: [&str; 5] = ["get", "post", "put", "patch", "delete"];
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for method in ORDER {
            let what = &methods[method];
            if what.is_object() {
                let tag = what["tags"][0].as_str().unwrap_or("server");
                let id = what["operationId"].as_str().unwrap_or_default();
                all.push(Operation { method: method.to_uppercase(), path, tag, id, what });
            }
        }
    }
    all
}

fn sections(operations: &[Operation<'_>]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> =
        SECTIONS.iter().map(|(tag, title)| ((*tag).to_owned(), (*title).to_owned())).collect();
    for operation in operations {
        if !found.iter().any(|(tag, _)| tag == operation.tag) {
            let mut title = operation.tag.to_owned();
            title[..1].make_ascii_uppercase();
            found.push((operation.tag.to_owned(), title));
        }
    }
    found.retain(|(tag, _)| operations.iter().any(|operation| operation.tag == tag));
    found
}

fn section(document: &Value, operation: &Operation<'_>) -> String {
    let Operation { method, path, id, what, .. } = operation;
    let mut out = String::new();
    let _ = write!(
        out,
        "<section id=\"{id}\"><h3><a href=\"#{id}\"><b class=\"m {method}\">{method}</b> <code>{}</code></a>{}</h3>",
        breakable(path),
        access(method, path)
    );
    let _ = write!(out, "<p class=\"lead\">{}</p>", inline(what["summary"].as_str().unwrap_or_default()));
    out.push_str(&prose(what["description"].as_str().unwrap_or_default()));
    let parameters: Vec<_> = what["parameters"].as_array().into_iter().flatten().collect();
    if !parameters.is_empty() {
        out.push_str("<h4>Parameters</h4><table>");
        for parameter in parameters {
            let required = parameter["required"].as_bool().unwrap_or(false);
            let name = parameter["name"].as_str().unwrap_or_default();
            let place = format!("in {}", parameter["in"].as_str().unwrap_or_default());
            row(&mut out, name, required, &place, &parameter["schema"], &parameter["description"]);
        }
        out.push_str("</table>");
    }
    if let Some((media, content)) = first(&what["requestBody"]["content"]) {
        let _ = write!(out, "<h4>Body <small>{}</small></h4>", escape(media));
        out.push_str(&shape(document, &content["schema"]));
    }
    out.push_str("<h4>Answers</h4><table class=\"answers\">");
    let mut example = String::new();
    for (status, answer) in what["responses"].as_object().into_iter().flatten() {
        let schema = first(&answer["content"]);
        let _ = write!(
            out,
            "<tr><td><b class=\"s s{}\">{status}</b></td><td>{}{}</td></tr>",
            status.chars().next().unwrap_or('0'),
            inline(answer["description"].as_str().unwrap_or_default()),
            schema.filter(|_| status.starts_with('2')).map_or_else(String::new, |(media, content)| {
                format!(" <small>{} {}</small>", escape(media), described(&content["schema"]))
            })
        );
        if status.starts_with('2') && example.is_empty() {
            example = schema
                .filter(|(media, content)| {
                    media.contains("json")
                        && resolve(document, &content["schema"])
                            .get("properties")
                            .or(content["schema"].get("items"))
                            .is_some()
                })
                .map_or_else(String::new, |(_, content)| sample(document, &content["schema"]));
        }
    }
    out.push_str("</table>");
    out.push_str(&example);
    out.push_str("</section>");
    out
}

/// What the endpoint needs, in a word.
fn access(method: &str, path: &str) -> String {
    let need = Method::from_bytes(method.as_bytes()).ok().and_then(|method| need(&method, path));
    let words = match need {
        None | Some(Need::Public) => "open to all".to_owned(),
        Some(Need::SignedIn) => "any token".to_owned(),
        Some(Need::Session) => "a sign-in".to_owned(),
        Some(Need::Scope(scope)) => format!("scope {scope}"),
        Some(Need::Admin) => "admin".to_owned(),
    };
    format!("<span class=\"need\">{}</span>", escape(&words))
}

fn shape(document: &Value, schema: &Value) -> String {
    format!("<p>{}</p>{}", described(schema), sample(document, schema))
}

fn sample(document: &Value, schema: &Value) -> String {
    let value = example::of(document, schema, "");
    let text = serde_json::to_string_pretty(&value).unwrap_or_default();
    format!("<pre>{}</pre>", escape(&text))
}

fn first(content: &Value) -> Option<(&str, &Value)> {
    content.as_object()?.iter().next().map(|(media, content)| (media.as_str(), content))
}

fn row(out: &mut String, name: &str, required: bool, place: &str, schema: &Value, description: &Value) {
    let about = description.as_str().or_else(|| schema["description"].as_str());
    let about = about.or_else(|| schema["oneOf"][0]["description"].as_str()).unwrap_or_default();
    let _ = write!(
        out,
        "<tr><td><code>{}</code><small>{}{}</small></td><td>{}<small>{}</small></td></tr>",
        escape(name),
        if required { "required" } else { "optional" },
        if place.is_empty() { String::new() } else { format!(", {}", escape(place)) },
        inline(about),
        described(schema)
    );
}

/// A schema in a few words, with a link where it has a name.
fn described(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|target| target.rsplit('/').next()) {
        return format!("<a href=\"#schema-{0}\">{0}</a>", escape(name));
    }
    if let Some(choices) = ["oneOf", "anyOf"].iter().find_map(|word| schema[word].as_array()) {
        let each: Vec<_> = choices.iter().map(described).collect();
        return each.join(" or ");
    }
    if let Some(values) = schema["enum"].as_array() {
        let each: Vec<_> = values.iter().map(|value| format!("<code>{}</code>", escape(&plain(value)))).collect();
        return each.join(" ");
    }
    let null = schema["type"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "null"));
    let words = match kind(schema) {
        "array" => format!("list of {}", described(&schema["items"])),
        "integer" => match (schema["minimum"].as_u64().unwrap_or(0), schema["maximum"].as_u64()) {
            (least, Some(most)) if most < u64::from(u32::MAX) => format!("whole number, {least} to {most}"),
            (least, _) => format!("whole number from {least}"),
        },
        "string" => match (schema["minLength"].as_u64(), schema["maxLength"].as_u64()) {
            (least, Some(most)) => format!("text, {} to {most} characters", least.unwrap_or(0)),
            (_, None) => "text".to_owned(),
        },
        "" => "null".to_owned(),
        other => escape(other),
    };
    if null { format!("{words}, or null") } else { words }
}

fn problems() -> String {
    let mut out = String::from(
        "<h2 id=\"problems\">Problems</h2><p>Whatever goes wrong is answered with a problem document (RFC 9457), \
         <code>application/problem+json</code>. Its <code>type</code> never changes its meaning; <code>detail</code> says what was \
         expected, what was found and what to do; <code>field</code> names what is at fault.</p><table class=\"answers\">",
    );
    for kind in ProblemKind::ALL {
        let _ = write!(
            out,
            "<tr><td><b class=\"s s{}\">{}</b></td><td><code>{TYPE_PREFIX}{}</code><small>{}</small></td></tr>",
            kind.status() / 100,
            kind.status(),
            kind.as_str(),
            escape(kind.title())
        );
    }
    out.push_str("</table>");
    out
}

/// Every schema, or those that the operations name.
fn schemas(document: &Value, operations: &[Operation<'_>], all: bool) -> String {
    let none = Map::new();
    let known = document["components"]["schemas"].as_object().unwrap_or(&none);
    let mut wanted: Vec<&str> = known.keys().map(String::as_str).collect();
    if !all {
        let mut found = Vec::new();
        for operation in operations {
            references(document, operation.what, &mut found);
        }
        wanted.retain(|name| found.iter().any(|found| found == name));
    }
    if wanted.is_empty() {
        return String::new();
    }
    let mut out = String::from("<h2 id=\"schemas\">Schemas</h2>");
    for name in wanted {
        let schema = &known[name];
        let _ = write!(out, "<section id=\"schema-{0}\"><h3><a href=\"#schema-{0}\">{0}</a></h3>", escape(name));
        out.push_str(&prose(schema["description"].as_str().unwrap_or_default()));
        match ["oneOf", "anyOf"].iter().find_map(|word| schema[word].as_array()) {
            Some(choices) => {
                for choice in choices {
                    let _ = write!(
                        out,
                        "<p class=\"lead\">{}</p>",
                        inline(choice["description"].as_str().unwrap_or_default())
                    );
                    fields(&mut out, resolve(document, choice));
                }
            }
            None => fields(&mut out, schema),
        }
        out.push_str("</section>");
    }
    out
}

fn fields(out: &mut String, schema: &Value) {
    let Some(properties) = schema["properties"].as_object() else {
        let pattern = schema["pattern"].as_str().map(|text| format!(", <code>{}</code>", escape(text)));
        let _ = write!(out, "<p>{}{}</p>", described(schema), pattern.unwrap_or_default());
        return;
    };
    let required = |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|n| n == name));
    out.push_str("<table>");
    for (name, field) in properties {
        row(out, name, required(name), "", field, &Value::Null);
    }
    out.push_str("</table>");
}

/// The names of the schemas that `value` refers to, also through others.
fn references(document: &Value, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            let name = object.get("$ref").and_then(Value::as_str).and_then(|target| target.rsplit('/').next());
            if let Some(name) = name
                && !found.iter().any(|known| known == name)
            {
                found.push(name.to_owned());
                references(document, resolve(document, value), found);
            }
            object.values().for_each(|value| references(document, value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(document, value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Paragraphs of a description.
fn prose(text: &str) -> String {
    text.split("\n\n").filter(|part| !part.trim().is_empty()).map(|part| format!("<p>{}</p>", inline(part))).collect()
}

/// A line of a description: what stands in backticks is code.
fn inline(text: &str) -> String {
    let mut out = String::new();
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 1 {
            let _ = write!(out, "<code>{}</code>", escape(part));
        } else {
            out.push_str(&escape(part));
        }
    }
    out
}

/// A path that may be broken after each slash.
fn breakable(path: &str) -> String {
    escape(path).replace('/', "/<wbr>")
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // What the page itself is filled in by.
            '{' => out.push_str("&#123;"),
            other => out.push(other),
        }
    }
    out
}
