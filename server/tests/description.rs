//! The OpenAPI document says what the code does: a client generated from it must not be refused for following it.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::fmt::Display;

use holler_core::model::{Priority, Role, RoomKind, Scope, UserRole};
use holler_core::wire::limits::{LOGIN_CHARS_MAX, NAME_CHARS_MAX, PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN};
use holler_core::wire::problem::ProblemKind;
use holler_server::api::openapi;
use serde_json::{Value, json};

fn schemas() -> Value {
    let document: Value = serde_json::from_str(&openapi::rest()).unwrap();
    document["components"]["schemas"].clone()
}

#[test]
fn words_are_described_as_they_travel() {
    fn words<T: Display>(all: &[T]) -> Value {
        all.iter().map(ToString::to_string).collect()
    }
    let schemas = schemas();
    for (name, expected) in [
        ("Role", words(Role::ALL)),
        ("RoomKind", words(RoomKind::ALL)),
        ("Scope", words(Scope::ALL)),
        ("UserRole", words(UserRole::ALL)),
        ("Priority", words(Priority::ALL)),
        ("ProblemKind", ProblemKind::ALL.iter().map(|kind| kind.as_str()).collect()),
    ] {
        assert_eq!(schemas[name]["enum"], expected, "{name}");
    }
}

#[test]
fn bounds_are_described_as_they_are_checked() {
    let schemas = schemas();
    let field = |schema: &str, field: &str| schemas[schema]["properties"][field].clone();
    for (schema, name, least, most) in [
        ("SignIn", "login", json!(1), LOGIN_CHARS_MAX),
        ("SignIn", "device_name", json!(1), NAME_CHARS_MAX),
        ("SignIn", "password", Value::Null, PASSWORD_BYTES_MAX),
        ("NewUser", "login", json!(1), LOGIN_CHARS_MAX),
        ("NewUser", "name", json!(1), NAME_CHARS_MAX),
        ("NewUser", "password", json!(PASSWORD_CHARS_MIN), PASSWORD_BYTES_MAX),
        ("NewRoom", "name", json!(1), NAME_CHARS_MAX),
    ] {
        let field = field(schema, name);
        assert_eq!((&field["minLength"], &field["maxLength"]), (&least, &json!(most)), "{schema}.{name}");
    }
}
