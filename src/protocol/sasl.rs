//! SASL mechanisms on our listeners: PLAIN (RFC 4616), LOGIN, XOAUTH2, OAUTHBEARER (RFC 7628). All carry the same thing: a token.

use crate::crypto::encoding::{base64, from_base64};
use crate::domain::secret::{AccessToken, Secret};

pub use crate::domain::mechanism::Mechanism;

/// Longest line of an authentication exchange, in octets.
pub const MAX_LINE: usize = 16 * 1024;

/// Somebody asks to be let in.
#[derive(Debug)]
pub struct Attempt {
    /// The user name, when one was given: must be the mailbox's address.
    pub user: Option<String>,
    /// The token.
    pub token: Secret<AccessToken>,
    /// The host that the tool says it connected to (OAUTHBEARER).
    pub host: Option<String>,
    /// How it came.
    pub mechanism: Mechanism,
}

/// The response does not fit the mechanism's grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed authentication response")]
pub struct SaslError;

/// Decodes the base64 of a response line.
pub fn decode(line: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>, SaslError> {
    from_base64(line).map(zeroize::Zeroizing::new).ok_or(SaslError)
}

/// Decodes the initial response of a command line, where `=` is an empty one (RFC 4954 section 4).
pub fn initial(text: &str) -> Result<zeroize::Zeroizing<Vec<u8>>, SaslError> {
    if text == "=" { Ok(zeroize::Zeroizing::default()) } else { decode(text.as_bytes()) }
}

/// Reads the one response of PLAIN, XOAUTH2 or OAUTHBEARER. (LOGIN has two; see [`login`].)
pub fn parse(mechanism: Mechanism, response: &[u8]) -> Result<Attempt, SaslError> {
    match mechanism {
        Mechanism::Plain => plain(response),
        Mechanism::Xoauth2 => xoauth2(response),
        Mechanism::OauthBearer => oauth_bearer(response),
        Mechanism::Login => Err(SaslError),
    }
}

/// Puts together the two answers of LOGIN.
pub fn login(user: &[u8], password: &[u8]) -> Result<Attempt, SaslError> {
    attempt(Some(text(user)?), text(password)?, Mechanism::Login)
}

/// `[authzid] NUL authcid NUL passwd`; authzid must be empty or the same.
fn plain(response: &[u8]) -> Result<Attempt, SaslError> {
    let mut parts = response.split(|byte| *byte == 0);
    let (Some(authzid), Some(authcid), Some(password), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(SaslError);
    };
    if !authzid.is_empty() && authzid != authcid {
        return Err(SaslError);
    }
    attempt(Some(text(authcid)?), text(password)?, Mechanism::Plain)
}

/// `user=` address `^Aauth=Bearer ` token `^A^A`.
fn xoauth2(response: &[u8]) -> Result<Attempt, SaslError> {
    let body = text(response.strip_suffix(b"\x01\x01").ok_or(SaslError)?)?;
    let (user, auth) = body.split_once('\x01').ok_or(SaslError)?;
    let user = user.strip_prefix("user=").ok_or(SaslError)?;
    let token = bearer(auth.strip_prefix("auth=").ok_or(SaslError)?)?;
    attempt(Some(user), token, Mechanism::Xoauth2)
}

/// gs2-header `^A` *(key `=` value `^A`) `^A`.
fn oauth_bearer(response: &[u8]) -> Result<Attempt, SaslError> {
    let body = text(response.strip_suffix(b"\x01\x01").ok_or(SaslError)?)?;
    let (header, pairs) = body.split_once('\x01').ok_or(SaslError)?;
    let mut fields = header.splitn(3, ',');
    if !matches!(fields.next(), Some("n" | "y")) {
        return Err(SaslError);
    }
    let user = match fields.next() {
        Some("") => None,
        Some(authzid) => Some(unescape(authzid.strip_prefix("a=").ok_or(SaslError)?)?),
        None => return Err(SaslError),
    };
    if fields.next() != Some("") {
        return Err(SaslError);
    }
    let (mut token, mut host, mut port) = (None, None, None);
    for pair in pairs.split('\x01') {
        let (key, value) = pair.split_once('=').ok_or(SaslError)?;
        let field = match key {
            "auth" => &mut token,
            "host" => &mut host,
            "port" => &mut port,
            // RFC 7628 section 3.1: unknown keys are ignored.
            _ => continue,
        };
        if field.replace(value).is_some() {
            return Err(SaslError);
        }
    }
    // Behind a forwarded port the tool cannot know ours: it must be a port, no more.
    let is_port =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0);
    if !port.is_none_or(is_port) {
        return Err(SaslError);
    }
    let attempt = attempt(user.as_deref(), bearer(token.ok_or(SaslError)?)?, Mechanism::OauthBearer)?;
    Ok(Attempt { host: host.map(str::to_owned), ..attempt })
}

/// A saslname: `=2C` is a comma, `=3D` an equals sign, any other `=` is an error (RFC 5801 section 4).
fn unescape(name: &str) -> Result<String, SaslError> {
    let mut out = String::with_capacity(name.len());
    let mut parts = name.split('=');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (code, rest) = part.split_at_checked(2).ok_or(SaslError)?;
        out.push(match code {
            "2C" => ',',
            "3D" => '=',
            _ => return Err(SaslError),
        });
        out.push_str(rest);
    }
    Ok(out)
}

fn bearer(value: &str) -> Result<&str, SaslError> {
    let (scheme, token) = value.split_once(' ').ok_or(SaslError)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token) } else { Err(SaslError) }
}

fn text(bytes: &[u8]) -> Result<&str, SaslError> {
    std::str::from_utf8(bytes).map_err(|_| SaslError)
}

fn attempt(user: Option<&str>, token: &str, mechanism: Mechanism) -> Result<Attempt, SaslError> {
    let is_clean = |value: &str| !value.is_empty() && !value.chars().any(char::is_control);
    if !is_clean(token) || !user.is_none_or(is_clean) {
        return Err(SaslError);
    }
    Ok(Attempt { user: user.map(str::to_owned), token: Secret::from_text(token.to_owned()), host: None, mechanism })
}

/// The challenge that tells of a failure, in base64 (RFC 7628 section 3.2.2).
pub fn failure_challenge(mechanism: Mechanism) -> String {
    let json: &[u8] = match mechanism {
        Mechanism::Xoauth2 => br#"{"status":"401","schemes":"bearer","scope":"mail.read"}"#,
        _ => br#"{"status":"invalid_token"}"#,
    };
    base64(json)
}

#[cfg(test)]
mod tests {
    use super::{Mechanism, SaslError, decode, login, parse};

    fn user_and_token(mechanism: Mechanism, response: &[u8]) -> Result<(Option<String>, String), SaslError> {
        let attempt = parse(mechanism, response)?;
        Ok((attempt.user, attempt.token.expose_text(str::to_owned).unwrap()))
    }

    #[test]
    fn published_vectors_are_read() {
        let line = b"dXNlcj10ZXN0QGNvbnRvc28ub25taWNyb3NvZnQuY29tAWF1dGg9QmVhcmVyIEV3QkFBbDNCQUFVRkZwVUFvN0ozVmUwYmpMQldaV0NjbFJDM0VvQUEBAQ==";
        assert_eq!(
            user_and_token(Mechanism::Xoauth2, &decode(line).unwrap()),
            Ok((Some("test@contoso.onmicrosoft.com".into()), "EwBAAl3BAAUFFpUAo7J3Ve0bjLBWZWCclRC3EoAA".into()))
        );
        let line = b"bixhPXNoYXJlZEBjb250b3NvLmNvbSwBaG9zdD1tYWlsLmJyb2tlci50ZXN0AXBvcnQ9OTkzAWF1dGg9QmVhcmVyIGV5SmhiR2NpT2kBAQ==";
        assert_eq!(
            user_and_token(Mechanism::OauthBearer, &decode(line).unwrap()),
            Ok((Some("shared@contoso.com".into()), "eyJhbGciOi".into()))
        );
        assert_eq!(user_and_token(Mechanism::OauthBearer, b"n,,\x01auth=Bearer t\x01\x01"), Ok((None, "t".into())));
        assert_eq!(user_and_token(Mechanism::Plain, b"\0u@x\0t"), Ok((Some("u@x".into()), "t".into())));
        assert!(login(b"u@x", b"t").is_ok());
    }

    #[test]
    fn everything_else_is_refused() {
        let oauth: [&[u8]; 13] = [
            b"n,,\x01auth=Bearer t\x01",
            b"n,,\x01auth=Bearer t\x01auth=Bearer u\x01\x01",
            b"p=tls,,\x01auth=Bearer t\x01\x01",
            b"n,u@x,\x01auth=Bearer t\x01\x01",
            b"n,a=u=2Xx,\x01auth=Bearer t\x01\x01",
            b"n,,\x01auth=Basic t\x01\x01",
            b"n,,\x01host=h\x01\x01",
            b"n,,\x01host=h\x01host=h\x01auth=Bearer t\x01\x01",
            b"n,,\x01port=0\x01auth=Bearer t\x01\x01",
            b"n,,\x01port=+993\x01auth=Bearer t\x01\x01",
            b"n,,\x01port=99999\x01auth=Bearer t\x01\x01",
            b"n,,\x01\x01",
            b"n,,\x01auth=Bearer t\r\nA1 DELETE x\x01\x01",
        ];
        for wrong in oauth {
            assert_eq!(
                user_and_token(Mechanism::OauthBearer, wrong),
                Err(SaslError),
                "{}",
                String::from_utf8_lossy(wrong)
            );
        }
        for wrong in [&b"u\0t"[..], b"a\0b\0c\0d", b"other\0u@x\0t", b"\0u@x\0", b"\0\0t", b"\0u\r\n\0t", b"\0\xff\0t"]
        {
            assert_eq!(user_and_token(Mechanism::Plain, wrong), Err(SaslError), "{}", String::from_utf8_lossy(wrong));
        }
        for wrong in [&b"===="[..], b"YQ", b"Y Q=", b"YQ==\n"] {
            assert!(decode(wrong).is_err());
        }
    }

    use proptest::prelude::*;

    use super::unescape;
    use crate::crypto::encoding::base64;

    const ALL: [Mechanism; 4] = Mechanism::ALL;

    proptest! {
        #[test]
        fn no_octets_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), line in "[A-Za-z0-9+/=]{0,80}") {
            let _ = decode(&bytes).map(|bytes| parse(Mechanism::Plain, &bytes));
            for mechanism in ALL {
                let _ = parse(mechanism, &bytes);
                let _ = decode(line.as_bytes()).map(|bytes| parse(mechanism, &bytes));
            }
            let _ = login(&bytes, line.as_bytes());
            let _ = unescape(&line);
        }

        #[test]
        fn almost_right_messages_do_not_make_it_panic(parts in prop::collection::vec(
            prop::sample::select(vec!["n,", "y,", "a=", "u@x", ",", "\x01", "auth=", "Bearer ", "t", "host=", "port=", "1", "user=", "\0", "=2C", "="]), 0..14,
        )) {
            let text = parts.concat();
            for mechanism in ALL {
                if let Ok(attempt) = parse(mechanism, text.as_bytes()) {
                    let is_clean = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
                    prop_assert!(attempt.user.as_deref().is_none_or(is_clean));
                    prop_assert!(attempt.token.expose_text(is_clean).unwrap());
                }
            }
        }

        #[test]
        fn what_a_client_writes_is_what_is_read(user in "[!-+\\--~]{1,30}@[a-z]{1,9}", token in "[A-Za-z0-9._~-]{1,60}") {
            let escaped = user.replace('=', "=3D").replace(',', "=2C");
            let expected = Ok((Some(user.clone()), token.clone()));
            for (mechanism, text) in [
                (Mechanism::Plain, format!("\0{user}\0{token}")),
                (Mechanism::Plain, format!("{user}\0{user}\0{token}")),
                (Mechanism::Xoauth2, format!("user={user}\x01auth=Bearer {token}\x01\x01")),
                (Mechanism::OauthBearer, format!("n,a={escaped},\x01host=h\x01port=993\x01auth=Bearer {token}\x01\x01")),
            ] {
                let line = base64(text.as_bytes());
                prop_assert_eq!(user_and_token(mechanism, &decode(line.as_bytes()).unwrap()), expected.clone());
            }
            prop_assert_eq!(login(user.as_bytes(), token.as_bytes()).unwrap().user, Some(user));
        }
    }
}
