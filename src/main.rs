//! The `mailwarden` program: everything is in the library.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;
use zeroizing_alloc::ZeroAlloc;

/// Heap is wiped when it is given back, so that no copy of a secret outlives the buffer it passed through (VL-06).
#[global_allocator]
static HEAP: ZeroAlloc<Jemalloc> = ZeroAlloc(Jemalloc);

fn main() -> ExitCode {
    mailwarden::cli::run()
}
