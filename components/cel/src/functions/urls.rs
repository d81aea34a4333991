//! URLs with a scheme, or absolute paths, as Go's `ParseRequestURI` takes them.
use super::{Overload, Sig, function, method, no_such_overload};
use crate::evaluate::{EvalError, Scratch};
use crate::value::{Key, MapValue, Opaque, Value};
use Sig::{Bool, String};
use apimachinery::go_url::Url;
use std::sync::Arc;

const URL: Sig = Sig::Opaque("kubernetes.URL");

fn url<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let text = args[0].as_str().ok_or_else(no_such_overload)?;
    let parsed = Url::parse_request(text)
        .map_err(|why| EvalError::new(format!("URL parse error during conversion from string: {why}")))?;
    Ok(Value::Opaque(Opaque::Url(Arc::new(parsed))))
}

fn read<'v>(args: &'v [Value<'_>]) -> Result<&'v Url, EvalError> {
    match &args[0] {
        Value::Opaque(Opaque::Url(url)) => Ok(url),
        _ => Err(no_such_overload()),
    }
}

fn query<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let entries = read(args)?.query().into_iter().map(|(name, values)| {
        let values = values.into_iter().map(Value::text).collect();
        (Key::String(name), Value::list(values))
    });
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
            let text = args[0].as_str();
            Ok(Value::Bool(
                text.is_some_and(|text| Url::check_request(text).is_ok()),
            ))
        }),
    ),
    (
        "getScheme",
        method("", &[URL], String, |_, args| {
            Ok(Value::text(read(args)?.scheme.as_str()))
        }),
    ),
    (
        "getHost",
        method("", &[URL], String, |_, args| {
            Ok(Value::text(read(args)?.host.as_str()))
        }),
    ),
    (
        "getHostname",
        method("", &[URL], String, |_, args| {
            Ok(Value::text(read(args)?.hostname()))
        }),
    ),
    (
        "getPort",
        method("", &[URL], String, |_, args| Ok(Value::text(read(args)?.port()))),
    ),
    (
        "getEscapedPath",
        method("", &[URL], String, |_, args| {
            Ok(Value::text(read(args)?.escaped_path()))
        }),
    ),
    (
        "getQuery",
        method("", &[URL], Sig::Map(&String, &Sig::List(&String)), query),
    ),
];
