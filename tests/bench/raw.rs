//! ring alone, in a loop: how many signatures and verifications one CPU gives.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::ALGS;
use crate::bare::Key;
use crate::gauge::Gauge;

/// About as long as what a token's signature covers.
const MESSAGE: [u8; 330] = [b'a'; 330];

pub(crate) fn run(millis: &str) -> anyhow::Result<()> {
    let time = Duration::from_millis(millis.parse()?) / 4;
    for alg in ALGS {
        let key = Key::new(alg)?;
        let (rate, cpu) = measured(time, || key.sign(black_box(&MESSAGE)).is_some())?;
        println!("sign {} {rate} {cpu}", alg.as_str());
        let signature = key.sign(&MESSAGE).context("no signature")?;
        let (rate, cpu) = measured(time, || key.verify(black_box(&MESSAGE), signature.as_ref()))?;
        println!("verify {} {rate} {cpu}", alg.as_str());
    }
    Ok(())
}

/// How often per second, and how many microseconds on the CPU each.
fn measured(time: Duration, mut once: impl FnMut() -> bool) -> anyhow::Result<(f64, f64)> {
    let before = Gauge::cpu(std::process::id())?;
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < time {
        count += u32::from(once());
    }
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    let spent = Gauge::cpu(std::process::id())?.saturating_sub(before);
    Ok((rate, spent.as_secs_f64() * 1e6 / f64::from(count)))
}

/// A line of what [`run`] prints: what, with which algorithm, rate and CPU.
pub(crate) fn read(line: &str) -> anyhow::Result<(String, f64, f64)> {
    let mut words = line.rsplitn(3, ' ');
    let mut word = || words.next().context("no figure");
    let (cpu, rate, name) = (word()?, word()?, word()?);
    Ok((name.to_owned(), rate.parse()?, cpu.parse()?))
}
