//! Where a request of OAuth came from: the connection's address and certificate, and the request's id. No header is asked (CA-16).

use std::net::SocketAddr;

use axum::Extension;
use axum::extract::rejection::ExtensionRejection;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;

use crate::domain::id::RequestId;
use crate::http::server::PeerCertificates;
use crate::oauth::Origin;

impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = ExtensionRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ExtensionRejection> {
        let Extension(ConnectInfo(peer)) =
            Extension::<ConnectInfo<SocketAddr>>::from_request_parts(parts, state).await?;
        let Extension(request_id) = Extension::<RequestId>::from_request_parts(parts, state).await?;
        let Extension(PeerCertificates(shown)) =
            Extension::<PeerCertificates>::from_request_parts(parts, state).await?;
        Ok(Self { source: peer.ip().to_canonical(), request_id, certificates: shown.to_vec() })
    }
}
