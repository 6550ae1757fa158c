//! What we say we can do: our own list, never the upstream's (GW-12).

use crate::protocol::sasl::Mechanism;

/// Extensions that we let through when the upstream has them. COMPRESS, URLAUTH and the like are not among them.
const FROM_UPSTREAM: [&str; 6] = ["IDLE", "NAMESPACE", "UNSELECT", "UIDPLUS", "CHILDREN", "MOVE"];

/// Before login.
pub(super) fn before_login(is_encrypted: bool) -> String {
    if !is_encrypted {
        return "IMAP4rev1 LITERAL+ ID STARTTLS LOGINDISABLED".to_owned();
    }
    let mechanisms: Vec<String> =
        Mechanism::ALL.iter().map(|mechanism| format!("AUTH={}", mechanism.as_str())).collect();
    format!("IMAP4rev1 LITERAL+ ID SASL-IR {}", mechanisms.join(" "))
}

/// After login at an upstream with `capabilities`.
pub(super) fn after_login(capabilities: &[String]) -> String {
    let mut list = "IMAP4rev1 LITERAL+ ID ENABLE".to_owned();
    for name in FROM_UPSTREAM {
        if capabilities.iter().any(|known| known == name) {
            list.push(' ');
            list.push_str(name);
        }
    }
    list
}
