//! The breaker's budget holds on two nodes, whatever overlaps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::domain::id::MailboxId;
use crate::domain::mailbox::Health;
use crate::registry::breaker::Gates;
use crate::registry::tests::House;
use crate::registry::{Knock, Registry, RegistryError, Verdict};

/// An upstream account: whether it takes our password now, and how often it was asked.
#[derive(Clone, Debug, Default)]
struct Account {
    is_right: Arc<AtomicBool>,
    wrong: Arc<AtomicUsize>,
    right: Arc<AtomicUsize>,
}

impl Account {
    /// A login that takes a while before and after the upstream looks at the password.
    async fn login(self, number: usize) -> ((), Verdict) {
        tokio::time::sleep(Duration::from_millis(1 + (number % 7) as u64)).await;
        if self.is_right.load(Ordering::SeqCst) {
            self.right.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(1 + (number % 11) as u64)).await;
            return ((), Verdict::Accepted);
        }
        self.wrong.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(1 + (number % 5) as u64)).await;
        ((), Verdict::Refused)
    }

    async fn crowd(&self, nodes: &[Registry], id: &MailboxId, many: usize) -> usize {
        let logins: Vec<_> = (0..many)
            .map(|number| {
                let node = nodes[number % nodes.len()].clone();
                let (id, account) = (id.clone(), self.clone());
                tokio::spawn(async move { node.guarded(&id, Knock::Politely, account.login(number)).await })
            })
            .collect();
        let mut tried = 0;
        for login in logins {
            match login.await.unwrap() {
                Ok(()) => tried += 1,
                Err(RegistryError::Conflict(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        tried
    }

    fn wrong(&self) -> usize {
        self.wrong.load(Ordering::SeqCst)
    }
}

fn two_nodes(house: &House) -> [Registry; 2] {
    let mut other = house.registry.clone();
    other.gates = Gates::default();
    [house.registry.clone(), other]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn up_08_three_wrong_logins_reach_the_upstream_whatever_overlaps_on_two_nodes() {
    let house = House::new().await;
    let (_, mailbox, _) = house.granted().await;
    let (nodes, account) = (two_nodes(&house), Account::default());
    account.crowd(&nodes, &mailbox.id, 100).await;
    assert_eq!(account.wrong(), 3);
    assert_eq!(house.registry.find_mailbox("a@example.com").await.unwrap().health, Health::Quarantined);
    for probes in 1..=2 {
        house.clock.advance(599_999);
        account.crowd(&nodes, &mailbox.id, 20).await;
        assert_eq!(account.wrong(), 2 + probes);
        house.clock.advance(1);
        account.crowd(&nodes, &mailbox.id, 20).await;
        assert_eq!(account.wrong(), 3 + probes);
    }
    account.is_right.store(true, Ordering::SeqCst);
    house.clock.advance(600_000);
    assert_eq!(account.crowd(&nodes, &mailbox.id, 1).await, 1);
    assert_eq!(account.crowd(&nodes, &mailbox.id, 40).await, 40);
    assert_eq!(house.registry.find_mailbox("a@example.com").await.unwrap().health, Health::Good);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn up_08_a_password_changed_in_the_middle_of_good_logins_is_shown_three_times() {
    for round in 0..5 {
        let house = House::new().await;
        let (_, mailbox, _) = house.granted().await;
        let (nodes, account) = (two_nodes(&house), Account::default());
        account.is_right.store(true, Ordering::SeqCst);
        let changed = account.clone();
        let change = tokio::spawn(async move {
            while changed.right.load(Ordering::SeqCst) < 10 + round * 3 {
                tokio::task::yield_now().await;
            }
            changed.is_right.store(false, Ordering::SeqCst);
        });
        account.crowd(&nodes, &mailbox.id, 120).await;
        change.await.unwrap();
        assert_eq!(account.wrong(), 3, "round {round}");
    }
}

#[tokio::test]
async fn up_08_a_login_lost_with_its_node_counts_until_one_succeeds() {
    let house = House::new().await;
    let (_, mailbox, _) = house.granted().await;
    let (nodes, account) = (two_nodes(&house), Account::default());
    for _ in 0..2 {
        let lost = nodes[0].guarded(&mailbox.id, Knock::Politely, async { panic!("the node dies") });
        assert!(matches!(lost.await, Err::<(), _>(RegistryError::Internal(_))));
    }
    account.crowd(&nodes[1..], &mailbox.id, 1).await;
    let now = house.clock.now();
    let fourth = nodes[1].reserve(&mailbox.id, Knock::Politely, now).await.unwrap();
    assert!(fourth.is_none(), "two are under way for all that anybody knows: {fourth:?}");
    house.clock.advance(120_000);
    account.crowd(&nodes[1..], &mailbox.id, 20).await;
    assert_eq!(account.wrong(), 1, "and have failed when they cannot be any more");
    assert_eq!(house.registry.find_mailbox("a@example.com").await.unwrap().health, Health::Quarantined);
    account.is_right.store(true, Ordering::SeqCst);
    house.clock.advance(600_000);
    account.crowd(&nodes[1..], &mailbox.id, 1).await;
    assert_eq!(account.crowd(&nodes[1..], &mailbox.id, 20).await, 20);
}

#[tokio::test]
async fn up_08_an_operator_may_always_try_and_what_the_upstream_says_counts() {
    let house = House::new().await;
    let (_, mailbox, _) = house.granted().await;
    let (nodes, account) = (two_nodes(&house), Account::default());
    for _ in 0..4 {
        nodes[0].guarded(&mailbox.id, Knock::Anyway, account.clone().login(0)).await.unwrap();
    }
    assert_eq!(account.wrong(), 4);
    assert_eq!(account.crowd(&nodes, &mailbox.id, 10).await, 0);
    account.is_right.store(true, Ordering::SeqCst);
    nodes[1].guarded(&mailbox.id, Knock::Anyway, account.clone().login(0)).await.unwrap();
    assert_eq!(account.crowd(&nodes[..1], &mailbox.id, 10).await, 10);
    // What the upstream says about an earlier credential does not count after a new one.
    let late = nodes[0].guarded(&mailbox.id, Knock::Politely, {
        let (node, id) = (nodes[0].clone(), mailbox.id.clone());
        async move { (node.reset_breaker(&id).await.unwrap(), Verdict::Refused) }
    });
    late.await.unwrap();
    account.is_right.store(false, Ordering::SeqCst);
    account.crowd(&nodes, &mailbox.id, 20).await;
    assert_eq!(account.wrong(), 7);
}

/// Three nodes that each log in well and die with the slot that they kept.
async fn die_after_good_logins(house: &House, id: &MailboxId, account: &Account) {
    account.is_right.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let mut node = house.registry.clone();
        node.gates = Gates::default();
        let slot = node.reserve(id, Knock::Politely, house.clock.now()).await.unwrap().unwrap();
        node.prove(&slot.id).await;
    }
    let fourth = house.registry.reserve(id, Knock::Politely, house.clock.now()).await.unwrap();
    assert!(fourth.is_none(), "all slots are out: {fourth:?}");
}

#[tokio::test]
async fn nodes_that_die_after_good_logins_leave_nothing_against_the_credential() {
    let house = House::new().await;
    let (_, mailbox, _) = house.granted().await;
    let account = Account::default();
    die_after_good_logins(&house, &mailbox.id, &account).await;
    house.clock.advance(50_000);
    assert_eq!(account.crowd(&two_nodes(&house), &mailbox.id, 20).await, 20);
    assert_eq!(house.registry.find_mailbox("a@example.com").await.unwrap().health, Health::Good);
    account.is_right.store(false, Ordering::SeqCst);
    account.crowd(&two_nodes(&house), &mailbox.id, 20).await;
    assert_eq!(account.wrong(), 3, "and nothing for it either");
}

#[tokio::test]
async fn a_process_that_is_alone_takes_over_from_the_dead_one_at_once() {
    let house = House::new().await;
    let (_, mailbox, _) = house.granted().await;
    let account = Account::default();
    die_after_good_logins(&house, &mailbox.id, &account).await;
    house.registry.clear_dead_slots().await.unwrap();
    assert_eq!(account.crowd(&two_nodes(&house), &mailbox.id, 20).await, 20);
    // A login that was under way may have been refused: it counts.
    house.clock.advance(60_000);
    let mut dead = house.registry.clone();
    dead.gates = Gates::default();
    dead.reserve(&mailbox.id, Knock::Politely, house.clock.now()).await.unwrap().unwrap();
    house.registry.clear_dead_slots().await.unwrap();
    account.is_right.store(false, Ordering::SeqCst);
    account.crowd(&two_nodes(&house), &mailbox.id, 20).await;
    assert_eq!(account.wrong(), 2);
}
