//! An HTTP client for the API that lets a test choose where it comes from and what it says.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use reqwest::header::HeaderMap;
use reqwest::{Client, Method};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::ca::Leaf;
use super::gateway::Gateway;

/// A client; one connection, used again.
pub(crate) struct Api {
    runtime: Runtime,
    client: Client,
    base: String,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    /// One header, empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// Checks that this is a problem document of the given kind, and gives its detail.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, word: &str) -> String {
        assert_eq!((self.status, self.header("content-type")), (status, "application/problem+json"), "{self:?}");
        let body = self.json();
        assert_eq!(body["type"], format!("urn:mailwarden:problem:{word}"), "{self:?}");
        assert_eq!(body["status"], status, "{self:?}");
        assert!(body["request_id"].as_str().is_some_and(|id| id.starts_with("req_")), "{self:?}");
        assert_eq!(self.header("cache-control"), "no-store", "{self:?}");
        body["detail"].as_str().expect("a detail").to_owned()
    }
}

impl Api {
    /// From the usual address.
    pub(crate) fn of(gateway: &Gateway) -> Self {
        Self::from(gateway, Ipv4Addr::LOCALHOST)
    }

    /// From another address of loopback, which the service takes for another host.
    pub(crate) fn from(gateway: &Gateway, source: Ipv4Addr) -> Self {
        Self::new(gateway, source, None)
    }

    /// With this certificate shown.
    pub(crate) fn showing(gateway: &Gateway, certificate: &Leaf) -> Self {
        Self::new(gateway, Ipv4Addr::LOCALHOST, Some(certificate))
    }

    fn new(gateway: &Gateway, source: Ipv4Addr, shown: Option<&Leaf>) -> Self {
        let mut roots = RootCertStore::empty();
        let pem = fs::read(gateway.ca_file()).expect("read the CA");
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate.expect("a PEM certificate")).expect("a CA certificate");
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider speaks TLS")
            .with_root_certificates(roots);
        let tls = match shown {
            None => tls.with_no_client_auth(),
            Some(leaf) => {
                let chain = CertificateDer::from_pem_file(&leaf.certificate).expect("a certificate");
                let key = PrivateKeyDer::from_pem_file(&leaf.key).expect("a key");
                tls.with_client_auth_cert(vec![chain], key).expect("a certificate and its key")
            }
        };
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .local_address(IpAddr::V4(source))
            // The service closes connections that idle; a request must not meet one that is being closed.
            .pool_max_idle_per_host(0)
            .build()
            .expect("a client");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { runtime, client, base: format!("https://localhost:{}", gateway.port("https")) }
    }

    /// Sends a request; a header may stand there several times.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<String>) -> Reply {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.client.request(method, format!("{}{path}", self.base)).body(body.into());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.runtime.block_on(async {
            let answer = request.send().await.expect("an answer");
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            Reply { status, headers, body: answer.text().await.expect("a body") }
        })
    }

    /// Reads with an operator token.
    pub(crate) fn get(&self, path: &str, token: &str) -> Reply {
        self.send("GET", path, &[("Authorization", &format!("Bearer {token}"))], "")
    }

    /// Sends JSON with an operator token.
    pub(crate) fn json(&self, method: &str, path: &str, token: &str, body: &Value) -> Reply {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", &*bearer), ("Content-Type", "application/json")];
        self.send(method, path, &headers, body.to_string())
    }

    /// The OpenAPI document.
    pub(crate) fn document(&self) -> Value {
        self.send("GET", "/openapi.json", &[], "").json()
    }
}

/// Each operation of a document: path, method in upper case, description.
pub(crate) fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            all.push((path.clone(), method.to_uppercase(), operation.clone()));
        }
    }
    assert!(all.len() > 30, "the document describes {} operations", all.len());
    all
}
