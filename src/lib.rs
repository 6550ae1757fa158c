//! Mailwarden keeps the credentials of shared mailboxes and lets registered tools in without them.
//!
//! ```text
//! tool  ── POST /oauth/token ──▶ client authenticated ▶ grant found ▶ policy narrows ▶ token signed ▶ audit event durable ▶ token given out
//! tool  ── IMAPS/POP3S/SMTPS + token ──▶ token verified ▶ grant live? ▶ audit event durable ▶ credential leased ▶ upstream login
//!                                        ▶ every command: parse ▶ policy ▶ permit or denial ▶ relay ▶ counted, audited
//! admin ── /api/v1 · CLI ──▶ role checked ▶ registry ▶ login proven ▶ audit event durable ▶ credential sealed ▶ stored
//! ```
//!
//! The modules below stand in layers, lowest first; `tests/it/architecture.rs` keeps imports pointing downwards.

// The book: no code.
pub mod manual;

// Layer 0: pure. No I/O, no async.
pub mod crypto;
pub mod domain;
pub mod policy;
pub mod protocol;

// Layer 1: I/O.
pub mod config;
pub mod proxies;
pub mod store;
pub mod telemetry;
pub mod upstream;

// Layer 2: services.
pub mod audit;
pub mod oauth;
pub mod registry;
pub mod vault;

// Layer 3: edges. They never import each other.
pub mod agent;
pub mod gateway;
pub mod http;
pub mod sandbox;

// Top: puts it together, and the commands that start it.
pub mod app;
pub mod cli;
