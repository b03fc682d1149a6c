//! A stand-in for a push service on the loopback: TLS, HTTP/1.1 and HTTP/2, answers as it is told, keeps what it got.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use tokio_rustls::TlsAcceptor;

use crate::pki;

/// A request as it came.
pub(super) struct Got {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Got {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name}: {:?}", self.headers)).to_str().unwrap()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A status, headers and a body.
pub(super) type Answer = (u16, Vec<(&'static str, String)>, String);

#[derive(Default)]
struct State {
    got: Mutex<Vec<Got>>,
    came: tokio::sync::Notify,
    answers: Mutex<VecDeque<Answer>>,
}

/// The service. Without an answer of its own a request gets 201.
pub(super) struct Service {
    pub(super) url: String,
    pub(super) roots: PathBuf,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

impl Service {
    pub(super) async fn start(dir: &Path) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let roots = dir.join("service.pem");
        std::fs::write(&roots, certificate.pem()).unwrap();
        let mut tls = rustls::ServerConfig::builder_with_provider(pki::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap(),
            )
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let (state, acceptor) = (Arc::new(State::default()), TlsAcceptor::from(Arc::new(tls)));
        let task = tokio::spawn(accept(listener, acceptor, Arc::clone(&state)));
        Self { url, roots, state, task }
    }

    pub(super) fn answer(&self, status: u16, headers: &[(&'static str, &str)], body: &str) {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.state.answers.lock().unwrap().push_back((status, headers, body.to_owned()));
    }

    /// What came since the last call.
    pub(super) fn got(&self) -> Vec<Got> {
        std::mem::take(&mut *self.state.got.lock().unwrap())
    }
}

impl Service {
    /// Waits until something has come.
    pub(super) async fn came(&self) {
        let came = tokio::time::timeout(Duration::from_secs(30), self.state.came.notified());
        came.await.expect("nothing came within 30 s");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: tokio::net::TcpListener, acceptor: TlsAcceptor, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let service = service_fn(move |request: Request<Incoming>| {
                let state = Arc::clone(&state);
                async move { Ok::<_, Infallible>(handle(&state, request).await) }
            });
            let io = TokioIo::new(stream);
            let serving = async {
                if h2 {
                    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(io, service)
                        .await;
                } else {
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
                }
            };
            let _ = tokio::time::timeout(Duration::from_secs(60), serving).await;
        });
    }
}

async fn handle(state: &State, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(Body::new(body), 1 << 20).await.unwrap().to_vec();
    let (method, path) = (parts.method, parts.uri.path().to_owned());
    state.got.lock().unwrap().push(Got { method, path, version: parts.version, headers: parts.headers, body });
    state.came.notify_one();
    let (status, headers, body) = state.answers.lock().unwrap().pop_front().unwrap_or((201, Vec::new(), String::new()));
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from(body)).unwrap()
}
