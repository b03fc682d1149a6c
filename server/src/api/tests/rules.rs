//! Policy, changes of rooms, and conditional requests.

use holler_core::model::InvitesBy;
use holler_core::wire::policy::Policy;
use holler_core::wire::rest::Roster;

use super::*;

impl Server {
    async fn conditional(
        &self,
        method: Method,
        path: &str,
        header: (&'static str, &str),
        body: Option<&Value>,
    ) -> Response {
        let request = self.client.request(method, format!("{}{path}", self.url)).header(header.0, header.1);
        let request = request.bearer_auth(&self.admin.access_token);
        match body {
            Some(body) => request.json(body),
            None => request,
        }
        .send()
        .await
        .unwrap()
    }
}

fn tag(answer: &Response) -> String {
    answer.headers()["etag"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_policy_is_read_replaced_and_told_to_the_audit_log() {
    let server = start().await;
    let admin = &server.admin.access_token;
    assert_eq!(server.get::<Policy>("/api/v1/policy", admin).await, Policy::default());
    let rules = json!({"talk_limit_s": 90, "invites_by": "room-admins", "retention_days": 30});
    let answer = server.send(Method::PUT, "/api/v1/policy", Some(admin), Some(&rules)).await;
    let expected =
        Policy { talk_limit_s: 90, invites_by: InvitesBy::RoomAdmins, retention_days: Some(30), ..Policy::default() };
    assert_eq!(answer.json::<Policy>().await.unwrap(), expected);
    assert_eq!(server.get::<Policy>("/api/v1/policy", admin).await, expected);
    assert_eq!(*server.app.auth.policy(), expected, "and the running server goes by it");

    let wrong = json!({"talk_limit_s": 5});
    let refused = problem(server.send(Method::PUT, "/api/v1/policy", Some(admin), Some(&wrong)).await).await;
    assert!(refused.is(ProblemKind::OutOfBounds) && refused.field.as_deref() == Some("talk_limit_s"));
    let (vault, workspace) = (server.app.store.vault().clone(), server.app.auth.workspace());
    let query = crate::storage::audit::Query { limit: 1, ..Default::default() };
    let page = server.app.store.read(move |db| crate::storage::audit::page(db, &vault, workspace, &query)).await;
    let entry = page.unwrap().entries.remove(0);
    assert_eq!(entry.action, "policy.changed");
    let details = entry.details.unwrap();
    assert_eq!(details.keys().collect::<Vec<_>>(), ["invites_by", "retention_days", "talk_limit_s"]);
    server.end().await;
}

#[tokio::test]
async fn the_password_rule_of_the_policy_is_kept() {
    let server = start().await;
    let admin = &server.admin.access_token;
    let rules = json!({"password_chars_min": 20});
    assert_eq!(server.send(Method::PUT, "/api/v1/policy", Some(admin), Some(&rules)).await.status(), 200);
    let user = |password: &str| json!({"login": "sam", "name": "Sam", "password": password, "role": "member"});
    let refused = problem(server.post("/api/v1/users", admin, user("only nineteen chars")).await).await;
    assert!(refused.is(ProblemKind::OutOfBounds) && refused.detail.contains("20"), "{refused}");
    let answer = server.post("/api/v1/users", admin, user("now there are twenty!")).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    server.end().await;
}

#[tokio::test]
async fn a_client_that_has_the_current_state_is_told_so() {
    let server = start().await;
    let room = server.room("Everyone").await;
    for path in
        ["/api/v1/policy", "/api/v1/me", "/api/v1/openapi.json", "/api/v1/rooms", &format!("/api/v1/rooms/{room}")]
    {
        let first = server.send(Method::GET, path, Some(&server.admin.access_token), None).await;
        let known = tag(&first);
        assert!(known.starts_with('"') && known.ends_with('"'), "{path} {known}");
        for given in [known.clone(), format!("W/{known}"), format!("\"other\", {known}"), "*".to_owned()] {
            let again = server.conditional(Method::GET, path, ("If-None-Match", &given), None).await;
            assert_eq!((again.status(), tag(&again)), (StatusCode::NOT_MODIFIED, known.clone()), "{path} {given}");
            assert!(again.bytes().await.unwrap().is_empty());
        }
        let other = server.conditional(Method::GET, path, ("If-None-Match", "\"other\""), None).await;
        assert_eq!(other.status(), StatusCode::OK, "{path}");
    }
    server.end().await;
}

#[tokio::test]
async fn a_change_made_from_an_old_state_is_refused() {
    let server = start().await;
    let admin = &server.admin.access_token;
    let room = server.room("Everyone").await;
    let path = format!("/api/v1/rooms/{room}");
    let read = async |path: &str| tag(&server.send(Method::GET, path, Some(admin), None).await);
    let old = [read("/api/v1/policy").await, read(&path).await];
    let change = async |at: &str, tag: &str, n: usize| match at {
        "policy" => {
            let body = json!({"talk_limit_s": 100 + n});
            server.conditional(Method::PUT, "/api/v1/policy", ("If-Match", tag), Some(&body)).await
        }
        _ => {
            let body = json!({"name": format!("Everyone {n}")});
            server.conditional(Method::PATCH, &path, ("If-Match", tag), Some(&body)).await
        }
    };
    for (at, old) in ["policy", "room"].into_iter().zip(&old) {
        let first = change(at, old, 1).await;
        assert_eq!(first.status(), StatusCode::OK, "{at}");
        let next = tag(&first);
        assert!(problem(change(at, old, 2).await).await.is(ProblemKind::PreconditionFailed), "{at}");
        assert_eq!(change(at, &next, 3).await.status(), StatusCode::OK, "{at}");
        assert_eq!(change(at, "*", 4).await.status(), StatusCode::OK, "{at}");
    }
    assert_eq!(server.app.auth.policy().talk_limit_s, 104);
    // A room's log goes on while somebody edits its name.
    let known = read(&path).await;
    let text = json!({"client_id": ClientId::from_bytes([1; 16]), "body": {"kind": "message.posted", "text": "hello"}});
    assert_eq!(server.post(&format!("{path}/events"), admin, text).await.status(), StatusCode::CREATED);
    assert_ne!(read(&path).await, known);
    assert_eq!(change("room", &known, 5).await.status(), StatusCode::OK);
    // What compares no tag says so.
    let retention = json!({"days": 3, "held": false});
    let refused =
        server.conditional(Method::PUT, &format!("{path}/retention"), ("If-Match", "*"), Some(&retention)).await;
    assert!(problem(refused).await.is(ProblemKind::PreconditionFailed));
    server.end().await;
}

#[tokio::test]
async fn users_devices_and_members_are_not_changed_from_an_old_state() {
    let server = start().await;
    let admin = &server.admin.access_token;
    let (sam, room) = (server.add_user("sam").await, server.room("Everyone").await);
    let member = format!("/api/v1/rooms/{room}/members/{}", sam.user);
    let absent = server.conditional(Method::PUT, &member, ("If-Match", "*"), Some(&json!({"role": "talker"}))).await;
    assert!(problem(absent).await.is(ProblemKind::PreconditionFailed), "there is nothing that could match");
    server.send(Method::PUT, &member, Some(admin), Some(&json!({"role": "talker"}))).await;
    let user = format!("/api/v1/users/{}", sam.user);
    let device = format!("/api/v1/devices/{}", sam.device);
    let read = async |path: &str| tag(&server.send(Method::GET, path, Some(admin), None).await);
    for (path, method, bodies) in [
        (&user, Method::PATCH, [json!({"name": "Sam"}), json!({"name": "Samuel"})]),
        (&device, Method::PATCH, [json!({"name": "van"}), json!({"name": "boat"})]),
        (&member, Method::PUT, [json!({"role": "listener"}), json!({"role": "dispatcher"})]),
    ] {
        let old = read(path).await;
        let change = async |tag: &str, body: &Value| {
            server.conditional(method.clone(), path, ("If-Match", tag), Some(body)).await
        };
        assert!(change(&old, &bodies[0]).await.status().is_success(), "{path}");
        let refused = problem(change(&old, &bodies[1]).await).await;
        assert!(refused.is(ProblemKind::PreconditionFailed), "{path}: {refused}");
        let refused = problem(server.conditional(Method::DELETE, path, ("If-Match", &old), None).await).await;
        assert!(refused.is(ProblemKind::PreconditionFailed), "{path}: {refused}");
        assert!(change(&read(path).await, &bodies[1]).await.status().is_success(), "{path}");
    }
    // A device that was used, or a member who connected, did not change.
    let (known, refresh) = (read(&device).await, json!({"refresh_token": sam.refresh_token}));
    assert_eq!(server.send(Method::POST, "/api/v1/auth/refresh", None, Some(&refresh)).await.status(), 200);
    for (path, known) in [(&device, known), (&member, read(&member).await), (&user, read(&user).await)] {
        let gone = server.conditional(Method::DELETE, path, ("If-Match", &known), None).await;
        assert_eq!(gone.status(), StatusCode::NO_CONTENT, "{path}");
    }
    server.end().await;
}

#[tokio::test]
async fn rooms_are_changed_by_those_who_manage_them() {
    let server = start().await;
    let admin = &server.admin.access_token;
    let (sam, room) = (server.add_user("sam").await, server.room("Everyone").await);
    let path = format!("/api/v1/rooms/{room}");
    let patch = async |token: &str, body: Value| server.send(Method::PATCH, &path, Some(token), Some(&body)).await;
    assert!(problem(patch(&sam.access_token, json!({"name": "x"})).await).await.is(ProblemKind::NotFound));
    let member = format!("{path}/members/{}", sam.user);
    server.send(Method::PUT, &member, Some(admin), Some(&json!({"role": "dispatcher"}))).await;
    assert!(problem(patch(&sam.access_token, json!({"name": "x"})).await).await.is(ProblemKind::Forbidden));
    server.send(Method::PUT, &member, Some(admin), Some(&json!({"role": "admin"}))).await;
    let changed: Room = patch(&sam.access_token, json!({"name": "Quay", "talk_limit_s": 20, "kind": "group"}))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!((changed.name.as_str(), changed.talk_limit_s), ("Quay", Some(20)));
    assert_eq!(server.app.auth.talk_limits().of(room), Duration::from_secs(20));
    let changed: Room = patch(&sam.access_token, json!({"talk_limit_s": null})).await.json().await.unwrap();
    assert_eq!((changed.name.as_str(), changed.talk_limit_s), ("Quay", None));
    assert_eq!(server.app.auth.talk_limits().of(room), Duration::from_secs(60));
    for (body, kind, field) in [
        (json!({"talk_limit_s": 9}), ProblemKind::OutOfBounds, "talk_limit_s"),
        (json!({"name": " "}), ProblemKind::OutOfBounds, "name"),
        (json!({"kind": "direct"}), ProblemKind::Conflict, "kind"),
        (json!({"nme": "x"}), ProblemKind::Malformed, "nme"),
    ] {
        let refused = problem(patch(admin, body.clone()).await).await;
        assert!(refused.is(kind) && refused.field.as_deref() == Some(field), "{body}: {refused}");
    }
    server.end().await;
}

#[tokio::test]
async fn the_roster_is_served_with_its_deltas() {
    let server = start().await;
    let (sam, room) = (server.add_user("sam").await, server.room("Everyone").await);
    let roster = async |token: &str, since: &str| {
        server.send(Method::GET, &format!("/api/v1/roster{since}"), Some(token), None).await
    };
    let first: Roster = roster(&sam.access_token, "").await.json().await.unwrap();
    assert!(first.snapshot && first.rooms.is_empty() && first.users.len() == 1);
    let member = format!("/api/v1/rooms/{room}/members/{}", sam.user);
    let body = json!({"role": "talker"});
    server.send(Method::PUT, &member, Some(&server.admin.access_token), Some(&body)).await;
    let since = format!("?since={}", first.sync_token);
    let second: Roster = roster(&sam.access_token, &since).await.json().await.unwrap();
    assert!(!second.snapshot && second.rooms.len() == 1 && second.users.len() == 1, "{second:?}");
    assert!(problem(roster(&server.admin.access_token, &since).await).await.is(ProblemKind::SyncTokenExpired));
    assert!(problem(roster(&sam.access_token, "?since=%3F").await).await.is(ProblemKind::Malformed));
    server.end().await;
}

#[tokio::test]
async fn what_carries_a_key_is_done_once() {
    let server = start().await;
    let rooms = async || server.get::<Vec<Room>>("/api/v1/rooms", &server.admin.access_token).await.len();
    let make = async |key: &str, name: &str| {
        let body = json!({"name": name, "kind": "group"});
        server.conditional(Method::POST, "/api/v1/rooms", ("Idempotency-Key", key), Some(&body)).await
    };
    let before = rooms().await;
    let first = make("\"one\"", "Quay").await;
    assert_eq!((first.status(), first.headers().get("idempotency-replayed")), (StatusCode::CREATED, None));
    let made: Room = first.json().await.unwrap();
    let again = make("one", "Quay").await;
    assert_eq!(
        (again.status(), again.headers()["idempotency-replayed"].as_bytes()),
        (StatusCode::CREATED, &b"true"[..])
    );
    assert_eq!(again.headers()["content-type"], "application/json");
    assert_eq!(again.json::<Room>().await.unwrap(), made);
    assert_eq!(rooms().await, before + 1);

    assert!(problem(make("one", "Pier").await).await.is(ProblemKind::IdempotencyKeyReused));
    assert_eq!(make("two", "Quay").await.status(), StatusCode::CREATED, "another key is another room");
    assert!(problem(make("three", "").await).await.is(ProblemKind::OutOfBounds));
    assert_eq!(make("three", "Pier").await.status(), StatusCode::CREATED, "a refusal leaves its key free");
    for malformed in ["", "\"\"", "a b", &"k".repeat(129)] {
        assert!(problem(make(malformed, "x").await).await.is(ProblemKind::Malformed), "{malformed:?}");
    }
    // Somebody else's key, and another path, are other requests.
    let sam = server.add_user("sam").await;
    let script = server.script(&[Scope::Admin]).await;
    let body = json!({"name": "Quay", "kind": "group"});
    let request = server.client.post(format!("{}/api/v1/rooms", server.url)).header("Idempotency-Key", "one");
    assert_eq!(request.bearer_auth(&script).json(&body).send().await.unwrap().status(), StatusCode::CREATED);
    let request = server.client.post(format!("{}/api/v1/rooms", server.url)).header("Idempotency-Key", "one");
    let refused = request.bearer_auth(&sam.access_token).json(&body).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN, "a key is no right");
    assert_eq!(rooms().await, before + 4);
    server.end().await;
}

#[tokio::test]
async fn of_many_at_once_with_one_key_one_is_done() {
    let server = start().await;
    let body = json!({"name": "Quay", "kind": "group"});
    let make = || server.conditional(Method::POST, "/api/v1/rooms", ("Idempotency-Key", "k"), Some(&body));
    let answers = futures_util::future::join_all((0..16).map(|_| make())).await;
    let mut made = std::collections::BTreeSet::new();
    for answer in answers {
        match answer.status() {
            StatusCode::CREATED => drop(made.insert(answer.json::<Room>().await.unwrap().id)),
            _ => assert!(problem(answer).await.is(ProblemKind::Conflict)),
        }
    }
    assert_eq!(made.len(), 1);
    assert_eq!(make().await.json::<Room>().await.unwrap().id, *made.first().unwrap());
    server.end().await;
}

#[tokio::test]
async fn a_request_whose_end_nobody_knows_is_not_done_again() {
    let server = start().await;
    let body = json!({"name": "Quay", "kind": "group"});
    let make = || server.conditional(Method::POST, "/api/v1/rooms", ("Idempotency-Key", "k"), Some(&body));
    let made = make().await.json::<Room>().await.unwrap();
    // As a server that went down between the change and its answer leaves it.
    server
        .app
        .store
        .write(|db| Ok::<_, crate::storage::StoreError>(db.execute("UPDATE idempotency SET answer = NULL", [])?))
        .await
        .unwrap();
    let refused = problem(make().await).await;
    assert!(refused.is(ProblemKind::Conflict) && refused.detail.contains("not known"), "{refused}");
    assert_eq!(server.room("Quay").await, made.id);
    // A day later it is forgotten.
    server
        .app
        .store
        .write(|db| {
            Ok::<_, crate::storage::StoreError>(
                db.execute("UPDATE idempotency SET begun_at = begun_at - 86400001", [])?,
            )
        })
        .await
        .unwrap();
    assert_eq!(make().await.status(), StatusCode::CREATED);
    server.end().await;
}

#[tokio::test]
async fn every_answer_says_where_the_caller_stands_and_beyond_the_quota_it_is_429() {
    let server = start().await;
    let answer = server.send(Method::GET, "/api/v1/me", Some(&server.admin.access_token), None).await;
    let field = |answer: &Response, name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(field(&answer, "ratelimit-policy"), "\"device\";q=1200;w=60");
    assert!(field(&answer, "ratelimit").starts_with("\"device\";r=119"), "{}", field(&answer, "ratelimit"));
    let answer = server.send(Method::GET, "/api/v1/me", Some("forged"), None).await;
    assert_eq!((answer.status().as_u16(), field(&answer, "ratelimit-policy")), (401, "\"address\";q=1200;w=60".into()));

    let script = server.script(&[]).await;
    let device = server.app.auth.verify(&script).unwrap().device;
    let (now, rates) = (server.app.clock.now(), server.app.config().requests);
    for _ in 0..rates.device {
        server.app.request_limits.device(now, rates, device);
    }
    // The time that the next request takes may fill one place.
    let mut refused = server.send(Method::GET, "/api/v1/me", Some(&script), None).await;
    while refused.status() == StatusCode::OK {
        refused = server.send(Method::GET, "/api/v1/me", Some(&script), None).await;
    }
    assert_eq!(field(&refused, "retry-after"), "1");
    assert!(field(&refused, "ratelimit").starts_with("\"device\";r=0"));
    assert!(problem(refused).await.is(ProblemKind::RateLimited));
    assert_eq!(server.send(Method::GET, "/api/v1/me", Some(&server.admin.access_token), None).await.status(), 200);
    server.end().await;
}
