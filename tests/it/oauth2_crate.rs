//! The Rust crate `oauth2`, unchanged, over our own HTTP client: a token by each method, its introspection and its end, and what the
//! crate makes of a refusal. What it has no words for (assertions, proofs of a key) it lets its user add.

use mailwarden::crypto::random;
use oauth2::basic::{
    BasicClient, BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse,
    BasicTokenIntrospectionResponse, BasicTokenResponse, BasicTokenType,
};
use oauth2::{
    AccessToken, AuthType, ClientId, ClientSecret, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse,
    IntrospectionUrl, RequestTokenError, RevocationErrorResponseType, RevocationUrl, Scope, StandardRevocableToken,
    TokenIntrospectionResponse, TokenResponse, TokenUrl,
};

use crate::support::api::Api;
use crate::support::ca::{Ca, Leaf};
use crate::support::dpop::{Key, base64url};
use crate::support::folder;
use crate::support::gateway::{Gateway, Tool};
use crate::support::signer::{Signer, add_client, issuer};
use crate::support::stage::{ADDRESS, ScriptedStage};

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

type Endpoints = BasicClient<EndpointNotSet, EndpointNotSet, EndpointSet, EndpointSet, EndpointSet>;
type Failed<E = BasicErrorResponse> = RequestTokenError<http::Error, E>;

/// A gateway that trusts an authority for clients, and the certificate that a tool has from it.
struct Scene {
    stage: ScriptedStage,
    leaf: Leaf,
    _dir: tempfile::TempDir,
}

impl Scene {
    fn set() -> Self {
        let mut stage = ScriptedStage::set();
        let dir = folder();
        let authority = Ca::create(dir.path());
        let leaf = authority.issue_for("tool", &["tool.example.test"]);
        let line = format!("client_ca = \"{}\"\n[database]", authority.file().display());
        stage.gateway.edit_config("[database]", &line);
        stage.gateway.stop();
        stage.gateway.serve();
        Self { stage, leaf, _dir: dir }
    }

    fn gateway(&self) -> &Gateway {
        &self.stage.gateway
    }

    /// Registers a client that shows its certificate; gives its id.
    fn showing(&self, name: &str, auth: &[&str]) -> String {
        let id = add_client(self.gateway(), &[&[name, "--auth"], auth].concat());
        let grant = ["grant", "add", "--client", &id, "--mailbox", ADDRESS, "--preset", "backup"];
        self.gateway().manage_ok(&grant, b"");
        id
    }
}

/// The crate, set up as one tool.
struct Library<'a> {
    endpoints: Endpoints,
    http: Api,
    /// Further parameters of each request, made anew for it.
    proof: Box<dyn Fn() -> Vec<(&'static str, String)> + 'a>,
    /// A further header.
    header: Option<(&'static str, String)>,
}

impl<'a> Library<'a> {
    /// By what the gateway says of itself; the crate finds no endpoints of its own.
    fn new(gateway: &Gateway, id: &str) -> Self {
        let http = Api::of(gateway);
        let metadata = http.send("GET", "/.well-known/oauth-authorization-server/oauth", &[], "").json();
        let url = |name: &str| metadata[name].as_str().unwrap_or_else(|| panic!("no {name}")).to_owned();
        let endpoints = BasicClient::new(ClientId::new(id.to_owned()))
            .set_token_uri(TokenUrl::new(url("token_endpoint")).expect("a URL"))
            .set_introspection_url(IntrospectionUrl::new(url("introspection_endpoint")).expect("a URL"))
            .set_revocation_url(RevocationUrl::new(url("revocation_endpoint")).expect("a URL"));
        Self { endpoints, http, proof: Box::new(Vec::new), header: None }
    }

    fn with_secret(gateway: &Gateway, tool: &Tool, kind: AuthType) -> Self {
        let mut library = Self::new(gateway, &tool.id);
        let secret = ClientSecret::new(tool.secret.clone());
        library.endpoints = library.endpoints.set_client_secret(secret).set_auth_type(kind);
        library
    }

    fn signing(gateway: &'a Gateway, tool: &'a Tool, signer: &'a Signer) -> Self {
        let proof = move || {
            let name = base64url(&random::system().bytes::<16>());
            let assertion = signer.assertion(gateway, tool, &name);
            vec![("client_assertion_type", ASSERTION.to_owned()), ("client_assertion", assertion)]
        };
        Self { proof: Box::new(proof), ..Self::new(gateway, &tool.id) }
    }

    fn showing(gateway: &Gateway, id: &str, certificate: &Leaf) -> Self {
        Self { http: Api::showing(gateway, certificate), ..Self::new(gateway, id) }
    }

    fn send(&self, request: HttpRequest) -> Result<HttpResponse, http::Error> {
        let (head, body) = request.into_parts();
        let named = head.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("text")));
        let further = self.header.iter().map(|(name, value)| (*name, value.as_str()));
        let headers: Vec<_> = named.chain(further).collect();
        let body = String::from_utf8(body).expect("a form");
        let reply = self.http.send(head.method.as_str(), head.uri.path(), &headers, body);
        let mut answer = http::Response::builder().status(reply.status);
        answer.headers_mut().expect("a good status").extend(reply.headers);
        answer.body(reply.body.into_bytes())
    }

    fn token(&self, scope: &str, resource: &str) -> Result<BasicTokenResponse, Failed> {
        let request = self.endpoints.exchange_client_credentials().add_scope(Scope::new(scope.to_owned()));
        let request = request.add_extra_param("resource", resource);
        let request =
            (self.proof)().into_iter().fold(request, |request, (name, value)| request.add_extra_param(name, value));
        request.request(&|request| self.send(request))
    }

    fn introspect(&self, token: &AccessToken) -> Result<BasicTokenIntrospectionResponse, Failed> {
        let request = self.endpoints.introspect(token).set_token_type_hint("access_token");
        let request =
            (self.proof)().into_iter().fold(request, |request, (name, value)| request.add_extra_param(name, value));
        request.request(&|request| self.send(request))
    }

    fn revoke(&self, token: &AccessToken) -> Result<(), Failed<BasicRevocationErrorResponse>> {
        let token = StandardRevocableToken::AccessToken(token.clone());
        let request = self.endpoints.revoke_token(token).expect("a URL with TLS");
        let request =
            (self.proof)().into_iter().fold(request, |request, (name, value)| request.add_extra_param(name, value));
        request.request(&|request| self.send(request))
    }
}

fn mailbox() -> String {
    format!("mailto:{ADDRESS}")
}

#[test]
fn each_method_gets_a_token_and_learns_of_it_and_ends_it() {
    let scene = Scene::set();
    let gateway = scene.gateway();
    let secretive = gateway.add_tool("secretive", ADDRESS, "archive");
    let signer = Signer::new();
    let signing = signer.register(gateway, "signing", ADDRESS);
    let vouched_for = scene.showing("vouched-for", &["tls_client_auth", "--tls-san-dns", "tool.example.test"]);
    let file = scene.leaf.certificate.display().to_string();
    let own = scene.showing("self-made", &["self_signed_tls_client_auth", "--certificate-file", &file]);
    for (method, id, library) in [
        ("client_secret_basic", &secretive.id, Library::with_secret(gateway, &secretive, AuthType::BasicAuth)),
        ("client_secret_post", &secretive.id, Library::with_secret(gateway, &secretive, AuthType::RequestBody)),
        ("private_key_jwt", &signing.id, Library::signing(gateway, &signing, &signer)),
        ("tls_client_auth", &vouched_for, Library::showing(gateway, &vouched_for, &scene.leaf)),
        ("self_signed_tls_client_auth", &own, Library::showing(gateway, &own, &scene.leaf)),
    ] {
        let given = library.token("mail.read", &mailbox()).unwrap_or_else(|error| panic!("{method}: {error:?}"));
        assert_eq!(given.token_type(), &BasicTokenType::Bearer, "{method}");
        assert_eq!(given.scopes(), Some(&vec![Scope::new("mail.read".to_owned())]), "{method}");
        assert_eq!((given.expires_in().map(|life| life.as_secs()), given.refresh_token().is_none()), (Some(300), true));
        let token = given.access_token();
        let told = library.introspect(token).unwrap_or_else(|error| panic!("{method}: {error:?}"));
        assert_eq!((told.active(), told.scopes()), (true, given.scopes()), "{method}: {told:?}");
        assert_eq!((told.client_id().map(|id| id.as_str()), told.sub()), (Some(&**id), Some(&**id)), "{method}");
        assert_eq!((told.iss(), told.aud()), (Some(&*issuer(gateway)), Some(&vec![mailbox()])), "{method}");
        let life = told.exp().zip(told.iat()).map(|(end, start)| (end - start).num_seconds());
        assert_eq!((life, told.jti().is_some_and(|id| !id.is_empty())), (Some(300), true), "{method}: {told:?}");
        for time in ["first", "again"] {
            library.revoke(token).unwrap_or_else(|error| panic!("{method}, {time}: {error:?}"));
            let told = library.introspect(token).unwrap_or_else(|error| panic!("{method}: {error:?}"));
            assert_eq!(
                (told.active(), told.client_id(), told.exp()),
                (false, None, None),
                "{method}, {time}: {told:?}"
            );
        }
    }
}

/// The refusal that the crate has read.
#[track_caller]
fn refusal<T: std::fmt::Debug>(outcome: Result<T, Failed>) -> BasicErrorResponseType {
    match outcome {
        Err(RequestTokenError::ServerResponse(refusal)) => {
            assert!(refusal.error_description().is_some_and(|text| !text.is_empty()), "{refusal:?}");
            refusal.error().clone()
        }
        other => panic!("no refusal: {other:?}"),
    }
}

#[test]
fn a_refusal_is_read_as_an_error_of_rfc_6749() {
    let scene = Scene::set();
    let gateway = scene.gateway();
    let tool = gateway.add_tool("tool", ADDRESS, "backup");
    let good = Library::with_secret(gateway, &tool, AuthType::BasicAuth);
    let token = good.token("mail.read", &mailbox()).expect("a token").access_token().clone();
    let wrong = Tool { secret: "mws_wrong".to_owned(), ..tool.clone() };
    let (signer, stranger) = (Signer::new(), Signer::new());
    let signing = signer.register(gateway, "signing", ADDRESS);
    let file = scene.leaf.certificate.display().to_string();
    let own = scene.showing("self-made", &["self_signed_tls_client_auth", "--certificate-file", &file]);
    for (name, library) in [
        ("a wrong secret in the header", Library::with_secret(gateway, &wrong, AuthType::BasicAuth)),
        ("a wrong secret in the body", Library::with_secret(gateway, &wrong, AuthType::RequestBody)),
        ("another's signature", Library::signing(gateway, &signing, &stranger)),
        ("no certificate", Library::new(gateway, &own)),
        ("nothing", Library::new(gateway, &tool.id)),
    ] {
        let outcome = library.token("mail.read", &mailbox());
        assert_eq!(refusal(outcome), BasicErrorResponseType::InvalidClient, "{name}");
        assert_eq!(refusal(library.introspect(&token)), BasicErrorResponseType::InvalidClient, "{name}");
        match library.revoke(&token) {
            Err(RequestTokenError::ServerResponse(refusal)) => assert_eq!(
                refusal.error(),
                &RevocationErrorResponseType::Basic(BasicErrorResponseType::InvalidClient),
                "{name}"
            ),
            other => panic!("no refusal: {other:?}"),
        }
    }
    assert!(good.introspect(&token).expect("an answer").active(), "nobody could end the token");
    for scope in ["mail.delete", "mail.root"] {
        assert_eq!(refusal(good.token(scope, &mailbox())), BasicErrorResponseType::InvalidScope, "{scope}");
    }
    let target = BasicErrorResponseType::Extension("invalid_target".to_owned());
    assert_eq!(refusal(good.token("mail.read", "mailto:nobody@example.test")), target);
}

#[test]
fn a_proof_in_its_header_binds_the_token() {
    let scene = Scene::set();
    let gateway = scene.gateway();
    let tool = gateway.add_tool("tool", ADDRESS, "backup");
    let key = Key::new("ES256");
    let proof = key.proof("ES256", "POST", &format!("{}/token", issuer(gateway)));
    let header = Some(("DPoP", proof.signed()));
    let library = Library { header, ..Library::with_secret(gateway, &tool, AuthType::BasicAuth) };
    let given = library.token("mail.read", &mailbox()).expect("a token");
    let bound = BasicTokenType::Extension("dpop".to_owned());
    assert_eq!(given.token_type(), &bound);
    assert_eq!(library.introspect(given.access_token()).expect("an answer").token_type(), Some(&bound));
    let token = given.access_token().secret();
    let proof = key.proof("ES256", "GET", &format!("{}/me", issuer(gateway))).token(token);
    for (scheme, status) in [("Bearer", 401), ("DPoP", 200)] {
        let authorization = format!("{scheme} {token}");
        let headers = [("Authorization", &*authorization), ("DPoP", &*proof.signed())];
        assert_eq!(library.http.send("GET", "/oauth/me", &headers, "").status, status, "{scheme}");
    }
}
