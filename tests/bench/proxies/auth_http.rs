//! What nginx asks about a login: checks the token that came as the password, and says where to log in with which credential.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use mailwarden::domain::clock::Clock;

use crate::token;

/// Prints its port.
pub(crate) fn serve(folder: &Path, imap: &str, smtp: &str, user: &str, password: &str) -> anyhow::Result<()> {
    let point: Arc<Vec<u8>> = Arc::new(std::fs::read(folder.join("token.point"))?);
    let told = [imap, smtp, user, password].map(str::to_owned);
    let clock = Clock::system();
    let answer = async move |headers: HeaderMap| {
        let given = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let [imap, smtp, user, password] = told.clone();
        let port = if given("auth-protocol") == "smtp" { smtp } else { imap };
        if token::is_good(&given("auth-pass"), &point, clock.now().as_secs()) {
            let server = "127.0.0.1".to_owned();
            let status = "OK".to_owned();
            Ok([
                ("Auth-Status", status),
                ("Auth-Server", server),
                ("Auth-Port", port),
                ("Auth-User", user),
                ("Auth-Pass", password),
            ])
        } else {
            Err([("Auth-Status", "invalid token")])
        }
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        axum::serve(listener, Router::new().route("/", get(answer))).await?;
        Ok(())
    })
}
