//! Tests of the finished program from outside, against real mail servers, databases and mail clients.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that finds no value has failed")]

mod architecture;
mod canary;
mod crash;
mod dev_flow;
mod framing;
mod harness;
mod read_only;
mod real_servers;
mod requirements;
mod revoke;
mod statements;
#[expect(
    clippy::print_stderr,
    reason = "a harness offers more than each test takes, and shows what a failed program said"
)]
mod support;
mod wrong_input;
