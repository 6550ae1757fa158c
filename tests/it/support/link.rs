//! A link between two ports of this machine that a test can cut and mend.

use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

/// A running link; it goes with this value.
pub(crate) struct Link {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    is_cut: bool,
    is_over: bool,
    /// Connections that were let through, ever.
    count: usize,
    /// Connections that were sent away, ever.
    turned_away: usize,
    open: Vec<TcpStream>,
}

impl Link {
    /// A link to `target`.
    pub(crate) fn to(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind any port");
        let port = listener.local_addr().expect("the bound address").port();
        let state = Arc::<Mutex<State>>::default();
        let own = Arc::clone(&state);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let Ok(near) = near else { continue };
                let mut state = lock(&own);
                if state.is_over {
                    return;
                }
                // While it is cut, whoever comes is sent away.
                let far = if state.is_cut { None } else { TcpStream::connect((Ipv4Addr::LOCALHOST, target)).ok() };
                let Some(far) = far else {
                    state.turned_away += 1;
                    continue;
                };
                state.count += 1;
                for stream in [&near, &far] {
                    stream.set_nodelay(true).expect("send at once");
                    state.open.push(stream.try_clone().expect("a second handle"));
                }
                pass(&near, &far);
                pass(&far, &near);
            }
        });
        Self { port, state }
    }

    /// Ends all connections and lets none through.
    pub(crate) fn cut(&self) {
        let mut state = lock(&self.state);
        state.is_cut = true;
        for stream in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Lets connections through again.
    pub(crate) fn mend(&self) {
        lock(&self.state).is_cut = false;
    }

    /// How many connections were let through so far.
    pub(crate) fn count(&self) -> usize {
        lock(&self.state).count
    }

    /// How many connections were sent away so far.
    pub(crate) fn turned_away(&self) -> usize {
        lock(&self.state).turned_away
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut();
        lock(&self.state).is_over = true;
        // Wakes the accept loop.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn pass(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().expect("a handle"), to.try_clone().expect("a handle"));
    std::thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no thread panicked")
}
