//! The way to a collector: OTLP over gRPC.

use crate::connect::egress::{Stream, Way};
use component_config::kube_apiserver::collector::Place;
use http::Uri;
use hyper_util::rt::TokioIo;
use opentelemetry_otlp::{SpanExporter, WithTonicConfig};
use std::io;
use std::os::linux::net::SocketAddrExt;
use tokio::net::{TcpStream, UnixStream};
use tonic::transport::Endpoint;

/// Connects when there is something to send, and anew when the connection is gone.
pub fn exporter(place: &Place, way: &Way) -> anyhow::Result<SpanExporter> {
    let authority = match place {
        Place::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
        Place::Tcp { host, port } => format!("{host}:{port}"),
        Place::Unix(_) | Place::Abstract(_) => "localhost".to_owned(),
    };
    let (place, way) = (place.clone(), way.clone());
    let to = authority.clone();
    let connector = tower::service_fn(move |_: Uri| {
        let (place, way, to) = (place.clone(), way.clone(), to.clone());
        async move { dial(&place, &way, &to).await.map(TokioIo::new) }
    });
    let channel =
        Endpoint::from_shared(format!("http://{authority}"))?.connect_with_connector_lazy(connector);
    Ok(SpanExporter::builder()
        .with_tonic()
        .with_channel(channel)
        .build()?)
}

async fn dial(place: &Place, way: &Way, authority: &str) -> io::Result<Box<dyn Stream>> {
    Ok(match (place, way) {
        (Place::Unix(path), _) => Box::new(UnixStream::connect(path).await?),
        (Place::Abstract(name), _) => {
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            let stream = std::os::unix::net::UnixStream::connect_addr(&address)?;
            stream.set_nonblocking(true)?;
            Box::new(UnixStream::from_std(stream)?)
        }
        (Place::Tcp { .. }, Way::Proxy(proxy)) => proxy.dial(authority).await?,
        (Place::Tcp { host, port }, Way::Direct) => {
            Box::new(TcpStream::connect((host.as_str(), *port)).await?)
        }
    })
}
