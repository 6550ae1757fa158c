//! What the time of a refusal tells: nothing of the client, nothing of the secret.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::crypto::encoding::generate;
use crate::crypto::random;
use crate::domain::client::TokenAlg;
use crate::domain::event::Actor;
use crate::domain::id::ClientId;
use crate::domain::secret::{ClientSecret, Secret};
use crate::oauth::Origin;
use crate::oauth::request::ClientProof;
use crate::oauth::tests::service::{GOOD, House};
use crate::oauth::tests::signers::{self, Key, with};

/// Checks that the requests of two kinds take the same time, and gives it.
#[track_caller]
fn take_the_same_time(mut known: Vec<Duration>, mut unknown: Vec<Duration>, what: &str) -> (Duration, Duration) {
    // The lower tenth of interleaved samples: what the machine does besides lengthens the others.
    let quick = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 10]
    };
    let (known, unknown) = (quick(&mut known), quick(&mut unknown));
    assert!(known.abs_diff(unknown) < Duration::from_micros(200), "{what}: known {known:?}, unknown {unknown:?}");
    (known, unknown)
}

#[tokio::test]
async fn ca_06_an_unknown_id_takes_the_time_of_a_known_one() {
    let house = House::new(TokenAlg::EdDsa).await;
    let unknown = ClientId::new(&house.clock, &random::system());
    let secret: Secret<ClientSecret> = generate("mws_", &random::system());
    let secret = secret.expose_text(str::to_owned).unwrap();
    let (mut known_times, mut unknown_times) = (Vec::new(), Vec::new());
    for _ in 0..400 {
        for (id, times) in [(&house.client, &mut known_times), (&unknown, &mut unknown_times)] {
            let start = Instant::now();
            assert!(house.node.registry.check_client_secret(id, &secret, GOOD.parse().unwrap()).await.is_err());
            times.push(start.elapsed());
        }
    }
    take_the_same_time(known_times, unknown_times, "a wrong secret");
}

#[tokio::test]
async fn ca_06_an_assertion_of_an_unknown_client_takes_the_time_of_a_wrong_signature() {
    for alg in [TokenAlg::EdDsa, TokenAlg::Es256] {
        let house = signers::House::alone().await;
        let known = house.tool(&Key::new(alg, "one")).await;
        let unknown = ClientId::new(&house.clock, &random::system());
        let (secretive, _) = house.registry.add_client(&Actor::System, "secretive", alg, None).await.unwrap();
        let origin = Origin {
            source: GOOD.parse().unwrap(),
            request_id: "req_0123456789ab".parse().unwrap(),
            certificates: Vec::new(),
        };
        // Signed by somebody else.
        let (stranger, misnamed) = (Key::new(alg, "one"), Key::new(alg, "two"));
        let kinds = [
            ("unknown", &unknown, &stranger),
            ("by secret", &secretive.id, &stranger),
            ("no such key", &known, &misnamed),
        ];
        let mut times = vec![(Vec::new(), Vec::new()); kinds.len()];
        for number in 0..400 {
            for ((_, id, key), (known_times, other_times)) in kinds.iter().zip(&mut times) {
                for (id, key, times) in [(&known, &stranger, known_times), (*id, *key, other_times)] {
                    let claims = with(house.claims(id), "jti", Some(json!(format!("id-{number}"))));
                    let assertion = Secret::from_text(key.sign(&key.header(), &claims));
                    let proof = ClientProof::Assertion { client_id: None, assertion };
                    let start = Instant::now();
                    assert!(house.tokens.authenticate(&proof, &origin).await.is_err());
                    times.push(start.elapsed());
                }
            }
        }
        for ((name, ..), (known, other)) in kinds.iter().zip(times) {
            let (known, other) = take_the_same_time(known, other, &format!("{name}, {alg:?}"));
            // Most of the time goes into the signature, which is looked at in any case.
            assert!(other * 5 > known * 3, "{name}, {alg:?}: known {known:?}, other {other:?}");
        }
    }
}

/// What Welch's t-test says of the times of two kinds of text, without the slowest tenth of all.
fn welch_t(mut samples: Vec<(bool, f64)>) -> f64 {
    samples.sort_by(|a, b| a.1.total_cmp(&b.1));
    samples.truncate(samples.len() / 10 * 9);
    let of = |kind: bool| {
        let times: Vec<f64> = samples.iter().filter(|(other, _)| *other == kind).map(|(_, time)| *time).collect();
        let count = f64::from(u32::try_from(times.len()).unwrap());
        let mean = times.iter().sum::<f64>() / count;
        (mean, times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0) / count)
    };
    let ((mean, error), (other_mean, other_error)) = (of(false), of(true));
    (mean - other_mean) / (error + other_error).sqrt()
}

#[tokio::test]
async fn ca_05_the_time_of_a_comparison_tells_nothing_of_the_secret() {
    const BATCHES: usize = 5;
    const SAMPLES: usize = 20_000;
    let house = House::new(TokenAlg::EdDsa).await;
    let vault = house.node.registry.vault();
    let right = house.secret.clone();
    // What is compared has one length, whatever the secret's is.
    let stored = |secret: &str| -> [u8; 32] { vault.digest("client-secret", secret) };
    assert!(vault.digest_matches("client-secret", &right, &stored(&right)));
    // Whether it matched is in the answer anyway; the time shall not tell how nearly it did. The length of what is presented is
    // no secret to the one who presents it; that of the stored secret is.
    let wrong_first = format!("#{}", &right[1..]);
    let wrong_last = format!("{}#", &right[..right.len() - 1]);
    let digest = stored(&right);
    let shorter = stored(&wrong_first[..wrong_first.len() - 1]);
    for (name, one, other) in [
        ("first or last", (&wrong_first, digest), (&wrong_last, digest)),
        ("length", (&wrong_first, digest), (&wrong_first, shorter)),
    ] {
        for (text, stored) in [one, other] {
            assert!(!vault.digest_matches("client-secret", text, &stored));
        }
        let batches: Vec<f64> = (0..BATCHES)
            .map(|_| {
                // Made before any is timed, so that nothing but their content tells the two kinds apart.
                let order = random::system().bytes::<SAMPLES>();
                let prepared = order.iter().map(|byte| byte & 1 == 1).map(|kind| {
                    let (text, stored) = if kind { other } else { one };
                    (kind, text.clone(), stored)
                });
                let samples = prepared.collect::<Vec<_>>().into_iter().map(|(kind, text, stored)| {
                    let start = Instant::now();
                    black_box(vault.digest_matches("client-secret", black_box(&text), &stored));
                    (kind, start.elapsed().as_secs_f64())
                });
                welch_t(samples.collect()).abs()
            })
            .collect();
        // A leak shows in each batch (a comparison of the texts themselves gives thousands), a disturbed machine in some.
        assert!(batches.iter().any(|t| *t < 4.5), "{name}: {batches:?}");
    }
}
