//! Datagrams: whatever is asked, the host's name is the answer.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::UdpSocket;

pub(crate) async fn serve(port: u16) -> anyhow::Result<()> {
    let socket = UdpSocket::bind(("0.0.0.0", port))
        .await
        .with_context(|| format!("cannot listen on UDP {port}"))?;
    println!("udp {port}");
    let name = crate::hostname();
    let mut buffer = [0; 1500];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        println!("udp {port} {}", String::from_utf8_lossy(&buffer[..length]));
        socket.send_to(format!("{name} {port}").as_bytes(), from).await?;
    }
}

pub(crate) async fn ask(address: SocketAddr) -> anyhow::Result<String> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).await?;
    socket.connect(address).await?;
    socket.send(b"hostname").await?;
    let mut buffer = [0; 1500];
    let length = tokio::time::timeout(Duration::from_secs(2), socket.recv(&mut buffer))
        .await
        .with_context(|| format!("{address} did not answer"))??;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}
