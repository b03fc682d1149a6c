//! Where a device is told, and of what.

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use holler_core::wire::rest::{PushKind, PushOffer, PushRules, PushSubscription};

use super::*;

const PLACE: &str = "/api/v1/push/subscription";

#[tokio::test]
async fn a_device_subscribes_until_it_is_signed_out() {
    let server = start().await;
    let sam = server.add_user("sam").await;
    let token = sam.access_token.as_str();
    let offer: PushOffer = server.get("/api/v1/push", token).await;
    assert_eq!(offer.kinds, [PushKind::Web]);
    assert_eq!(BASE64.decode(&offer.vapid_public_key).unwrap().len(), 65);
    let absent = problem(server.send(Method::GET, PLACE, Some(token), None).await).await;
    assert!(absent.is(ProblemKind::NotFound) && absent.field.as_deref() == Some("subscription"));

    let public = PrivateKey::generate(&ECDH_P256).unwrap().compute_public_key().unwrap();
    let target = |endpoint: &str| {
        json!({
            "kind": "web", "endpoint": endpoint, "p256dh": BASE64.encode(public.as_ref()), "auth": BASE64.encode([1; 16]),
        })
    };
    let put =
        async |token: &str, endpoint: &str| server.send(Method::PUT, PLACE, Some(token), Some(&target(endpoint))).await;
    let inside = problem(put(token, "https://192.168.0.1/x").await).await;
    assert!(inside.is(ProblemKind::OutOfBounds) && inside.field.as_deref() == Some("endpoint"));
    let made: PushSubscription = put(token, "https://push.example.org/a").await.json().await.unwrap();
    assert_eq!((made.kind, made.waiting), (PushKind::Web, 0));
    let again: PushSubscription = put(token, "https://push.example.org/a").await.json().await.unwrap();
    assert_eq!(again, made);
    assert_eq!(server.get::<PushSubscription>(PLACE, token).await, made);
    let script = server.script(Scope::ALL).await;
    assert!(problem(put(&script, "https://push.example.org/b").await).await.is(ProblemKind::Forbidden));

    let rules: PushRules = server.get("/api/v1/push/rules", token).await;
    assert_eq!(rules, PushRules::default());
    let wanted = json!({"messages": true, "bursts": false});
    let set = server.send(Method::PUT, "/api/v1/push/rules", Some(token), Some(&wanted)).await;
    assert_eq!(set.status(), StatusCode::OK);
    let rules: PushRules = server.get("/api/v1/push/rules", token).await;
    assert_eq!(rules, PushRules { messages: true, bursts: false, ..PushRules::default() });

    assert_eq!(server.send(Method::DELETE, PLACE, Some(token), None).await.status(), StatusCode::NO_CONTENT);
    assert!(problem(server.send(Method::DELETE, PLACE, Some(token), None).await).await.is(ProblemKind::NotFound));
    assert_eq!(put(token, "https://push.example.org/c").await.status(), StatusCode::OK);
    let out = server.send(Method::POST, "/api/v1/auth/sign-out", Some(token), Some(&json!({}))).await;
    assert_eq!(out.status(), StatusCode::NO_CONTENT);
    let left: Option<PushSubscription> =
        server.app.auth.read(move |accounts| Ok(accounts.push_subscription(sam.device)?)).await.unwrap();
    assert_eq!(left, None);
    server.end().await;
}
