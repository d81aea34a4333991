//! The connection to a key management service: gRPC over a Unix socket, on a thread of its own, because values are
//! encrypted and decrypted in code that can't wait.

use super::message::{
    DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, StatusRequest, StatusResponse,
};
use super::metrics;
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc as answers;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tonic::Code;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

/// What the service is asked.
pub enum Question {
    Status(answers::SyncSender<Result<StatusResponse, String>>),
    Encrypt(
        EncryptRequest,
        answers::SyncSender<Result<EncryptResponse, String>>,
    ),
    Decrypt(
        DecryptRequest,
        answers::SyncSender<Result<DecryptResponse, String>>,
    ),
}

/// Asks the service and waits for its answers. The thread ends with the client.
#[derive(Debug)]
pub struct Client {
    questions: mpsc::UnboundedSender<Question>,
    timeout: Duration,
}

impl Client {
    /// `socket` is the path of the service's socket; it is connected to when first needed.
    pub fn start(name: &str, socket: PathBuf, timeout: Duration) -> Result<Self, String> {
        // Bounded by the callers, each of which waits for its answer.
        let (questions, receiver) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        std::thread::Builder::new()
            .name(format!("kms-{name}"))
            .spawn({
                let name = name.to_owned();
                move || runtime.block_on(serve(name.into(), socket, receiver, timeout))
            })
            .map_err(|error| error.to_string())?;
        Ok(Self { questions, timeout })
    }

    fn ask<T>(
        &self,
        question: impl FnOnce(answers::SyncSender<Result<T, String>>) -> Question,
    ) -> Result<T, String> {
        let (sender, receiver) = answers::sync_channel(1);
        let gone = || "the connection to the key management service is gone".to_owned();
        self.questions.send(question(sender)).map_err(|_| gone())?;
        match receiver.recv_timeout(self.timeout + Duration::from_millis(100)) {
            Ok(answer) => answer,
            Err(answers::RecvTimeoutError::Timeout) => {
                Err(of_grpc(Code::DeadlineExceeded, "context deadline exceeded"))
            }
            Err(answers::RecvTimeoutError::Disconnected) => Err(gone()),
        }
    }

    pub fn status(&self) -> Result<StatusResponse, String> {
        self.ask(Question::Status)
    }

    pub fn encrypt(&self, request: EncryptRequest) -> Result<EncryptResponse, String> {
        self.ask(|answer| Question::Encrypt(request, answer))
    }

    pub fn decrypt(&self, request: DecryptRequest) -> Result<DecryptResponse, String> {
        self.ask(|answer| Question::Decrypt(request, answer))
    }
}

async fn serve(
    name: Arc<str>,
    socket: PathBuf,
    mut questions: mpsc::UnboundedReceiver<Question>,
    timeout: Duration,
) {
    let connector = tower::service_fn(move |_: http::Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    // The name is nobody's: the socket is.
    let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector);
    let mut running = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            question = questions.recv() => match question {
                Some(question) => {
                    let service = Service { name: Arc::clone(&name), channel: channel.clone(), timeout };
                    running.spawn(answer(service, question));
                }
                None => return,
            },
            Some(_) = running.join_next(), if !running.is_empty() => {}
        }
    }
}

/// A failure as Go's client of gRPC says it.
fn of_grpc(code: Code, message: &str) -> String {
    format!("rpc error: code = {code:?} desc = {message}")
}

/// The service, as one call needs it.
struct Service {
    name: Arc<str>,
    channel: Channel,
    timeout: Duration,
}

async fn answer(service: Service, question: Question) {
    // A caller that gave up is not told.
    match question {
        Question::Status(to) => drop(to.send(service.call("Status", StatusRequest {}).await)),
        Question::Encrypt(request, to) => drop(to.send(service.call("Encrypt", request).await)),
        Question::Decrypt(request, to) => drop(to.send(service.call("Decrypt", request).await)),
    }
}

impl Service {
    async fn call<Q, A>(self, method: &'static str, request: Q) -> Result<A, String>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let method = format!("/v2.KeyManagementService/{method}");
        let path = PathAndQuery::try_from(method.as_str()).map_err(|error| error.to_string())?;
        let begun = Instant::now();
        let exchange = async {
            let mut client = Grpc::new(self.channel);
            client
                .ready()
                .await
                .map_err(|error| (Code::Unavailable, of_grpc(Code::Unavailable, &error.to_string())))?;
            let codec = ProstCodec::<Q, A>::default();
            client
                .unary(tonic::Request::new(request), path, codec)
                .await
                .map(tonic::Response::into_inner)
                .map_err(|status| {
                    let text = of_grpc(status.code(), status.message());
                    (status.code(), text)
                })
        };
        let outcome = tokio::time::timeout(self.timeout, exchange)
            .await
            .unwrap_or_else(|_| {
                let code = Code::DeadlineExceeded;
                Err((code, of_grpc(code, "context deadline exceeded")))
            });
        let code = outcome.as_ref().map_or_else(|(code, _)| *code, |_| Code::Ok);
        metrics::operation(&self.name, &method, code, begun.elapsed());
        outcome.map_err(|(_, text)| text)
    }
}
