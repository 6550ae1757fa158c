//! Where the time goes: the steps of one token, each called by itself through what the library shows.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::future::join_all;
use mailwarden::crypto::encoding::base64url;
use mailwarden::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use mailwarden::domain::id::RequestId;
use mailwarden::oauth::Origin;
use mailwarden::oauth::request::{TokenQuery, TokenRequest};

use crate::ALGS;
use crate::gauge::Gauge;
use crate::house::{House, MAILBOX, basic, form};

const TIMES: u32 = 2000;
const TOGETHER: u32 = 64;

pub(crate) fn run(folder: &Path) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(steps(folder))
}

async fn steps(folder: &Path) -> anyhow::Result<()> {
    let house = House::build(folder, None).await?;
    let (state, registry) = (&house.state, &house.state.registry);
    let client = house.clients.first().context("no client")?;
    let (body, header, address) = (form(), basic(client), MAILBOX.parse()?);
    let source = std::net::IpAddr::from([127, 0, 0, 1]);
    let request_id = || RequestId::new(&state.clock, &state.entropy);
    let parse = || TokenRequest::parse(black_box(body.as_bytes()), Some(&header));

    each("parse the request", TIMES, async || drop(black_box(parse()))).await?;
    each("check the client's secret, seen before", TIMES, async || {
        drop(registry.check_client_secret(&client.0, &client.1, source).await)
    })
    .await?;
    each("find client, mailbox and grant", TIMES, async || drop(registry.grant_for(&client.0, &address).await)).await?;
    each("the same, seen before", TIMES, async || drop(registry.grant_seen(&client.0, &address).await)).await?;
    let event = || {
        AuditEvent::new(EventCode::TokenIssued, Actor::Client(client.0.clone()), Outcome::Success)
            .client(&client.0)
            .source(source)
            .request(&request_id())
            .detail("jti", base64url(&state.entropy.bytes::<16>()))
            .detail("scope", "mail.read")
    };
    each("record one event", TIMES / 4, async || drop(state.audit.record(event()).await)).await?;
    let many = async || drop(join_all((0..TOGETHER).map(|_| state.audit.record(event()))).await);
    each(&format!("record {TOGETHER} events at once"), TIMES / 8, many).await?;
    let claims =
        serde_json::json!({ "iss": "https://mail.example.com/oauth", "jti": "a".repeat(22), "aud": "a".repeat(120) })
            .to_string();
    for alg in ALGS {
        each(&format!("sign {}", alg.as_str()), TIMES, async || drop(house.keyset.sign(alg, &claims))).await?;
    }
    let origin = || Origin { source, request_id: request_id(), certificates: Vec::new() };
    let token = async || drop(state.tokens.token(parse(), &origin()).await);
    each("all of it, without HTTP", TIMES / 4, token).await?;
    let many = async || drop(join_all((0..TOGETHER).map(async |_| state.tokens.token(parse(), &origin()).await)).await);
    each(&format!("{TOGETHER} at once, without HTTP"), TIMES / 8, many).await?;
    let issued = state.tokens.token(parse(), &origin()).await?;
    let question = issued.token.expose_text(|text| format!("token={text}")).context("not text")?;
    let parse = || TokenQuery::parse(black_box(question.as_bytes()), Some(&header));
    each("parse an introspection", TIMES, async || drop(black_box(parse()))).await?;
    each("introspect, without HTTP", TIMES, async || drop(state.tokens.introspect(parse(), &origin()).await)).await
}

/// Runs a step over and over; prints how long it took and how much CPU it cost.
async fn each(name: &str, times: u32, step: impl AsyncFn()) -> anyhow::Result<()> {
    step().await;
    let cpu = Gauge::cpu(std::process::id())?;
    let start = Instant::now();
    for _ in 0..times {
        step().await;
    }
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(times);
    let (elapsed, cpu) = (micros(start.elapsed()), micros(Gauge::cpu(std::process::id())?.saturating_sub(cpu)));
    println!("| {name} | {elapsed:.1} | {cpu:.1} |");
    Ok(())
}
