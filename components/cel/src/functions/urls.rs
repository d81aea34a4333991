//! URLs with a scheme, or absolute paths, as Go's `ParseRequestURI` reads them.
use super::{Overload, Sig, function, method, no_such_overload};
use crate::evaluate::{EvalError, Scratch};
use crate::value::{MapValue, Opaque, Value};
use Sig::{Bool, String};
use std::sync::Arc;
use url::Url;

const URL: Sig = Sig::Opaque("kubernetes.URL");
/// Stands before paths, which have no host.
const NOWHERE: &str = "hardway-path://-";

fn parse(text: &str) -> Option<Url> {
    if text.starts_with('/') {
        return Url::parse(&format!("{NOWHERE}{text}")).ok();
    }
    let url = Url::parse(text).ok()?;
    // Without an authority or an absolute path it is no request URI.
    (url.has_host() || text.contains(":/")).then_some(url)
}

fn url<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let text = args[0].as_str().ok_or_else(no_such_overload)?;
    let parsed = parse(text).ok_or_else(|| {
        EvalError::new(format!(
            "URL parse error during conversion from string: parse {}: invalid URI for request",
            apimachinery::field::quote(text)
        ))
    })?;
    Ok(Value::Opaque(Opaque::Url(Arc::new(parsed), text.into())))
}

fn get<'a>(args: &[Value<'a>], read: fn(&Url, &str) -> std::string::String) -> Result<Value<'a>, EvalError> {
    match &args[0] {
        Value::Opaque(Opaque::Url(url, text)) => Ok(Value::text(read(url, text))),
        _ => Err(no_such_overload()),
    }
}

fn is_path(url: &Url) -> bool {
    url.scheme() == "hardway-path"
}

/// The authority's host and port as written, since the parser drops ports that are the scheme's own.
fn authority(text: &str) -> &str {
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    let rest = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    rest.rsplit_once('@').map_or(rest, |(_, host)| host)
}

fn port(text: &str) -> &str {
    let host = authority(text);
    match (host.rfind(':'), host.rfind(']')) {
        (Some(colon), bracket) if bracket.is_none_or(|bracket| colon > bracket) => &host[colon + 1..],
        _ => "",
    }
}

fn hostname(text: &str) -> &str {
    let host = authority(text);
    let without_port = match port(text) {
        "" => host.strip_suffix(':').unwrap_or(host),
        port => &host[..host.len() - port.len() - 1],
    };
    without_port.trim_start_matches('[').trim_end_matches(']')
}

fn query<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let Value::Opaque(Opaque::Url(url, _)) = &args[0] else {
        return Err(no_such_overload());
    };
    let mut values: std::collections::BTreeMap<std::string::String, Vec<Value<'a>>> = Default::default();
    for (name, value) in url.query_pairs() {
        values
            .entry(name.into_owned())
            .or_default()
            .push(Value::text(&*value));
    }
    let entries = values
        .into_iter()
        .map(|(name, values)| (crate::value::Key::String(name), Value::list(values)));
    Ok(Value::Map(Arc::new(MapValue {
        entries: entries.collect(),
        type_name: None,
    })))
}

pub(super) static FUNCTIONS: &[(&str, Overload)] = &[
    ("url", function("", &[String], URL, url)),
    (
        "isURL",
        function("", &[String], Bool, |_, args| {
            Ok(Value::Bool(args[0].as_str().and_then(parse).is_some()))
        }),
    ),
    (
        "getScheme",
        method("", &[URL], String, |_, args| {
            get(args, |url, _| {
                if is_path(url) {
                    "".into()
                } else {
                    url.scheme().into()
                }
            })
        }),
    ),
    (
        "getHost",
        method("", &[URL], String, |_, args| {
            get(args, |url, text| {
                if is_path(url) {
                    "".into()
                } else {
                    authority(text).into()
                }
            })
        }),
    ),
    (
        "getHostname",
        method("", &[URL], String, |_, args| {
            get(args, |url, text| {
                if is_path(url) {
                    "".into()
                } else {
                    hostname(text).into()
                }
            })
        }),
    ),
    (
        "getPort",
        method("", &[URL], String, |_, args| {
            get(args, |url, text| {
                if is_path(url) {
                    "".into()
                } else {
                    port(text).into()
                }
            })
        }),
    ),
    (
        "getEscapedPath",
        method("", &[URL], String, |_, args| {
            get(args, |url, text| {
                // The parser adds a slash where there was no path.
                let bare = !is_path(url)
                    && text
                        .split_once("://")
                        .is_some_and(|(_, rest)| !rest.split(['?', '#']).next().unwrap_or("").contains('/'));
                if bare { "".into() } else { url.path().into() }
            })
        }),
    ),
    (
        "getQuery",
        method("", &[URL], Sig::Map(&String, &Sig::List(&String)), query),
    ),
];
