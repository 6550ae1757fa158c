//! Tests of the finished program from outside, against real mail servers, databases and mail clients.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that finds no value has failed")]

mod admin_api;
mod agent;
mod apply;
mod architecture;
mod audit;
mod breaker;
mod budgets;
mod canary;
mod client_assertion;
mod client_authentication;
mod client_secrets;
mod crash;
mod database_lost;
mod day_of_idle;
mod dev_flow;
mod dpop;
mod dpop_proof;
mod explain;
mod explain_budgets;
mod fapi;
mod framing;
mod freeze;
mod freeze_sockets;
#[path = "../fuzz/targets/mod.rs"]
mod fuzz_targets;
mod handles;
mod hardening;
mod harness;
mod http2_abuse;
mod imap_bounds;
mod imap_extensions;
mod imap_transcripts;
mod imap_upstream;
mod kept_connections;
mod mail_doors;
mod mail_floods;
mod manual;
mod many_sessions;
mod mechanism_pin;
mod metadata;
mod mtls;
mod oauth2_crate;
mod oauth_clients;
mod oauth_flood;
mod openapi;
mod parsers;
mod pop3;
mod pop3_clients;
mod pop3_limits;
mod pop3_upstream;
mod pop3_virtual;
mod proxy_protocol;
mod read_only;
mod real_servers;
mod refused_tokens;
mod relogin;
mod requirements;
mod revoke;
mod sasl;
mod session_life;
mod signing_keys;
mod smtp_commands;
mod smtp_data;
mod smtp_groups;
mod smtp_upstream_faults;
mod statements;
#[expect(
    clippy::print_stderr,
    reason = "a harness offers more than each test takes, and shows what a failed program said"
)]
mod support;
mod token_answer;
mod token_details;
mod token_life;
mod token_request;
mod tool_commands;
mod two_nodes;
mod upstream_trust;
mod who_changed;
mod who_read;
mod wrong_input;
