//! The services of apps: Firebase Cloud Messaging and Apple's.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair as RsaPair, KeySize};
use aws_lc_rs::signature::{EcdsaKeyPair, KeyPair as _, RSA_PKCS1_2048_8192_SHA256};
use axum::http::Version;
use base64::prelude::BASE64_STANDARD;

use super::*;
use crate::push::apns::{Apns, ApnsSettings};
use crate::push::fcm::Fcm;
use crate::push::{address, http};

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64_STANDARD.encode(der))
}

fn client(service: &Service) -> http::Client {
    http::Client::new(http::tls(Some(&service.roots)).unwrap(), address::Policy::any()).unwrap()
}

/// Header and claims of a token, and what was signed.
fn token(text: &str) -> (Value, Value, &str, Vec<u8>) {
    let (signed, signature) = text.rsplit_once('.').unwrap();
    let part = |text: &str| serde_json::from_slice(&BASE64.decode(text).unwrap()).unwrap();
    let (head, claims) = signed.split_once('.').unwrap();
    (part(head), part(claims), signed, BASE64.decode(signature).unwrap())
}

async fn with(dir: &Path, service: &Service, fcm: Option<Fcm>, apns: Option<Apns>) -> Bench {
    let mut bench = Bench::new(dir, service).await;
    let mut push =
        Push::open(&bench.app.store, bench.app.auth.workspace(), bench.app.clock, &bench.app.config()).await.unwrap();
    (push.fcm, push.apns) = (fcm, apns);
    bench.worker = Worker::new(Arc::clone(&bench.app), Arc::new(push));
    bench
}

#[tokio::test]
async fn firebase_gets_identifiers_with_a_token_that_it_granted() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path()).await;
    let pair = RsaPair::generate(KeySize::Rsa2048).unwrap();
    let account = dir.path().join("firebase.json");
    let key = pem(pair.as_der().unwrap().as_ref());
    let content = json!({
        "type": "service_account", "project_id": "radio", "private_key_id": "k1", "private_key": key,
        "client_email": "push@radio.iam.example", "token_uri": format!("{}/token", service.url),
    });
    std::fs::write(&account, content.to_string()).unwrap();
    let fcm = Fcm::at(&service.url, &account, client(&service)).unwrap();
    let mut bench = with(dir.path(), &service, Some(fcm), None).await;
    bench.subscribe(KIM, PushTarget::Fcm { token: "phone:1".into() }).await;

    service.answer(200, &[], r#"{"access_token": "granted", "expires_in": 3600, "token_type": "Bearer"}"#);
    service.answer(200, &[], r#"{"name": "projects/radio/messages/1"}"#);
    let seq = bench.send(SAM, EventBody::EmergencyRaised {}).await;
    bench.turn().await;
    let got = service.got();
    assert_eq!(
        got.iter().map(|got| got.path.as_str()).collect::<Vec<_>>(),
        ["/token", "/v1/projects/radio/messages:send"]
    );
    // RFC 7523 sections 2.1 and 3.
    assert_eq!(got[0].header("content-type"), "application/x-www-form-urlencoded");
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&got[0].body).into_owned().collect();
    assert_eq!(form[0], ("grant_type".into(), "urn:ietf:params:oauth:grant-type:jwt-bearer".into()));
    let (head, claims, signed, signature) = token(&form[1].1);
    assert_eq!((&head["alg"], &head["kid"]), (&json!("RS256"), &json!("k1")));
    let begin_s = BEGIN_MS / 1_000;
    assert_eq!(
        claims,
        json!({
            "iss": "push@radio.iam.example", "scope": "https://www.googleapis.com/auth/firebase.messaging",
            "aud": format!("{}/token", service.url), "iat": begin_s, "exp": begin_s + 1_800,
        })
    );
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref())
        .verify(signed.as_bytes(), &signature)
        .unwrap();
    assert_eq!(got[1].header("authorization"), "Bearer granted");
    let mut said = got[1].json();
    let collapse = said["message"]["android"]["collapse_key"].take();
    assert_eq!(collapse.as_str().unwrap().len(), 32);
    assert_eq!(
        said,
        json!({"message": {
            "token": "phone:1",
            "data": {
                "kind": "emergency", "room": ROOM.to_string(), "seq": seq.0.to_string(), "events": "1",
                "at": BEGIN_MS.to_string(),
            },
            "android": {"priority": "high", "ttl": "3600s", "collapse_key": null},
        }})
    );

    // The token is used until shortly before its end, or until it is refused.
    bench.send(SAM, EventBody::EmergencyRaised {}).await;
    service.answer(401, &[], "{}");
    bench.turn().await;
    assert_eq!(service.got().len(), 1);
    bench.pass(Duration::from_secs(5));
    service.answer(200, &[], r#"{"access_token": "again", "expires_in": 3600}"#);
    let gone = r#"{"error": {"code": 404, "status": "NOT_FOUND", "details": [
        {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": "UNREGISTERED"}]}}"#;
    service.answer(404, &[], gone);
    bench.turn().await;
    let got = service.got();
    assert_eq!((got.len(), got[1].header("authorization")), (2, "Bearer again"));
    assert!(!bench.is_subscribed(KIM).await);

    // A project that is not there is nothing about the device.
    bench.subscribe(KIM, PushTarget::Fcm { token: "phone:2".into() }).await;
    bench.send(SAM, EventBody::EmergencyRaised {}).await;
    service.answer(404, &[], r#"{"error": {"code": 404, "status": "NOT_FOUND"}}"#);
    bench.turn().await;
    assert_eq!((bench.is_subscribed(KIM).await, bench.causes().await), (true, vec!["project".to_owned()]));
}

#[tokio::test]
async fn apple_gets_identifiers_over_http_2_with_a_provider_token() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path()).await;
    let private = crate::push::vapid::generate().unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING, &private).unwrap();
    let key = dir.path().join("AuthKey.p8");
    std::fs::write(&key, pem(&private)).unwrap();
    let settings = ApnsSettings {
        key,
        key_id: "ABC123DEFG".into(),
        team: "DEF123GHIJ".into(),
        topics: vec!["org.example.holler".into()],
        development: false,
    };
    let apns = Apns::at(&service.url, &settings, client(&service)).unwrap();
    let mut bench = with(dir.path(), &service, None, Some(apns)).await;
    let target = || PushTarget::Apns { token: "ab".repeat(32), topic: "org.example.holler".into() };
    bench.subscribe(KIM, target()).await;

    service.answer(200, &[], "");
    let seq = bench.send(SAM, burst(1)).await;
    bench.turn().await;
    bench.pass(Duration::from_secs(3));
    bench.turn().await;
    let got = service.got();
    assert_eq!(got.len(), 1);
    assert_eq!((got[0].version, got[0].path.as_str()), (Version::HTTP_2, &*format!("/3/device/{}", "ab".repeat(32))));
    assert_eq!(got[0].header("apns-topic"), "org.example.holler");
    assert_eq!(got[0].header("apns-push-type"), "alert");
    assert_eq!(got[0].header("apns-priority"), "5");
    assert_eq!(got[0].header("apns-expiration"), ((BEGIN_MS + 86_400_000) / 1_000).to_string());
    assert!(got[0].header("apns-collapse-id").len() <= 64);
    let bearer = got[0].header("authorization").strip_prefix("bearer ").unwrap().to_owned();
    let (head, claims, signed, signature) = token(&bearer);
    assert_eq!((&head["alg"], &head["kid"]), (&json!("ES256"), &json!("ABC123DEFG")));
    assert_eq!(claims, json!({"iss": "DEF123GHIJ", "iat": BEGIN_MS / 1_000 + 3}));
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref())
        .verify(signed.as_bytes(), &signature)
        .unwrap();
    let said = got[0].json();
    assert!(got[0].body.len() <= 4_096);
    assert_eq!(said["aps"]["alert"], json!({"loc-key": "push-burst"}));
    assert_eq!((&said["room"], &said["seq"]), (&json!(ROOM.to_string()), &json!(seq.0)));
    assert!(!said.to_string().contains("Harbour") && !said.to_string().contains("SAM"));

    // The token is used again for 40 minutes, and made anew when it is refused.
    bench.pass(Duration::from_secs(2_390));
    bench.send(SAM, EventBody::EmergencyRaised {}).await;
    service.answer(403, &[], r#"{"reason": "ExpiredProviderToken"}"#);
    bench.turn().await;
    let got = service.got();
    assert_eq!((got.len(), got[0].header("apns-priority")), (1, "10"));
    assert_eq!(got[0].header("authorization"), format!("bearer {bearer}"));
    bench.pass(Duration::from_secs(5));
    service.answer(410, &[], r#"{"reason": "Unregistered", "timestamp": 1}"#);
    bench.turn().await;
    let got = service.got();
    assert_eq!(got.len(), 1);
    assert_ne!(got[0].header("authorization"), format!("bearer {bearer}"));
    assert!(!bench.is_subscribed(KIM).await);

    bench.subscribe(KIM, target()).await;
    bench.send(SAM, EventBody::EmergencyRaised {}).await;
    service.answer(400, &[], r#"{"reason": "BadDeviceToken"}"#);
    bench.turn().await;
    assert!(!bench.is_subscribed(KIM).await);
}

#[test]
fn a_file_that_is_no_key_is_told_with_its_setting() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "{}").unwrap();
    assert_eq!(crate::push::check(&PushSettings::default()).unwrap(), ["Web Push"]);
    let apns = ApnsSettings {
        key: file.clone(),
        key_id: "k".into(),
        team: "t".into(),
        topics: vec!["a".into()],
        development: true,
    };
    for (setting, settings) in [
        ("push.fcm_account", PushSettings { fcm_account: Some(file), ..PushSettings::default() }),
        ("push.fcm_account", PushSettings { fcm_account: Some("/nowhere".into()), ..PushSettings::default() }),
        ("push.apns_key", PushSettings { apns: Some(apns), ..PushSettings::default() }),
    ] {
        assert!(crate::push::check(&settings).unwrap_err().to_string().starts_with(setting), "{setting}");
    }
}
