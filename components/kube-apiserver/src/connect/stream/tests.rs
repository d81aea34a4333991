use super::*;

#[test]
fn only_what_a_kubelet_may_not_take_is_ended_here() {
    use Treatment::{PassedOn, Translated, Tunnelled};
    const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
    for (subresource, upgrade, protocols, takes_websockets, off, expected) in [
        ("exec", "websocket", V5, false, "", Translated),
        (
            "attach",
            "WebSocket",
            "v4.channel.k8s.io, v5.channel.k8s.io",
            false,
            "",
            Translated,
        ),
        ("exec", "websocket", V5, true, "", PassedOn),
        ("exec", "websocket", V5, true, WEBSOCKETS, Translated),
        (
            "exec",
            "websocket",
            V5,
            false,
            "TranslateStreamCloseWebsocketRequests",
            PassedOn,
        ),
        (
            "exec",
            "websocket",
            V5,
            false,
            "PortForwardWebsockets",
            Translated,
        ),
        ("exec", "websocket", "v4.channel.k8s.io", false, "", PassedOn),
        ("exec", "websocket", "", false, "", PassedOn),
        ("exec", "websocket", TUNNEL, false, "", PassedOn),
        ("exec", "SPDY/3.1", V5, false, "", PassedOn),
        ("portforward", "websocket", TUNNEL, false, "", Tunnelled),
        ("portforward", "websocket", TUNNEL, true, "", PassedOn),
        ("portforward", "websocket", TUNNEL, true, WEBSOCKETS, Tunnelled),
        (
            "portforward",
            "websocket",
            TUNNEL,
            false,
            "PortForwardWebsockets",
            PassedOn,
        ),
        (
            "portforward",
            "websocket",
            "v4.channel.k8s.io",
            false,
            "",
            PassedOn,
        ),
        ("portforward", "websocket", V5, false, "", PassedOn),
        ("portforward", "SPDY/3.1", "", false, "", PassedOn),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert("connection", HeaderValue::from_static("Upgrade"));
        headers.insert("upgrade", HeaderValue::from_static(upgrade));
        headers.insert("sec-websocket-protocol", HeaderValue::from_static(protocols));
        let found = Treatment::of(subresource, &headers, takes_websockets, |name| name != off);
        assert_eq!(
            found, expected,
            "{subresource} {upgrade} {protocols} {takes_websockets} {off}"
        );
    }
}

#[test]
fn options_are_translated_for_the_kubelet() {
    for (query, uri, streams) in [
        (
            "stdin=true&stdout=true&tty=true&command=sh&command=-c",
            "?input=1&output=1&tty=1&command=sh&command=-c",
            (true, true, false, true),
        ),
        (
            "tty=true&stderr=true",
            "?error=1&tty=1",
            (false, false, false, true),
        ),
        (
            "command=ls&stdout=true",
            "?output=1&command=ls",
            (false, true, false, false),
        ),
        (
            "command=ls&stdout=false&stderr=1",
            "?error=1&command=ls",
            (false, false, true, false),
        ),
        ("command=ls", "?command=ls", (false, false, false, false)),
    ] {
        let found = stream_query(&Query::parse(Some(query)));
        let wanted = wanted(&found);
        assert_eq!(encode(&found), uri, "{query}");
        let found = (wanted.stdin, wanted.stdout, wanted.stderr, wanted.tty);
        assert_eq!(found, streams, "{query}");
    }
}

#[test]
fn a_request_for_spdy_says_nothing_of_websockets() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "k"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("sec-websocket-protocol", "SPDY/3.1+portforward.k8s.io"),
        ("x-stream-protocol-version", "other"),
        ("user-agent", "kubectl"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let asking = asking_for_spdy(headers, ["b", "a"].into_iter());
    let mut found: Vec<_> = asking
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            ("connection", "Upgrade"),
            ("upgrade", "SPDY/3.1"),
            ("user-agent", "kubectl"),
            ("x-stream-protocol-version", "a"),
            ("x-stream-protocol-version", "b"),
        ]
    );
}
