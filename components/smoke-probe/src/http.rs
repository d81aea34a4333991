use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::dns;

const TIMEOUT: Duration = Duration::from_secs(5);
/// Nobody sends or needs more here.
const LARGEST: u64 = 64 * 1024;

/// Answers every request with the host's name, for ever; says so once it listens.
pub(crate) fn serve(port: &str) -> Result<(), String> {
    let port: u16 = port.parse().map_err(|_| format!("{port:?} is not a port"))?;
    let listener =
        TcpListener::bind(("0.0.0.0", port)).map_err(|error| format!("cannot listen on {port}: {error}"))?;
    println!("listening on {port}");
    for stream in listener.incoming() {
        // A client that goes away half way is its own business.
        let _ = stream.and_then(answer);
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut lines = BufReader::new((&stream).take(LARGEST)).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let body = format!("{}\n", name.trim());
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// The body behind `http://HOST[:PORT][/PATH]`.
pub(crate) fn get(url: &str) -> Result<String, String> {
    let rest = url.strip_prefix("http://").ok_or("only http:// is known")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
    let port: u16 = port.parse().map_err(|_| format!("{port:?} is not a port"))?;
    let address = SocketAddr::from((dns::resolve(host)?, port));
    let exchange = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        write!(
            stream,
            "GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"
        )?;
        let mut text = String::new();
        stream.take(LARGEST).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = exchange().map_err(|error| format!("{address}: {error}"))?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or("the answer is not HTTP")?;
    if head.split(' ').nth(1) != Some("200") {
        return Err(head.lines().next().unwrap_or_default().to_owned());
    }
    Ok(body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_can_be_fetched() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || answer(listener.accept().unwrap().0));
        get(&format!("http://{address}/x")).unwrap();
        server.join().unwrap().unwrap();
        assert!(get("https://127.0.0.1/").is_err());
        assert!(get("http://127.0.0.1:x/").is_err());
    }
}
