//! The system's random generator.

use ring::rand::{SecureRandom, SystemRandom};

use crate::domain::entropy::Entropy;

/// The operating system's generator. A failing generator ends the process (VL-13).
pub fn system() -> Entropy {
    let source = SystemRandom::new();
    or_abort(move |buffer| source.fill(buffer))
}

fn or_abort<E>(fill: impl Fn(&mut [u8]) -> Result<(), E> + Send + Sync + 'static) -> Entropy {
    Entropy::new(move |buffer| {
        if fill(buffer).is_err() {
            std::process::abort();
        }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::or_abort;

    /// Run by the test below in a process of its own.
    #[test]
    #[ignore = "it ends the process"]
    fn with_a_failing_source() {
        let failing = or_abort(|buffer: &mut [u8]| {
            buffer.fill(0);
            Err(())
        });
        let predictable = failing.bytes::<32>();
        println!("went on with {predictable:?}");
    }

    #[test]
    fn vl_13_a_failing_generator_ends_the_process() {
        let tests = std::env::current_exe().unwrap();
        let mut child = std::process::Command::new(tests);
        child.args(["--exact", "--ignored", "--nocapture", "crypto::random::tests::with_a_failing_source"]);
        let output = child.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(printed.contains("running 1 test") && !printed.contains("went on"), "{printed}");
        assert_eq!(output.status.signal(), Some(6), "SIGABRT: {printed}");
    }
}
