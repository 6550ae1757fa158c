//! What we say we can do: our own list, never the upstream's (GW-12).

use crate::protocol::sasl::Mechanism;

/// Extensions that we let through when the upstream has them. Not among them, for example: COMPRESS and URLAUTH, which nobody could
/// inspect or hold to a grant; IMAP4rev2 and UTF8=ACCEPT, under which names and answers are spelled in ways that bounds do not read
/// yet; SEARCHRES, whose `$` hides from a record which messages a command is about.
const FROM_UPSTREAM: [&str; 16] = [
    "IDLE",
    "NAMESPACE",
    "UNSELECT",
    "UIDPLUS",
    "CHILDREN",
    "MOVE",
    "CONDSTORE",
    "QRESYNC",
    "ESEARCH",
    "WITHIN",
    "BINARY",
    "SPECIAL-USE",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "STATUS=SIZE",
    "QUOTA",
];

/// Those of them that cost the upstream much, by how they begin.
const COSTLY: [&str; 4] = ["SORT", "SORT=DISPLAY", "ESORT", "THREAD="];

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
pub(super) fn after_login(capabilities: &[String], costly_search: bool) -> String {
    let mut list = "IMAP4rev1 LITERAL+ ID ENABLE".to_owned();
    for name in FROM_UPSTREAM {
        if has(capabilities, name) {
            list.push(' ');
            list.push_str(name);
        }
    }
    let is_costly = |known: &&String| {
        COSTLY.iter().any(|costly| *known == costly || (costly.ends_with('=') && known.starts_with(costly)))
    };
    // The upstream's words, so they are checked: whatever else stands in them goes no further.
    let is_word = |known: &&String| known.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"=-".contains(&byte));
    for known in capabilities.iter().filter(|_| costly_search).filter(is_costly).filter(is_word) {
        list.push(' ');
        list.push_str(known);
    }
    list
}

/// Whether an upstream with `capabilities` has the extension `name`.
pub(super) fn has(capabilities: &[String], name: &str) -> bool {
    capabilities.iter().any(|known| known == name)
        // RFC 7162 section 3.2.3: who has QRESYNC has CONDSTORE.
        || (name == "CONDSTORE" && capabilities.iter().any(|known| known == "QRESYNC"))
}
