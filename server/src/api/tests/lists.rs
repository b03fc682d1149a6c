//! Pages, tokens for scripts, and the audit log.

use holler_core::wire::rest::{AuditEntry, MadeToken, Token};

use super::*;

/// The query that `Link` leads to, if it does.
fn next(answer: &Response) -> Option<String> {
    let link = answer.headers().get("link")?.to_str().unwrap();
    Some(link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned())
}

impl Server {
    /// All items of a list, read in pages of `limit`, and how many pages there were.
    async fn pages<T: serde::de::DeserializeOwned>(&self, path: &str, token: &str, first: &str) -> (Vec<T>, usize) {
        let (mut items, mut pages, mut query) = (Vec::new(), 0, first.to_owned());
        loop {
            let answer = self.send(Method::GET, &format!("{path}{query}"), Some(token), None).await;
            let following = next(&answer);
            items.extend(answer.json::<Vec<T>>().await.unwrap());
            pages += 1;
            match following {
                Some(following) => query = following,
                None => return (items, pages),
            }
        }
    }
}

#[tokio::test]
async fn a_list_is_read_page_by_page_and_what_comes_meanwhile_shifts_nothing() {
    let server = start().await;
    let admin = &server.admin.access_token;
    for name in ["b", "a", "a", "c", "ab"] {
        server.post("/api/v1/rooms", admin, json!({"name": name, "kind": "group"})).await;
    }
    let whole: Vec<Room> = server.get("/api/v1/rooms", admin).await;
    assert_eq!(
        whole.iter().map(|room| room.name.as_str()).collect::<Vec<_>>(),
        ["Everyone", "Operations", "a", "a", "ab", "b", "c"]
    );
    let ids = |rooms: &[Room]| rooms.iter().map(|room| room.id).collect::<Vec<_>>();
    for (limit, pages) in [(1, 7), (2, 4), (4, 2), (7, 1), (500, 1)] {
        let (rooms, count) = server.pages::<Room>("/api/v1/rooms", admin, &format!("?limit={limit}")).await;
        assert_eq!((ids(&rooms), count), (ids(&whole), pages), "{limit}");
    }
    let first = server.send(Method::GET, "/api/v1/rooms?limit=3", Some(admin), None).await;
    let query = next(&first).unwrap();
    server.post("/api/v1/rooms", admin, json!({"name": "0", "kind": "group"})).await;
    let (rest, _) = server.pages::<Room>("/api/v1/rooms", admin, &query).await;
    assert_eq!(ids(&rest), ids(&whole)[3..]);

    let cursor = query.split("cursor=").nth(1).unwrap();
    for (path, kind, field) in [
        ("/api/v1/rooms?limit=0".to_owned(), ProblemKind::OutOfBounds, "limit"),
        ("/api/v1/rooms?limit=501".to_owned(), ProblemKind::OutOfBounds, "limit"),
        ("/api/v1/rooms?cursor=x".to_owned(), ProblemKind::Malformed, "cursor"),
        (format!("/api/v1/rooms?cursor={}", "A".repeat(513)), ProblemKind::Malformed, "cursor"),
        (format!("/api/v1/audit?cursor={cursor}"), ProblemKind::Malformed, "cursor"),
    ] {
        let refused = problem(server.send(Method::GET, &path, Some(admin), None).await).await;
        assert!(refused.is(kind) && refused.field.as_deref() == Some(field), "{path}: {refused}");
    }
    server.end().await;
}

#[tokio::test]
async fn every_list_comes_in_pages() {
    let server = start().await;
    let admin = &server.admin.access_token;
    for n in 0..3 {
        let name = format!("t{n}");
        assert_eq!(server.add_user(&name).await.expires_in_s, 600);
        server.post("/api/v1/tokens", admin, json!({"name": name, "scopes": [], "days": 1})).await;
        server.post("/api/v1/invites", admin, json!({"role": "member", "rooms": []})).await;
    }
    let room = server.room("Everyone").await;
    for user in server.get::<Vec<User>>("/api/v1/users", admin).await {
        let path = format!("/api/v1/rooms/{room}/members/{}", user.id);
        server.send(Method::PUT, &path, Some(admin), Some(&json!({"role": "talker"}))).await;
    }
    let own = format!("/api/v1/users/{}/devices", server.admin.user);
    let members = format!("/api/v1/rooms/{room}/members");
    for path in
        ["/api/v1/invites", "/api/v1/devices", &own, "/api/v1/tokens", "/api/v1/users", &members, "/api/v1/audit"]
    {
        let whole: Vec<Value> = server.get(path, admin).await;
        let (items, pages) = server.pages::<Value>(path, admin, "?limit=2").await;
        assert!(whole.len() >= 3 && pages == whole.len().div_ceil(2), "{path}: {pages}");
        assert_eq!(items, whole, "{path}");
    }
    server.end().await;
}

#[tokio::test]
async fn a_token_allows_at_most_what_its_maker_may_and_ends_when_it_is_revoked() {
    let server = start().await;
    let sam = server.add_user("sam").await;
    let new = |scopes: &[&str], days: u32| json!({"name": "alarm", "scopes": scopes, "days": days});
    let made: MadeToken = server
        .post("/api/v1/tokens", &sam.access_token, new(&["roster", "messages", "roster"], 2))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(made.about.scopes, [Scope::Messages, Scope::Roster]);
    let me: Me = server.get("/api/v1/me", &made.token).await;
    assert_eq!((me.user.id, me.device, me.scopes), (sam.user, made.about.id, made.about.scopes.clone()));
    let listed: Vec<Token> = server.get("/api/v1/tokens", &sam.access_token).await;
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].id, &listed[0].scopes), (made.about.id, &made.about.scopes));
    assert!(server.get::<Vec<Token>>("/api/v1/tokens", &server.admin.access_token).await.is_empty());

    for (token, body, kind, field) in [
        (&sam.access_token, new(&["admin"], 1), ProblemKind::Forbidden, Some("scopes")),
        (&sam.access_token, new(&["roster"], 0), ProblemKind::OutOfBounds, Some("days")),
        (&sam.access_token, new(&["roster"], 367), ProblemKind::OutOfBounds, Some("days")),
        (&made.token, new(&["roster"], 1), ProblemKind::Forbidden, None),
        (&server.script(&[Scope::Admin]).await, new(&["admin"], 2), ProblemKind::Forbidden, Some("days")),
        (&server.script(&[Scope::Admin]).await, new(&["roster"], 1), ProblemKind::Forbidden, Some("scopes")),
    ] {
        let refused = problem(server.post("/api/v1/tokens", token, body.clone()).await).await;
        assert!(refused.is(kind) && refused.field.as_deref() == field, "{body}: {refused}");
    }

    let path = format!("/api/v1/tokens/{}", made.about.id);
    let revoke = async |token: &str, path: &str| server.send(Method::DELETE, path, Some(token), None).await;
    assert!(problem(revoke(&server.admin.access_token, &path).await).await.is(ProblemKind::NotFound), "not one's own");
    let sign_in = format!("/api/v1/tokens/{}", sam.device);
    assert!(problem(revoke(&sam.access_token, &sign_in).await).await.is(ProblemKind::NotFound), "no token");
    assert_eq!(revoke(&sam.access_token, &path).await.status(), StatusCode::NO_CONTENT);
    assert!(
        problem(server.send(Method::GET, "/api/v1/me", Some(&made.token), None).await).await.is(ProblemKind::Revoked)
    );
    assert!(problem(revoke(&sam.access_token, &path).await).await.is(ProblemKind::NotFound));
    server.end().await;
}

#[tokio::test]
async fn the_audit_log_is_read_in_pages_and_filtered() {
    let server = start().await;
    let admin = &server.admin.access_token;
    let sam = server.add_user("sam").await;
    let (all, _) = server.pages::<AuditEntry>("/api/v1/audit", admin, "").await;
    let numbers: Vec<_> = all.iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, (1..=all.len() as u64).rev().collect::<Vec<_>>(), "without holes, the newest first");
    let (paged, pages) = server.pages::<AuditEntry>("/api/v1/audit", admin, "?limit=2").await;
    assert_eq!((paged, pages), (all.clone(), all.len().div_ceil(2)));
    let (added, _) = server.pages::<AuditEntry>("/api/v1/audit", admin, "?limit=1&action=user.added").await;
    assert!(added.iter().all(|entry| entry.action == "user.added"));
    assert!(added.iter().any(|entry| entry.targets == [sam.user.to_string()]));
    let (about, _) = server.pages::<AuditEntry>("/api/v1/audit", admin, &format!("?limit=1&target={}", sam.user)).await;
    assert!(!about.is_empty() && about.iter().all(|entry| entry.targets.contains(&sam.user.to_string())));
    let refused = server.send(Method::GET, "/api/v1/audit?action=no.such", Some(admin), None).await;
    assert!(problem(refused).await.is(ProblemKind::OutOfBounds));
    assert!(
        problem(server.send(Method::GET, "/api/v1/audit", Some(&sam.access_token), None).await)
            .await
            .is(ProblemKind::Forbidden)
    );
    server.end().await;
}

#[tokio::test]
async fn two_people_have_one_direct_room_and_nobody_else_is_let_in() {
    let server = start().await;
    let admin = &server.admin.access_token;
    let (ann, ben, cat) = (server.add_user("ann").await, server.add_user("ben").await, server.add_user("cat").await);
    let path = |of: &Tokens| format!("/api/v1/rooms/direct/{}", of.user);
    // They share no room: to each other they don't exist.
    let stranger = problem(server.send(Method::PUT, &path(&ben), Some(&ann.access_token), None).await).await;
    assert!(stranger.is(ProblemKind::NotFound), "{stranger}");
    let room: Room =
        server.post("/api/v1/rooms", admin, json!({"name": "g", "kind": "group"})).await.json().await.unwrap();
    let join = async |room: RoomId, who: &Tokens| {
        let path = format!("/api/v1/rooms/{room}/members/{}", who.user);
        server.send(Method::PUT, &path, Some(admin), Some(&json!({"role": "talker"}))).await
    };
    for who in [&ann, &ben, &cat] {
        assert_eq!(join(room.id, who).await.status(), StatusCode::NO_CONTENT);
    }
    let before: holler_core::wire::rest::Roster = server.get("/api/v1/roster", &ann.access_token).await;

    // Both open it, many times at once: one room.
    let open = async |me: &Tokens, other: &Tokens| -> Room {
        server.send(Method::PUT, &path(other), Some(&me.access_token), None).await.json().await.unwrap()
    };
    let (ours, theirs) = (
        futures_util::future::join_all((0..8).map(|_| open(&ann, &ben))),
        futures_util::future::join_all((0..8).map(|_| open(&ben, &ann))),
    );
    let (ours, theirs) = futures_util::future::join(ours, theirs).await;
    assert_eq!((ours[0].name.as_str(), theirs[0].name.as_str()), ("ben", "ann"));
    let opened: Vec<_> = ours.into_iter().chain(theirs).collect();
    let direct = opened[0].id;
    assert!(opened.iter().all(|room| room.id == direct && room.members == 2 && room.role == Some(Role::Talker)));

    // No third, also once one of the two has left; who left comes back by opening it.
    let third = problem(join(direct, &cat).await).await;
    assert!(third.is(ProblemKind::Conflict), "{third}");
    let leave = format!("/api/v1/rooms/{direct}/members/{}", ben.user);
    assert_eq!(server.send(Method::DELETE, &leave, Some(admin), None).await.status(), StatusCode::NO_CONTENT);
    let third = problem(join(direct, &cat).await).await;
    assert!(third.is(ProblemKind::Conflict) && third.detail.contains("two people"), "{third}");
    let again = open(&ben, &ann).await;
    assert_eq!((again.id, again.members, again.name.as_str()), (direct, 2, "ann"));

    // A new name is told with the roster's next delta.
    let since = |roster: &holler_core::wire::rest::Roster| format!("/api/v1/roster?since={}", roster.sync_token);
    let delta: holler_core::wire::rest::Roster = server.get(&since(&before), &ann.access_token).await;
    assert_eq!(delta.rooms.iter().map(|room| room.name.as_str()).collect::<Vec<_>>(), ["ben"]);
    let renamed = json!({"name": "Benjamin"});
    let user = format!("/api/v1/users/{}", ben.user);
    let answer = server.send(Method::PATCH, &user, Some(admin), Some(&renamed)).await;
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    let delta: holler_core::wire::rest::Roster = server.get(&since(&delta), &ann.access_token).await;
    assert_eq!(delta.rooms.iter().map(|room| room.name.as_str()).collect::<Vec<_>>(), ["Benjamin"]);
    server.end().await;
}

#[tokio::test]
async fn one_has_an_echo_room_of_ones_own_and_nobody_else_is_let_in() {
    let server = start().await;
    let (ann, cat) = (server.add_user("ann").await, server.add_user("cat").await);
    let path = format!("/api/v1/rooms/direct/{}", ann.user);
    let open =
        async || -> Room { server.send(Method::PUT, &path, Some(&ann.access_token), None).await.json().await.unwrap() };
    let echo = open().await;
    assert_eq!((echo.name.as_str(), echo.members, echo.role), ("Echo", 1, Some(Role::Talker)));
    assert_eq!(open().await.id, echo.id, "it is made once");
    let second = format!("/api/v1/rooms/{}/members/{}", echo.id, cat.user);
    let admin = Some(server.admin.access_token.as_str());
    let refused = problem(server.send(Method::PUT, &second, admin, Some(&json!({"role": "talker"}))).await).await;
    assert!(refused.is(ProblemKind::Conflict), "{refused}");
    server.end().await;
}
