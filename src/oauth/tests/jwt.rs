//! Rows JWT-01 to JWT-08 at the one place that reads tokens. Every wrong token here is signed with a good key, so that what is
//! refused is refused for its content.

use crate::crypto::encoding::base64url;
use crate::crypto::hash::Mac;
use crate::domain::client::TokenAlg;
use crate::domain::clock::Timestamp;
use crate::domain::secret::Secret;
use crate::domain::token::Claims;
use crate::oauth::TokenRejected;
use crate::oauth::jose::jws::MAX_LENGTH;
use crate::oauth::keyset::Keyset;
use crate::oauth::verify::verify;

const ISSUER: &str = "https://gw.example/oauth";
const NOW: i64 = 1_795_507_200;
const HEADER: &str = r#"{"alg":"EdDSA","typ":"at+jwt","kid":"ed"}"#;

/// The claims, name and JSON value, in the order in which they are written.
const CLAIMS: [(&str, &str); 8] = [
    ("iss", "\"https://gw.example/oauth\""),
    ("sub", "\"cli_0123456789ab\""),
    ("client_id", "\"cli_0123456789ab\""),
    ("aud", "\"mailto:a@b.test\""),
    ("scope", "\"mail.read\""),
    ("iat", "1795507200"),
    ("exp", "1795507500"),
    ("jti", "\"AAAAAAAAAAAAAAAAAAAAAA\""),
];

/// The good claims with one set to another JSON value, or left out.
fn with(name: &str, value: Option<&str>) -> String {
    let mut claims = CLAIMS.to_vec();
    claims.retain(|(known, _)| *known != name);
    claims.extend(value.map(|value| (name, value)));
    let members: Vec<_> = claims.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn good() -> String {
    with("iss", Some("\"https://gw.example/oauth\""))
}

fn read(keyset: &Keyset, token: &str) -> Result<Claims, TokenRejected> {
    verify(keyset, ISSUER, Timestamp::from_secs(NOW), token)
}

fn check(keyset: &Keyset, token: &str) -> Result<(), TokenRejected> {
    read(keyset, token).map(drop)
}

fn check_claims(payload: &str) -> Result<(), TokenRejected> {
    let keyset = Keyset::for_tests();
    check(&keyset, &keyset.sign_raw("ed", HEADER, payload))
}

fn check_header(header: &str) -> Result<(), TokenRejected> {
    let keyset = Keyset::for_tests();
    check(&keyset, &keyset.sign_raw("ed", header, &good()))
}

#[test]
fn both_algorithms_verify() {
    let keyset = Keyset::for_tests();
    for alg in [TokenAlg::EdDsa, TokenAlg::Es256] {
        assert_eq!(check(&keyset, &keyset.sign(alg, &good()).unwrap()), Ok(()));
    }
    assert_eq!(check_header(HEADER), Ok(()));
}

#[test]
fn jwt_01_only_the_type_at_jwt_is_an_access_token() {
    for other in [
        "JWT",
        "jwt",
        "dpop+jwt",
        "client-authentication+jwt",
        "token-introspection+jwt",
        "logout+jwt",
        "secevent+jwt",
        "application/jwt",
        "AT+JWT",
        "at+jwt ",
        "",
    ] {
        let header = HEADER.replace("at+jwt", other);
        assert_eq!(check_header(&header), Err(TokenRejected::Header), "{other}");
    }
    for wrong in ["null", "7", "[\"at+jwt\"]"] {
        let header = HEADER.replace("\"at+jwt\"", wrong);
        assert_eq!(check_header(&header), Err(TokenRejected::Header), "{wrong}");
    }
    assert_eq!(check_header(r#"{"alg":"EdDSA","kid":"ed"}"#), Err(TokenRejected::Header));
}

#[test]
fn jwt_02_the_algorithm_is_bound_to_the_key() {
    for (alg, kid) in [
        ("none", "ed"),
        ("NonE", "ed"),
        ("", "ed"),
        ("HS256", "ed"),
        ("RS256", "ed"),
        ("PS256", "ed"),
        ("ES256", "ed"),
        ("ES256K", "es"),
        ("eddsa", "ed"),
        ("EdDSA", "es"),
        ("Ed25519", "ed"),
        ("EdDSA", "unknown"),
        ("EdDSA", "../../x"),
        ("EdDSA", "ed\\u0000"),
        ("EdDSA", "' OR 1=1"),
    ] {
        let header = format!(r#"{{"alg":"{alg}","typ":"at+jwt","kid":"{kid}"}}"#);
        assert_eq!(check_header(&header), Err(TokenRejected::Signature), "{alg} {kid}");
    }
    for without in [r#"{"typ":"at+jwt","kid":"ed"}"#, r#"{"alg":"EdDSA","typ":"at+jwt"}"#] {
        assert_eq!(check_header(without), Err(TokenRejected::Header), "{without}");
    }
}

#[test]
fn jwt_02_a_public_key_is_no_hmac_key_and_a_signature_of_zeros_is_none() {
    let keyset = Keyset::for_tests();
    let forge = |header: &str, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(good().as_bytes()));
        let signature = sign(signed.as_bytes());
        format!("{signed}.{}", base64url(&signature))
    };
    for kid in ["ed", "es"] {
        let public = keyset.public_key(kid).unwrap();
        let mac = Mac::new(&Secret::from_bytes(public));
        let header = HEADER.replace("EdDSA", "HS256").replace("\"ed\"", &format!("\"{kid}\""));
        assert_eq!(check(&keyset, &forge(&header, &|data| mac.sign(data).to_vec())), Err(TokenRejected::Signature));
    }
    let header = r#"{"alg":"ES256","typ":"at+jwt","kid":"es"}"#;
    let mut one = vec![0; 32];
    one[31] = 1;
    for signature in [vec![0; 64], [one.clone(), vec![0; 32]].concat(), [vec![0; 32], one].concat(), vec![0xff; 64]] {
        assert_eq!(check(&keyset, &forge(header, &|_| signature.clone())), Err(TokenRejected::Signature));
    }
    assert_eq!(check(&keyset, &forge(HEADER, &|_| vec![0; 64])), Err(TokenRejected::Signature));
}

#[test]
fn jwt_03_every_claim_is_there_and_of_its_json_type() {
    for (name, _) in CLAIMS {
        let answer = check_claims(&with(name, None));
        assert_eq!(answer, if name == "scope" { Ok(()) } else { Err(TokenRejected::Claims) }, "without {name}");
    }
    for name in ["exp", "iat", "nbf"] {
        for wrong in
            ["\"9999999999\"", "null", "true", "-1", "[1795507200]", "{}", "1795507200.5", "253402300800", "\"\"", "[]"]
        {
            assert_eq!(check_claims(&with(name, Some(wrong))), Err(TokenRejected::Claims), "{name} {wrong}");
        }
        // Not even a number of JSON that we can hold.
        assert_eq!(check_claims(&with(name, Some("1e400"))), Err(TokenRejected::Malformed), "{name}");
    }
    for name in ["iss", "sub", "client_id", "aud", "jti", "scope"] {
        for wrong in ["null", "true", "7", "[]", "{}", "[\"mailto:a@b.test\"]"] {
            assert_eq!(check_claims(&with(name, Some(wrong))), Err(TokenRejected::Claims), "{name} {wrong}");
        }
    }
    for name in ["iss", "sub", "client_id", "aud", "jti"] {
        assert_eq!(check_claims(&with(name, Some("\"\""))), Err(TokenRejected::Claims), "empty {name}");
    }
    for (name, wrong) in [
        ("iss", "\"https://evil.example/oauth\""),
        ("iss", "\"https://gw.example/oauth/\""),
        ("sub", "\"cli_0123456789ac\""),
        ("client_id", "\"CLI_0123456789AB\""),
    ] {
        assert_eq!(check_claims(&with(name, Some(wrong))), Err(TokenRejected::Claims), "{name} {wrong}");
    }
    assert_eq!(check_claims(&with("nbf", Some("1795507200"))), Ok(()));
    for payload in ["[]", "null", "7", "\"{}\"", "", "{}{}"] {
        assert!(check_claims(payload).is_err(), "{payload}");
    }
}

#[test]
fn jwt_03_a_claim_that_we_do_not_know_is_never_dropped_in_silence() {
    for (name, value) in [
        ("cnf", r#"{"jkt":"x"}"#),
        ("cnf", "null"),
        ("authorization_details", "[]"),
        ("act", r#"{"sub":"x"}"#),
        ("may_act", "{}"),
        ("a_restriction_of_a_newer_node", "true"),
        ("Scope", "\"mail.read\""),
        ("", "1"),
    ] {
        assert_eq!(check_claims(&with(name, Some(value))), Err(TokenRejected::Claims), "{name} {value}");
    }
}

#[test]
fn jwt_04_the_audience_is_exactly_one_mailbox() {
    for wrong in [
        "\"https://b.test\"",
        "\"a@b.test\"",
        "\"mailto:\"",
        "\"mailto:a@b.test,c@b.test\"",
        "\"mailto:a@b.test?cc=c@b.test\"",
        "\"mailto:*\"",
        "[\"mailto:a@b.test\"]",
        "[\"mailto:a@b.test\",\"https://stranger.example\"]",
        "{\"mailto:a@b.test\":true}",
    ] {
        assert_eq!(check_claims(&with("aud", Some(wrong))), Err(TokenRejected::Claims), "{wrong}");
    }
    // What is written in the audience is no right.
    let keyset = Keyset::for_tests();
    let payload = with("scope", None).replace("mailto:a@b.test", "mailto:mail.read@b.test");
    let claims = read(&keyset, &keyset.sign_raw("ed", HEADER, &payload)).unwrap();
    assert!(claims.scopes.is_empty());
    assert_eq!(claims.mailbox.as_str(), "mail.read@b.test");
}

#[test]
fn jwt_05_scope_words_are_exact() {
    for wrong in ["MAIL.READ", "mail.readwrite", "mail.read,mail.send", "mail.*", "*", "mail", "mail.read mail.Send"] {
        assert_eq!(check_claims(&with("scope", Some(&format!("\"{wrong}\"")))), Err(TokenRejected::Claims), "{wrong}");
    }
}

#[test]
fn jwt_06_no_extension_encryption_nesting_or_repeated_name() {
    for member in [
        r#""crit":["x"]"#,
        r#""crit":[]"#,
        r#""b64":false"#,
        r#""zip":"DEF""#,
        r#""enc":"A256GCM""#,
        r#""cty":"JWT""#,
        r#""jwk":{}"#,
        r#""jku":"https://evil.example/""#,
        r#""x5u":"https://evil.example/""#,
        r#""x5c":[]"#,
    ] {
        let header = HEADER.replace('}', &format!(",{member}}}"));
        assert_eq!(check_header(&header), Err(TokenRejected::Header), "{member}");
    }
    for member in [r#""alg":"EdDSA""#, r#""typ":"at+jwt""#, r#""kid":"ed""#, r#""\u0061lg":"none""#] {
        let header = HEADER.replace('}', &format!(",{member}}}"));
        assert_eq!(check_header(&header), Err(TokenRejected::Malformed), "{member}");
    }
    for (name, value) in CLAIMS {
        let payload = good().replace('}', &format!(",\"{name}\":{value}}}"));
        assert_eq!(check_claims(&payload), Err(TokenRejected::Malformed), "{name}");
    }
    let keyset = Keyset::for_tests();
    let token = keyset.sign(TokenAlg::EdDsa, &good()).unwrap();
    let jwe = format!("{}.QUFB.QUFB.QUFB.QUFB", base64url(br#"{"alg":"dir","enc":"A256GCM"}"#));
    assert_eq!(check(&keyset, &jwe), Err(TokenRejected::Malformed));
    for nested in [token.clone(), format!("\"{token}\"")] {
        assert_eq!(check(&keyset, &keyset.sign_raw("ed", HEADER, &nested)), Err(TokenRejected::Malformed));
    }
}

#[test]
fn jwt_07_the_form_is_canonical_and_bounded_before_any_cryptography() {
    let keyset = Keyset::for_tests();
    let token = keyset.sign_raw("ed", HEADER, &good());
    assert_eq!(check(&keyset, &token), Ok(()));
    let parts: Vec<&str> = token.split('.').collect();
    let &[header, payload, signature] = parts.as_slice() else { panic!("three segments") };
    // 64 octets leave two unused bits in the last of 86 characters: Q and R read alike where the reader is lax.
    let last = char::from(signature.as_bytes()[85]);
    let stray = char::from(u8::try_from(last).unwrap() + 1);
    let mut wrong = vec![
        format!("{header}.{payload}"),
        format!("{token}."),
        format!("{token}.x"),
        format!("{header}.{payload}.{signature}.{signature}"),
        format!(".{payload}.{signature}"),
        format!("{header}..{signature}"),
        format!("{header}.{payload}."),
        "..".to_owned(),
        String::new(),
        format!("{token}="),
        format!("{token}=="),
        format!("{}{stray}", token.strip_suffix(last).unwrap()),
        "a".repeat(MAX_LENGTH + 1),
        format!("{token}\0"),
    ];
    for space in [" ", "\n", "\r\n", "\t", "\u{a0}"] {
        wrong.push(format!("{space}{token}"));
        wrong.push(format!("{token}{space}"));
        wrong.push(format!("{header}.{space}{payload}.{signature}"));
    }
    for other in ["+", "/"] {
        wrong.push(format!("{header}.{payload}.{other}{}", &signature[1..]));
    }
    for wrong in wrong {
        assert_eq!(check(&keyset, &wrong), Err(TokenRejected::Malformed), "{wrong}");
    }
    // The bound is met exactly: a token of 8 KiB is still read, one octet more is not.
    let filled = |fill: usize| keyset.sign_raw("ed", HEADER, &with("x", Some(&format!("\"{}\"", "y".repeat(fill)))));
    let fill = (5000..6500).find(|fill| filled(*fill).len() >= MAX_LENGTH).unwrap();
    assert!(filled(fill - 1).len() <= MAX_LENGTH);
    assert_eq!(check(&keyset, &filled(fill - 1)), Err(TokenRejected::Claims));
    assert_eq!(check(&keyset, &filled(fill + 2)), Err(TokenRejected::Malformed));
}

#[test]
fn jwt_08_times_have_narrow_margins() {
    for (claim, ahead, expected) in [
        ("exp", -6, Err(TokenRejected::Expired)),
        ("exp", -5, Ok(())),
        ("exp", 0, Ok(())),
        ("exp", 1, Ok(())),
        ("iat", 0, Ok(())),
        ("iat", 10, Ok(())),
        ("iat", 11, Err(TokenRejected::NotYet)),
        ("iat", 61, Err(TokenRejected::NotYet)),
        ("nbf", 0, Ok(())),
        ("nbf", 10, Ok(())),
        ("nbf", 11, Err(TokenRejected::NotYet)),
        ("nbf", 61, Err(TokenRejected::NotYet)),
    ] {
        let payload = with(claim, Some(&(NOW + ahead).to_string()));
        assert_eq!(check_claims(&payload), expected, "{claim} {ahead:+}");
    }
}
