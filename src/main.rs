//! The `mailwarden` program: everything is in the library.

use std::process::ExitCode;

/// Heap is wiped when it is given back, so that no copy of a secret outlives the buffer it passed through (VL-06).
#[global_allocator]
static HEAP: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    mailwarden::cli::run()
}
