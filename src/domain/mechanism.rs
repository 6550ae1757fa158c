//! SASL mechanisms: how a token may be presented at a mail door.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a token is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mechanism {
    /// RFC 4616; the token is the password.
    Plain,
    /// `AUTHENTICATE LOGIN`, and the LOGIN command; the token is the password.
    Login,
    /// Google's and Microsoft's.
    Xoauth2,
    /// RFC 7628.
    OauthBearer,
}

impl Mechanism {
    /// All mechanisms, in the order in which we offer them.
    pub const ALL: [Self; 4] = [Self::OauthBearer, Self::Xoauth2, Self::Plain, Self::Login];

    /// The registered name, which is also the word in JSON and audit events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::Xoauth2 => "XOAUTH2",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }

    /// Reads a name in any case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.as_str().eq_ignore_ascii_case(name))
    }

    /// Whether a failure is told by a JSON challenge, which the client answers before the final word.
    pub fn has_failure_challenge(self) -> bool {
        matches!(self, Self::Xoauth2 | Self::OauthBearer)
    }
}

#[cfg(test)]
mod tests {
    use super::Mechanism;

    #[test]
    fn the_word_in_json_is_the_registered_name() {
        for mechanism in Mechanism::ALL {
            assert_eq!(serde_json::to_value(mechanism).unwrap(), mechanism.as_str());
            assert_eq!(Mechanism::parse(&mechanism.as_str().to_lowercase()), Some(mechanism));
        }
        assert!(serde_json::from_str::<Mechanism>(r#""CRAM-MD5""#).is_err());
    }
}
