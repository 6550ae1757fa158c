//! Tests of the finished program from outside, against real mail servers, databases and mail clients.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that finds no value has failed")]

mod architecture;
mod dev_flow;
mod harness;
mod read_only;
mod real_servers;
mod support;
