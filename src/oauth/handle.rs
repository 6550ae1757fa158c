//! Handles at the token endpoint and at the mail doors: asked for with the words of RFC 8693, opened by their digest.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::crypto::encoding::{HANDLE, generate_short};
use crate::domain::clock::Timestamp;
use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use crate::domain::fault::{Classify, Fault};
use crate::domain::grant::Grant;
use crate::domain::handle::Handle;
use crate::domain::id::ClientId;
use crate::domain::mailbox::Mailbox;
use crate::domain::scope::ScopeSet;
use crate::domain::secret::{AccessToken, Secret};
use crate::domain::session::Protocol;
use crate::domain::token::Claims;
use crate::oauth::{IssuedToken, OauthError, Origin, TokenRejected, TokenService};

/// What `requested_token_type` says for a handle.
pub const HANDLE_TYPE: &str = "urn:mailwarden:params:oauth:token-type:handle";
/// What it may say and mean nothing more than its absence (RFC 8693 section 3).
const TOKEN_TYPES: [&str; 2] =
    ["urn:ietf:params:oauth:token-type:access_token", "urn:ietf:params:oauth:token-type:jwt"];
/// Most networks that a request may narrow a handle to.
const MAX_NETWORKS: usize = 16;

/// The form of what was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A signed token (RFC 6750).
    Bearer,
    /// A password for one protocol of one mailbox.
    Handle,
}

impl TokenKind {
    /// What `token_type` says.
    pub fn token_type(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Handle => "handle",
        }
    }

    /// What `issued_token_type` says, where it is said.
    pub fn issued_token_type(self) -> Option<&'static str> {
        match self {
            Self::Bearer => None,
            Self::Handle => Some(HANDLE_TYPE),
        }
    }
}

/// A handle that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedHandle {
    /// For which protocol.
    pub protocol: Protocol,
    /// For these networks only, which must lie within the grant's.
    pub networks: Option<Vec<IpNet>>,
}

impl WantedHandle {
    /// Reads `requested_token_type`, `protocol` and `networks` (CIDR, separated by spaces) from a form; `None` when no handle is wanted.
    pub(in crate::oauth) fn parse(body: &[u8]) -> Result<Option<Self>, OauthError> {
        let (mut kind, mut protocol, mut networks) = (None, None, None);
        for (name, value) in form_urlencoded::parse(body) {
            let place = match name.as_ref() {
                "requested_token_type" => &mut kind,
                "protocol" => &mut protocol,
                "networks" => &mut networks,
                _ => continue,
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(OauthError::InvalidRequest("a parameter is repeated"));
            }
        }
        match kind.as_deref() {
            None | Some("") => return Ok(None),
            Some(kind) if TOKEN_TYPES.contains(&kind) => return Ok(None),
            Some(HANDLE_TYPE) => (),
            Some(_) => return Err(OauthError::InvalidRequest("requested_token_type is not served")),
        }
        let protocol = protocol.as_deref().and_then(Protocol::parse);
        let protocol = protocol.ok_or(OauthError::InvalidRequest("a handle needs protocol=imap, pop3 or smtp"))?;
        Ok(Some(Self { protocol, networks: networks.as_deref().map(read_networks).transpose()?.flatten() }))
    }
}

fn read_networks(text: &str) -> Result<Option<Vec<IpNet>>, OauthError> {
    let wrong = OauthError::InvalidRequest("networks are up to 16 of the form ADDRESS/LENGTH, separated by spaces");
    let list: Result<Vec<IpNet>, _> = text.split(' ').filter(|word| !word.is_empty()).map(str::parse).collect();
    match list {
        Ok(list) if list.len() <= MAX_NETWORKS => Ok(Some(list).filter(|list| !list.is_empty())),
        _ => Err(wrong),
    }
}

/// What a request was found to be entitled to.
pub(in crate::oauth) struct Claimed {
    pub(in crate::oauth) mailbox: Mailbox,
    pub(in crate::oauth) grant: Grant,
    pub(in crate::oauth) scopes: ScopeSet,
    pub(in crate::oauth) issued_at: i64,
    pub(in crate::oauth) expires_in: i64,
}

impl TokenService {
    /// Gives a handle out instead of a signed token.
    pub(in crate::oauth) async fn issue_handle(
        &self,
        wanted: &WantedHandle,
        claimed: Claimed,
        origin: &Origin,
    ) -> Result<IssuedToken, OauthError> {
        let parts = &*self.0;
        let Claimed { mailbox, grant, scopes, issued_at, expires_in } = claimed;
        if !grant.bounds.allow_protocol(wanted.protocol) {
            return Err(OauthError::InvalidTarget);
        }
        if !lie_within(wanted.networks.as_deref(), grant.bounds.networks.as_deref()) {
            return Err(OauthError::InvalidRequest("networks must lie within those of the grant"));
        }
        let token: Secret<AccessToken> = generate_short(HANDLE, &parts.entropy);
        let digest = token.expose_text(|text| parts.registry.handle_digest(text)).flatten();
        let digest = digest.ok_or(OauthError::ServerError)?;
        let event = AuditEvent::new(EventCode::TokenIssued, Actor::Client(grant.client_id.clone()), Outcome::Success)
            .client(&grant.client_id)
            .mailbox(&mailbox.id)
            .grant(&grant.id)
            .source(origin.source)
            .request(&origin.request_id)
            .detail("form", "handle")
            .detail("protocol", wanted.protocol.as_str())
            .detail("jti", digest.token_id())
            .detail("scope", scopes.to_string())
            .detail("expires_at", Timestamp::from_secs(issued_at + expires_in).to_rfc3339());
        parts.audit.record(event).await.map_err(|_| OauthError::TemporarilyUnavailable)?;
        let handle = Handle {
            digest: digest.as_bytes(),
            client_id: grant.client_id,
            mailbox_id: mailbox.id,
            grant_id: grant.id,
            protocol: wanted.protocol,
            scopes,
            networks: wanted.networks.clone(),
            issued_at: Timestamp::from_secs(issued_at),
            expires_at: Timestamp::from_secs(issued_at + expires_in),
        };
        let kept = parts.registry.add_handle(&handle).await;
        kept.map_err(|error| OauthError::of(&error, OauthError::ServerError))?;
        Ok(IssuedToken { token, expires_in, scopes, binding: None, details: None, kind: TokenKind::Handle })
    }

    /// What a tool shows at a mail door: a signed token, or a handle. Whether its grant still stands is the registry's to say.
    pub async fn presented(
        &self,
        shown: &Secret<AccessToken>,
        protocol: Protocol,
        source: IpAddr,
    ) -> Result<Claims, TokenRejected> {
        let registry = &self.0.registry;
        let digest = shown.expose_text(|text| registry.handle_digest(text)).ok_or(TokenRejected::Malformed)?;
        let Some(digest) = digest else {
            return shown.expose_text(|text| self.verify(text)).unwrap_or(Err(TokenRejected::Malformed));
        };
        registry.open_handle(&digest, protocol, source).await.map_err(|error| match error.fault() {
            Fault::Unavailable | Fault::Internal => TokenRejected::Unknowable,
            _ => TokenRejected::Handle,
        })
    }

    /// Whose token or handle it is, and its name in records: for one that others have seen.
    pub async fn owner(&self, shown: &Secret<AccessToken>) -> Option<(ClientId, String)> {
        let registry = &self.0.registry;
        let Some(digest) = shown.expose_text(|text| registry.handle_digest(text))? else {
            let claims = shown.expose_text(|text| self.verify(text))?.ok()?;
            return Some((claims.client_id, claims.token_id));
        };
        registry.handle_owner(&digest).await.ok().map(|client| (client, digest.token_id()))
    }
}

/// Whether each of the networks that are wanted lies in one that is granted.
fn lie_within(wanted: Option<&[IpNet]>, granted: Option<&[IpNet]>) -> bool {
    let (Some(wanted), Some(granted)) = (wanted, granted) else { return true };
    wanted.iter().all(|inner| granted.iter().any(|outer| outer.contains(inner)))
}

#[cfg(test)]
mod tests {
    use super::{HANDLE_TYPE, WantedHandle, lie_within};
    use crate::domain::session::Protocol;
    use crate::oauth::OauthError;

    fn parse(form: &str) -> Result<Option<WantedHandle>, OauthError> {
        WantedHandle::parse(form.as_bytes())
    }

    #[test]
    fn a_handle_is_asked_for_by_type_and_protocol() {
        let asked = format!("grant_type=client_credentials&requested_token_type={HANDLE_TYPE}");
        let imap = WantedHandle { protocol: Protocol::Imap, networks: None };
        assert_eq!(parse(&format!("{asked}&protocol=imap")), Ok(Some(imap.clone())));
        assert_eq!(parse(&format!("{asked}&protocol=imap&networks=")), Ok(Some(imap.clone())));
        let near = parse(&format!("{asked}&protocol=smtp&networks=192.0.2.0/24+2001:db8::/32")).unwrap().unwrap();
        assert_eq!((near.protocol, near.networks.unwrap().len()), (Protocol::Smtp, 2));
        for nothing in
            ["", "protocol=imap", "requested_token_type=", "requested_token_type=urn:ietf:params:oauth:token-type:jwt"]
        {
            assert_eq!(parse(nothing), Ok(None), "{nothing}");
        }
        for wrong in [
            "&protocol=IMAP".to_owned(),
            "&protocol=graph".to_owned(),
            "&protocol=".to_owned(),
            String::new(),
            "&protocol=imap&protocol=smtp".to_owned(),
            "&protocol=imap&networks=192.0.2.1".to_owned(),
            "&protocol=imap&networks=192.0.2.0/33".to_owned(),
            format!("&protocol=imap&networks={}", "192.0.2.0/24+".repeat(17)),
        ] {
            assert!(matches!(parse(&format!("{asked}{wrong}")), Err(OauthError::InvalidRequest(_))), "{wrong}");
        }
        assert!(matches!(parse("requested_token_type=urn:x"), Err(OauthError::InvalidRequest(_))));
    }

    #[test]
    fn networks_are_never_wider_than_the_grants() {
        let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        let (granted, inner) = (nets(&["192.0.2.0/24", "2001:db8::/32"]), nets(&["192.0.2.128/25", "2001:db8:1::/48"]));
        assert!(lie_within(Some(&inner), Some(&granted)));
        assert!(lie_within(Some(&inner), None) && lie_within(None, Some(&granted)) && lie_within(None, None));
        for outside in [&["0.0.0.0/0"][..], &["192.0.2.0/24", "198.51.100.0/24"], &["192.0.0.0/16"], &["::/0"]] {
            assert!(!lie_within(Some(&nets(outside)), Some(&granted)), "{outside:?}");
        }
        assert!(!lie_within(Some(&inner), Some(&[])), "a grant for no network is one for none");
    }
}
