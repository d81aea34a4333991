//! Which lines are written: klog's numbers, for the program and for single source files, changed while it runs.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

/// The program's; one log has one verbosity.
static VERBOSITY: AtomicU32 = AtomicU32::new(0);

/// Libraries that log each connection at info.
const LIBRARIES: [&str; 9] = [
    "hickory_server",
    "hyper",
    "h2",
    "rustls",
    "tower",
    "kube_client",
    "kube_runtime",
    "tonic",
    "hyper_util",
];

/// `--vmodule`'s `pattern=N`: the verbosity of source files whose names, without `.rs`, match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    pattern: String,
    verbosity: u32,
}

impl Module {
    /// # Errors
    ///
    /// It is not a pattern and a number.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (pattern, number) = text
            .split_once('=')
            .filter(|(pattern, _)| !pattern.is_empty())
            .ok_or_else(|| format!("{text:?} is not a comma-separated list of pattern=N"))?;
        let verbosity = number
            .parse()
            .map_err(|_| format!("{number:?} in {text:?} is not a verbosity"))?;
        Ok(Self {
            pattern: pattern.to_owned(),
            verbosity,
        })
    }
}

/// Changes the verbosity of a log that is set up.
pub fn set(verbosity: u32) {
    VERBOSITY.store(verbosity, Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

/// 0 to 2 is information, 3 and 4 is debugging, 5 and more is everything.
fn level(verbosity: u32) -> Level {
    match verbosity {
        0..=2 => Level::INFO,
        3 | 4 => Level::DEBUG,
        _ => Level::TRACE,
    }
}

/// Decides once for each place in the code, and again when the verbosity changes.
pub struct Verbosity {
    modules: Vec<Module>,
}

impl Verbosity {
    pub fn new(verbosity: u32, modules: Vec<Module>) -> Self {
        VERBOSITY.store(verbosity, Ordering::Relaxed);
        Self { modules }
    }

    fn wanted(&self, metadata: &Metadata<'_>) -> bool {
        let file = metadata.file().map(Path::new).and_then(Path::file_stem);
        let module = file.and_then(|file| file.to_str()).and_then(|file| {
            self.modules
                .iter()
                .find(|module| matches(module.pattern.as_bytes(), file.as_bytes()))
        });
        let most = match module {
            Some(module) => level(module.verbosity),
            None if is_library(metadata.target()) => Level::WARN,
            None => level(VERBOSITY.load(Ordering::Relaxed)),
        };
        *metadata.level() <= most
    }
}

fn is_library(target: &str) -> bool {
    let name = target.split("::").next().unwrap_or(target);
    LIBRARIES.contains(&name)
}

/// A glob of `*` and `?`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            matches(rest, name) || name.split_first().is_some_and(|(_, name)| matches(pattern, name))
        }
        (Some((b'?', rest)), Some((_, name))) => matches(rest, name),
        (Some((wanted, rest)), Some((found, name))) => wanted == found && matches(rest, name),
        _ => false,
    }
}

impl<S: Subscriber> Filter<S> for Verbosity {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.wanted(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wanted(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let modules = self.modules.iter().map(|module| module.verbosity);
        let most = modules
            .chain([VERBOSITY.load(Ordering::Relaxed)])
            .max()
            .unwrap_or(0);
        Some(LevelFilter::from_level(level(most)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_globs_of_file_names() {
        for (pattern, name, matched) in [
            ("watch", "watch", true),
            ("watch", "watcher", false),
            ("watch*", "watcher", true),
            ("w?tch", "watch", true),
            ("*ch", "watch", true),
            ("*", "", true),
            ("?", "", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                matched,
                "{pattern} {name}"
            );
        }
        assert!(Module::parse("a*=4").is_ok());
        for text in ["a", "=4", "a=x", ""] {
            assert!(Module::parse(text).is_err(), "{text}");
        }
    }
}
