//! Tokens bound to a key of the tool (RFC 9449): at the token endpoint, and where they are shown.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::support::dpop::{Key, Proof, now};
use crate::support::gateway::{Gateway, Tool, base64, plain, xoauth2};
use crate::support::http::{HERE, ask, basic, elsewhere, get, post};
use crate::support::stage::{ADDRESS, ScriptedStage};
use crate::support::wire::Answer;

const GRANT: &str = "grant_type=client_credentials";
/// The issuer, on a default port: a tool may name the port or not.
pub(crate) const ISSUER: &str = "https://mail.example.test/oauth";

/// A gateway with a tool whose tokens must be bound, and one that may choose.
pub(crate) struct Scene {
    stage: ScriptedStage,
    pub(crate) bound: Tool,
    pub(crate) free: Tool,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let mut stage = ScriptedStage::set();
        let gateway = &mut stage.gateway;
        let free = gateway.add_tool("free", ADDRESS, "backup");
        let add = ["client", "add", "bound", "--required-binding", "dpop", "--format", "json"];
        let printed: Value = serde_json::from_str(&gateway.manage_ok(&add, b"")).expect("JSON");
        assert_eq!(printed["required_binding"], "dpop");
        let text = |name: &str| printed[name].as_str().expect("a text").to_owned();
        let bound = Tool { id: text("client_id"), secret: text("client_secret") };
        gateway.manage_ok(&["grant", "add", "--client", &bound.id, "--mailbox", ADDRESS, "--preset", "backup"], b"");
        let own = format!("https://localhost:{}/oauth", gateway.port("https"));
        gateway.edit_config(&own, ISSUER);
        gateway.stop();
        gateway.serve();
        Self { stage, bound, free }
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        &self.stage.gateway
    }

    /// The nonce of now, as an answer names it.
    pub(crate) fn nonce(&self) -> String {
        nonce(&self.ask_token(&self.bound, ""))
    }

    /// Asks for a token with these further header lines.
    pub(crate) fn ask_token(&self, tool: &Tool, headers: &str) -> Answer {
        ask(self.gateway(), HERE, post(&format!("{}{headers}", basic(tool)), GRANT))
    }

    /// Asks the resource with these header lines.
    pub(crate) fn ask_resource(&self, headers: &str) -> Answer {
        self.ask_path(HERE, "/oauth/me", headers)
    }

    fn ask_path(&self, source: IpAddr, path: &str, headers: &str) -> Answer {
        ask(self.gateway(), source, get(path).replace("\r\n\r\n", &format!("\r\n{headers}\r\n")))
    }

    /// A token bound to `key`.
    pub(crate) fn token(&self, tool: &Tool, key: &Key, alg: &str) -> String {
        let proof = self.proof(key, alg, None).signed();
        let answer = self.ask_token(tool, &header(&proof));
        assert_eq!((answer.status, &answer.json()["token_type"]), (200, &json!("DPoP")), "{answer:?}");
        answer.json()["access_token"].as_str().expect("a token").to_owned()
    }

    /// A good proof: for the token endpoint, or with a token for the resource.
    pub(crate) fn proof<'a>(&self, key: &'a Key, alg: &str, token: Option<&str>) -> Proof<'a> {
        let proof = match token {
            None => key.proof(alg, "POST", &format!("{ISSUER}/token")),
            Some(token) => key.proof(alg, "GET", &format!("{ISSUER}/me")).token(token),
        };
        proof.claim("nonce", self.nonce())
    }
}

/// The header line of a proof.
pub(crate) fn header(proof: &str) -> String {
    format!("DPoP: {proof}\r\n")
}

/// The header lines of a token that is bound, and its proof.
pub(crate) fn shown(token: &str, proof: &str) -> String {
    format!("Authorization: DPoP {token}\r\n{}", header(proof))
}

pub(crate) fn nonce(answer: &Answer) -> String {
    answer.header("dpop-nonce").unwrap_or_else(|| panic!("no nonce: {answer:?}")).to_owned()
}

pub(crate) fn error(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_owned())
}

pub(crate) fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// The challenge of one scheme.
fn challenge<'a>(answer: &'a Answer, scheme: &str) -> &'a str {
    let values = answer.headers("www-authenticate");
    let found = values.iter().find(|value| value.starts_with(&format!("{scheme} ")));
    found.unwrap_or_else(|| panic!("no challenge of {scheme}: {answer:?}"))
}

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

#[test]
fn tok_21_a_nonce_is_asked_for_given_and_taken() {
    let scene = Scene::new();
    let key = Key::new("ES256");
    let url = format!("{ISSUER}/token");
    let without = || key.proof("ES256", "POST", &url);
    let answer = scene.ask_token(&scene.bound, &header(&without().signed()));
    assert_eq!(error(&answer), refused(400, "use_dpop_nonce"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let given = nonce(&answer);
    let answer = scene.ask_token(&scene.bound, &header(&without().claim("nonce", &*given).signed()));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!nonce(&answer).is_empty(), "the next one");
    let token = answer.json()["access_token"].as_str().expect("a token").to_owned();
    for other in [json!(""), json!("x"), json!(given.to_uppercase()), json!(given.clone() + "A"), json!(7), Value::Null]
    {
        for tool in [&scene.bound, &scene.free] {
            let answer = scene.ask_token(tool, &header(&without().claim("nonce", other.clone()).signed()));
            assert_eq!(error(&answer), refused(400, "use_dpop_nonce"), "{other}");
            assert!(!nonce(&answer).is_empty());
        }
    }
    // The resource asks too.
    let proof = || key.proof("ES256", "GET", &format!("{ISSUER}/me")).token(&token);
    let answer = scene.ask_resource(&shown(&token, &proof().signed()));
    assert_eq!(error(&answer), refused(401, "use_dpop_nonce"));
    assert!(challenge(&answer, "DPoP").contains("error=\"use_dpop_nonce\""), "{answer:?}");
    let answer = scene.ask_resource(&shown(&token, &proof().claim("nonce", nonce(&answer)).signed()));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!nonce(&answer).is_empty(), "the next one");
    // A tool that binds of its own will need not, and may.
    let answer = scene.ask_token(&scene.free, &header(&without().signed()));
    assert_eq!((answer.status, &answer.json()["token_type"]), (200, &json!("DPoP")), "{answer:?}");
    let answer = scene.ask_token(&scene.free, &header(&without().claim("nonce", nonce(&answer)).signed()));
    assert_eq!(answer.status, 200, "{answer:?}");
    // Asking for a nonce is no refusal that anybody has to look at.
    let recorded = scene.gateway().audit();
    assert!(!recorded.iter().any(|event| event.to_string().contains("use_dpop_nonce")));
    assert!(recorded.iter().any(|event| event["code"] == "token.issued" && event.to_string().contains("jkt")));
}

#[test]
fn jwt_12_a_bound_token_is_never_a_bearer_token() {
    let scene = Scene::new();
    let key = Key::new("ES256");
    for tool in [&scene.bound, &scene.free] {
        let token = scene.token(tool, &key, "ES256");
        let proof = scene.proof(&key, "ES256", Some(&token)).signed();
        for headers in [
            format!("Authorization: Bearer {token}\r\n"),
            format!("Authorization: Bearer {token}\r\n{}", header(&proof)),
            format!("Authorization: bEARER {token}\r\n"),
        ] {
            let answer = scene.ask_resource(&headers);
            assert_eq!(error(&answer), refused(401, "invalid_token"), "{headers}");
            assert!(challenge(&answer, "Bearer").contains("error=\"invalid_token\""), "{answer:?}");
            assert!(!challenge(&answer, "DPoP").contains("error="), "{answer:?}");
        }
        assert_eq!(scene.ask_path(HERE, &format!("/oauth/me?access_token={token}"), "").status, 401);
        let bearer = format!("n,a={ADDRESS},\x01auth=Bearer {token}\x01\x01");
        for login in [
            format!("AUTHENTICATE XOAUTH2 {}", xoauth2(ADDRESS, &token)),
            format!("AUTHENTICATE OAUTHBEARER {}", base64(bearer.as_bytes())),
            format!("AUTHENTICATE OAUTHBEARER {}", base64(bearer.replace("Bearer", "DPoP").as_bytes())),
            format!("AUTHENTICATE PLAIN {}", plain(ADDRESS, &token)),
            format!("LOGIN {ADDRESS} {token}"),
        ] {
            let mut imap = scene.gateway().imap();
            imap.send(format!("a {login}\r\n"));
            let mut line = imap.line();
            if line.starts_with("+ ") {
                imap.send("\r\n");
                line = imap.line();
            }
            assert!(line.starts_with("a NO ") || line.starts_with("a BAD "), "{login}: {line}");
        }
        assert_eq!(scene.ask_resource(&shown(&token, &proof)).status, 200, "the proof was good all the time");
    }
    // And a bearer token is not one that is bound.
    let token = scene.gateway().token(&scene.free, ADDRESS);
    assert_eq!(scene.ask_resource(&format!("Authorization: Bearer {token}\r\n")).status, 200);
    let proof = scene.proof(&key, "ES256", Some(&token)).signed();
    assert_eq!(error(&scene.ask_resource(&shown(&token, &proof))), refused(401, "invalid_token"));
}

#[test]
fn jwt_13_a_client_whose_tokens_must_be_bound_gets_no_other() {
    let scene = Scene::new();
    let tool = &scene.bound;
    let in_body = format!("{GRANT}&client_id={}&client_secret={}", tool.id, tool.secret);
    for request in [post(&basic(tool), GRANT), post("", &in_body), post(&basic(tool), &format!("{GRANT}&dpop_jkt=x"))] {
        let answer = ask(scene.gateway(), HERE, request);
        assert_eq!(error(&answer), refused(400, "invalid_dpop_proof"));
        assert!(!answer.body.contains("access_token") && !nonce(&answer).is_empty(), "{answer:?}");
    }
    let answer = scene.ask_token(&scene.free, "");
    assert_eq!((answer.status, &answer.json()["token_type"]), (200, &json!("Bearer")), "{answer:?}");
    let wrong = ["client", "add", "x", "--required-binding", "rope"];
    assert_eq!(scene.gateway().manage(&wrong, b"").code, Some(1));
}

#[test]
fn jwt_15_the_scheme_of_a_shown_token_has_no_case() {
    let scene = Scene::new();
    let (key, plain) = (Key::new("ES256"), scene.gateway().token(&scene.free, ADDRESS));
    let bound = scene.token(&scene.bound, &key, "ES256");
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        assert_eq!(scene.ask_resource(&format!("Authorization: {scheme} {plain}\r\n")).status, 200, "{scheme}");
    }
    for scheme in ["DPoP", "dpop", "DPOP", "dPoP"] {
        let proof = scene.proof(&key, "ES256", Some(&bound)).signed();
        let headers = format!("Authorization: {scheme} {bound}\r\n{}", header(&proof));
        assert_eq!(scene.ask_resource(&headers).status, 200, "{scheme}");
    }
}

#[test]
fn int_06_the_resource_says_what_it_takes_and_where_that_is_written() {
    let scene = Scene::new();
    let wanted =
        format!("resource_metadata=\"{}\"", "https://mail.example.test/.well-known/oauth-protected-resource/oauth/me");
    let bare = ["", "Authorization: Basic YTpi\r\n", "Authorization: Bearer\r\n", "Authorization:\r\n"];
    for headers in bare {
        let answer = scene.ask_resource(headers);
        assert_eq!((answer.status, answer.header("cache-control")), (401, Some("no-store")), "{headers}");
        assert_eq!(challenge(&answer, "Bearer"), format!("Bearer realm=\"mailwarden\", {wanted}"));
        assert_eq!(challenge(&answer, "DPoP"), format!("DPoP algs=\"EdDSA Ed25519 ES256 PS256\", {wanted}"));
    }
    for (scheme, other) in [("Bearer", "DPoP"), ("DPoP", "Bearer")] {
        for token in ["x", "a.b.c", "mws_x"] {
            let answer = scene.ask_resource(&format!("Authorization: {scheme} {token}\r\n"));
            assert_eq!(error(&answer), refused(401, "invalid_token"), "{scheme} {token}");
            let said = challenge(&answer, scheme);
            assert!(said.contains("error=\"invalid_token\"") && said.contains(&wanted), "{said}");
            assert!(!challenge(&answer, other).contains("error="), "{answer:?}");
            assert!(challenge(&answer, other).contains(&wanted), "{answer:?}");
        }
    }
    let token = scene.gateway().token(&scene.free, ADDRESS);
    let twice = format!("Authorization: Bearer {token}\r\n").repeat(2);
    assert_eq!(error(&scene.ask_resource(&twice)), refused(400, "invalid_request"));
    // The document, whatever host is asked for.
    let path = "/.well-known/oauth-protected-resource/oauth/me";
    for host in ["localhost", "evil.example"] {
        let answer = ask(scene.gateway(), HERE, get(path).replace("localhost", host));
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("public, max-age=300")), "{answer:?}");
        let document = answer.json();
        assert_eq!(document["resource"], format!("{ISSUER}/me"), "the URL that was asked");
        assert_eq!(document["authorization_servers"], json!([ISSUER]));
        assert_eq!(document["bearer_methods_supported"], json!(["header"]));
        assert_eq!(document["dpop_signing_alg_values_supported"], json!(["EdDSA", "Ed25519", "ES256", "PS256"]));
        assert_eq!(document["scopes_supported"].as_array().map(Vec::len), Some(7));
    }
    let server = ask(scene.gateway(), HERE, get("/.well-known/oauth-authorization-server/oauth")).json();
    assert_eq!(server["issuer"], ISSUER);
    // What was revoked opens nothing here either.
    assert_eq!(scene.ask_resource(&format!("Authorization: Bearer {token}\r\n")).status, 200);
    scene.gateway().manage_ok(&["revoke", "--client", &scene.free.id], b"");
    let answer = scene.ask_resource(&format!("Authorization: Bearer {token}\r\n"));
    assert_eq!(error(&answer), refused(401, "invalid_token"));
}
