//! OAuth and JWT libraries that people really use, run unchanged: discovery, a token by either method, its check by our keys, its
//! introspection and its end.

use std::path::Path;

use crate::support::clients::{library_script, script};
use crate::support::gateway::Tool;
use crate::support::process::Finished;
use crate::support::stage::{ADDRESS, Stage};

const METHODS: [&str; 2] = ["client_secret_basic", "client_secret_post"];

type Runner = fn(&str, &Path, &[&str], &[u8]) -> Finished;

/// One client for each algorithm.
fn tools(stage: &Stage) -> [(Tool, &'static str); 2] {
    ["EdDSA", "ES256"].map(|algorithm| {
        let args = ["client", "add", algorithm, "--token-alg", algorithm, "--format", "json"];
        let printed = stage.gateway.manage_ok(&args, b"");
        let value: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
        let text = |key: &str| value[key].as_str().unwrap_or_else(|| panic!("no {key}")).to_owned();
        let tool = Tool { id: text("client_id"), secret: text("client_secret") };
        let grant = ["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", "backup"];
        stage.gateway.manage_ok(&grant, b"");
        (tool, algorithm)
    })
}

fn each_library_gets_a_token(libraries: &[&str], name: &str, run: Runner) {
    let stage = Stage::reading(|_| ());
    let issuer = format!("https://localhost:{}/oauth", stage.gateway.port("https"));
    let audience = format!("mailto:{ADDRESS}");
    for (tool, algorithm) in tools(&stage) {
        for library in libraries {
            for method in METHODS {
                let args = [library, method, &issuer, &tool.id, &audience, algorithm];
                let ca = stage.gateway.ca_file();
                let finished = run(name, ca, &args, tool.secret.as_bytes());
                let printed = finished.expect_ok(&format!("{library} with {method} and {algorithm}"));
                let claims: serde_json::Value = serde_json::from_str(&printed).expect("the claims");
                assert_eq!((claims["sub"].as_str(), claims["scope"].as_str()), (Some(&*tool.id), Some("mail.read")));
                let wrong = run(name, ca, &args, b"mws_wrong");
                let named = ["invalid_client", "WWWAuthenticateChallengeError"];
                assert!(wrong.code != Some(0) && wrong.stdout.is_empty(), "{library}: {wrong:?}");
                assert!(named.iter().any(|name| wrong.stderr.contains(name)), "{library}: {wrong:?}");
            }
        }
    }
}

#[test]
fn python_libraries_get_and_check_tokens() {
    each_library_gets_a_token(&["authlib", "requests-oauthlib"], "oauth_token.py", library_script);
}

#[test]
fn node_libraries_get_and_check_tokens() {
    each_library_gets_a_token(&["openid-client", "oauth4webapi"], "oauth_token.mjs", script);
}
