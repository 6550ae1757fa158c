//! Submission at the gateway.
