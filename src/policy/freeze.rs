//! What a freeze to reading leaves of a session's rights. The rights are narrowed before the decision, so that every rule of every
//! protocol sees them so; what they then lack is refused in the freeze's name.

use crate::domain::id::FreezeId;
use crate::domain::scope::{Scope, ScopeSet};
use crate::policy::{Denial, Rights};

/// What `decide` says while `freeze` lets nothing be changed or sent.
pub fn while_frozen<T>(
    rights: &Rights,
    freeze: &FreezeId,
    decide: impl FnOnce(&Rights) -> Result<T, Denial>,
) -> Result<T, Denial> {
    let reading = ScopeSet::EMPTY.with(Scope::Metadata).with(Scope::Read);
    let narrowed = Rights { scopes: rights.scopes.intersect(reading), ..rights.clone() };
    decide(&narrowed).map_err(|denial| match denial.needs {
        Some(scope) if rights.scopes.allows(scope) => Denial::frozen(&denial.asked, freeze),
        _ => denial,
    })
}

/// The refusal of all that a client does, whatever it `asked`.
pub fn frozen_out(asked: &str, freeze: &FreezeId) -> Denial {
    Denial { text: format!("access is frozen for now (freeze {freeze})"), ..Denial::frozen(asked, freeze) }
}

impl Denial {
    fn frozen(asked: &str, freeze: &FreezeId) -> Self {
        Self::rule(Self::FROZEN, asked, &format!("{asked} is frozen for now (freeze {freeze})")).about(freeze.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::while_frozen;
    use crate::domain::scope::Preset;
    use crate::policy::{Rights, explain};

    #[test]
    fn a_freeze_to_reading_refuses_in_its_own_name_what_the_grant_gives() {
        let rights = |preset: Preset| Rights {
            scopes: preset.scopes(),
            bounds: crate::domain::bounds::Bounds::default(),
            mailbox: "a@example.test".parse().unwrap(),
        };
        let freeze = "frz_000000000001".parse().unwrap();
        let rule = |preset, command: &str| {
            let denied = while_frozen(&rights(preset), &freeze, |rights| explain(rights, false, command)).err();
            denied.map(|denial| (denial.rule, denial.text.contains("frz_000000000001")))
        };
        for command in [
            "STORE 1 +FLAGS (\\Seen)",
            "STORE 1 +FLAGS (\\Deleted)",
            "EXPUNGE",
            "COPY 1 INBOX",
            "MOVE 1 INBOX",
            "CREATE Archive",
            "DELETE Archive",
            "RENAME Archive Old",
            "SUBSCRIBE Archive",
            "MAIL FROM:<a@example.test>",
            "RCPT TO:<b@example.test>",
        ] {
            assert_eq!(rule(Preset::Full, command), Some(("freeze", true)), "{command}");
        }
        for command in ["SELECT INBOX", "FETCH 1 BODY[]", "SEARCH ALL", "NOOP", "IDLE", "LIST \"\" *"] {
            assert_eq!(rule(Preset::Full, command), None, "{command}");
        }
        // What the grant never gave, it still does not give.
        assert_eq!(rule(Preset::Backup, "EXPUNGE"), Some(("scope", false)));
        assert_eq!(rule(Preset::Marketing, "FETCH 1 BODY[]"), Some(("scope", false)));
    }
}
