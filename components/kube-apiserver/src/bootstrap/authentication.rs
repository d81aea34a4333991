//! `extension-apiserver-authentication`: by what authorities other servers of the cluster know their clients.

mod combine;

use super::config_map;
use crate::beat;
use crate::server::Server;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use storage::{EventKind, Filter, Marks, RequestedRevision, WatchItem, WatchRequest, Watcher};

/// How soon renewed files of authorities are published.
const PERIOD: Duration = Duration::from_secs(10);
/// Failed work is tried again after this.
const RETRY: Duration = Duration::from_secs(1);
const NAME: &str = "extension-apiserver-authentication";

fn data(server: &Server) -> Map<String, Value> {
    let mut data = Map::new();
    if let Some(authority) = &server.authenticator.client_authority {
        data.insert("client-ca-file".to_owned(), json!(authority.pem()));
    }
    if let Some(proxy) = &server.authenticator.front_proxy {
        let list = |items: &[String]| json!(json!(items).to_string());
        data.insert(
            "requestheader-client-ca-file".to_owned(),
            json!(proxy.authority.pem()),
        );
        data.insert(
            "requestheader-allowed-names".to_owned(),
            list(&proxy.allowed_names),
        );
        data.insert(
            "requestheader-username-headers".to_owned(),
            list(&proxy.username_headers),
        );
        data.insert("requestheader-uid-headers".to_owned(), list(&proxy.uid_headers));
        data.insert(
            "requestheader-group-headers".to_owned(),
            list(&proxy.group_headers),
        );
        data.insert(
            "requestheader-extra-headers-prefix".to_owned(),
            list(&proxy.extra_prefixes),
        );
    }
    data
}

/// What was seen last: the object's revision, and what belongs into it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Settled(Option<(Option<i64>, Map<String, Value>)>);

impl Settled {
    /// What is to be settled now, if anything. What belongs into the object is asked for only when it is `due` or the object is
    /// another than before: other objects of the kind change often.
    fn differs(
        &self,
        due: bool,
        revision: Option<i64>,
        data: impl FnOnce() -> Map<String, Value>,
    ) -> Option<Self> {
        let same = |(known, _): &(Option<i64>, _)| *known == revision;
        if !due && self.0.as_ref().is_some_and(same) {
            return None;
        }
        let seen = Self(Some((revision, data())));
        (seen != *self).then_some(seen)
    }
}

/// Repairs the object when somebody changed it, and follows renewed authorities.
pub async fn run(server: Arc<Server>) {
    let Some(store) = server.stores.named("", "configmaps") else {
        return;
    };
    let drain = server.lifecycle.drain.clone();
    let keeping = async {
        let mut settled = Settled::default();
        loop {
            match store.watch(only_this()).await {
                Ok(watcher) => keep(&server, watcher, &mut settled).await,
                Err(error) => tracing::warn!(%error, name = NAME, "the client authorities can't be watched"),
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    tokio::select! {
        () = keeping => {}
        () = drain.cancelled() => {}
    }
}

/// A watch of the one object: its kind is not followed, as it is large in many clusters.
fn only_this() -> WatchRequest {
    WatchRequest {
        namespace: Some(config_map::NAMESPACE.to_owned()),
        revision: RequestedRevision::Any,
        filter: Some(Filter::of_name(Marks::default(), Some(NAME), |object| {
            object.name() == NAME
        })),
        ..WatchRequest::default()
    }
}

/// Until the watch ends.
async fn keep(server: &Server, mut watcher: Watcher, settled: &mut Settled) {
    let mut revision = None;
    let mut due = true;
    loop {
        if let Some(seen) = settled.differs(due, revision, || data(server)) {
            match reconcile(server).await {
                Ok(()) => *settled = seen,
                Err(error) => {
                    tracing::warn!(%error, name = NAME, "the client authorities could not be published");
                    tokio::time::sleep(RETRY).await;
                    due = true;
                    continue;
                }
            }
        }
        tokio::select! {
            () = beat::next(PERIOD) => due = true,
            item = watcher.next() => match item {
                WatchItem::Event(event) => {
                    let is_there = event.kind != EventKind::Deleted;
                    revision = is_there.then(|| event.revision().value());
                    due = false;
                }
                WatchItem::Bookmark { .. } => {}
                WatchItem::Expired { .. } | WatchItem::Failed(_) | WatchItem::Closed => return,
            },
        }
    }
}

/// Adds the configuration to what is there, unless it is part of that already.
pub async fn reconcile(server: &Server) -> anyhow::Result<()> {
    let own = data(server);
    let now = jiff::Timestamp::now().as_second();
    let differs = |there: &Value| {
        let there = there.as_object();
        let wanted = combine::combined(there.unwrap_or(&Map::new()), &own, now);
        (there != Some(&wanted)).then_some(wanted)
    };
    config_map::keep(server, NAME, differs).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_objects_of_the_kind_are_no_reason_to_look() {
        let data = |text: &str| Map::from_iter([("a".to_owned(), json!(text))]);
        let unasked = || -> Map<String, Value> { panic!("nobody needs to know") };
        let settled = Settled::default().differs(false, Some(1), || data("x")).unwrap();
        assert_eq!(settled.differs(false, Some(1), unasked), None);
        assert_eq!(settled.differs(true, Some(1), || data("x")), None);
        for (due, revision, text) in [(true, Some(1), "y"), (false, Some(2), "x"), (false, None, "x")] {
            let seen = settled.differs(due, revision, || data(text));
            assert_eq!(seen, Some(Settled(Some((revision, data(text))))));
        }
    }
}
