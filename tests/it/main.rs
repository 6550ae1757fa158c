//! Tests of the finished program from outside, against real mail servers, databases and mail clients.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that finds no value has failed")]

mod architecture;
mod canary;
mod crash;
mod dev_flow;
mod framing;
mod harness;
mod imap_bounds;
mod imap_transcripts;
mod imap_upstream;
mod mail_doors;
mod read_only;
mod real_servers;
mod revoke;
mod statements;
#[expect(
    clippy::print_stderr,
    reason = "a harness offers more than each test takes, and shows what a failed program said"
)]
mod support;
mod wrong_input;
