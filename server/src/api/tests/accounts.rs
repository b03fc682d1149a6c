//! Invites, links for a new password, users, devices: what is given, and that what is refused says nothing more.

use holler_core::wire::rest::{Invite, InviteOffer, MadeInvite, ResetLink};

use super::*;
use crate::auth::links::{LinkToken, Purpose};
use crate::storage::audit::Actor;

/// A whole answer, as somebody sees it who looks for differences.
async fn whole(answer: Response) -> (u16, Vec<(String, Vec<u8>)>, String) {
    let status = answer.status().as_u16();
    // The date and what is left of the quota are the same for all who ask at one time.
    let mut headers: Vec<_> = answer
        .headers()
        .iter()
        .filter(|(name, _)| *name != "date" && !name.as_str().starts_with("ratelimit"))
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    headers.sort();
    (status, headers, answer.text().await.unwrap())
}

impl Server {
    async fn open(&self, path: &str, body: Value) -> Response {
        self.send(Method::POST, path, None, Some(&body)).await
    }

    async fn invite(&self, token: &str, body: Value) -> MadeInvite {
        let answer = self.post("/api/v1/invites", token, body).await;
        assert_eq!(answer.status(), StatusCode::CREATED);
        answer.json().await.unwrap()
    }

    async fn join(&self, link: &str, login: &str) -> Response {
        let body = json!({"token": secret_of(link), "login": login, "name": login, "password": "a long password",
            "device_name": "phone"});
        self.open("/api/v1/invites/accept", body).await
    }

    async fn sign_in(&self, login: &str, password: &str) -> Response {
        let body = json!({"login": login, "password": password, "device_name": "phone"});
        self.open("/api/v1/auth/sign-in", body).await
    }

    async fn reset_link(&self, user: UserId) -> String {
        let path = format!("/api/v1/users/{user}/reset");
        let answer = self.post(&path, &self.admin.access_token, json!({})).await;
        assert_eq!(answer.status(), StatusCode::CREATED);
        answer.json::<ResetLink>().await.unwrap().link
    }

    async fn reset(&self, link: &str, password: &str) -> Response {
        let body = json!({"token": secret_of(link), "password": password, "device_name": "phone"});
        self.open("/api/v1/auth/reset", body).await
    }

    async fn change_user(&self, user: UserId, token: &str, change: Value) -> Response {
        self.send(Method::PATCH, &format!("/api/v1/users/{user}"), Some(token), Some(&change)).await
    }

    /// Says who may invite.
    async fn invites_by(&self, rule: &str) {
        let body = json!({ "invites_by": rule, "invite_days_max": 90 });
        let answer = self.send(Method::PUT, "/api/v1/policy", Some(&self.admin.access_token), Some(&body)).await;
        assert_eq!(answer.status(), StatusCode::OK);
    }

    async fn set_member(&self, room: RoomId, user: UserId, role: &str) {
        let path = format!("/api/v1/rooms/{room}/members/{user}");
        let body = json!({ "role": role });
        let answer = self.send(Method::PUT, &path, Some(&self.admin.access_token), Some(&body)).await;
        assert!(answer.status().is_success());
    }
}

fn secret_of(link: &str) -> &str {
    link.split_once('#').unwrap().1
}

/// Whoever guesses identifiers gets the same answer, to the byte, for what is somebody else's and for what is not there.
#[tokio::test]
async fn what_one_may_not_see_looks_like_what_is_not_there() {
    let server = start().await;
    let admin = &server.admin.access_token;
    let (sam, alex) = (server.add_user("sam").await, server.add_user("alex").await);
    let room = server.room("Everyone").await;
    let invite =
        server.invite(admin, json!({"role": "member", "rooms": [{"room": room, "role": "talker"}]})).await.invite.id;
    let none = |prefix: &str| format!("{prefix}_14h24h24h24h24h24h24h24h24");
    let (event, body) = (
        json!({"client_id": ClientId::from_bytes([1; 16]), "body": {"kind": "message.posted", "text": "x"}}),
        json!({}),
    );
    let mut tried = 0;
    for (there, absent, paths) in [
        (
            room.to_string(),
            none("room"),
            &[
                "GET /rooms/ID",
                "PATCH /rooms/ID",
                "GET /rooms/ID/members",
                "GET /rooms/ID/events",
                "POST /rooms/ID/events",
                "GET /presence?room=ID",
                "GET /rooms/ID/bursts/bst_14h24h24h24h24h24h24h24h24",
                "GET /rooms/ID/events/1/receipts",
            ][..],
        ),
        (
            alex.user.to_string(),
            none("usr"),
            &["GET /users/ID", "PATCH /users/ID", "GET /users/ID/devices", "DELETE /users/ID/devices"],
        ),
        (
            alex.device.to_string(),
            none("dev"),
            &["GET /devices/ID", "PATCH /devices/ID", "DELETE /devices/ID", "DELETE /tokens/ID"],
        ),
        (invite.to_string(), none("inv"), &["GET /invites/ID", "DELETE /invites/ID"]),
    ] {
        for path in paths {
            let (method, path) = path.split_once(' ').unwrap();
            let mut answers = Vec::new();
            for id in [&there, &absent] {
                let path = format!("/api/v1{}", path.replace("ID", id));
                let body = match (method, path.contains("/devices/")) {
                    ("PATCH", true) => json!({"name": "x"}),
                    ("POST", _) => event.clone(),
                    _ => body.clone(),
                };
                let sent = (method != "GET" && method != "DELETE").then_some(&body);
                let answer = server.send(method.parse().unwrap(), &path, Some(&sam.access_token), sent).await;
                assert!(answer.status().is_client_error(), "{method} {path}");
                let (status, headers, text) = whole(answer).await;
                let headers: Vec<_> = headers.into_iter().filter(|(name, _)| name != "content-length").collect();
                answers.push((status, headers, text.replace(id.as_str(), "ID")));
            }
            assert_eq!(answers[0], answers[1], "{method} {path}");
            tried += 1;
        }
    }
    assert_eq!(tried, 18);
    server.end().await;
}

#[tokio::test]
async fn people_join_by_a_link_and_are_signed_in_at_once() {
    let server = start().await;
    let (everyone, operations) = (server.room("Everyone").await, server.room("Operations").await);
    let admin = server.admin.access_token.as_str();
    let rooms = json!([{"room": everyone, "role": "talker"}, {"room": operations, "role": "listener"}]);
    let made = server.invite(admin, json!({"rooms": rooms, "uses_max": 2, "note": "night shift"})).await;
    assert!(made.link.starts_with("https://radio.example.org:"), "{}", made.link);
    assert!(made.qr_svg.contains("<svg"));

    let look = server.open("/api/v1/invites/look", json!({"token": secret_of(&made.link)})).await;
    let offer: InviteOffer = look.json().await.unwrap();
    assert_eq!(offer.workspace_name, "Holler");
    let offered: Vec<_> = offer.rooms.iter().map(|room| (room.name.as_str(), room.role)).collect();
    assert_eq!(offered, [("Everyone", Role::Talker), ("Operations", Role::Listener)]);

    let answer = server.join(&made.link, "sam").await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let sam: Tokens = answer.json().await.unwrap();
    let me: Me = server.get("/api/v1/me", &sam.access_token).await;
    assert_eq!((me.user.login.as_deref(), me.device), (Some("sam"), sam.device));
    let mine: Vec<Room> = server.get("/api/v1/rooms", &sam.access_token).await;
    let mine: Vec<_> = mine.iter().map(|room| (room.id, room.role)).collect();
    assert_eq!(mine, [(everyone, Some(Role::Talker)), (operations, Some(Role::Listener))]);

    let taken = problem(server.join(&made.link, "sam").await).await;
    assert!(taken.is(ProblemKind::Conflict) && taken.field.as_deref() == Some("login"));
    assert_eq!(server.join(&made.link, "alex").await.status(), StatusCode::CREATED, "a taken login uses nothing up");
    assert!(problem(server.join(&made.link, "kim").await).await.is(ProblemKind::NotFound), "it was for two");

    let listed: Vec<Invite> = server.get("/api/v1/invites", admin).await;
    assert_eq!((listed.len(), listed[0].uses, listed[0].note.as_deref()), (1, 2, Some("night shift")));
    assert_eq!(listed[0].made_by, Some(server.admin.user));
    assert!(!serde_json::to_string(&listed).unwrap().contains(secret_of(&made.link)));
    server.end().await;
}

#[tokio::test]
async fn every_invite_that_is_not_good_looks_the_same() {
    let server = start().await;
    let (admin, room) = (server.admin.access_token.clone(), server.room("Everyone").await);
    let rooms = json!({"rooms": [{"room": room, "role": "talker"}]});
    let mut tokens = vec!["nonsense".to_owned(), String::new(), "hi1.".to_owned() + &"A".repeat(48)];
    let mut bad = |link: &str| tokens.push(secret_of(link).to_owned());

    let used = server.invite(&admin, rooms.clone()).await;
    assert_eq!(server.join(&used.link, "sam").await.status(), StatusCode::CREATED);
    bad(&used.link);
    let revoked = server.invite(&admin, rooms.clone()).await;
    let path = format!("/api/v1/invites/{}", revoked.invite.id);
    assert_eq!(server.send(Method::DELETE, &path, Some(&admin), None).await.status(), StatusCode::NO_CONTENT);
    bad(&revoked.link);
    let foreign = LinkToken::draw(Purpose::Invite, holler_core::units::WorkspaceId::from_bytes([3; 16])).unwrap();
    bad(&foreign.link("https://x"));
    bad(&LinkToken::draw(Purpose::Reset, server.app.auth.workspace()).unwrap().link("https://x"));
    bad(&LinkToken::draw(Purpose::Invite, server.app.auth.workspace()).unwrap().link("https://x"));
    server.invites_by("room-admins").await;
    // Two whose makers may no longer invite: a room admin who is one no more, and one who was suspended.
    for (login, change) in [("ex", "role"), ("gone", "suspended")] {
        let maker = server.add_user(login).await;
        server.set_member(room, maker.user, "admin").await;
        let made = server.invite(&maker.access_token, rooms.clone()).await;
        assert_eq!(
            server.open("/api/v1/invites/look", json!({"token": secret_of(&made.link)})).await.status(),
            StatusCode::OK
        );
        match change {
            "role" => server.set_member(room, maker.user, "dispatcher").await,
            _ => drop(server.change_user(maker.user, &admin, json!({"suspended": true})).await),
        }
        bad(&made.link);
    }
    // One that has expired: made an hour ago for a minute.
    let made = server.invite(&admin, rooms.clone()).await;
    let (id, then) = (made.invite.id, server.app.clock.unix().0 - 1);
    let expire = move |db: &rusqlite::Connection| {
        let sql = "UPDATE invites SET expires_at = ?2 WHERE invite_id = ?1";
        db.execute(sql, rusqlite::params![id.bytes(), i64::try_from(then).unwrap()])?;
        Ok::<_, crate::storage::StoreError>(())
    };
    server.app.store.write(expire).await.unwrap();
    bad(&made.link);

    let hashed = server.app.auth.hashed();
    let (mut looks, mut joins) = (Vec::new(), Vec::new());
    for token in &tokens {
        looks.push(whole(server.open("/api/v1/invites/look", json!({ "token": token })).await).await);
        joins.push(whole(server.join(&format!("#{token}"), "newcomer").await).await);
    }
    assert_eq!(looks[0].0, 404);
    for (token, (look, join)) in tokens.iter().zip(looks.iter().zip(&joins)) {
        assert_eq!((look, join), (&looks[0], &joins[0]), "{token}");
    }
    assert_eq!(looks[0].2, joins[0].2);
    assert_eq!(server.app.auth.hashed(), hashed, "nobody without an invite makes the server work");
    server.end().await;
}

#[tokio::test]
async fn who_may_invite_where() {
    let server = start().await;
    let (everyone, operations) = (server.room("Everyone").await, server.room("Operations").await);
    let sam = server.add_user("sam").await;
    server.set_member(everyone, sam.user, "admin").await;
    server.set_member(operations, sam.user, "dispatcher").await;
    let ask = async |body: Value| server.post("/api/v1/invites", &sam.access_token, body).await;
    let into = |room: RoomId| json!({"rooms": [{"room": room, "role": "talker"}]});
    assert!(problem(ask(into(everyone)).await).await.is(ProblemKind::Forbidden), "admins of the workspace only");
    server.invites_by("dispatchers").await;
    assert_eq!(ask(into(operations)).await.status(), StatusCode::CREATED);
    let higher = json!({"rooms": [{"room": operations, "role": "admin"}]});
    assert!(problem(ask(higher).await).await.is(ProblemKind::Forbidden), "nobody gives more than they have");
    server.invites_by("room-admins").await;
    let made: MadeInvite = ask(into(everyone)).await.json().await.unwrap();
    assert!(problem(ask(into(operations)).await).await.is(ProblemKind::Forbidden), "a dispatcher there");
    let nowhere = RoomId::from_bytes([9; 16]);
    assert!(problem(ask(into(nowhere)).await).await.is(ProblemKind::NotFound));
    for (body, field) in [
        (json!({"rooms": [{"room": everyone, "role": "talker"}], "role": "admin"}), "role"),
        (json!({"rooms": []}), "rooms"),
    ] {
        let refused = problem(ask(body).await).await;
        assert!(refused.is(ProblemKind::Forbidden) && refused.field.as_deref() == Some(field), "{refused}");
    }
    let twice = json!({"rooms": [{"room": everyone, "role": "talker"}, {"room": everyone, "role": "admin"}]});
    for (body, field) in [
        (twice, "rooms"),
        (json!({"expires_in_s": 59}), "expires_in_s"),
        (json!({"expires_in_s": 7_776_001}), "expires_in_s"),
        (json!({"uses_max": 0}), "uses_max"),
        (json!({"uses_max": 1_001}), "uses_max"),
        (json!({"note": ""}), "note"),
    ] {
        let refused = problem(server.post("/api/v1/invites", &server.admin.access_token, body).await).await;
        assert!(refused.is(ProblemKind::OutOfBounds) && refused.field.as_deref() == Some(field), "{refused}");
    }

    // Others' invites look like none at all.
    let of_admin = server.invite(&server.admin.access_token, json!({})).await.invite.id;
    let unknown = holler_core::units::InviteId::from_bytes([7; 16]);
    for method in [Method::GET, Method::DELETE] {
        let see = async |id: holler_core::units::InviteId| {
            let path = format!("/api/v1/invites/{id}");
            whole(server.send(method.clone(), &path, Some(&sam.access_token), None).await).await
        };
        let (theirs, none) = (see(of_admin).await, see(unknown).await);
        assert_eq!((theirs.0, &theirs), (404, &none));
    }
    let mine: Vec<Invite> = server.get("/api/v1/invites", &sam.access_token).await;
    assert_eq!(mine.iter().map(|invite| invite.made_by).collect::<Vec<_>>(), [Some(sam.user); 2]);
    server.invites_by("admins").await;
    let look = server.open("/api/v1/invites/look", json!({"token": secret_of(&made.link)})).await;
    assert_eq!(look.status(), StatusCode::NOT_FOUND, "the policy of now counts");
    server.end().await;
}

#[tokio::test]
async fn a_link_sets_a_new_password_once() {
    let server = start().await;
    let sam = server.add_user("sam").await;
    let replaced = server.reset_link(sam.user).await;
    let link = server.reset_link(sam.user).await;
    assert!(link.contains("/reset#hp1."), "{link}");
    assert_eq!(
        server.send(Method::GET, "/api/v1/me", Some(&sam.access_token), None).await.status(),
        StatusCode::OK,
        "nothing ends before it is used"
    );
    let short = problem(server.reset(&link, "short").await).await;
    assert!(short.is(ProblemKind::OutOfBounds) && short.field.as_deref() == Some("password"));

    let answer = server.reset(&link, "another long password").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let fresh: Tokens = answer.json().await.unwrap();
    assert_eq!(fresh.user, sam.user);
    let me: Me = server.get("/api/v1/me", &fresh.access_token).await;
    assert_eq!(me.user.login.as_deref(), Some("sam"));
    let old = server.send(Method::GET, "/api/v1/me", Some(&sam.access_token), None).await;
    assert!(problem(old).await.is(ProblemKind::Revoked), "every earlier sign-in ended");
    assert_eq!(server.sign_in("sam", "a long password").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(server.sign_in("sam", "another long password").await.status(), StatusCode::OK);

    // Used, replaced, void because a password was set otherwise, of somebody suspended, and never made: all the same, without work.
    let voided = server.reset_link(sam.user).await;
    let alex = server.add_user("alex").await;
    let suspended = server.reset_link(alex.user).await;
    server.change_user(alex.user, &server.admin.access_token, json!({"suspended": true})).await;
    let token = server.sign_in("sam", "another long password").await.json::<Tokens>().await.unwrap().access_token;
    let change = json!({"old_password": "another long password", "new_password": "a third long password"});
    let changed = server.send(Method::PUT, "/api/v1/me/password", Some(&token), Some(&change)).await;
    assert_eq!(changed.status(), StatusCode::NO_CONTENT);
    let never = LinkToken::draw(Purpose::Reset, server.app.auth.workspace()).unwrap().link("https://x").to_string();
    let hashed = server.app.auth.hashed();
    let first = whole(server.reset("#nonsense", "a fourth long password").await).await;
    assert_eq!(first.0, 401);
    for link in [&link, &replaced, &voided, &suspended, &never] {
        assert_eq!(whole(server.reset(link, "a fourth long password").await).await, first);
    }
    assert_eq!(server.app.auth.hashed(), hashed);
    server.end().await;
}

#[tokio::test]
async fn ones_own_password_needs_the_old_one_and_ends_other_sign_ins() {
    let server = start().await;
    let sam = server.add_user("sam").await;
    let other: Tokens = server.sign_in("sam", "a long password").await.json().await.unwrap();
    let change = async |old: &str, new: &str| {
        let body = json!({"old_password": old, "new_password": new});
        server.send(Method::PUT, "/api/v1/me/password", Some(&sam.access_token), Some(&body)).await
    };
    let wrong = problem(change("a wrong password", "another long password").await).await;
    assert!(wrong.is(ProblemKind::Forbidden) && wrong.field.as_deref() == Some("old_password"), "{wrong}");
    let short = problem(change("a long password", "short").await).await;
    assert!(short.is(ProblemKind::OutOfBounds) && short.field.as_deref() == Some("new_password"), "{short}");
    assert_eq!(change("a long password", "another long password").await.status(), StatusCode::NO_CONTENT);
    let status =
        async |tokens: &Tokens| server.send(Method::GET, "/api/v1/me", Some(&tokens.access_token), None).await.status();
    assert_eq!(status(&sam).await, StatusCode::OK, "this sign-in stays");
    assert_eq!(status(&other).await, StatusCode::UNAUTHORIZED);
    let refresh = json!({"refresh_token": sam.refresh_token});
    assert_eq!(server.open("/api/v1/auth/refresh", refresh).await.status(), StatusCode::OK);
    server.end().await;
}

#[tokio::test]
async fn devices_keep_the_name_they_are_given_and_end_by_owner_or_admin() {
    let server = start().await;
    let (sam, alex) = (server.add_user("sam").await, server.add_user("alex").await);
    let path = format!("/api/v1/devices/{}", sam.device);
    let name = json!({"name": "van, left seat"});
    let renamed = server.send(Method::PATCH, &path, Some(&sam.access_token), Some(&name)).await;
    assert_eq!(renamed.json::<Device>().await.unwrap().name, "van, left seat");
    let again = json!({"login": "sam", "password": "a long password", "device_name": "phone", "device": sam.device});
    let sam: Tokens = server.open("/api/v1/auth/sign-in", again).await.json().await.unwrap();
    let of = |user: UserId| format!("/api/v1/users/{user}/devices");
    let devices: Vec<Device> = server.get(&of(sam.user), &server.admin.access_token).await;
    assert_eq!(devices.iter().map(|device| device.name.as_str()).collect::<Vec<_>>(), ["van, left seat"]);
    assert_eq!(devices, server.get::<Vec<Device>>(&of(sam.user), &sam.access_token).await);

    // Somebody else's devices, and a device of somebody else, look like none at all.
    let nobody = UserId::from_bytes([9; 16]);
    for method in [Method::GET, Method::DELETE] {
        let see =
            async |user| whole(server.send(method.clone(), &of(user), Some(&alex.access_token), None).await).await;
        let (theirs, none) = (see(sam.user).await, see(nobody).await);
        assert_eq!((theirs.0, &theirs), (404, &none));
    }
    let see = async |device: DeviceId| {
        let path = format!("/api/v1/devices/{device}");
        whole(server.send(Method::PATCH, &path, Some(&alex.access_token), Some(&name)).await).await
    };
    let (theirs, none) = (see(sam.device).await, see(DeviceId::from_bytes([9; 16])).await);
    assert_eq!((theirs.0, &theirs), (404, &none));

    let script = server.app.auth.script_token(Actor::Cli, sam.user, "x".into(), vec![], 1).await.unwrap().1;
    let gone = server.send(Method::DELETE, &of(sam.user), Some(&server.admin.access_token), None).await;
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    for token in [&sam.access_token, &script] {
        let answer = server.send(Method::GET, "/api/v1/me", Some(token), None).await;
        assert!(problem(answer).await.is(ProblemKind::Revoked));
    }
    server.end().await;
}

#[tokio::test]
async fn users_are_renamed_suspended_restored_and_an_admin_stays() {
    let server = start().await;
    let (sam, alex) = (server.add_user("sam").await, server.add_user("alex").await);
    let admin = server.admin.access_token.as_str();
    // People see each other in the rooms that they share.
    let room = server.room("Everyone").await;
    for user in [sam.user, alex.user] {
        server.set_member(room, user, "talker").await;
    }
    let renamed = server.change_user(sam.user, &sam.access_token, json!({"name": "Sam S."})).await;
    assert_eq!(renamed.json::<User>().await.unwrap().name, "Sam S.");
    for change in [json!({"role": "admin"}), json!({"suspended": false}), json!({"name": "x", "role": "member"})] {
        let refused = server.change_user(sam.user, &sam.access_token, change).await;
        assert!(problem(refused).await.is(ProblemKind::Forbidden));
    }
    // Whoever may not change people does not learn here who there is.
    let change = async |user| whole(server.change_user(user, &sam.access_token, json!({"name": "x"})).await).await;
    assert_eq!(change(alex.user).await, change(UserId::from_bytes([9; 16])).await);

    let suspended = server.change_user(sam.user, admin, json!({"suspended": true})).await;
    assert!(suspended.json::<User>().await.unwrap().suspended_at.is_some());
    let out = server.send(Method::GET, "/api/v1/me", Some(&sam.access_token), None).await;
    assert!(problem(out).await.is(ProblemKind::Revoked));
    let refresh = json!({"refresh_token": sam.refresh_token});
    assert!(problem(server.open("/api/v1/auth/refresh", refresh.clone()).await).await.is(ProblemKind::Revoked));
    assert!(problem(server.sign_in("sam", "a long password").await).await.is(ProblemKind::Forbidden));
    assert_eq!(
        whole(server.sign_in("sam", "a wrong password").await).await,
        whole(server.sign_in("nobody", "a wrong password").await).await,
        "only who knows the password learns that there is such an account"
    );
    let seen: User = server.get(&format!("/api/v1/users/{}", sam.user), &alex.access_token).await;
    assert_eq!((seen.login, seen.suspended_at), (None, None));
    server.change_user(sam.user, admin, json!({"suspended": false})).await;
    assert_eq!(server.sign_in("sam", "a long password").await.status(), StatusCode::OK);
    assert!(
        problem(server.open("/api/v1/auth/refresh", refresh).await).await.is(ProblemKind::Revoked),
        "what was ended stays ended"
    );

    for change in [json!({"suspended": true}), json!({"role": "member"})] {
        let refused = server.change_user(server.admin.user, admin, change).await;
        assert!(problem(refused).await.is(ProblemKind::Conflict), "the last admin");
    }
    server.change_user(alex.user, admin, json!({"role": "admin"})).await;
    let demoted = server.change_user(server.admin.user, admin, json!({"role": "member"})).await;
    assert_eq!(demoted.status(), StatusCode::OK);
    server.end().await;
}

#[tokio::test]
async fn an_unknown_login_is_the_same_answer_after_the_same_work() {
    let server = start().await;
    server.add_user("sam").await;
    let before = server.app.auth.hashed();
    let wrong = whole(server.sign_in("sam", "a wrong password").await).await;
    assert_eq!(server.app.auth.hashed(), before + 1);
    let unknown = whole(server.sign_in("nobody", "a wrong password").await).await;
    assert_eq!(server.app.auth.hashed(), before + 2, "a hash is computed all the same");
    assert_eq!((wrong.0, &wrong), (401, &unknown));
    // Braked, too, they look the same, and cost no hash.
    for login in ["sam", "nobody"] {
        for _ in 0..9 {
            server.sign_in(login, "a wrong password").await;
        }
    }
    let before = server.app.auth.hashed();
    let (wrong, unknown) =
        (whole(server.sign_in("sam", "x").await).await, whole(server.sign_in("nobody", "x").await).await);
    // How long to wait depends on the moment.
    let words = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
    assert_eq!((wrong.0, words(&wrong.2)), (429, words(&unknown.2)));
    assert_eq!(server.app.auth.hashed(), before);
    server.end().await;
}

#[tokio::test]
async fn whoever_floods_a_login_does_not_keep_its_owner_from_their_device() {
    let server = start().await;
    let sam = server.add_user("sam").await;
    for _ in 0..10 {
        assert_eq!(server.sign_in("sam", "a wrong password").await.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(server.sign_in("sam", "a long password").await.status(), StatusCode::TOO_MANY_REQUESTS);
    let known = async |login: &str, device: DeviceId, earlier: &str| {
        let body = json!({"login": login, "password": "a long password", "device_name": "phone", "device": device,
            "earlier": earlier});
        server.open("/api/v1/auth/sign-in", body).await.status()
    };
    // Everybody here comes from one address. Only the device's own token helps, and only for its owner.
    let alex = server.add_user("alex").await;
    assert_eq!(known("sam", sam.device, &alex.refresh_token).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(known("sam", alex.device, &alex.refresh_token).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(known("sam", sam.device, "hr1.nonsense").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(known("sam", sam.device, &sam.refresh_token).await, StatusCode::OK);
    server.end().await;
}

#[tokio::test]
async fn a_refresh_token_that_comes_twice_ends_its_family() {
    let server = start().await;
    let first = server.add_user("sam").await;
    let refresh = async |token: &str| server.open("/api/v1/auth/refresh", json!({ "refresh_token": token })).await;
    let second: Tokens = refresh(&first.refresh_token).await.json().await.unwrap();
    let third: Tokens = refresh(&second.refresh_token).await.json().await.unwrap();
    let elsewhere: Tokens = server.sign_in("sam", "a long password").await.json().await.unwrap();
    assert!(problem(refresh(&first.refresh_token).await).await.is(ProblemKind::Revoked), "somebody else has it too");
    for tokens in [&first, &second, &third] {
        assert!(problem(refresh(&tokens.refresh_token).await).await.is(ProblemKind::Revoked));
        let answer = server.send(Method::GET, "/api/v1/me", Some(&tokens.access_token), None).await;
        assert!(problem(answer).await.is(ProblemKind::Revoked));
    }
    assert_eq!(refresh(&elsewhere.refresh_token).await.status(), StatusCode::OK, "another sign-in is another family");
    server.end().await;
}

#[tokio::test]
async fn a_workspace_has_so_many_good_invites_and_no_more() {
    let server = start().await;
    let app = Arc::clone(&server.app);
    let fill = move |accounts: &crate::storage::accounts::Accounts<'_>, now| {
        for n in 0..holler_core::wire::limits::INVITES_MAX {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&n.to_be_bytes());
            let invite = crate::storage::accounts::InviteRow {
                id: holler_core::units::InviteId::from_bytes(id),
                role: holler_core::model::UserRole::Member,
                rooms: vec![],
                note: None,
                made_by: None,
                made_at: now,
                expires_at: holler_core::units::UnixMs(now.0 + 60_000),
                uses_max: 1,
                uses: 0,
                revoked: false,
            };
            accounts.add_invite(&invite, &n.to_be_bytes())?;
        }
        Ok(())
    };
    app.auth.write(Actor::Cli, fill).await.unwrap();
    let admin = server.admin.access_token.as_str();
    let refused = problem(server.post("/api/v1/invites", admin, json!({})).await).await;
    assert!(refused.is(ProblemKind::Conflict) && refused.detail.contains("take back"), "{refused}");
    let one = holler_core::units::InviteId::from_bytes([0; 16]);
    app.auth.write(Actor::Cli, move |accounts, now| accounts.revoke_invite(one, now)).await.unwrap();
    assert_eq!(server.post("/api/v1/invites", admin, json!({})).await.status(), StatusCode::CREATED);
    server.end().await;
}

/// Sam, in the room Everyone, with a text and a burst of three frames.
async fn somebody_who_spoke(server: &Server) -> (Tokens, RoomId, BurstId) {
    let (sam, room) = (server.add_user("sam").await, server.room("Everyone").await);
    server.set_member(room, sam.user, "talker").await;
    let path = format!("/api/v1/rooms/{room}/events");
    for (tokens, text) in [(&sam, "from sam"), (&server.admin, "from the admin"), (&sam, "also from sam")] {
        let client_id = ClientId::from_bytes([u8::try_from(text.len()).unwrap(); 16]);
        let body = json!({"client_id": client_id, "body": {"kind": "message.posted", "text": text}});
        assert_eq!(server.post(&path, &tokens.access_token, body).await.status(), StatusCode::CREATED);
    }
    let burst = BurstId::from_bytes([5; 16]);
    let header = BurstHeader {
        burst,
        codec: Codec::Opus,
        frame_ms: FrameMs::Ms20,
        bitrate: Bitrate(24_000),
        key_epoch: Epoch(0),
    };
    let append = Append {
        room,
        user: sam.user,
        device: sam.device,
        role: Role::Talker,
        client_id: burst.client_id(BurstStep::Started),
        epoch: None,
        body: EventBody::BurstStarted {
            header,
            token: None,
            priority: Priority::Normal,
            spoken_ago_ms: 0,
            uncertainty_ms: 0,
        },
        received_at: server.app.clock.unix(),
    };
    server.app.store.append(append).await.unwrap();
    let stored = [1, 2, 3].map(|n| (FrameNo(n), bytes::Bytes::from_static(b"a frame"))).to_vec();
    server.app.store.put_frames(room, burst, stored).await.unwrap();
    (sam, room, burst)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn one_gets_everything_that_is_kept_of_oneself_and_nothing_of_others() {
    use base64::Engine as _;

    let server = start().await;
    let (sam, room, burst) = somebody_who_spoke(&server).await;
    let export = server.send(Method::GET, "/api/v1/me/export", Some(&sam.access_token), None).await;
    assert_eq!(export.headers()["content-type"], "application/x-ndjson");
    let text = export.text().await.unwrap();
    assert!(!text.contains("from the admin") && !text.contains("argon2"), "{text}");
    let lines = lines(&text);
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).collect::<Vec<_>>();
    assert_eq!((&lines[0]["type"], &lines[0]["user"]), (&json!("export"), &json!(sam.user)));
    assert_eq!((&of("user")[0]["login"], &of("device")[0]["name"]), (&json!("sam"), &json!("phone")));
    assert_eq!((&of("membership")[0]["room"], &of("membership")[0]["role"]), (&json!(room), &json!("talker")));
    assert_eq!(of("record")[0]["table"], "sign_ins");
    let events = of("event");
    let kinds: Vec<_> = events.iter().map(|line| line["event"]["body"]["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["message.posted", "message.posted", "burst.started"]);
    assert_eq!(events[1]["event"]["body"]["text"], "also from sam");
    let spoken = of("frames")[0];
    assert_eq!(spoken["burst"], json!(burst));
    let body = base64::engine::general_purpose::STANDARD.decode(spoken["frames"].as_str().unwrap()).unwrap();
    assert_eq!(frames::decode(body.into()).unwrap().len(), 3);
    let end = lines.last().unwrap();
    assert_eq!((&end["type"], &end["lines"]), (&json!("end"), &json!(lines.len() - 1)));

    let path = format!("/api/v1/users/{}/export", sam.user);
    let by_admin = server.send(Method::GET, &path, Some(&server.admin.access_token), None).await.text().await.unwrap();
    assert_eq!(by_admin.lines().count(), lines.len());
    let nobody = format!("/api/v1/users/{}/export", UserId::from_bytes([9; 16]));
    let nobody = server.send(Method::GET, &nobody, Some(&server.admin.access_token), None).await;
    assert!(problem(nobody).await.is(ProblemKind::NotFound));
    server.end().await;
}

#[tokio::test]
async fn who_is_erased_is_nobody_and_the_audit_log_still_holds() {
    let server = start().await;
    let (sam, room, _) = somebody_who_spoke(&server).await;
    let admin = server.admin.access_token.as_str();
    let erase = async |user: UserId, query: &str| {
        server.send(Method::DELETE, &format!("/api/v1/users/{user}{query}"), Some(admin), None).await
    };
    assert!(problem(erase(server.admin.user, "").await).await.is(ProblemKind::Conflict), "the last admin");
    assert!(problem(erase(UserId::from_bytes([9; 16]), "").await).await.is(ProblemKind::NotFound));
    assert!(problem(erase(sam.user, "?messages=burn").await).await.is(ProblemKind::Malformed));
    assert_eq!(erase(sam.user, "").await.status(), StatusCode::NO_CONTENT);
    assert!(problem(erase(sam.user, "").await).await.is(ProblemKind::NotFound));

    let out = server.send(Method::GET, "/api/v1/me", Some(&sam.access_token), None).await;
    assert!(problem(out).await.is(ProblemKind::Revoked));
    assert!(problem(server.sign_in("sam", "a long password").await).await.is(ProblemKind::BadCredentials));
    let members: Vec<Member> = server.get(&format!("/api/v1/rooms/{room}/members"), admin).await;
    assert!(members.iter().all(|member| member.user != sam.user));

    // What was said stays; the log of who did what is one chain, and says nothing about them any more.
    let page: EventPage = server.get(&format!("/api/v1/rooms/{room}/events"), admin).await;
    assert_eq!(page.events.iter().filter(|event| event.user == sam.user).count(), 3);
    let (vault, workspace, gone) = (server.app.store.vault().clone(), server.app.auth.workspace(), sam.user);
    let look = move |db: &rusqlite::Connection| {
        use crate::storage::audit::{Query, page, verify};
        let held = verify(db, workspace, Vec::new())?.is_ok();
        let entries = page(db, &vault, workspace, &Query { limit: 500, ..Query::default() })?.entries;
        let mut left = Vec::new();
        for (table, fate) in crate::storage::accounts::erase::OF_PEOPLE {
            let sql = format!("SELECT count(*) FROM {table} WHERE user_id = ?1");
            if let (crate::storage::accounts::erase::Fate::OfUser, Ok(mut count)) = (fate, db.prepare(&sql)) {
                left.push((*table, count.query_row([gone.bytes()], |row| row.get::<_, u32>(0))?));
            }
        }
        Ok::<_, crate::storage::StoreError>((held, entries, left))
    };
    let (held, entries, left) = server.app.store.read(look).await.unwrap();
    assert!(held);
    let about: Vec<_> = entries.iter().filter(|entry| entry.about == Some(sam.user)).collect();
    assert!(!about.is_empty() && about.iter().all(|entry| entry.details.is_none()));
    assert!(left.len() >= 5 && left.iter().all(|(_, rows)| *rows == 0), "{left:?}");

    let again = server.add_user("sam").await;
    assert_ne!(again.user, sam.user, "the login is free, and somebody else has it now");

    // And where what they wrote is to go too.
    server.set_member(room, again.user, "talker").await;
    let body = json!({"client_id": ClientId::from_bytes([9; 16]), "body": {"kind": "message.posted", "text": "again"}});
    let path = format!("/api/v1/rooms/{room}/events");
    let sent: Sent = server.post(&path, &again.access_token, body).await.json().await.unwrap();
    assert_eq!(erase(again.user, "?messages=delete").await.status(), StatusCode::NO_CONTENT);
    let page: EventPage = server.get(&path, admin).await;
    assert_eq!(page.events.last().unwrap().body, EventBody::MessageDeleted { target: sent.seq });
    server.end().await;
}
