//! What the demo prints: lines to paste, in the order in which one gets to know the product.
#![expect(clippy::print_stdout, reason = "this is the command's output")]

use std::path::Path;

use crate::app::dev_env::DevEnv;

/// The first words, before anything takes time.
pub(super) fn starting(data: &Path) {
    println!("Mailwarden demo: loopback only, state in {}", data.display());
}

/// All is up: what to try.
pub(super) fn ready(env: &DevEnv, data: &Path) {
    let file = data.join("dev.env");
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
ready: OAuth and API {url}, IMAPS {imaps}, SMTPS {smtps}, submission {submission}

The mailbox is {mailbox}. Its password is known to nobody but the vault. Paste in another terminal:

  # 1. addresses and the demo's throw-away secrets
  set -a; . {file}; set +a

  # 2. a token for the reader (a `backup` grant: reads everything, changes nothing)
  {reader}

  # 3. list folders and read a message with it
  curl -s --cacert $MAILWARDEN_CA --oauth2-bearer $TOKEN --user $DEMO_MAILBOX imaps://$MAILWARDEN_IMAPS/
  curl -s --cacert $MAILWARDEN_CA --oauth2-bearer $TOKEN --user $DEMO_MAILBOX 'imaps://'$MAILWARDEN_IMAPS'/INBOX;MAILINDEX=1'

  # 4. try to delete it: refused with [NOPERM] and a verdict id; then ask why
  curl -v --cacert $MAILWARDEN_CA --oauth2-bearer $TOKEN --user $DEMO_MAILBOX imaps://$MAILWARDEN_IMAPS/INBOX \\
          -X 'STORE 1 +FLAGS (\\Deleted)' 2>&1 | grep NOPERM
  mailwarden grant explain --verdict vrd_...

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

`mailwarden` is target/release/mailwarden here. Ctrl-C stops the demo.",
        url = get("MAILWARDEN_URL"),
        submission = get("MAILWARDEN_SUBMISSION"),
        file = file.display(),
        reader = token("READER"),
        helpdesk = token("HELPDESK"),
    );
}
