//! gRPC probes: grpc.health.v1.Health/Check.

use std::time::Duration;

use super::Outcome;

#[derive(Clone, PartialEq, prost::Message)]
struct Question {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    #[prost(int32, tag = "1")]
    status: i32,
}

const SERVING: i32 = 1;

pub(super) async fn check(ip: &str, port: i32, service: &str) -> Outcome {
    let host = if ip.contains(':') {
        format!("[{ip}]")
    } else {
        ip.to_owned()
    };
    let endpoint = match tonic::transport::Endpoint::from_shared(format!("http://{host}:{port}")) {
        Ok(endpoint) => endpoint.connect_timeout(Duration::from_secs(30)),
        Err(error) => return Outcome::Failure(error.to_string()),
    };
    let channel = match endpoint.connect().await {
        Ok(channel) => channel,
        Err(error) => {
            return Outcome::Failure(format!(
                "timeout: failed to connect service \"{host}:{port}\": {error}"
            ));
        }
    };
    let mut client = tonic::client::Grpc::new(channel);
    if let Err(error) = client.ready().await {
        return Outcome::Failure(error.to_string());
    }
    let path = http::uri::PathAndQuery::from_static("/grpc.health.v1.Health/Check");
    let request = tonic::Request::new(Question {
        service: service.to_owned(),
    });
    let codec = tonic_prost::ProstCodec::<Question, Answer>::default();
    match client.unary(request, path, codec).await {
        Ok(answer) if answer.get_ref().status == SERVING => Outcome::Success(String::new()),
        Ok(answer) => Outcome::Failure(format!(
            "service unhealthy (responded with status {})",
            answer.get_ref().status
        )),
        Err(status) => Outcome::Failure(format!(
            "rpc error: code = {:?} desc = {}",
            status.code(),
            status.message()
        )),
    }
}
