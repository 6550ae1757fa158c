//! Who has read a message, by records as the gateways write them.

use crate::audit::Audit;
use crate::crypto::encoding::hex;
use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use crate::domain::id::MailboxId;
use crate::domain::mailbox::Mailbox;
use crate::registry::tests::House;
use crate::registry::{MESSAGE_ID, Reading, Registry};

/// Records that messages of a folder were read: entries without their digests, and whether they tell the id that is asked for.
async fn read(house: &House, mailbox: &MailboxId, folder: &str, entries: &[(&str, bool)]) {
    let digest = hex(&house.registry.vault.digest(MESSAGE_ID, "1@x.test")[..16]);
    let entry = |(text, is_it): &(&str, bool)| format!("{text}/{}", if *is_it { digest.as_str() } else { "-" });
    let words: Vec<String> = entries.iter().map(entry).collect();
    let event = AuditEvent::new(EventCode::MessagesRead, Actor::System, Outcome::Success).mailbox(mailbox);
    let event = event.detail("folder", folder).detail("uidvalidity", "9").list("messages", &words);
    house.registry.audit.record(event).await.unwrap();
}

async fn page(registry: &Registry, after: i64, most: usize) -> Vec<Reading> {
    registry.who_read("<1@x.test>", None, after, most).await.unwrap()
}

async fn numbers(audit: &Audit, mailbox: &Mailbox, start: &str) -> usize {
    audit.mentioned(0, Some(mailbox.id.as_str()), start, 1000).await.unwrap().len()
}

#[tokio::test]
async fn pages_end_where_records_do_and_lose_nothing() {
    let house = House::new().await;
    let mailbox = house.registry.add_unproven_mailbox("a@example.com").await;
    for at in 0..30 {
        // By chunks, of which each is an entry; and between them what is nothing to the question.
        let chunks: Vec<String> = (0..=at % 5).map(|chunk| format!("2/body/{}", 100 * at + chunk)).collect();
        let mut entries: Vec<(&str, bool)> = chunks.iter().map(|chunk| (chunk.as_str(), at == 20)).collect();
        entries.push(("12/body/1", false));
        read(&house, &mailbox.id, "INBOX", &entries).await;
        read(&house, &mailbox.id, "INBOX", &[("12/body/1", false), ("22/body/1", false)]).await;
    }
    let all = page(&house.registry, 0, 1000).await;
    assert_eq!(all.len(), 6 * (1 + 2 + 3 + 4 + 5));
    for most in [1, 2, 4, 7, 50] {
        let (mut found, mut after) = (Vec::new(), 0);
        loop {
            let page = page(&house.registry, after, most).await;
            let Some(last) = page.last() else { break };
            let first = page.first().map(|one| one.seq);
            assert!(page.len() <= most || first == Some(last.seq), "{} on a page of {most}", page.len());
            after = last.seq;
            found.extend(page.iter().map(|one| (one.seq, one.bytes)));
        }
        let expected: Vec<_> = all.iter().map(|one| (one.seq, one.bytes)).collect();
        assert_eq!(found, expected, "pages of {most}");
    }
}

#[tokio::test]
async fn a_place_is_looked_up_in_its_own_mailbox_by_its_whole_uid() {
    let house = House::new().await;
    let registry = &house.registry;
    let [here, there] = ["a@example.com", "b@example.com"].map(|address| registry.add_unproven_mailbox(address));
    let (here, there) = (here.await, there.await);
    read(&house, &here.id, "INBOX", &[("7/header/9", true), ("2/header/9", true)]).await;
    read(&house, &here.id, "INBOX", &[("1/body/3", false), ("2/body/4", false)]).await;
    read(&house, &here.id, "INBOX", &[("12/body/5", false), ("27/body/6", false)]).await;
    read(&house, &here.id, "Other", &[("2/body/7", false)]).await;
    read(&house, &there.id, "INBOX", &[("2/body/8", false)]).await;
    let told: Vec<_> = page(registry, 0, 9).await.iter().map(|one| (one.uid, one.bytes)).collect();
    assert_eq!(told, [(Some(7), 9), (Some(2), 9), (Some(2), 4)]);
    // Of the log is read what may tell of it, and no more.
    assert_eq!(numbers(&registry.audit, &here, "2/").await, 3);
    assert_eq!(numbers(&registry.audit, &here, "7/").await, 1);
    assert_eq!(numbers(&registry.audit, &there, "2/").await, 1);
}

#[tokio::test]
async fn what_is_told_by_more_records_than_a_look_takes_is_told_in_order() {
    let house = House::new().await;
    let mailbox = house.registry.add_unproven_mailbox("a@example.com").await;
    read(&house, &mailbox.id, "INBOX", &[("3/header/1", true), ("2/header/1", true)]).await;
    for at in 0..1100 {
        let uid = if at < 1050 { "2" } else { "3" };
        read(&house, &mailbox.id, "INBOX", &[(&format!("{uid}/body/{at}"), false)]).await;
    }
    let found = page(&house.registry, 0, 2000).await;
    let octets: Vec<u64> = found.iter().skip(2).map(|one| one.bytes).collect();
    assert_eq!(octets, (0..1100).collect::<Vec<u64>>());
}
