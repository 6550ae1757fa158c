//! Tests of the finished program from outside, against real mail servers, databases and mail clients.

mod architecture;
mod harness;
mod support;
