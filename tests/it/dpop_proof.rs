//! Every check of a proof (RFC 9449 section 4.3), at the token endpoint and at the resource.

use serde_json::json;

use crate::support::dpop::{Key, Proof, now};
use crate::support::dpop_scene::{ISSUER, Scene, challenge, header, shown};
use crate::support::http::{GRANT, HERE, ask, basic, elsewhere, error, get, post, refused};

/// What is sent in place of one good proof.
struct Sent {
    scheme: &'static str,
    headers: String,
    /// The same was sent before, and was good.
    again: bool,
}

impl Sent {
    fn lines(headers: String) -> Self {
        Self { scheme: "DPoP", headers, again: false }
    }

    fn one(proof: &Proof<'_>) -> Self {
        Self::lines(header(&proof.signed()))
    }
}

#[derive(Clone, Copy)]
enum Verdict {
    Good,
    Wrong(&'static str),
    /// There is no token yet that the proof could belong to.
    Nothing,
}

use Verdict::{Good, Nothing, Wrong};

const NO_PROOF: Verdict = Wrong("invalid_dpop_proof");
const NO_TOKEN: Verdict = Wrong("invalid_token");

/// Name; what is sent, made from a good proof; the verdict of the token endpoint and that of the resource.
type Check = (&'static str, fn(Proof<'_>) -> Sent, Verdict, Verdict);

/// The 32 of the requirement: 24 that are refused, 8 that are taken.
const CHECKS: [Check; 32] = [
    (
        "two proofs",
        |p| Sent::lines(header(&p.signed()) + &header(&p.claim("jti", "other").signed())),
        NO_PROOF,
        NO_PROOF,
    ),
    ("malformed", |p| Sent::lines(header(&p.signed().replacen('.', "", 1))), NO_PROOF, NO_PROOF),
    ("no typ", |p| Sent::one(&p.without("typ")), NO_PROOF, NO_PROOF),
    ("no alg", |p| Sent::one(&p.without("alg")), NO_PROOF, NO_PROOF),
    ("no jwk", |p| Sent::one(&p.without("jwk")), NO_PROOF, NO_PROOF),
    ("no jti", |p| Sent::one(&p.without("jti")), NO_PROOF, NO_PROOF),
    ("no htm", |p| Sent::one(&p.without("htm")), NO_PROOF, NO_PROOF),
    ("no htu", |p| Sent::one(&p.without("htu")), NO_PROOF, NO_PROOF),
    ("no iat", |p| Sent::one(&p.without("iat")), NO_PROOF, NO_PROOF),
    ("no ath", |p| Sent::one(&p.without("ath")), Good, NO_PROOF),
    ("wrong typ", |p| Sent::one(&p.header("typ", "JWT")), NO_PROOF, NO_PROOF),
    ("RS256", |_| Sent::lines(String::new()), NO_PROOF, NO_PROOF), // signed with a key of its own: see `sent`
    ("none", |p| Sent::one(&p.header("alg", "none")), NO_PROOF, NO_PROOF),
    ("bad signature", |p| Sent::lines(header(&with_another_signature(&p))), NO_PROOF, NO_PROOF),
    ("private key in jwk", |p| Sent::one(&p.with_private_key()), NO_PROOF, NO_PROOF),
    ("wrong htm", |p| Sent::one(&p.claim("htm", "PUT")), NO_PROOF, NO_PROOF),
    ("wrong htu", |p| Sent::one(&p.claim("htu", format!("{ISSUER}/other"))), NO_PROOF, NO_PROOF),
    ("iat an hour ago", |p| Sent::one(&p.off_by(-3600)), NO_PROOF, NO_PROOF),
    ("iat in an hour", |p| Sent::one(&p.off_by(3600)), NO_PROOF, NO_PROOF),
    ("jti used before", |p| Sent { again: true, ..Sent::one(&p) }, NO_PROOF, NO_PROOF),
    ("wrong ath", |p| Sent::one(&p.token("another token")), Good, NO_PROOF),
    ("another key", |_| Sent::lines(String::new()), Nothing, NO_TOKEN), // see `sent`
    ("no proof", |_| Sent::lines(String::new()), NO_PROOF, NO_PROOF),
    ("shown as Bearer", |p| Sent { scheme: "Bearer", ..Sent::one(&p) }, Nothing, NO_TOKEN),
    ("query and fragment", |p| Sent::one(&p.target(|url| format!("{url}?a=b#c"))), Good, Good),
    ("host in another case", |p| Sent::one(&p.target(|url| url.replace("mail.example", "MAIL.Example"))), Good, Good),
    ("default port", |p| Sent::one(&p.target(|url| url.replace(".test", ".test:443"))), Good, Good),
    ("header name in upper case", |p| Sent::lines(format!("DPOP: {}\r\n", p.signed())), Good, Good),
    ("further claims", |p| Sent::one(&p.claim("x", json!({ "y": [1] })).claim("sub", "z")), Good, Good),
    ("nbf and exp", |p| Sent::one(&p.claim("nbf", now() - 5).claim("exp", now() + 60)), Good, Good),
    ("iat 10 s ago", |p| Sent::one(&p.off_by(-10)), Good, Good),
    ("iat in 10 s", |p| Sent::one(&p.off_by(10)), Good, Good),
];

fn with_another_signature(proof: &Proof<'_>) -> String {
    let (signed, other) = (proof.signed(), proof.clone().claim("jti", "other").signed());
    let (content, signature) = (signed.rsplit_once('.').expect("a JWS").0, other.rsplit_once('.').expect("a JWS").1);
    format!("{content}.{signature}")
}

/// What is sent in a check: from a good proof, or one with another key where the check is of the key.
fn sent(scene: &Scene, check: &Check, key: &Key, others: &[(&str, &str, Key)], token: Option<&str>) -> Sent {
    match others.iter().find(|(name, ..)| *name == check.0) {
        Some((_, alg, other)) => Sent::one(&scene.proof(other, alg, token)),
        None => check.1(scene.proof(key, "ES256", token)),
    }
}

#[test]
fn jwt_11_every_check_of_a_proof_at_the_token_endpoint_and_at_the_resource() {
    let scene = Scene::new();
    let key = Key::new("ES256");
    let others = [("RS256", "RS256", Key::new("RS256")), ("another key", "ES256", Key::new("ES256"))];
    let token = scene.token(&scene.bound, &key, "ES256");
    for (number, check) in CHECKS.iter().enumerate() {
        let (name, _, at_token, at_resource) = check;
        let first = sent(&scene, check, &key, &others, None);
        let ask = || scene.ask_token(&scene.bound, &first.headers);
        if first.again {
            assert_eq!(ask().status, 200, "{name}, first");
        }
        match at_token {
            Nothing => (),
            Good => {
                let answer = ask();
                assert_eq!((answer.status, &answer.json()["token_type"]), (200, &json!("DPoP")), "{name}: {answer:?}");
            }
            Wrong(code) => assert_eq!(error(&ask()), refused(400, code), "{name} at the token endpoint"),
        }
        let second = sent(&scene, check, &key, &others, Some(&token));
        let headers = format!("Authorization: {} {token}\r\n{}", second.scheme, second.headers);
        // From as many addresses, so that no refusal slows another down.
        let ask = || scene.ask_path(elsewhere(number), "/oauth/me", &headers);
        if second.again {
            assert_eq!(ask().status, 200, "{name}, first");
        }
        let answer = ask();
        match at_resource {
            Nothing => panic!("{name} has no verdict"),
            Good => assert_eq!(
                (answer.status, answer.json()["client_id"].as_str()),
                (200, Some(&*scene.bound.id)),
                "{name}"
            ),
            Wrong(code) => {
                assert_eq!(error(&answer), refused(401, code), "{name} at the resource");
                let said = challenge(&answer, second.scheme);
                assert!(said.contains(&format!("error=\"{code}\"")), "{name}: {said}");
                assert!(
                    challenge(&answer, "DPoP").contains("algs=\"EdDSA Ed25519 ES256 PS256\""),
                    "{name}: {answer:?}"
                );
            }
        }
    }
}

#[test]
fn jwt_11_what_a_proof_may_not_be_beyond_the_list() {
    let scene = Scene::new();
    let key = Key::new("EdDSA");
    let token = scene.token(&scene.bound, &key, "EdDSA");
    for token in [None, Some(&*token)] {
        let good = || scene.proof(&key, "EdDSA", token);
        let wrong: [(&str, String); 13] = [
            ("none, and yet a signature", format!("{}AAAA", good().header("alg", "none").signed())),
            ("crit", good().header("crit", json!(["exp"])).signed()),
            ("b64", good().header("b64", false).signed()),
            ("alg of another kind of key", good().header("alg", "ES256").signed()),
            ("HS256", good().header("alg", "HS256").signed()),
            ("a jwk that is text", good().header("jwk", "key").signed()),
            ("over by its own exp", good().claim("exp", now() - 3600).signed()),
            ("exp that is text", good().claim("exp", (now() + 60).to_string()).signed()),
            ("iat that is text", good().claim("iat", now().to_string()).signed()),
            ("method in lower case", good().method(str::to_lowercase).signed()),
            ("9 KiB", good().claim("x", "x".repeat(7000)).signed()),
            ("a JWT of another kind", good().header("typ", "at+jwt").signed()),
            ("no text at all", String::new()),
        ];
        for (name, proof) in wrong {
            let (answer, status) = match token {
                None => (scene.ask_token(&scene.bound, &header(&proof)), 400),
                Some(token) => (scene.ask_resource(&shown(token, &proof)), 401),
            };
            assert_eq!(error(&answer), refused(status, "invalid_dpop_proof"), "{name}");
        }
    }
    // The host that the request names counts for nothing.
    let proof = scene.proof(&key, "EdDSA", None).target(|url| url.replace("mail.example.test", "evil.example"));
    let request = post(&format!("{}{}", basic(&scene.bound), header(&proof.signed())), GRANT);
    let answer = ask(scene.gateway(), HERE, request.replace("Host: localhost", "Host: evil.example"));
    assert_eq!(error(&answer), refused(400, "invalid_dpop_proof"));
}

#[test]
fn every_advertised_algorithm_binds_a_token_that_opens_the_resource() {
    let scene = Scene::new();
    let metadata = ask(scene.gateway(), HERE, get("/.well-known/oauth-authorization-server/oauth")).json();
    let named = metadata["dpop_signing_alg_values_supported"].as_array().expect("algorithms").clone();
    assert_eq!(named, ["EdDSA", "Ed25519", "ES256", "PS256"]);
    for alg in named.iter().map(|alg| alg.as_str().expect("a word")) {
        let key = Key::new(alg);
        let token = scene.token(&scene.bound, &key, alg);
        let proof = scene.proof(&key, alg, Some(&token)).signed();
        assert_eq!(scene.ask_resource(&shown(&token, &proof)).status, 200, "{alg}");
    }
}
