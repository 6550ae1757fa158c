//! For tests: a host that publishes a key set, well or badly.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::upstream::{DialPolicy, Dialer};

/// What it answers.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    /// These octets, and closes.
    Octets(Vec<u8>),
    /// These octets, one each tenth of a second.
    Drips(Vec<u8>),
    /// Nothing, for ever.
    Nothing,
}

/// A running host. Its certificate is its own authority.
#[derive(Debug)]
pub(crate) struct KeyHost {
    port: u16,
    certificate: String,
    asked: Arc<AtomicUsize>,
    says: Arc<Mutex<Says>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for KeyHost {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl KeyHost {
    pub(crate) async fn start(says: Says) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, says) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(says)));
        let (counter, script) = (Arc::clone(&asked), Arc::clone(&says));
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let (acceptor, says) = (acceptor.clone(), script.lock().unwrap().clone());
                tokio::spawn(async move {
                    let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        let Ok(octet) = tls.read_u8().await else { return };
                        request.push(octet);
                    }
                    match says {
                        Says::Octets(octets) => {
                            let _ = tls.write_all(&octets).await;
                            let _ = tls.shutdown().await;
                        }
                        Says::Drips(octets) => {
                            for octet in octets {
                                if tls.write_u8(octet).await.is_err() || tls.flush().await.is_err() {
                                    return;
                                }
                                tokio::time::sleep(Duration::from_millis(100)).await;
                            }
                        }
                        Says::Nothing => std::future::pending().await,
                    }
                });
            }
        });
        Self { port, certificate: made.cert.pem(), asked, says, task }
    }

    /// Where it publishes.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}/keys?v=1", self.port)
    }

    /// How many connections it has seen.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Lets it answer otherwise from now on.
    pub(crate) fn says(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    /// A dialer that trusts it and may reach it.
    pub(crate) fn dialer(&self) -> Dialer {
        let policy = DialPolicy { allow_networks: vec!["127.0.0.0/8".parse().unwrap()] };
        Dialer::new(policy).trusting(&self.certificate).unwrap()
    }
}

/// An answer with these further header lines and this body.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Says {
    let length = body.len();
    Says::Octets(format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n{body}").into_bytes())
}
