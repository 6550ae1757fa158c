//! Submission: who may send, from which addresses, to whom.

use crate::domain::address::MailAddress;
use crate::domain::scope::Scope;
use crate::policy::charge::Charge;
use crate::policy::{Denial, Permit, Rights};

/// Decides the envelope's sender. `None` is the null sender, which nobody may use.
pub fn sender(rights: &Rights, address: Option<MailAddress>) -> Result<Permit<MailAddress>, Denial> {
    let asked = "MAIL FROM";
    if !rights.scopes.allows(Scope::Send) {
        return Err(Denial::scope(asked, Scope::Send));
    }
    match address {
        Some(address) if rights.bounds.allow_sender(&address, &rights.mailbox) => Ok(Permit(address)),
        Some(address) => {
            Err(Denial::rule("sender", asked, "the sender lies outside the grant's bounds").about(address.to_string()))
        }
        None => Err(Denial::rule("null-sender", asked, "the null sender is not permitted")),
    }
}

/// Decides one recipient.
pub fn recipient(rights: &Rights, address: MailAddress) -> Result<Permit<MailAddress>, Denial> {
    let asked = "RCPT TO";
    if !rights.scopes.allows(Scope::Send) {
        return Err(Denial::scope(asked, Scope::Send));
    }
    if rights.bounds.allow_recipient(&address) {
        Ok(Permit(address))
    } else {
        let denial = Denial::rule("recipient", asked, "the recipient lies outside the grant's bounds");
        Err(denial.about(address.to_string()))
    }
}

/// Decides the addresses that a message's header names as its author or sender.
pub fn header(rights: &Rights, authors: &[MailAddress]) -> Result<(), Denial> {
    if !rights.scopes.allows(Scope::Send) {
        return Err(Denial::scope("DATA", Scope::Send));
    }
    match authors.iter().find(|address| !rights.bounds.allow_sender(address, &rights.mailbox)) {
        None => Ok(()),
        Some(address) => {
            let text = "From or Sender names an address outside the grant's bounds";
            Err(Denial::rule("header-sender", "DATA", text).about(address.to_string()))
        }
    }
}

/// Whether `command` is one of those that [`explain`] takes.
pub(super) fn is_command(command: &str) -> bool {
    is_data(command)
        || ["MAIL FROM:", "RCPT TO:"]
            .iter()
            .any(|word| command.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)))
}

fn is_data(command: &str) -> bool {
    command.eq_ignore_ascii_case("DATA")
}

/// What `MAIL FROM:<a>`, `RCPT TO:<a>` or `DATA` would get; `None` when `command` is none of them. What a message says is not known
/// here.
pub(super) fn explain(rights: &Rights, command: &str) -> Option<Result<Charge, Denial>> {
    let strip = |prefix: &str| {
        let head = command.get(..prefix.len())?;
        let rest = head.eq_ignore_ascii_case(prefix).then(|| command.get(prefix.len()..))??;
        rest.trim().strip_prefix('<')?.strip_suffix('>').map(str::to_owned)
    };
    if let Some(address) = strip("MAIL FROM:") {
        return Some(sender(rights, address.parse().ok()).map(|_| Charge::mail()));
    }
    if is_data(command) {
        return Some(header(rights, &[]).map(|()| Charge::data()));
    }
    let address = strip("RCPT TO:")?;
    Some(match address.parse() {
        Ok(address) => recipient(rights, address).map(|_| Charge::rcpt()),
        Err(_) => Err(Denial::rule("recipient", "RCPT TO", "the recipient is not an address that the gateway takes")),
    })
}

#[cfg(test)]
mod tests {
    use super::{explain, header};
    use crate::domain::bounds::Bounds;
    use crate::domain::scope::Preset;
    use crate::policy::Rights;

    #[test]
    fn senders_and_recipients_stay_within_the_bounds() {
        let bounds: Bounds = serde_json::from_str(r#"{"recipients":["@example.test"]}"#).unwrap();
        let rights =
            Rights { scopes: Preset::Marketing.scopes(), bounds, mailbox: "news@example.test".parse().unwrap() };
        let permitted = |command| explain(&rights, command).unwrap().is_ok();
        assert!(permitted("MAIL FROM:<News@example.test>") && permitted("rcpt to:<a@example.test>"));
        assert!(
            !permitted("MAIL FROM:<boss@example.test>")
                && !permitted("MAIL FROM:<>")
                && !permitted("RCPT TO:<a@else.test>")
        );
        assert!(header(&rights, &["boss@example.test".parse().unwrap()]).is_err());
        let reader = Rights { scopes: Preset::Backup.scopes(), ..rights };
        assert!(explain(&reader, "RCPT TO:<a@example.test>").unwrap().is_err());
    }
}
