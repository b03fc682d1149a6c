//! Presence, receipts, resuming and the roster's changes, on the socket of a real server.

use super::*;

/// The next control message that `is` knows.
async fn next_of(socket: &mut Socket, kind: &str, is: impl Fn(&Value) -> bool) -> Value {
    loop {
        let message = socket.until(kind).await;
        if is(&message) {
            return message;
        }
    }
}

impl Site {
    async fn get(&self, tokens: &Tokens, path: &str) -> (u16, Value) {
        let request = self.client.get(format!("{}/api/v1{path}", self.server.url)).bearer_auth(&tokens.access_token);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// A socket that watches the room, and what it was told first.
    async fn watcher(&self, tokens: &Tokens) -> (Socket, Value) {
        let mut socket = self.socket(tokens).await;
        socket.say(json!({"type": "presence.watch", "request": 1, "room": self.room.id})).await;
        let room = socket.until("presence.room").await;
        (socket, room)
    }
}

fn state_of<'a>(room: &'a Value, user: &impl std::fmt::Display) -> &'a Value {
    let people = room["people"].as_array().unwrap();
    people.iter().find(|person| person["user"] == user.to_string()).unwrap()
}

#[tokio::test]
async fn presence_is_told_with_its_age_and_lease_and_promised_with_pong() {
    let (site, [_, ann, bob]) = Site::new("off").await;
    // The command line made him a member a moment ago: who asks for his room has the server look.
    assert_eq!(site.get(&bob, &format!("/rooms/{}", site.room.id)).await.0, 200);
    let (mut watcher, room) = site.watcher(&ann).await;
    assert_eq!(state_of(&room, &ann.user)["state"], "available");
    let unheard = state_of(&room, &bob.user);
    assert_eq!(
        (&unheard["state"], &unheard["age_ms"], &unheard["lease_ms"]),
        (&json!("unknown"), &Value::Null, &json!(0))
    );
    let of_bob = |message: &Value| message["user"] == bob.user.to_string();

    let mut other = open(site.dir.path(), request(&site.server)).await.unwrap();
    other.say(json!({"type": "auth", "token": bob.access_token, "client": "test", "presence": "busy"})).await;
    other.until("welcome").await;
    let told = next_of(&mut watcher, "presence", of_bob).await;
    assert_eq!(told["state"], "busy");
    assert!(told["age_ms"].as_u64().unwrap() < 5_000 && told["lease_ms"].as_u64().unwrap() > 30_000, "{told}");
    other.say(json!({"type": "presence.set", "state": "away"})).await;
    assert_eq!(next_of(&mut watcher, "presence", of_bob).await["state"], "away");

    watcher.say(json!({"type": "ping", "nonce": 1})).await;
    assert_eq!(watcher.until("pong").await["presence_ms"], 40_000);
    watcher.say(json!({"type": "ping", "nonce": 2, "next_ms": 120_000})).await;
    watcher.say(json!({"type": "ping", "nonce": 3, "next_ms": 120_000})).await;
    assert_eq!(next_of(&mut watcher, "pong", |pong| pong["nonce"] == 3).await["presence_ms"], 145_000);
    other.say(json!({"type": "ping", "nonce": 1})).await;
    assert_eq!(other.until("pong").await["presence_ms"], Value::Null, "who watches nothing is promised nothing");

    let (status, page) = site.get(&ann, &format!("/presence?room={}", site.room.id)).await;
    assert_eq!(
        (status, &state_of(&page, &bob.user)["state"], &page["counts"]["away"]),
        (200, &json!("away"), &json!(1))
    );
    drop(other);
    assert_eq!(next_of(&mut watcher, "presence", of_bob).await["state"], "offline");
}

#[tokio::test]
async fn what_is_not_to_be_said_or_seen_of_people_is_refused() {
    let (site, [_, ann, _]) = Site::new("off").await;
    let mut socket = site.socket(&ann).await;
    let foreign = "room_00000000000000000000000000";
    socket.say(json!({"type": "presence.set", "state": "unknown"})).await;
    assert_eq!(socket.until("error").await["problem"]["field"], "state");
    socket.say(json!({"type": "presence.watch", "request": 7, "room": foreign})).await;
    assert_eq!(socket.until("refused").await["request"], 7);
    let receipt = |request: u32, delivered: u64| json!({"type": "receipt", "request": request, "room": site.room.id, "incarnation": site.room.head.incarnation, "delivered": delivered});
    socket.say(receipt(8, 1)).await;
    assert_eq!(socket.until("refused").await["problem"]["type"], "urn:holler:problem:out-of-bounds");
    let mut wrong = receipt(9, 0);
    wrong["incarnation"] = json!("inc_00000000000000000000000000");
    socket.say(wrong).await;
    assert_eq!(socket.until("refused").await["problem"]["type"], "urn:holler:problem:wrong-incarnation");
    assert_eq!(site.get(&ann, &format!("/presence?room={foreign}")).await.0, 404);

    // A token without the scopes sees and says nothing.
    let (_, token, _) = run(site.dir.path(), &["token", "make", "ann", "--scope", "floor"], "");
    let script = token.split_whitespace().find(|word| word.starts_with("ey")).unwrap().to_owned();
    let mut socket = Socket::signed_in(site.dir.path(), &site.server, &script).await;
    socket.say(json!({"type": "presence.watch", "request": 1, "room": site.room.id})).await;
    assert_eq!(socket.until("refused").await["problem"]["status"], 403);
    socket.say(receipt(2, 0)).await;
    assert_eq!(socket.until("refused").await["problem"]["status"], 403);
    socket.say(json!({"type": "presence.set", "state": "busy"})).await;
    assert_eq!(socket.until("error").await["problem"]["status"], 403);
}

#[tokio::test]
async fn a_removed_member_sees_and_gives_nothing_more() {
    let (site, [_, ann, bob]) = Site::new("off").await;
    let (mut removed, _) = site.watcher(&bob).await;
    let (mut stays, _) = site.watcher(&ann).await;
    let began = Instant::now();
    let (done, _, error) = run(site.dir.path(), &["room", "member", "Everyone", "bob", "--remove"], "");
    assert!(done, "{error}");
    // It watched without following: the board tells it.
    assert_eq!(removed.until("role").await["role"], Value::Null);
    eprintln!("a removed member was told {:?} after the removal began", began.elapsed());
    stays.say(json!({"type": "presence.set", "state": "solo"})).await;
    next_of(&mut stays, "presence", |told| told["state"] == "solo").await;
    removed.say(json!({"type": "ping", "nonce": 1})).await;
    loop {
        let Message::Text(text) = removed.next().await else { panic!("no text") };
        let message: Value = serde_json::from_str(&text).unwrap();
        assert_ne!(message["type"], "presence", "{message}");
        if message["type"] == "pong" {
            assert_eq!(message["presence_ms"], Value::Null);
            break;
        }
    }
    removed.say(json!({"type": "receipt", "request": 5, "room": site.room.id, "incarnation": site.room.head.incarnation, "delivered": 0})).await;
    assert_eq!(removed.until("refused").await["problem"]["status"], 404);
    assert_eq!(site.get(&bob, &format!("/presence?room={}", site.room.id)).await.0, 404);
}

#[tokio::test]
async fn a_restarted_server_says_unknown_and_since_when() {
    let (site, [_, ann, bob]) = Site::new("off").await;
    let path = format!("/presence?room={}", site.room.id);
    let (mut online, _) = site.watcher(&ann).await;
    drop(site.socket(&bob).await);
    next_of(&mut online, "presence", |told| told["user"] == bob.user.to_string() && told["state"] == "offline").await;
    let Site { dir, server, client, room } = site;
    server.end();
    let server = Hollerd::serve(dir.path());
    let site = Site { dir, server, client, room };
    let (status, page) = site.get(&ann, &path).await;
    assert_eq!(status, 200);
    let (lost, left) = (state_of(&page, &ann.user), state_of(&page, &bob.user));
    assert_eq!((&lost["state"], &left["state"]), (&json!("unknown"), &json!("offline")));
    assert!(lost["age_ms"].as_u64().unwrap() < 20_000 && left["age_ms"].as_u64().is_some(), "{page}");
}

#[tokio::test]
async fn receipts_reach_the_sender_and_the_rest_interface() {
    let (site, [admin, ann, bob]) = Site::new("off").await;
    let (mut writer, _) = site.follower(&ann).await;
    let (mut reader, _) = site.follower(&bob).await;
    let text = json!({"type": "send", "room": site.room.id, "client_id": cid('1'), "body": {"kind": "message.posted", "text": "x"}});
    writer.say(text).await;
    let seq = writer.until("ack").await["seq"].as_u64().unwrap();
    reader.until("events").await;
    let receipt = json!({"type": "receipt", "request": 9, "room": site.room.id, "incarnation": site.room.head.incarnation, "read": seq});
    reader.say(receipt.clone()).await;
    assert_eq!(reader.until("receipt.stored").await["request"], 9);
    let told = writer.until("receipts").await;
    assert_eq!(
        (&told["seq"], &told["of"], &told["delivered"], &told["taken"]),
        (&json!(seq), &json!(2), &json!(1), &json!(1))
    );
    reader.say(receipt).await;
    assert_eq!(reader.until("receipt.stored").await["request"], 9, "said again, it is stored already");
    let path = format!("/rooms/{}/events/{seq}/receipts", site.room.id);
    let (status, page) = site.get(&ann, &path).await;
    assert_eq!((status, &page["read_by"]), (200, &json!([bob.user.to_string()])));
    assert_eq!(site.get(&admin, &path).await.0, 200, "an admin of the room may know");
    assert_eq!(site.get(&bob, &path).await.0, 403, "a reader may not");
    assert_eq!(site.get(&ann, &format!("/rooms/{}/events/77/receipts", site.room.id)).await.0, 404);
    let nothing = format!("/rooms/{}/bursts/bst_00000000000000000000000000/receipts", site.room.id);
    assert_eq!(site.get(&ann, &nothing).await.0, 404);
}

#[tokio::test]
async fn a_receipt_that_is_the_last_word_of_a_socket_is_told_too() {
    let (site, [_, ann, bob]) = Site::new("off").await;
    let (mut writer, _) = site.follower(&ann).await;
    for digit in '1'..='3' {
        let (mut reader, _) = site.follower(&bob).await;
        let text = json!({"type": "send", "room": site.room.id, "client_id": cid(digit), "body": {"kind": "message.posted", "text": "x"}});
        writer.say(text).await;
        let seq = writer.until("ack").await["seq"].as_u64().unwrap();
        reader.until("events").await;
        reader
            .say(json!({"type": "receipt", "request": 9, "room": site.room.id, "incarnation": site.room.head.incarnation, "read": seq}))
            .await;
        drop(reader);
        assert_eq!(writer.until("receipts").await["seq"], seq);
    }
}

#[tokio::test]
async fn a_resumed_socket_gets_exactly_what_it_missed_in_one_round_trip() {
    let (site, [_, ann, bob]) = Site::new("off").await;
    let mut phone = open(site.dir.path(), request(&site.server)).await.unwrap();
    phone.say(json!({"type": "auth", "token": bob.access_token, "client": "test"})).await;
    let resume = phone.until("welcome").await["resume"].as_str().unwrap().to_owned();
    let (room, incarnation) = (site.room.id, site.room.head.incarnation);
    let follow = json!({"request": 1, "room": room, "voice": true, "presence": true, "cursor": {"incarnation": incarnation, "seq": 2}});
    let mut writer = site.socket(&ann).await;
    let text = |digit: char| json!({"type": "send", "room": room, "client_id": cid(digit), "body": {"kind": "message.posted", "text": "x"}});
    for digit in '1'..='2' {
        writer.say(text(digit)).await;
        writer.until("ack").await;
    }
    drop(phone);
    for digit in '3'..='5' {
        writer.say(text(digit)).await;
        writer.until("ack").await;
    }
    // REST does not take it.
    let me = site.client.get(format!("{}/api/v1/me", site.server.url)).bearer_auth(&resume).send().await.unwrap();
    assert_eq!(me.status(), 401);
    // On another server on the same data, which has seen nothing of the session.
    let Site { dir, server, .. } = site;
    server.end();
    let server = Hollerd::serve(dir.path());
    let mut phone = open(dir.path(), request(&server)).await.unwrap();
    phone.say(json!({"type": "auth", "token": resume, "client": "test", "rooms": [follow]})).await;
    let Message::Text(text) = phone.next().await else { panic!("no text") };
    let again: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(again["type"], "welcome", "nothing overtakes it: {again}");
    assert_eq!((&again["user"], &again["device"]), (&json!(bob.user.to_string()), &json!(bob.device.to_string())));
    // Presence comes from a task of its own: before or after the events.
    let mut seen = Vec::new();
    let (mut people, mut head) = (None, None);
    while seen.len() < 3 || people.is_none() || head.is_none() {
        let Message::Text(text) = phone.next().await else { panic!("no text") };
        let message: Value = serde_json::from_str(&text).unwrap();
        if message["type"] == "events" {
            seen.extend(message["events"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()));
        } else if message["type"] == "presence.room" {
            people = Some(message);
        } else if message["type"] == "subscribed" {
            head = message["head"]["seq"].as_u64();
        }
    }
    assert_eq!((seen, head), (vec![3, 4, 5], Some(5)));
}

#[tokio::test]
async fn a_resume_token_that_is_not_good_is_refused_and_an_access_token_still_works() {
    let (site, [_, ann, bob]) = Site::new("off").await;
    let dir = site.dir.path();
    let mut first = open(dir, request(&site.server)).await.unwrap();
    first.say(json!({"type": "auth", "token": ann.access_token, "client": "test"})).await;
    let resume = first.until("welcome").await["resume"].as_str().unwrap().to_owned();
    let shown = async |token: &str| {
        let mut socket = open(dir, request(&site.server)).await.unwrap();
        socket.say(json!({"type": "auth", "token": token, "client": "test"})).await;
        socket
    };
    let mut forged = resume.clone().into_bytes();
    let at = forged.len() / 2;
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    for bad in [forged.as_str(), "hs1.", &resume[..resume.len() - 1]] {
        assert_eq!(shown(bad).await.closed().await, Some(CloseCode::ResumeRefused), "{bad}");
    }
    // Of another installation.
    let (elsewhere, [_, stranger, _]) = Site::new("off").await;
    let mut theirs = open(elsewhere.dir.path(), request(&elsewhere.server)).await.unwrap();
    theirs.say(json!({"type": "auth", "token": stranger.access_token, "client": "test"})).await;
    let foreign = theirs.until("welcome").await["resume"].as_str().unwrap().to_owned();
    assert_eq!(shown(&foreign).await.closed().await, Some(CloseCode::ResumeRefused));
    shown(&ann.access_token).await.until("welcome").await;
    shown(&resume).await.until("welcome").await;
    // Signed out: no token of it is good any more.
    let (done, _, error) = run(dir, &["token", "revoke", &ann.device.to_string()], "");
    assert!(done, "{error}");
    let mut revoked = shown(&resume).await;
    assert_eq!(revoked.closed().await, Some(CloseCode::Revoked));
    drop(bob);
}

#[tokio::test]
async fn sockets_are_told_when_people_or_rooms_change_and_not_when_devices_do() {
    let (site, [_, ann, _]) = Site::new("off").await;
    let mut socket = site.socket(&ann).await;
    let (_, token, _) = run(site.dir.path(), &["token", "make", "ann", "--scope", "floor"], "");
    assert!(token.contains("ey"));
    run(site.dir.path(), &["room", "add", "Later"], "");
    socket.until("roster.changed").await;
}
