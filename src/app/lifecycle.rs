//! The end of a run: sessions say their last word, the stop is recorded, a second signal does not wait.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::app::edges::Running;
use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};

/// How long sessions get to finish what they are doing.
const GRACE: Duration = Duration::from_secs(25);

/// Waits for SIGINT or SIGTERM, then stops in order.
pub(super) async fn until_told_to_stop(running: Running) {
    told().await;
    tracing::info!("stopping; signal again to stop at once");
    running.shutdown.cancel();
    tokio::select! {
        () = running.tasks.wait() => (),
        () = tokio::time::sleep(GRACE) => tracing::warn!("some sessions did not end in time"),
        () = told() => tracing::warn!("stopping at once"),
    }
    running.services.registry.berths().leave().await;
    if let Err(error) = running.services.registry.leave_roster().await {
        tracing::warn!(%error, "this node's sessions could not be taken off the roster");
    }
    if let Err(error) = running.services.registry.leave_seats().await {
        tracing::warn!(%error, "the seats of this node's sessions could not be given back");
    }
    if let Err(error) = running.services.registry.write_secret_uses().await {
        tracing::warn!(%error, "the last uses of client secrets could not be written down");
    }
    let event = AuditEvent::new(EventCode::ServiceStopped, Actor::System, Outcome::Success);
    let audit = &running.services.audit;
    let stopped = async { audit.record(event).await.map(drop).and(audit.checkpoint().await) };
    if let Err(error) = stopped.await {
        tracing::error!(%error, "the stop could not be recorded");
    }
    // SQLite brings its log of changes into the database file now, so that a copy of that file is whole.
    running.services.store.close().await;
}

async fn told() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::error!("signals cannot be heard on this system; end the process by other means");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => (),
        _ = terminate.recv() => (),
    }
}
