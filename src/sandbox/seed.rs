//! Sample mail.

use crate::domain::address::MailAddress;

/// Folder and text (with LF line ends) of each sample message.
pub(super) fn messages(own: &MailAddress) -> Vec<(&'static str, String)> {
    let message = |folder, from: &str, to: &str, date: &str, subject: &str, body: &str| {
        let id = subject.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let text = format!(
            "Date: {date}\nFrom: {from}\nTo: {to}\nSubject: {subject}\nMessage-ID: <{id}@example.test>\n\
             MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n{body}\n"
        );
        (folder, text)
    };
    let own = own.as_str();
    vec![
        message(
            "INBOX",
            "Order desk <orders@example.com>",
            own,
            "Mon, 02 Nov 2026 09:12:00 +0000",
            "Order 1042 is late",
            "Hello,\nthe parts for order 1042 have not arrived yet. When can we expect them?",
        ),
        message(
            "INBOX",
            "Billing <billing@example.com>",
            own,
            "Tue, 03 Nov 2026 14:40:00 +0000",
            "Question about invoice 88",
            "Line 3 of invoice 88 seems to be counted twice. Could you check?",
        ),
        message(
            "INBOX",
            "Monitoring <noreply@example.test>",
            own,
            "Wed, 04 Nov 2026 06:00:00 +0000",
            "Nightly report",
            "All jobs finished. 0 failures.",
        ),
        message(
            "INBOX",
            "A customer <customer@example.com>",
            own,
            "Thu, 05 Nov 2026 17:25:00 +0000",
            "Thank you",
            "It works again. Thank you for the quick help!",
        ),
        message(
            "Sent",
            own,
            "customer@example.com",
            "Thu, 05 Nov 2026 11:03:00 +0000",
            "Re: It does not start",
            "Please hold the button for five seconds. Does the light turn green?",
        ),
        message(
            "Archive",
            "Order desk <orders@example.com>",
            own,
            "Mon, 05 Oct 2026 08:00:00 +0000",
            "Order 981 delivered",
            "Order 981 was delivered today.",
        ),
        message(
            "Archive/2025",
            "Order desk <orders@example.com>",
            own,
            "Fri, 12 Dec 2025 10:30:00 +0000",
            "Year-end stock list",
            "Please find the stock list in the portal.",
        ),
        (
            "INBOX",
            format!(
                "Date: Fri, 06 Nov 2026 08:15:00 +0000\nFrom: Billing <billing@example.com>\nTo: {own}\n\
                 Subject: Figures for October\nMessage-ID: <figures-for-october@example.test>\nMIME-Version: 1.0\n\
                 Content-Type: multipart/mixed; boundary=part\n\n\
                 --part\nContent-Type: text/plain; charset=utf-8\n\nThe figures for October are attached.\n\
                 --part\nContent-Type: text/csv; name=october.csv\n\
                 Content-Disposition: attachment; filename=october.csv\n\nmonth,orders\n2026-10,118\n--part--\n"
            ),
        ),
    ]
}
