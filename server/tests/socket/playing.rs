//! One person's devices: which of them plays, on the socket of a real server.

use super::*;

/// Which device plays, and among how many, as a socket is told next.
async fn plays(socket: &mut Socket) -> (String, u64) {
    let told = socket.until("playing").await;
    (told["device"].as_str().unwrap().to_owned(), told["among"].as_u64().unwrap())
}

/// A socket that says it plays aloud and was used so long ago.
async fn plays_here(site: &Site, tokens: &Tokens, used_ago_ms: u64) -> Socket {
    let mut socket = site.socket(tokens).await;
    socket.say(json!({"type": "playing.here", "used_ago_ms": used_ago_ms})).await;
    socket
}

#[tokio::test]
async fn of_one_persons_devices_the_one_used_last_plays_and_another_one_when_it_goes() {
    let (site, [_, ann, bob]) = Site::new("off").await;
    let again = sign_in(&site.client, &site.server.url, "ann", "a long password", "phone").await;
    let phone = again.json::<Tokens>().await.unwrap();
    let (desk_id, phone_id) = (ann.device.to_string(), phone.device.to_string());

    let mut desk = plays_here(&site, &ann, 60_000).await;
    assert_eq!(plays(&mut desk).await, (desk_id.clone(), 1));
    let mut other = plays_here(&site, &bob, 0).await;
    assert_eq!(plays(&mut other).await, (bob.device.to_string(), 1), "of each person one plays");
    let mut hand = plays_here(&site, &phone, 0).await;
    assert_eq!(plays(&mut hand).await, (phone_id.clone(), 2));
    assert_eq!(plays(&mut desk).await, (phone_id.clone(), 2));

    desk.say(json!({"type": "playing.here", "used_ago_ms": 0})).await;
    assert_eq!(plays(&mut desk).await, (desk_id.clone(), 2));
    assert_eq!(plays(&mut hand).await, (desk_id.clone(), 2));
    desk.say(json!({"type": "playing.stopped"})).await;
    assert_eq!(plays(&mut hand).await, (phone_id.clone(), 1));
    desk.say(json!({"type": "playing.here", "used_ago_ms": 0})).await;
    assert_eq!(plays(&mut hand).await, (desk_id, 2));
    drop(desk);
    assert_eq!(plays(&mut hand).await, (phone_id, 1), "its socket went");

    hand.say(json!({"type": "playing.here", "used_ago_ms": 40_000_000_000_u64})).await;
    let error = hand.until("error").await;
    assert_eq!(error["problem"]["field"], "used_ago_ms", "{error}");
}

#[tokio::test]
async fn the_one_that_plays_is_told_how_long_ago_the_last_sign_of_the_one_before_it_was() {
    let (site, [_, ann, _]) = Site::new("off").await;
    let again = sign_in(&site.client, &site.server.url, "ann", "a long password", "phone").await;
    let phone = again.json::<Tokens>().await.unwrap();
    let mut hand = plays_here(&site, &phone, 60_000).await;
    let mut ago = vec![];
    for goes in ["with a word", "without one"] {
        let mut desk = plays_here(&site, &ann, 0).await;
        while plays(&mut hand).await.0 != ann.device.to_string() {}
        // Not a wait for anything: it is what is told.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        if goes == "with a word" {
            desk.say(json!({"type": "playing.stopped"})).await;
        }
        drop(desk);
        ago.push(hand.until("playing").await["last_sign_ms"].as_u64().unwrap());
    }
    assert!(ago[0] < 1_200 && ago[1] >= 1_200, "{ago:?}");
}
