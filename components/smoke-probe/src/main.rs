//! What `hardway smoke` runs in pods: a web server, and a client that looks names up itself. Its image holds this
//! one static program and nothing else, so that a cluster can be tried without a registry.

mod dns;
mod http;

use std::process::ExitCode;

const USAGE: &str = "usage: smoke-probe serve PORT | say TEXT | resolve NAME | get URL...";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["serve", port] => http::serve(port),
        ["say", text] => {
            println!("{text}");
            Ok(())
        }
        ["resolve", name] => dns::resolve(name).map(|address| println!("{address}")),
        ["get", urls @ ..] if !urls.is_empty() => get(urls),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

/// Fetches every URL; fails with all that could not be fetched.
fn get(urls: &[&str]) -> Result<(), String> {
    let mut failed = Vec::new();
    for url in urls {
        match http::get(url) {
            Ok(body) => println!("{url} {}", body.trim()),
            Err(reason) => failed.push(format!("{url}: {reason}")),
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(failed.join("; "))
    }
}
