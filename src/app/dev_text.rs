//! What the demo prints: lines to paste, in the order in which one gets to know the product.
#![expect(clippy::print_stdout, reason = "this is the command's output")]

use std::path::Path;

use crate::app::dev_env::DevEnv;

/// The first words, before anything takes time.
pub(super) fn starting(data: &Path) {
    println!("Mailwarden demo: loopback only, state in {}", data.display());
}

/// All is up: what to try. The indented lines can be pasted as they stand, one after the other.
pub(super) fn ready(env: &DevEnv, data: &Path) {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
    let file = absolute(&data.join("dev.env"));
    let program = std::env::current_exe().map_or_else(|_| "mailwarden".to_owned(), |path| absolute(&path));
    let get = |key| env.get(key).unwrap_or_default();
    let (imaps, smtps, mailbox) = (get("MAILWARDEN_IMAPS"), get("MAILWARDEN_SMTPS"), get("DEMO_MAILBOX"));
    let token = |who: &str| {
        format!(
            "TOKEN=$(curl -s --cacert $MAILWARDEN_CA -u $DEMO_{who}_ID:$DEMO_{who}_SECRET \\\n          \
             -d grant_type=client_credentials -d resource=mailto:$DEMO_MAILBOX \\\n          \
             $MAILWARDEN_URL/oauth/token | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')"
        )
    };
    println!(
        "
ready: OAuth and API {url}, IMAPS {imaps}, SMTPS {smtps}, submission {submission}, POP3S {pop3s}

The mailbox is {mailbox}. Its password is known to nobody but the vault. Paste in another terminal:

  # 1. addresses, the demo's throw-away secrets, and this program by its name
  set -a; . '{file}'; set +a
  mailwarden() {{ '{program}' \"$@\"; }}

  # 2. a token for the reader (a `backup` grant: reads everything, changes nothing)
  {reader}

  # 3. list folders and read a message with it, by IMAP and by POP3
  curl -s --cacert $MAILWARDEN_CA --oauth2-bearer $TOKEN --user $DEMO_MAILBOX imaps://$MAILWARDEN_IMAPS/
  curl -s --cacert $MAILWARDEN_CA --oauth2-bearer $TOKEN --user $DEMO_MAILBOX \"imaps://$MAILWARDEN_IMAPS/INBOX;MAILINDEX=1\"
  curl -s --cacert $MAILWARDEN_CA --oauth2-bearer $TOKEN --user $DEMO_MAILBOX pop3s://$MAILWARDEN_POP3S/1

  # 4. try to delete it: refused with [NOPERM] and a verdict id; then ask why
  REFUSED=$(curl -v --cacert $MAILWARDEN_CA --oauth2-bearer $TOKEN --user $DEMO_MAILBOX imaps://$MAILWARDEN_IMAPS/INBOX \\
          -X 'STORE 1 +FLAGS (\\Deleted)' 2>&1 | grep NOPERM); echo \"$REFUSED\"
  mailwarden grant explain --verdict $(echo \"$REFUSED\" | grep -o 'vrd_[0-9a-z]*')

  # 5. the helpdesk tool sends a mail, and finds it in INBOX
  {helpdesk}
  printf 'From: <%s>\\r\\nTo: <%s>\\r\\nSubject: Hello\\r\\n\\r\\nSent without a password.\\r\\n' $DEMO_MAILBOX $DEMO_MAILBOX |
  curl -s --cacert $MAILWARDEN_CA --oauth2-bearer $TOKEN --user $DEMO_MAILBOX --url smtps://$MAILWARDEN_SMTPS \\
          --mail-from $DEMO_MAILBOX --mail-rcpt $DEMO_MAILBOX --upload-file -
  curl -s --cacert $MAILWARDEN_CA --oauth2-bearer $TOKEN --user $DEMO_MAILBOX \\
          imaps://$MAILWARDEN_IMAPS/INBOX -X 'SEARCH SUBJECT Hello'

  # 6. what was recorded, and whether the chain is whole
  mailwarden audit list
  mailwarden audit verify

Ctrl-C stops the demo; what is in {data} stays.",
        url = get("MAILWARDEN_URL"),
        submission = get("MAILWARDEN_SUBMISSION"),
        pop3s = get("MAILWARDEN_POP3S"),
        data = data.display(),
        reader = token("READER"),
        helpdesk = token("HELPDESK"),
    );
}
