//! ring alone, in a loop: how many signatures and verifications one CPU gives.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Context;
use mailwarden::crypto::sign::{Signer, generate, verify};

use crate::ALGS;
use crate::bare::Key;

/// About as long as what a token's signature covers.
const MESSAGE: [u8; 330] = [b'a'; 330];

pub(crate) fn run(millis: &str) -> anyhow::Result<()> {
    let time = Duration::from_millis(millis.parse()?) / 4;
    for alg in ALGS {
        let key = Key::new(alg)?;
        let rate = rate(time, || key.sign(black_box(&MESSAGE)).is_some());
        println!("sign {} {rate}", alg.as_str());
        let signer = Signer::from_pkcs8(alg, &generate(alg)?)?;
        let signature = signer.sign(&MESSAGE)?;
        let rate = self::rate(time, || verify(alg, signer.public_key(), black_box(&MESSAGE), &signature));
        println!("verify {} {rate}", alg.as_str());
    }
    Ok(())
}

fn rate(time: Duration, mut once: impl FnMut() -> bool) -> f64 {
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < time {
        count += u32::from(once());
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

/// A line of what [`run`] prints.
pub(crate) fn read(line: &str) -> anyhow::Result<(String, f64)> {
    let (name, rate) = line.rsplit_once(' ').context("no figure")?;
    Ok((name.to_owned(), rate.parse()?))
}
