//! SASL: what a tool says of itself.

use mailwarden::protocol::sasl::{self, Attempt, Mechanism, decode, login};

/// A response in base64, or decoded: the same message under every mechanism.
pub(super) fn response(data: &[u8]) {
    if let Some(name) = super::text(data) {
        assert!(Mechanism::parse(name).is_none_or(|mechanism| mechanism.as_str().eq_ignore_ascii_case(name)));
    }
    let decoded = decode(data).ok();
    for mechanism in Mechanism::ALL {
        for message in [Some(data), decoded.as_ref().map(|octets| octets.as_slice())].into_iter().flatten() {
            if let Ok(attempt) = sasl::parse(mechanism, message) {
                assert_eq!(attempt.mechanism, mechanism);
                must_be_clean(&attempt);
                must_be_in(&attempt, message);
            }
        }
    }
    let (user, password) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    if let Ok(attempt) = login(user, password.get(1..).unwrap_or_default()) {
        must_be_clean(&attempt);
    }
}

fn must_be_clean(attempt: &Attempt) {
    let is_clean = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
    assert!(attempt.user.as_deref().is_none_or(is_clean));
    assert_eq!(attempt.token.expose_text(is_clean), Some(true));
}

/// The token is a part of the message as it stands; so is the user, unless it was escaped.
fn must_be_in(attempt: &Attempt, message: &[u8]) {
    let holds = |part: &[u8]| message.windows(part.len()).any(|window| window == part);
    assert!(attempt.token.expose(holds));
    let user = attempt.user.as_deref().unwrap_or_default();
    assert!(user.is_empty() || user.contains([',', '=']) || holds(user.as_bytes()));
}
