//! What we say we can do: our own list, and nothing of who we are (GW-12, GW-13).

use crate::protocol::sasl::Mechanism;

/// Where a conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// In the clear: nobody may log in.
    Clear,
    /// Encrypted, before the login.
    Stranger,
    /// After the login.
    Inside,
}

/// The answer to CAPA (RFC 2449).
pub(super) fn capa(stage: Stage) -> String {
    let mut list = String::from("+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\n");
    match stage {
        Stage::Clear => list.push_str("STLS\r\n"),
        Stage::Stranger => list.push_str(&format!("USER\r\nSASL {}\r\n", names().join(" "))),
        Stage::Inside => (),
    }
    list + ".\r\n"
}

/// The answer to AUTH without a mechanism, which older programs ask for instead.
pub(super) fn mechanisms() -> String {
    format!("+OK\r\n{}\r\n.\r\n", names().join("\r\n"))
}

fn names() -> Vec<&'static str> {
    Mechanism::ALL.iter().map(|mechanism| mechanism.as_str()).collect()
}
