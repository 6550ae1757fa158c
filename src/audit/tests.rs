//! Whoever edits, deletes, reorders, cuts off or replaces records is noticed, here and on a machine without our keys.

use std::collections::BTreeMap;

use tempfile::TempDir;

use crate::audit::offline::{self, ExportError};
use crate::audit::{Audit, AuditError, Filter};
use crate::crypto::sign::{self, Signer};
use crate::domain::client::TokenAlg;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use crate::domain::fault::{Classify, Fault};
use crate::domain::secret::{MacKey, Secret};
use crate::store::{Store, sql};

struct Log {
    _folder: TempDir,
    audit: Audit,
    clock: Clock,
    raw: sqlx::SqlitePool,
}

impl Log {
    async fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("m.db").display());
        let store = Store::open(&url).await.unwrap();
        store.migrate().await.unwrap();
        let key = Secret::<MacKey>::from_bytes(vec![3; 32]);
        let mut tx = store.begin().await.unwrap();
        Audit::create_head(&mut tx, &key).await.unwrap();
        tx.commit().await.unwrap();
        let clock = Clock::manual(Timestamp(1_800_000_000_000));
        let audit = Audit::start(store, clock.clone(), &key).await.unwrap().with_signer(signer());
        let raw = sqlx::SqlitePool::connect(&url).await.unwrap();
        Self { _folder: folder, audit, clock, raw }
    }

    /// Five records, with checkpoints at the third and the fifth.
    async fn five() -> Self {
        let log = Self::empty().await;
        for seq in 1..=5 {
            let event = event().detail("name", "a\r\nb\u{1b}[31m\u{202e}c\u{2028}");
            assert_eq!(log.audit.record(event).await.unwrap(), seq);
            if seq == 3 {
                log.audit.checkpoint().await.unwrap();
            }
        }
        log.audit.checkpoint().await.unwrap();
        log
    }

    async fn sql(&self, text: &'static str) {
        sqlx::raw_sql(text).execute(&self.raw).await.unwrap();
    }

    async fn export(&self) -> String {
        let (mut text, mut after) = (String::new(), 0);
        while let Some(piece) = self.audit.export(after).await.unwrap() {
            text.push_str(&piece.lines);
            after = piece.last_seq;
        }
        text
    }

    fn key(&self) -> Vec<u8> {
        self.audit.public_key().unwrap().to_vec()
    }
}

fn signer() -> Signer {
    Signer::from_pkcs8(TokenAlg::EdDsa, &sign::generate(TokenAlg::EdDsa).unwrap()).unwrap()
}

fn event() -> AuditEvent {
    AuditEvent::new(EventCode::TokenIssued, Actor::System, Outcome::Success)
}

/// The head as it stood after the third record: what somebody may put back from a copy of the database.
const OLD_HEAD: &str = "CREATE TABLE kept AS SELECT * FROM audit_head";

#[tokio::test]
async fn au_02_every_kind_of_tampering_names_the_first_bad_record() {
    for (tampering, first_bad) in [
        ("UPDATE audit_events SET outcome = 'denied' WHERE seq = 3", 3),
        ("UPDATE audit_events SET source = '' WHERE seq = 4", 4),
        ("UPDATE audit_events SET at = at + 1 WHERE seq = 1", 1),
        ("UPDATE audit_events SET detail = '{}' WHERE seq = 2", 2),
        ("UPDATE audit_events SET detail = 'no JSON' WHERE seq = 2", 2),
        ("UPDATE audit_events SET hash = x'00' WHERE seq = 5", 5),
        ("DELETE FROM audit_events WHERE seq = 2", 2),
        ("DELETE FROM audit_events WHERE seq = 5", 5),
        ("DELETE FROM audit_events WHERE seq > 3", 4),
        ("DELETE FROM audit_events", 1),
        (
            "UPDATE audit_events SET seq = 99 WHERE seq = 3; UPDATE audit_events SET seq = 3 WHERE seq = 4; \
             UPDATE audit_events SET seq = 4 WHERE seq = 99",
            3,
        ),
        ("UPDATE audit_events SET seq = seq + 1 WHERE seq = 5", 5),
        // The head was changed with the tail: a checkpoint tells where it should be.
        ("DELETE FROM audit_events WHERE seq = 5; UPDATE audit_head SET seq = 4", 5),
        ("UPDATE audit_head SET mac = x'00'", 6),
        ("DELETE FROM audit_head", 6),
        ("UPDATE audit_checkpoints SET signature = x'00' WHERE seq = 3", 3),
        ("UPDATE audit_checkpoints SET seq = 4 WHERE seq = 3", 4),
        ("UPDATE audit_checkpoints SET hash = x'00' WHERE seq = 5", 5),
        ("UPDATE audit_checkpoints SET at = at + 1 WHERE seq = 5", 5),
    ] {
        let log = Log::five().await;
        let whole = log.audit.verify().await.unwrap();
        assert_eq!((whole.events, whole.checkpoints, whole.covered), (5, 2, 5));
        log.sql(tampering).await;
        let error = log.audit.verify().await.expect_err(tampering);
        assert_eq!(error.first_bad_seq(), Some(first_bad), "{tampering}: {error}");
        assert_eq!(error.fault(), Fault::Conflict, "{tampering}");
        assert!(error.public().contains(&format!("first bad record is {first_bad}")), "{tampering}: {error}");
    }
}

#[tokio::test]
async fn au_02_an_older_copy_of_the_whole_log_is_found_by_a_later_checkpoint() {
    let log = Log::empty().await;
    log.audit.record(event()).await.unwrap();
    log.sql(OLD_HEAD).await;
    log.audit.record(event()).await.unwrap();
    log.audit.checkpoint().await.unwrap();
    log.sql(
        "DELETE FROM audit_events WHERE seq > 1; DELETE FROM audit_head; INSERT INTO audit_head SELECT * FROM kept",
    )
    .await;
    assert!(matches!(log.audit.verify().await, Err(AuditError::Broken { first_bad_seq: 2 })));
}

#[tokio::test]
async fn au_02_a_changed_head_stops_all_recording() {
    let log = Log::five().await;
    log.sql("DELETE FROM audit_events WHERE seq = 5; UPDATE audit_head SET seq = 4").await;
    let refused = log.audit.record(event()).await.unwrap_err();
    assert!(matches!(refused, AuditError::BadHead));
    assert_eq!(refused.fault(), Fault::Unavailable);
}

#[tokio::test]
async fn two_writers_of_one_log_take_turns_in_batches_of_every_size() {
    let log = Log::empty().await;
    let key = Secret::<MacKey>::from_bytes(vec![3; 32]);
    let other = Audit::start(log.audit.store.clone(), log.clock.clone(), &key).await.unwrap();
    let mut last = 0;
    for size in (1..=20).chain([1, 1, 300]) {
        for audit in [&log.audit, &other, &other] {
            let together = (0..size).map(|_| audit.record(event()));
            let mut places = futures_util::future::try_join_all(together).await.unwrap();
            places.sort_unstable();
            assert_eq!(places, (last + 1..=last + size).collect::<Vec<_>>(), "{size} at once");
            last += size;
        }
    }
    assert_eq!(log.audit.verify().await.unwrap().events, last);
}

#[tokio::test]
async fn au_08_an_export_is_verified_with_the_public_key_alone() {
    let log = Log::five().await;
    let (export, key) = (log.export().await, log.key());
    // Nothing of the installation is left but these two.
    drop(log);
    let verified = offline::verify(export.as_bytes(), &key, Some(5)).unwrap();
    assert_eq!((verified.events, verified.checkpoints), (5, 2));
    assert_eq!(verified.signed_at, "2027-01-15T08:00:00.000Z");
    assert!(offline::verify(export.trim_end().as_bytes(), &key, None).is_ok(), "the last line end may be missing");
}

#[tokio::test]
async fn au_02_every_kind_of_tampering_with_an_export_names_the_first_bad_record() {
    let log = Log::five().await;
    let (export, key) = (log.export().await, log.key());
    let lines: Vec<&str> = export.lines().collect();
    assert_eq!(lines.len(), 7, "events 1 to 3, a checkpoint, events 4 and 5, a checkpoint");
    let without = |gone: &[usize]| {
        lines.iter().enumerate().filter(|(at, _)| !gone.contains(at)).map(|(_, line)| *line).collect::<Vec<_>>()
    };
    let swapped = |one: usize, other: usize| {
        let mut lines = lines.clone();
        lines.swap(one, other);
        lines
    };
    let edited = |at: usize, from: &str, to: &str| {
        assert!(lines[at].contains(from), "{from} in {}", lines[at]);
        export.replacen(lines[at], &lines[at].replacen(from, to, 1), 1)
    };
    let doubled: String = [&lines[..2], &lines[1..]].concat().join("\n");
    for (what, text, first_bad) in [
        ("an edit", edited(1, "success", "denied"), 2),
        ("an edited time", edited(4, "08:00:00.000Z", "08:00:00.001Z"), 4),
        ("another spelling of the time", edited(4, "08:00:00.000Z", "08:00:00.000+00:00"), 4),
        ("a further member", edited(2, "\"seq\"", "\"x\":1,\"seq\""), 3),
        ("a deleted record", without(&[1]).join("\n"), 2),
        ("a deleted first record", without(&[0]).join("\n"), 1),
        ("two records in the wrong order", swapped(0, 1).join("\n"), 1),
        ("a record twice", doubled, 3),
        ("no JSON", edited(5, "{", "["), 5),
        ("a cut-off end", without(&[6]).join("\n"), 4),
        ("an end cut off in the middle of a line", export[..export.len() - 20].to_owned(), 6),
        ("a missing record before a checkpoint", without(&[5]).join("\n"), 5),
        ("an edited checkpoint", edited(3, "08:00:00.000Z", "08:00:00.001Z"), 1),
        ("a moved checkpoint", swapped(2, 3).join("\n"), 3),
        ("nothing", String::new(), 1),
    ] {
        let error = offline::verify(text.as_bytes(), &key, None).expect_err(what);
        assert_eq!(error.first_bad_seq(), Some(first_bad), "{what}: {error}");
    }
    // Cut off right after a checkpoint it is whole in itself; who knows how far the log had come finds it.
    let older = lines[..4].join("\n");
    assert_eq!(offline::verify(older.as_bytes(), &key, None).unwrap().events, 3);
    let error = offline::verify(older.as_bytes(), &key, Some(5)).unwrap_err();
    assert_eq!(error.first_bad_seq(), Some(4), "{error}");
}

#[tokio::test]
async fn au_02_a_log_replaced_as_a_whole_or_rewritten_is_found() {
    let (log, other) = (Log::five().await, Log::five().await);
    let (export, key, foreign) = (log.export().await, log.key(), other.export().await);
    let error = offline::verify(foreign.as_bytes(), &key, None).unwrap_err();
    assert!(matches!(error, ExportError::WrongKey { seq: 3, first_bad_seq: 1 }), "{error}");
    // Somebody who can compute hashes changes a record and all hashes after it, and keeps the true checkpoints.
    let mut hash = vec![0; 32];
    let rewritten: String = export
        .lines()
        .map(|line| match serde_json::from_str(line).unwrap() {
            super::export::Line::Event(mut record) => {
                if record.seq == 4 {
                    record.actor = "nobody".to_owned();
                }
                hash = record.computed_hash(&hash).to_vec();
                record.hash = crate::crypto::encoding::hex(&hash);
                super::export::Line::Event(record).to_text()
            }
            checkpoint @ super::export::Line::Checkpoint(_) => checkpoint.to_text(),
        })
        .collect();
    let error = offline::verify(rewritten.as_bytes(), &key, None).unwrap_err();
    assert!(matches!(error, ExportError::Rewritten { seq: 5, first_bad_seq: 4 }), "{error}");
}

#[tokio::test]
async fn au_02_the_signed_text_is_the_one_that_is_described() {
    let log = Log::five().await;
    let export = log.export().await;
    let last: BTreeMap<String, serde_json::Value> = serde_json::from_str(export.lines().last().unwrap()).unwrap();
    let text = |name: &str| last[name].as_str().unwrap().to_owned();
    let signed = format!(
        "mailwarden audit checkpoint v1\nseq: {}\nhash: {}\nat: {}\nkid: {}\nend\n",
        last["seq"],
        text("hash"),
        text("at"),
        text("kid")
    );
    let signature = crate::crypto::encoding::from_base64url(&text("signature")).unwrap();
    assert!(sign::verify(TokenAlg::EdDsa, &log.key(), signed.as_bytes(), &signature));
    assert_eq!(text("kid"), sign::key_name(&log.key()));
}

#[tokio::test]
async fn au_04_one_event_is_one_line_whatever_is_in_it() {
    let log = Log::five().await;
    let one = log.audit.list(Filter { limit: 1, ..Filter::default() }).await.unwrap();
    assert_eq!(one[0].detail["name"], "a\\u{d}\\u{a}b\\u{1b}[31m\\u{202e}c\\u{2028}");
    // Somebody else put raw ones into the database: they come out escaped all the same.
    sqlx::query("UPDATE audit_events SET actor = $1, detail = $2 WHERE seq = 2")
        .bind("x\r\n\u{1b}[2J\u{202e}\u{2066}\u{85}\u{feff}")
        .bind("{\"n\":\"\u{2029}\u{200f}\"}")
        .execute(&log.raw)
        .await
        .unwrap();
    let export = log.export().await;
    assert_eq!(export.lines().count(), 7);
    let bad = export.chars().find(|c| *c != '\n' && super::record::is_unsafe(*c));
    assert_eq!(bad, None, "{export}");
    let second: serde_json::Value = serde_json::from_str(export.lines().nth(1).unwrap()).unwrap();
    assert_eq!(second["actor"], "x\r\n\u{1b}[2J\u{202e}\u{2066}\u{85}\u{feff}", "escaped, and not lost");
}

#[tokio::test]
async fn au_06_a_jumping_clock_leaves_the_sequence_without_a_gap() {
    let log = Log::empty().await;
    for jump in [0, 86_400_000, -172_800_000, 1, -1_900_000_000_000] {
        log.clock.advance(jump);
        log.audit.record(event()).await.unwrap();
    }
    let records = log.audit.list(Filter::default()).await.unwrap();
    assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(records.windows(2).any(|pair| pair[1].at < pair[0].at), "the clock did go back");
    assert_eq!(log.audit.verify().await.unwrap().events, 5);
    assert_eq!(offline::verify(log.export().await.as_bytes(), &log.key(), None).unwrap().events, 5);
}

#[tokio::test]
async fn waiting_events_are_grouped_and_each_learns_its_own_place() {
    let log = Log::five().await;
    let waiting: Vec<_> = (0..300)
        .map(|_| {
            let audit = log.audit.clone();
            tokio::spawn(async move {
                audit.record(AuditEvent::new(EventCode::CredentialUsed, Actor::System, Outcome::Success)).await.unwrap()
            })
        })
        .collect();
    let mut places = Vec::new();
    for task in waiting {
        places.push(task.await.unwrap());
    }
    places.sort_unstable();
    assert_eq!(places, (6..=305).collect::<Vec<_>>());
    assert_eq!(log.audit.verify().await.unwrap().events, 305);
}

#[tokio::test]
async fn enough_records_are_signed_without_waiting_for_the_minute() {
    let mut log = Log::empty().await;
    log.audit = log.audit.with_checkpoints(signer());
    for _ in 0..1100 {
        log.audit.record(event()).await.unwrap();
    }
    let mut covered = 0;
    while covered < 1000 {
        covered = log.audit.verify().await.unwrap().covered;
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn events_that_come_together_are_one_chain_and_each_sender_hears_its_own_place() {
    let log = Log::empty().await;
    let mut last = 0;
    for together in (1..=20).chain([255, 256, 257]) {
        let events = (0..together).map(|number| {
            let event = event().detail("number", format!("{number} of {together}"));
            async { (event.detail["number"].clone(), log.audit.record(event).await.unwrap()) }
        });
        let places: BTreeMap<String, i64> = futures_util::future::join_all(events).await.into_iter().collect();
        let listed = log.audit.list(Filter { after_seq: last, limit: 1000, ..Filter::default() }).await.unwrap();
        let found = listed.iter().map(|record| (record.detail["number"].clone(), record.seq)).collect();
        assert_eq!(places, found, "{together} at once");
        assert_eq!(listed.last().map(|record| record.seq), Some(last + together), "{together} at once");
        last += together;
        log.audit.checkpoint().await.unwrap();
    }
    assert!(log.audit.verify().await.is_ok());
}

#[tokio::test]
async fn records_of_one_client_mailbox_or_verdict_are_found_without_a_walk_through_the_log() {
    let log = Log::empty().await;
    for (statement, index) in [
        (sql::EVENT_LIST_OF_CLIENT, "audit_events_client (client_id=? AND seq>?)"),
        (sql::EVENT_LIST_OF_MAILBOX, "audit_events_mailbox (mailbox_id=? AND seq>?)"),
        (sql::EVENT_LIST_OF_VERDICT, "audit_events_verdict (verdict_id=?"),
    ] {
        let asked = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", statement.text()));
        let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(asked).fetch_all(&log.raw).await.unwrap();
        assert!(plan.iter().any(|(.., step)| step.contains(index)), "{plan:?}");
        assert!(plan.iter().all(|(.., step)| !step.contains("TEMP B-TREE")), "sorted anew: {plan:?}");
    }
}
