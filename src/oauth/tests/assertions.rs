//! Whose assertions are taken, on SQLite.

use serde_json::{Value, json};

use crate::crypto::encoding::{base64url, from_base64url};
use crate::domain::client::TokenAlg;
use crate::domain::client_auth::KeySource;
use crate::domain::event::Actor;
use crate::domain::secret::Secret;
use crate::oauth::request::TokenRequest;
use crate::oauth::tests::signers::{House, ISSUER, Key, NOW, WORKLOAD, by_key, by_platform, signed, with};
use crate::oauth::{OauthError, Origin};
use crate::upstream::key_host::{KeyHost, answer};

#[tokio::test]
async fn ca_03_no_other_proof_is_taken_from_a_client_than_that_of_its_method() {
    let house = House::alone().await;
    let key = Key::new(TokenAlg::EdDsa, "one");
    let tool = house.tool(&key).await;
    assert!(house.ask("", &key.sign(&key.header(), &house.claims(&tool))).await.is_ok());
    // A secret of the right client, had it one.
    let (secretive, secret) =
        house.registry.add_client(&Actor::System, "secretive", TokenAlg::EdDsa, None).await.unwrap();
    let secret = secret.expose_text(str::to_owned).unwrap();
    let outcome = house.ask_with(&format!("client_id={tool}&client_secret={secret}")).await;
    House::assert_refused(&outcome, &"a secret for an assertion");
    let outcome = house.ask("", &key.sign(&key.header(), &house.claims(&secretive.id))).await;
    House::assert_refused(&outcome, &"an assertion for a secret");
    let platform = house.client("platform", by_platform(WORKLOAD, None, &key)).await;
    let named = format!("client_id={platform}");
    let outcome = house.ask(&named, &key.sign(&key.header(), &house.claims(&platform))).await;
    House::assert_refused(&outcome, &"the client's own words for its platform's");
    assert!(house.registry.rotate_client_secret(&Actor::System, &tool, 0).await.is_err(), "it has no secret");
}

#[tokio::test]
async fn ca_09_an_assertion_is_of_the_client_itself_and_for_our_issuer_alone() {
    let house = House::alone().await;
    let key = Key::new(TokenAlg::EdDsa, "one");
    let tool = house.tool(&key).await;
    let other = house.tool(&Key::new(TokenAlg::EdDsa, "other")).await;
    for (name, wrong) in [
        ("iss", None),
        ("iss", Some(json!(other))),
        ("iss", Some(json!([tool]))),
        ("sub", None),
        ("sub", Some(json!(other))),
        ("sub", Some(json!(tool.as_str().to_uppercase()))),
        ("sub", Some(json!(""))),
        ("sub", Some(json!(7))),
        ("aud", None),
        ("aud", Some(json!([ISSUER]))),
        ("aud", Some(json!([ISSUER, "https://evil.example"]))),
        ("aud", Some(json!(format!("{ISSUER}/token")))),
        ("aud", Some(json!(format!("{ISSUER}/")))),
        ("aud", Some(json!("https://mail.example.com"))),
        ("aud", Some(json!("HTTPS://mail.example.com/oauth"))),
        ("aud", Some(json!(tool))),
        ("aud", Some(json!({ "0": ISSUER }))),
    ] {
        let what = format!("{name} {wrong:?}");
        let assertion = key.sign(&key.header(), &with(house.claims(&tool), name, wrong));
        House::assert_refused(&house.ask("", &assertion).await, &what);
        House::assert_refused(&house.ask(&format!("client_id={tool}"), &assertion).await, &what);
    }
    assert!(house.ask("", &key.sign(&key.header(), &house.claims(&tool))).await.is_ok());
}

#[tokio::test]
async fn ca_10_an_assertion_ends_soon_and_has_begun() {
    let house = House::alone().await;
    let key = Key::new(TokenAlg::EdDsa, "one");
    let tool = house.tool(&key).await;
    for (name, value, is_good) in [
        ("exp", None, false),
        ("exp", Some(json!(NOW - 300)), false),
        ("exp", Some(json!(NOW - 11)), false),
        ("exp", Some(json!(NOW - 10)), true),
        ("exp", Some(json!(NOW + 300)), true),
        ("exp", Some(json!(NOW + 311)), false),
        ("exp", Some(json!(NOW + 600)), false),
        ("exp", Some(json!((NOW + 60).to_string())), false),
        ("exp", Some(json!(1_800_000_060.5)), false),
        ("exp", Some(json!(i64::MAX)), false),
        ("exp", Some(json!(-1)), false),
        ("exp", Some(Value::Null), false),
        ("iat", None, true),
        ("iat", Some(json!(NOW + 8)), true),
        ("iat", Some(json!(NOW + 61)), false),
        ("iat", Some(json!("now")), false),
        ("nbf", Some(json!(NOW + 8)), true),
        ("nbf", Some(json!(NOW + 61)), false),
        ("nbf", Some(Value::Null), false),
    ] {
        let assertion = key.sign(&key.header(), &with(house.claims(&tool), name, value.clone()));
        let outcome = house.ask("", &assertion).await;
        assert_eq!(outcome.is_ok(), is_good, "{name} {value:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn ca_11_an_assertion_has_a_name_and_is_used_once() {
    let house = House::alone().await;
    let key = Key::new(TokenAlg::Es256, "one");
    let tool = house.tool(&key).await;
    for wrong in [None, Some(json!("")), Some(json!(7)), Some(json!("x".repeat(129))), Some(Value::Null)] {
        let assertion = key.sign(&key.header(), &with(house.claims(&tool), "jti", wrong.clone()));
        House::assert_refused(&house.ask("", &assertion).await, &format!("{wrong:?}"));
    }
    for id in ["x", &"x".repeat(128), "nul\0", "' OR 1=1 --"] {
        let claims = with(house.claims(&tool), "jti", Some(json!(id)));
        let assertion = key.sign(&key.header(), &claims);
        assert!(house.ask("", &assertion).await.is_ok(), "{id:?}");
        House::assert_refused(&house.ask("", &assertion).await, &"again");
        // Signed anew, and with a later end.
        House::assert_refused(&house.ask("", &key.sign(&key.header(), &claims)).await, &"signed anew");
        let later = with(claims, "exp", Some(json!(NOW + 90)));
        House::assert_refused(&house.ask("", &key.sign(&key.header(), &later)).await, &"with a later end");
    }
    // Up to its last second, and after it.
    let assertion = key.sign(&key.header(), &house.claims(&tool));
    assert!(house.ask("", &assertion).await.is_ok());
    for _ in 0..80 {
        house.clock.advance(1000);
        House::assert_refused(&house.ask("", &assertion).await, &"later");
    }
    // Another client may choose the same name; whoever could not prove itself has used nothing up.
    let second = Key::new(TokenAlg::EdDsa, "two");
    let other = house.tool(&second).await;
    let claims = with(house.claims(&other), "jti", Some(json!("x")));
    House::assert_refused(&house.ask("", &key.sign(&key.header(), &claims)).await, &"another's key");
    assert!(house.ask("", &second.sign(&second.header(), &claims)).await.is_ok());
}

#[tokio::test]
async fn ca_12_only_the_algorithm_of_the_registered_key_proves_anything() {
    let house = House::alone().await;
    for alg in [TokenAlg::EdDsa, TokenAlg::Es256] {
        let key = Key::new(alg, alg.as_str());
        let tool = house.tool(&key).await;
        let octets = key.signer.public_key();
        for wrong in [
            "none", "NonE", "NONE", "", "HS256", "HS512", "RS256", "PS256", "ES384", "ES512", "Ed448", "ed25519",
            "eddsa",
        ] {
            let header = with(key.header(), "alg", Some(json!(wrong)));
            let signed = signed(&header, &house.claims(&tool));
            let keyed = crate::crypto::hash::Mac::new(&Secret::from_bytes(octets.to_vec())).sign(signed.as_bytes());
            for signature in [String::new(), base64url(&keyed), base64url(&key.signer.sign(signed.as_bytes()).unwrap())]
            {
                House::assert_refused(&house.ask("", &format!("{signed}.{signature}")).await, &wrong);
            }
        }
        let other = if alg == TokenAlg::EdDsa { "ES256" } else { "EdDSA" };
        for wrong in [None, Some(json!(other)), Some(json!(["EdDSA"])), Some(Value::Null)] {
            let assertion = key.sign(&with(key.header(), "alg", wrong.clone()), &house.claims(&tool));
            House::assert_refused(&house.ask("", &assertion).await, &format!("{wrong:?}"));
        }
        let newer = key.sign(&with(key.header(), "alg", Some(json!("Ed25519"))), &house.claims(&tool));
        assert_eq!(house.ask("", &newer).await.is_ok(), alg == TokenAlg::EdDsa, "its name by RFC 9864");
        let signed = signed(&key.header(), &house.claims(&tool));
        for length in [0, 1, 32, 63, 64, 65, 70, 96] {
            let forged = format!("{signed}.{}", base64url(&vec![0; length]));
            House::assert_refused(&house.ask("", &forged).await, &format!("r = s = 0 in {length}"));
        }
        let imitated = Key::new(alg, alg.as_str()).sign(&key.header(), &house.claims(&tool));
        House::assert_refused(&house.ask("", &imitated).await, &"another key of that name");
        assert!(house.ask("", &key.sign(&key.header(), &house.claims(&tool))).await.is_ok());
    }
    // A key that is meant for another algorithm proves nothing.
    let key = Key::new(TokenAlg::Es256, "meant");
    let meant = json!({ "keys": [with(key.public(), "alg", Some(json!("PS256")))] });
    let tool = house.client("meant", by_key(KeySource::Jwks(meant))).await;
    House::assert_refused(&house.ask("", &key.sign(&key.header(), &house.claims(&tool))).await, &"meant for PS256");
}

/// The order of P-256, big-endian.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7,
    0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

#[tokio::test]
async fn ca_12_the_other_s_of_an_es256_signature_is_no_second_use() {
    let house = House::alone().await;
    let key = Key::new(TokenAlg::Es256, "one");
    let tool = house.tool(&key).await;
    let assertion = key.sign(&key.header(), &house.claims(&tool));
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let mut octets = from_base64url(signature).unwrap();
    let mut borrow = 0_i16;
    for at in (0..32).rev() {
        let difference = i16::from(ORDER[at]) - i16::from(octets[32 + at]) - borrow;
        borrow = i16::from(difference < 0);
        octets[32 + at] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    let other = format!("{signed}.{}", base64url(&octets));
    assert_ne!(other, assertion);
    assert!(house.ask("", &assertion).await.is_ok());
    House::assert_refused(&house.ask("", &other).await, &"the same assertion with the other s");
}

#[tokio::test]
async fn ca_13_a_header_chooses_no_key_and_fetches_none() {
    let key = Key::new(TokenAlg::Es256, "one");
    let host = KeyHost::start(answer("200 OK", "", &key.set().to_string())).await;
    let house = House::new(host.dialer()).await;
    let registered = Key::new(TokenAlg::Es256, "one");
    let tool = house.tool(&registered).await;
    let from_url = house.client("by url", by_key(KeySource::JwksUri(host.url()))).await;
    let members = [
        ("jwk", key.public()),
        ("jku", json!(host.url())),
        ("x5u", json!(host.url())),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
        ("typ", json!("at+jwt")),
        ("typ", json!("dpop+jwt")),
        ("typ", json!(7)),
        ("kid", json!(7)),
        ("kid", Value::Null),
    ];
    for (name, value) in members {
        for (key, client) in [(&key, &tool), (&registered, &tool), (&key, &from_url)] {
            let header = with(key.header(), name, Some(value.clone()));
            House::assert_refused(&house.ask("", &key.sign(&header, &house.claims(client))).await, &name);
        }
    }
    let long = "k".repeat(10_000);
    for kid in ["../../x", "..", "' OR 1=1", "\0", "", "One", "one\0", "one ", &long, &host.url()] {
        let header = with(registered.header(), "kid", Some(json!(kid)));
        let assertion = registered.sign(&header, &house.claims(&tool));
        House::assert_refused(&house.ask("", &assertion).await, &format!("{kid:.20}"));
    }
    assert_eq!(host.asked(), 0, "somebody was asked for keys");
    for typ in [None, Some(json!("jwt")), Some(json!("client-authentication+jwt"))] {
        let assertion = registered.sign(&with(registered.header(), "typ", typ.clone()), &house.claims(&tool));
        assert!(house.ask("", &assertion).await.is_ok(), "{typ:?}");
    }
    let nameless = registered.sign(&with(registered.header(), "kid", None), &house.claims(&tool));
    assert!(house.ask("", &nameless).await.is_ok(), "without a name, each registered key is tried");
}

#[tokio::test]
async fn ca_18_the_client_id_beside_an_assertion_is_its_own() {
    let house = House::alone().await;
    let (one, two) = (Key::new(TokenAlg::EdDsa, "one"), Key::new(TokenAlg::EdDsa, "two"));
    let (first, second) = (house.tool(&one).await, house.tool(&two).await);
    for named in [second.as_str(), "one", "nobody", &first.as_str().to_uppercase(), "cli_0123456789ab", "%00"] {
        let assertion = one.sign(&one.header(), &house.claims(&first));
        House::assert_refused(&house.ask(&format!("client_id={named}"), &assertion).await, &named);
        let assertion = one.sign(&one.header(), &house.claims(&second));
        House::assert_refused(&house.ask(&format!("client_id={named}"), &assertion).await, &named);
    }
    for named in [format!("client_id={first}"), String::new(), "client_id=".to_owned()] {
        let assertion = one.sign(&one.header(), &house.claims(&first));
        let token = house.ask(&named, &assertion).await.unwrap();
        assert_eq!(house.tokens.verify(&token).unwrap().client_id, first);
    }
}

#[tokio::test]
async fn ca_07_refused_assertions_count_like_wrong_secrets() {
    let house = House::alone().await;
    let key = Key::new(TokenAlg::EdDsa, "one");
    let tool = house.tool(&key).await;
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let ask = async |assertion: String| {
        let body = format!(
            "grant_type=client_credentials&client_assertion_type={kind}&client_assertion={assertion}&client_id={tool}"
        );
        let origin = Origin {
            source: "192.0.2.2".parse().unwrap(),
            request_id: "req_0123456789ab".parse().unwrap(),
            certificates: Vec::new(),
        };
        house.tokens.token(TokenRequest::parse(body.as_bytes(), None), &origin).await.map(drop)
    };
    let mut answered = 0;
    while answered < 500 && ask("a.b.c".to_owned()).await == Err(OauthError::InvalidClient) {
        answered += 1;
    }
    assert!((1..=100).contains(&answered), "{answered}");
    let good = key.sign(&key.header(), &house.claims(&tool));
    assert!(matches!(ask(good.clone()).await, Err(OauthError::SlowDown { .. })));
    assert!(house.ask("", &good).await.is_ok(), "from elsewhere, and not used up");
}
