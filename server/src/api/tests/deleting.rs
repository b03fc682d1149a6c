//! Rooms that are deleted, and how much there may be of everything.

use holler_core::wire::limits::{ROOM_MEMBERS_MAX, ROOMS_MAX, TOKENS_MAX, USERS_MAX};
use holler_core::wire::rest::{Invite, MadeInvite, Roster, ShredReceipt};

use super::*;
use crate::storage::StoreError;

#[tokio::test]
async fn a_deleted_room_is_gone_with_its_log_and_deleting_it_again_says_the_same() {
    let server = start().await;
    let admin = &server.admin.access_token;
    let (sam, room) = (server.add_user("sam").await, server.room("Everyone").await);
    let path = format!("/api/v1/rooms/{room}");
    let delete = async |token: &str| server.send(Method::DELETE, &path, Some(token), None).await;
    server
        .send(Method::PUT, &format!("{path}/members/{}", sam.user), Some(admin), Some(&json!({"role": "admin"})))
        .await;
    let text = json!({"client_id": ClientId::from_bytes([1; 16]), "body": {"kind": "message.posted", "text": "hello"}});
    assert_eq!(server.post(&format!("{path}/events"), admin, text).await.status(), StatusCode::CREATED);
    let invite = json!({"role": "member", "rooms": [{"room": room, "role": "talker"}]});
    let invite: MadeInvite = server.post("/api/v1/invites", admin, invite).await.json().await.unwrap();
    let before: Roster = server.get("/api/v1/roster", &sam.access_token).await;

    assert!(
        problem(delete(&sam.access_token).await).await.is(ProblemKind::Forbidden),
        "an admin of the room is none here"
    );
    let hold = async |held: bool| {
        let body = json!({"days": null, "held": held});
        server.send(Method::PUT, &format!("{path}/retention"), Some(admin), Some(&body)).await
    };
    hold(true).await;
    assert!(problem(delete(admin).await).await.is(ProblemKind::Conflict), "under legal hold");
    hold(false).await;
    let stale = server.client.delete(format!("{}{path}", server.url)).bearer_auth(admin).header("If-Match", "\"old\"");
    assert!(problem(stale.send().await.unwrap()).await.is(ProblemKind::PreconditionFailed));

    let first = delete(admin).await;
    assert_eq!(first.status(), StatusCode::OK);
    let receipt: ShredReceipt = first.json().await.unwrap();
    assert_eq!((receipt.room, receipt.events, receipt.key_sha256.len()), (room, 1, 64));
    assert_eq!(delete(admin).await.json::<ShredReceipt>().await.unwrap(), receipt, "also done again");
    let (store, workspace, now) = (&server.app.store, server.app.auth.workspace(), server.app.clock.unix());
    crate::storage::retention::round(store, workspace, None, now).await.unwrap();
    assert_eq!(delete(admin).await.json::<ShredReceipt>().await.unwrap(), receipt, "and when its rows are gone");

    for (method, path) in
        [(Method::GET, path.clone()), (Method::GET, format!("{path}/events")), (Method::PATCH, path.clone())]
    {
        let answer = server.send(method, &path, Some(admin), Some(&json!({}))).await;
        assert!(problem(answer).await.is(ProblemKind::NotFound), "{path}");
    }
    let delta: Roster = server.get(&format!("/api/v1/roster?since={}", before.sync_token), &sam.access_token).await;
    assert_eq!(delta.removed_rooms, [room]);
    // An invite that leads nowhere else is good for nothing, and says so to its maker.
    let found: Invite = server.get(&format!("/api/v1/invites/{}", invite.invite.id), admin).await;
    assert_eq!(found.rooms, []);
    let audit: Value = server.get("/api/v1/audit?action=room.shredded", admin).await;
    assert_eq!(audit[0]["number"], receipt.audit_entry);
    let never = format!("/api/v1/rooms/{}", RoomId::from_bytes([8; 16]));
    assert!(problem(server.send(Method::DELETE, &never, Some(admin), None).await).await.is(ProblemKind::NotFound));
    server.end().await;
}

#[tokio::test]
async fn there_is_a_most_of_everything_that_people_make_and_the_refusal_names_it() {
    let server = start().await;
    let admin = &server.admin.access_token;
    let (sam, room) = (server.add_user("sam").await, server.room("Everyone").await);
    let workspace = server.app.auth.workspace();
    // Rows of nobody in particular, one less than there may be of each.
    let fill = move |db: &rusqlite::Connection| -> Result<(), StoreError> {
        let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)";
        let users = format!(
            "{numbers} INSERT INTO users (workspace_id, user_id, login_hash, login, name, password, role, created_at) \
             SELECT ?1, randomblob(16), randomblob(32), x'', x'', x'', 'member', 0 FROM n"
        );
        db.execute(&users, rusqlite::params![workspace.bytes(), USERS_MAX - 3])?;
        let rooms = format!(
            "{numbers} INSERT INTO rooms (workspace_id, room_id, kind, name, created_at) \
             SELECT ?1, randomblob(16), 'group', x'', 0 FROM n"
        );
        db.execute(&rooms, rusqlite::params![workspace.bytes(), ROOMS_MAX - 3])?;
        let members = "INSERT INTO members (workspace_id, room_id, user_id, role, added_at) \
             SELECT workspace_id, ?2, user_id, 'listener', 0 FROM users WHERE workspace_id = ?1 AND created_at = 0 LIMIT ?3";
        db.execute(members, rusqlite::params![workspace.bytes(), room.bytes(), ROOM_MEMBERS_MAX - 2])?;
        Ok(())
    };
    server.app.store.write(fill).await.unwrap();
    let user = |login: &str| json!({"login": login, "name": "x", "password": "a long password", "role": "member"});
    let group = json!({"name": "x", "kind": "group"});
    let member = async |user: UserId| {
        let path = format!("/api/v1/rooms/{room}/members/{user}");
        server.send(Method::PUT, &path, Some(admin), Some(&json!({"role": "talker"}))).await
    };
    let token = || server.post("/api/v1/tokens", &sam.access_token, json!({"name": "x", "scopes": [], "days": 1}));
    for _ in 1..TOKENS_MAX {
        assert_eq!(token().await.status(), StatusCode::CREATED);
    }
    let made = server.post("/api/v1/users", admin, user("last")).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    let last: User = made.json().await.unwrap();
    assert_eq!(server.post("/api/v1/rooms", admin, group.clone()).await.status(), StatusCode::CREATED);
    assert_eq!(member(sam.user).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(member(sam.user).await.status(), StatusCode::NO_CONTENT, "one who is in it stays and changes");
    assert_eq!(token().await.status(), StatusCode::CREATED);
    for (answer, most, remedy) in [
        (server.post("/api/v1/users", admin, user("more")).await, USERS_MAX, "erase"),
        (server.post("/api/v1/rooms", admin, group).await, ROOMS_MAX, "delete"),
        (member(last.id).await, ROOM_MEMBERS_MAX, "take out"),
        (token().await, TOKENS_MAX, "revoke"),
    ] {
        let refused = problem(answer).await;
        let told = refused.detail.contains(&most.to_string()) && refused.detail.contains(remedy);
        assert!(refused.is(ProblemKind::Conflict) && told, "{refused}");
    }
    server.end().await;
}
