//! Keys that are fetched, and tokens of the platform that a tool runs on.

use std::time::Duration;

use futures_util::future::{Either, join_all, poll_immediate, select};
use serde_json::{Value, json};

use crate::domain::client::TokenAlg;
use crate::domain::client_auth::KeySource;
use crate::domain::id::ClientId;
use crate::oauth::tests::signers::{House, ISSUER, Key, NOW, PLATFORM, WORKLOAD, by_key, by_platform, with};
use crate::upstream::key_host::{KeyHost, Says, answer};

#[tokio::test]
async fn ca_14_a_thousand_unknown_keys_cause_one_fetch_and_a_new_key_is_found() {
    let (old, new) = (Key::new(TokenAlg::EdDsa, "old"), Key::new(TokenAlg::EdDsa, "new"));
    let host = KeyHost::start(answer("200 OK", "Cache-Control: max-age=86400\r\n", &old.set().to_string())).await;
    let house = House::new(host.dialer()).await;
    let tool = house.client("tool", by_key(KeySource::JwksUri(host.url()))).await;
    let good = async |key: &Key| house.ask("", &key.sign(&key.header(), &house.claims(&tool))).await.is_ok();
    assert!(good(&old).await && good(&old).await);
    assert_eq!(host.asked(), 1);
    for _ in 0..2 {
        house.clock.advance(30_000);
        let before = host.asked();
        for _ in 0..250 {
            assert!(!good(&new).await);
        }
        let header = |n: u32| with(new.header(), "kid", Some(json!(format!("kid-{n}"))));
        let many = (0..250).map(|n| new.sign(&header(n), &house.claims(&tool))).collect::<Vec<_>>();
        let outcomes = join_all(many.iter().map(|assertion| house.ask("", assertion))).await;
        assert!(outcomes.iter().all(Result::is_err));
        assert_eq!(host.asked(), before + 1);
    }
    host.says(answer("200 OK", "", &json!({ "keys": [old.public(), new.public()] }).to_string()));
    house.clock.advance(30_000);
    assert!(good(&new).await && good(&old).await);
    // A key that is withdrawn is of no use within the hour, whatever was said at first.
    host.says(answer("200 OK", "", &new.set().to_string()));
    house.clock.advance(301_000);
    assert!(!good(&old).await && good(&new).await);
}

#[tokio::test]
async fn ca_14_keys_outlive_a_short_failure_of_their_host_and_no_long_one() {
    let key = Key::new(TokenAlg::EdDsa, "one");
    let host = KeyHost::start(answer("200 OK", "Cache-Control: max-age=999999999\r\n", &key.set().to_string())).await;
    let house = House::new(host.dialer()).await;
    let tool = house.client("tool", by_key(KeySource::JwksUri(host.url()))).await;
    let good = async || house.ask("", &key.sign(&key.header(), &house.claims(&tool))).await.is_ok();
    assert!(good().await);
    for broken in [answer("500 Oops", "", ""), answer("200 OK", "", "<html>"), answer("200 OK", "", r#"{"keys":[]}"#)] {
        host.says(broken);
        let before = host.asked();
        house.clock.advance(3_601_000);
        assert!(good().await && good().await);
        assert_eq!(host.asked(), before + 1, "it is asked once the keys are an hour old");
    }
    house.clock.advance(3 * 3_600_000);
    assert!(!good().await, "for how long they are used is bounded");
    host.says(answer("200 OK", "", &key.set().to_string()));
    house.clock.advance(30_000);
    assert!(good().await);
}

#[tokio::test]
async fn ca_14_a_slow_host_keeps_nobody_else_waiting_and_a_caller_that_leaves_stops_no_fetch() {
    let key = Key::new(TokenAlg::EdDsa, "one");
    let host = KeyHost::start(Says::Nothing).await;
    let house = House::new(host.dialer()).await;
    let slow = house.client("slow", by_key(KeySource::JwksUri(host.url()))).await;
    let quick = house.tool(&key).await;
    let assertion = key.sign(&key.header(), &house.claims(&slow));
    let waiting = house.ask("", &assertion);
    let mut waiting = std::pin::pin!(waiting);
    // Until it is asked, and has not answered.
    while host.asked() == 0 {
        assert!(poll_immediate(waiting.as_mut()).await.is_none());
        tokio::task::yield_now().await;
    }
    let other = key.sign(&key.header(), &house.claims(&quick));
    let quick = std::pin::pin!(house.ask("", &other));
    let first = select(waiting, quick).await;
    let Either::Right((outcome, waiting)) = first else { panic!("the slow one was first") };
    assert!(outcome.is_ok());
    House::assert_refused(&waiting.await, &"keys that do not come");
    // Whoever asks and leaves.
    house.clock.advance(30_000);
    host.says(answer("200 OK", "", &key.set().to_string()));
    let assertion = key.sign(&key.header(), &house.claims(&slow));
    {
        let mut leaving = std::pin::pin!(house.ask("", &assertion));
        while host.asked() == 1 {
            assert!(poll_immediate(leaving.as_mut()).await.is_none());
            tokio::task::yield_now().await;
        }
    }
    let good = async || house.ask("", &key.sign(&key.header(), &house.claims(&slow))).await.is_ok();
    assert!(tokio::time::timeout(Duration::from_secs(30), good()).await.unwrap());
    assert_eq!(host.asked(), 2, "the fetch that was begun was the one that counted");
}

#[tokio::test]
async fn ca_19_a_subject_of_a_platform_is_nobodys_client_id() {
    let house = House::alone().await;
    let (own, platform) = (Key::new(TokenAlg::EdDsa, "own"), Key::new(TokenAlg::EdDsa, "platform"));
    let tool = house.tool(&own).await;
    // The platform calls its workload like another client of ours.
    let imitated = house.client("workload", by_platform(tool.as_str(), None, &platform)).await;
    let claims = with(house.claims(&tool), "iss", Some(json!(PLATFORM)));
    let assertion = platform.sign(&platform.header(), &claims);
    House::assert_refused(&house.ask("", &assertion).await, &"nobody is named");
    House::assert_refused(&house.ask(&format!("client_id={tool}"), &assertion).await, &"another is named");
    let token = house.ask(&format!("client_id={imitated}"), &assertion).await.unwrap();
    assert_eq!(house.tokens.verify(&token).unwrap().client_id, imitated, "the subject is the registered client");
    // A workload that is called like its own client still has to say which client it is.
    let claims = json!({ "iss": PLATFORM, "sub": imitated, "aud": ISSUER, "iat": NOW, "exp": NOW + 60 });
    House::assert_refused(&house.ask("", &platform.sign(&platform.header(), &claims)).await, &"not named");
}

#[tokio::test]
async fn a_platforms_token_proves_the_registered_workload_until_it_expires() {
    let house = House::alone().await;
    let key = Key::new(TokenAlg::Es256, "platform");
    let ours = house.client("ours", by_platform(WORKLOAD, None, &key)).await;
    let own = house.client("own", by_platform(WORKLOAD, Some("api://mail"), &key)).await;
    let claims =
        |audience: Value| json!({ "iss": PLATFORM, "sub": WORKLOAD, "aud": audience, "iat": NOW, "exp": NOW + 3600 });
    let good = async |client: &ClientId, claims: &Value| {
        house.ask(&format!("client_id={client}"), &key.sign(&key.header(), claims)).await.is_ok()
    };
    for (audience, by_ours, by_own) in [
        (json!(ISSUER), true, false),
        (json!([ISSUER]), true, false),
        (json!("api://mail"), false, true),
        (json!(["api://mail"]), false, true),
        (json!(["api://mail", ISSUER]), false, false),
        (json!([["api://mail"]]), false, false),
        (json!([]), false, false),
        (Value::Null, false, false),
    ] {
        let claims = claims(audience);
        assert_eq!((good(&ours, &claims).await, good(&own, &claims).await), (by_ours, by_own), "{claims}");
        assert_eq!(good(&ours, &claims).await, by_ours, "the platform gives the same token again: {claims}");
    }
    for (name, value, is_good) in [
        ("iat", None, false),
        ("iat", Some(json!(NOW + 61)), false),
        ("exp", Some(json!(NOW + 24 * 3600)), true),
        ("exp", Some(json!(NOW + 24 * 3600 + 60)), false),
        ("exp", Some(json!(NOW - 11)), false),
        ("exp", None, false),
        ("iss", Some(json!("https://platform.example.com/")), false),
        ("sub", Some(json!("system:serviceaccount:mail:other")), false),
        ("sub", Some(json!("system:serviceaccount:mail:backup2")), false),
        ("jti", Some(json!(7)), true),
    ] {
        let claims = with(claims(json!(ISSUER)), name, value.clone());
        assert_eq!(good(&ours, &claims).await, is_good, "{name} {value:?}");
    }
    let header = with(key.header(), "typ", Some(json!("at+jwt")));
    let token = key.sign(&with(header, "x5t", Some(json!("abc"))), &claims(json!(ISSUER)));
    assert!(house.ask(&format!("client_id={ours}"), &token).await.is_ok());
    house.clock.advance(3_611_000);
    House::assert_refused(&house.ask(&format!("client_id={ours}"), &token).await, &"it has expired");
}
