//! Certificates: which one proves which client, and what a token that is bound to one needs.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};

use crate::domain::bounds::Bounds;
use crate::domain::client::{Client, TokenAlg};
use crate::domain::client_auth::{CertificateSubject, ClientAuth, RequiredBinding};
use crate::domain::event::Actor;
use crate::domain::grant::Grant;
use crate::domain::id::MailboxId;
use crate::domain::token::Binding;
use crate::oauth::request::TokenRequest;
use crate::oauth::tests::service::House;
use crate::oauth::{ClientCa, IssuedToken, OauthError, Origin, TokenService, thumbprint};
use crate::registry::{GrantTerms, NewClient};

const HERE: &str = "192.0.2.1";
/// The clock of a [`House`].
const YEAR: i32 = 2027;

/// An authority that signs clients' certificates.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// Two of the same name have different keys all the same.
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "Tools");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A chain of one certificate, in DER.
    pub(super) fn sign(&self, change: impl FnOnce(&mut CertificateParams)) -> Vec<Vec<u8>> {
        let params = client_params(change);
        vec![params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap().der().to_vec()]
    }
}

fn client_params(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Acme");
    params.distinguished_name.push(DnType::CommonName, "tool");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = vec![
        dns("tool.example.com"),
        SanType::URI("spiffe://example.com/tool".try_into().unwrap()),
        SanType::IpAddress("192.0.2.7".parse().unwrap()),
        SanType::Rfc822Name("tool@example.com".try_into().unwrap()),
    ];
    change(&mut params);
    params
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

/// A certificate that vouches for itself.
pub(super) fn self_made(change: impl FnOnce(&mut CertificateParams)) -> Vec<Vec<u8>> {
    vec![client_params(change).self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()]
}

/// A house whose token service trusts an authority.
pub(super) struct Scene {
    pub(super) house: House,
    pub(super) authority: Authority,
    pub(super) tokens: TokenService,
}

impl Scene {
    pub(super) async fn new() -> Self {
        let (house, authority) = (House::new(TokenAlg::EdDsa).await, Authority::new());
        let parts = &house.node.tokens.0;
        let tokens = TokenService::new(
            parts.registry.clone(),
            parts.audit.clone(),
            parts.keyset.clone(),
            parts.issuer.clone(),
            parts.clock.clone(),
            parts.entropy.clone(),
        );
        let tokens = tokens.with_client_ca(ClientCa::from_pem(authority.pem.as_bytes()).unwrap());
        assert!(tokens.0.client_ca.is_some());
        Self { house, authority, tokens }
    }

    pub(super) async fn client(&self, name: &str, auth: ClientAuth, required_binding: RequiredBinding) -> Client {
        let new = NewClient {
            name: name.to_owned(),
            token_alg: TokenAlg::EdDsa,
            default_mailbox: Some(self.house.mailbox.clone()),
            auth,
            required_binding,
        };
        self.house.node.registry.register_client(&Actor::System, new).await.unwrap().0
    }

    pub(super) async fn grant(&self, client: &Client, mailbox: &MailboxId, bounds: Bounds) -> Grant {
        let terms = GrantTerms { bounds, ..GrantTerms::of("mail.read".parse().unwrap()) };
        self.house.node.registry.add_grant(&Actor::System, client.id.clone(), mailbox.clone(), terms).await.unwrap()
    }

    /// A client of a subject with a grant.
    pub(super) async fn named(&self, subject: CertificateSubject) -> Client {
        let name = format!("{subject:?}");
        let client = self.client(&name, ClientAuth::TlsClientAuth { subject }, RequiredBinding::None).await;
        self.grant(&client, &self.house.mailbox, Bounds::default()).await;
        client
    }

    pub(super) async fn ask(&self, body: &str, certificates: &[Vec<u8>]) -> Result<IssuedToken, OauthError> {
        self.ask_from(HERE, body, certificates).await
    }

    async fn ask_from(&self, source: &str, body: &str, certificates: &[Vec<u8>]) -> Result<IssuedToken, OauthError> {
        let request = TokenRequest::parse(body.as_bytes(), None);
        let origin = Origin {
            source: source.parse().unwrap(),
            request_id: "req_0123456789ab".parse().unwrap(),
            certificates: certificates.to_vec(),
        };
        self.tokens.token(request, &origin).await
    }

    /// The token of a client that shows `certificates`.
    pub(super) async fn token(&self, client: &Client, certificates: &[Vec<u8>]) -> String {
        text(&self.ask(&form(client), certificates).await.unwrap())
    }
}

pub(super) fn text(issued: &IssuedToken) -> String {
    issued.token.expose_text(str::to_owned).unwrap()
}

pub(super) fn form(client: &Client) -> String {
    format!("grant_type=client_credentials&client_id={}", client.id.as_str())
}

pub(super) fn dn(name: &str) -> CertificateSubject {
    CertificateSubject::TlsClientAuthSubjectDn(name.to_owned())
}

pub(super) fn san_dns(name: &str) -> CertificateSubject {
    CertificateSubject::TlsClientAuthSanDns(name.to_owned())
}

#[tokio::test]
async fn ca_15_a_certificate_proves_its_client_by_the_one_name_that_is_registered() {
    let scene = Scene::new().await;
    let good = scene.authority.sign(|_| ());
    for (subject, other) in [
        (dn("CN=tool,O=Acme"), dn("CN=tool,O=Acme Two")),
        (san_dns("TOOL.example.com"), san_dns("tool.example.co")),
        (
            CertificateSubject::TlsClientAuthSanUri("spiffe://example.com/tool".to_owned()),
            CertificateSubject::TlsClientAuthSanUri("spiffe://example.com/tool2".to_owned()),
        ),
        (
            CertificateSubject::TlsClientAuthSanIp("192.0.2.7".to_owned()),
            CertificateSubject::TlsClientAuthSanIp("::ffff:192.0.2.7".to_owned()),
        ),
        (
            CertificateSubject::TlsClientAuthSanEmail("tool@example.com".to_owned()),
            CertificateSubject::TlsClientAuthSanEmail("tool@example.com.org".to_owned()),
        ),
    ] {
        let (client, stranger) = (scene.named(subject.clone()).await, scene.named(other).await);
        let token = scene.token(&client, &good).await;
        let claims = scene.tokens.verify(&token).unwrap();
        assert_eq!(claims.binding, Some(Binding::Mtls(thumbprint(&good[0]))), "{subject:?}");
        assert_eq!(claims.client_id, client.id);
        assert_eq!(scene.ask(&form(&stranger), &good).await.unwrap_err(), OauthError::InvalidClient, "{subject:?}");
    }
}

#[tokio::test]
async fn ca_15_whatever_is_wrong_with_a_certificate_is_one_refusal() {
    let scene = Scene::new().await;
    let by_dns = scene.named(san_dns("tool.example.com")).await;
    let by_name = scene.named(dn("CN=tool,O=Acme")).await;
    let authority = &scene.authority;
    for (name, client, chain) in [
        ("none", &by_dns, Vec::new()),
        ("another authority of the same name", &by_dns, Authority::new().sign(|_| ())),
        ("the right subject, vouched for by itself", &by_name, self_made(|_| ())),
        ("the right name, vouched for by itself", &by_dns, self_made(|_| ())),
        (
            "expired",
            &by_dns,
            authority.sign(|params| {
                params.not_before = rcgen::date_time_ymd(YEAR - 2, 1, 1);
                params.not_after = rcgen::date_time_ymd(YEAR - 1, 12, 31);
            }),
        ),
        ("not begun", &by_dns, authority.sign(|params| params.not_before = rcgen::date_time_ymd(YEAR + 1, 1, 1))),
        (
            "of a server",
            &by_dns,
            authority.sign(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
        ),
        (
            "a name that begins with ours",
            &by_dns,
            authority.sign(|params| params.subject_alt_names = vec![dns("tool.example.com.evil.test")]),
        ),
        (
            "a name that ours ends with",
            &by_dns,
            authority.sign(|params| params.subject_alt_names = vec![dns("example.com"), dns("a.tool.example.com")]),
        ),
        ("a wildcard", &by_dns, authority.sign(|params| params.subject_alt_names = vec![dns("*.example.com")])),
        ("the name as a subject", &by_dns, {
            authority.sign(|params| {
                params.subject_alt_names = Vec::new();
                params.distinguished_name.push(DnType::CommonName, "tool.example.com");
            })
        }),
        ("a longer subject", &by_name, {
            authority.sign(|params| params.distinguished_name.push(DnType::OrganizationalUnitName, "x"))
        }),
        ("a subject that looks like ours", &by_name, {
            authority.sign(|params| {
                params.distinguished_name = rcgen::DistinguishedName::new();
                params.distinguished_name.push(DnType::CommonName, "tool,O=Acme");
            })
        }),
        ("no certificate at all", &by_dns, vec![b"nonsense".to_vec()]),
    ] {
        // From elsewhere each time, so that none is slowed down.
        let source = IpAddr::from([198, 51, 100, u8::try_from(name.len()).unwrap()]).to_string();
        let refused = scene.ask_from(&source, &form(client), &chain).await.unwrap_err();
        assert_eq!(refused, OauthError::InvalidClient, "{name}");
    }
    let good = authority.sign(|_| ());
    assert!(scene.ask(&form(&by_dns), &good).await.is_ok() && scene.ask(&form(&by_name), &good).await.is_ok());
    // Without an authority in the settings there is none that vouches.
    let origin = Origin {
        source: HERE.parse().unwrap(),
        request_id: "req_0123456789ab".parse().unwrap(),
        certificates: good.clone(),
    };
    let request = TokenRequest::parse(form(&by_dns).as_bytes(), None);
    let refused = scene.house.node.tokens.token(request, &origin).await.unwrap_err();
    assert_eq!(refused, OauthError::InvalidClient);
    // Another method's client, and nobody's id.
    let body = "grant_type=client_credentials&client_id=cli_00000000000a";
    assert_eq!(scene.ask(body, &good).await.unwrap_err(), OauthError::InvalidClient);
    let with_secret = scene.client("secret", ClientAuth::ClientSecret {}, RequiredBinding::None).await;
    assert_eq!(scene.ask(&form(&with_secret), &good).await.unwrap_err(), OauthError::InvalidClient);
}

#[tokio::test]
async fn ca_15_a_client_made_certificate_is_known_by_its_thumbprint_while_it_lasts() {
    let scene = Scene::new().await;
    let (good, next, other) = (self_made(|_| ()), self_made(|_| ()), self_made(|_| ()));
    let over = self_made(|params| params.not_after = rcgen::date_time_ymd(YEAR - 1, 12, 31));
    let thumbprints = [&good, &next, &over].map(|chain| thumbprint(&chain[0])).to_vec();
    let auth = ClientAuth::SelfSignedTlsClientAuth { thumbprints };
    let client = scene.client("held", auth, RequiredBinding::None).await;
    scene.grant(&client, &scene.house.mailbox, Bounds::default()).await;
    for chain in [&good, &next] {
        let token = scene.token(&client, chain).await;
        assert_eq!(scene.tokens.verify(&token).unwrap().binding, Some(Binding::Mtls(thumbprint(&chain[0]))));
    }
    // A trusted authority is no help, nor is the right certificate behind another one.
    let behind = vec![other[0].clone(), good[0].clone()];
    for wrong in [&other, &over, &behind, &scene.authority.sign(|_| ())] {
        assert_eq!(scene.ask(&form(&client), wrong).await.unwrap_err(), OauthError::InvalidClient);
    }
    scene.house.node.registry.remove_client(&Actor::System, &client.id).await.unwrap();
    assert_eq!(scene.ask(&form(&client), &good).await.unwrap_err(), OauthError::InvalidClient);
}

#[tokio::test]
async fn the_metadata_names_tls_client_auth_where_an_authority_is_trusted() {
    let scene = Scene::new().await;
    let names = |tokens: &TokenService| tokens.metadata()["token_endpoint_auth_methods_supported"].to_string();
    assert!(names(&scene.tokens).contains(r#""tls_client_auth""#));
    assert!(!names(&scene.house.node.tokens).contains(r#""tls_client_auth""#));
}
