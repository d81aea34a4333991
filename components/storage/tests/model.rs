//! Lists and watches against a model that keeps every state there ever was.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use storage::{
    Backend, CacheFor, Change, EmbeddedBackend, EventKind, Filter, ListRequest, Marks, MemoryBackend,
    Preconditions, RequestedRevision, ResourceSpec, Revision, RevisionMatch, Storage, StorageError,
    StorageOptions, Store, WatchItem, WatchRequest,
};

type State = BTreeMap<(String, String), (Revision, u8)>;

#[derive(Clone, Debug)]
enum Step {
    /// Creates or changes an object; the colour is what selectors see.
    Write {
        namespace: u8,
        name: u8,
        colour: u8,
    },
    Delete {
        namespace: u8,
        name: u8,
    },
    /// A write elsewhere, which moves the revision only.
    Elsewhere,
    List {
        back: usize,
        namespace: Option<u8>,
        colour: Option<u8>,
        limit: usize,
    },
    Watch {
        back: usize,
        namespace: Option<u8>,
        colour: Option<u8>,
    },
    /// The rest goes to another server, which has only the backend.
    NewServer,
    Compact {
        back: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let namespace = 0..2u8;
    let name = 0..4u8;
    let colour = 0..3u8;
    prop_oneof![
        8 => (namespace.clone(), name.clone(), colour.clone())
            .prop_map(|(namespace, name, colour)| Step::Write { namespace, name, colour }),
        4 => (namespace.clone(), name).prop_map(|(namespace, name)| Step::Delete { namespace, name }),
        1 => Just(Step::Elsewhere),
        4 => (0..12usize, prop::option::of(namespace.clone()), prop::option::of(colour.clone()), 0..4usize)
            .prop_map(|(back, namespace, colour, limit)| Step::List { back, namespace, colour, limit }),
        3 => (0..12usize, prop::option::of(namespace), prop::option::of(colour))
            .prop_map(|(back, namespace, colour)| Step::Watch { back, namespace, colour }),
        1 => Just(Step::NewServer),
        1 => (0..12usize).prop_map(|back| Step::Compact { back }),
    ]
}

struct World {
    /// Of the embedded backend; a new server is then the same one after a restart.
    directory: Option<tempfile::TempDir>,
    backend: Arc<dyn Backend>,
    store: Store,
    /// Servers from before, whose watchers still run.
    older: Vec<Store>,
    /// The state after every revision that this test has made.
    history: BTreeMap<Revision, State>,
    compacted: Revision,
    watches: Vec<Watch>,
}

struct Watch {
    watcher: storage::Watcher,
    from: Revision,
    namespace: Option<u8>,
    colour: Option<u8>,
}

fn open(backend: &Arc<dyn Backend>) -> Store {
    let spec = ResourceSpec {
        name: "things".into(),
        path: "things".into(),
        namespaced: true,
        fields: Vec::new(),
        decoder: None,
        cache: CacheFor::All,
    };
    Storage::open(backend.clone(), StorageOptions::default()).store(spec)
}

fn of_colour(colour: Option<u8>) -> Option<Filter> {
    let wanted = colour?.to_string();
    Some(Filter::new(Marks::label("colour", &wanted), move |object| {
        object.label("colour") == Some(&wanted)
    }))
}

fn selected(state: &State, namespace: Option<u8>, colour: Option<u8>) -> State {
    let namespace = namespace.map(|number| format!("ns{number}"));
    let matches = |key: &(String, String), found: u8| {
        namespace.as_ref().is_none_or(|wanted| *wanted == key.0)
            && colour.is_none_or(|wanted| wanted == found)
    };
    state
        .iter()
        .filter(|(key, value)| matches(key, value.1))
        .map(|(key, value)| (key.clone(), *value))
        .collect()
}

impl World {
    async fn new(directory: Option<tempfile::TempDir>) -> World {
        let backend: Arc<dyn Backend> = match &directory {
            // A log of a few entries, so that snapshots are made all the time.
            Some(directory) => Arc::new(EmbeddedBackend::open_with(directory.path(), 500).unwrap()),
            None => Arc::new(MemoryBackend::default()),
        };
        let start = backend.current_revision().await.unwrap();
        World {
            directory,
            store: open(&backend),
            older: Vec::new(),
            backend,
            history: BTreeMap::from([(start, State::new())]),
            compacted: Revision::parse("0").unwrap(),
            watches: Vec::new(),
        }
    }

    fn newest(&self) -> (Revision, State) {
        self.history
            .last_key_value()
            .map(|(at, state)| (*at, state.clone()))
            .unwrap()
    }

    fn back(&self, steps: usize) -> Revision {
        *self
            .history
            .keys()
            .rev()
            .nth(steps.min(self.history.len() - 1))
            .unwrap()
    }

    async fn run(&mut self, step: Step) {
        match step {
            Step::Write {
                namespace,
                name,
                colour,
            } => self.write(namespace, name, colour).await,
            Step::Delete { namespace, name } => self.delete(namespace, name).await,
            Step::Elsewhere => {
                let key = format!("/registry/other/{}", self.history.len());
                self.backend
                    .create(&key, bytes::Bytes::new(), None)
                    .await
                    .unwrap();
                let at = self.backend.current_revision().await.unwrap();
                let (_, state) = self.newest();
                self.history.insert(at, state);
            }
            Step::List {
                back,
                namespace,
                colour,
                limit,
            } => self.list(back, namespace, colour, limit).await,
            Step::Watch {
                back,
                namespace,
                colour,
            } => self.watch(back, namespace, colour).await,
            Step::NewServer if self.directory.is_some() => self.restart().await,
            Step::NewServer => {
                let older = std::mem::replace(&mut self.store, open(&self.backend));
                self.older.push(older);
            }
            Step::Compact { back } => {
                // A watch that is cut off by a compaction sees the difference only; here all are up to date.
                for store in self.older.iter().chain([&self.store]) {
                    store.list(ListRequest::default()).await.unwrap();
                }
                let at = self.back(back);
                if self.backend.compact(at).await.is_ok() {
                    self.compacted = at;
                }
            }
        }
    }

    /// Ends the server with all its watches, and starts another on the same directory.
    async fn restart(&mut self) {
        self.check_watches().await;
        let Some(directory) = self
            .directory
            .as_ref()
            .map(|directory| directory.path().to_owned())
        else {
            return;
        };
        self.backend = Arc::new(MemoryBackend::default());
        self.store = open(&self.backend);
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        // The old server's tasks end in their own time, and the directory is free with the last of them.
        self.backend = loop {
            match EmbeddedBackend::open_with(&directory, 500) {
                Ok(backend) => break Arc::new(backend),
                Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
            }
            tokio::task::yield_now().await;
        };
        self.store = open(&self.backend);
        let (newest, _) = self.newest();
        assert_eq!(self.backend.current_revision().await.unwrap(), newest);
    }

    async fn write(&mut self, namespace: u8, name: u8, colour: u8) {
        let (namespace, name) = (format!("ns{namespace}"), format!("n{name}"));
        let n = self.history.len();
        let json = json!({"metadata": {"name": name, "namespace": namespace, "labels": {"colour": colour.to_string()}}, "n": n});
        let updated = self
            .store
            .update(&namespace, &name, &Preconditions::default(), |_| {
                let json = json.to_string().into_bytes();
                async move {
                    Ok::<_, StorageError>(Change::Write {
                        json: json.into(),
                        ttl: None,
                    })
                }
            })
            .await
            .unwrap();
        let (storage::Updated::Created(object) | storage::Updated::Written(object)) = updated else {
            panic!()
        };
        let (before, mut state) = self.newest();
        assert!(object.revision() > before);
        state.insert((namespace, name), (object.revision(), colour));
        self.history.insert(object.revision(), state);
    }

    async fn delete(&mut self, namespace: u8, name: u8) {
        let key = (format!("ns{namespace}"), format!("n{name}"));
        let (_, mut state) = self.newest();
        let agree = |_| async { Ok::<_, StorageError>(()) };
        match self
            .store
            .delete(&key.0, &key.1, &Preconditions::default(), agree)
            .await
        {
            Ok(object) => {
                assert!(state.remove(&key).is_some());
                self.history.insert(object.revision(), state);
            }
            Err(StorageError::NotFound { .. }) => assert!(!state.contains_key(&key)),
            Err(error) => panic!("{error}"),
        }
    }

    async fn list(&mut self, back: usize, namespace: Option<u8>, colour: Option<u8>, limit: usize) {
        let (newest, _) = self.newest();
        let exact = (back > 0).then(|| self.back(back));
        let mut request = ListRequest {
            namespace: namespace.map(|number| format!("ns{number}")),
            filter: of_colour(colour),
            limit,
            ..ListRequest::default()
        };
        if let Some(at) = exact {
            request.revision = RequestedRevision::At(at);
            request.revision_match = Some(RevisionMatch::Exact);
        }
        let at = exact.unwrap_or(newest);
        let mut found = State::new();
        loop {
            let page = match self.store.list(request.clone()).await {
                Ok(page) => page,
                Err(StorageError::Expired { .. } | StorageError::ExpiredContinue { .. })
                    if at < self.compacted =>
                {
                    return;
                }
                Err(error) => panic!("{error} at {at:?}, compacted {:?}", self.compacted),
            };
            assert!(page.revision == at || exact.is_none() && page.revision >= at);
            assert!(limit == 0 || page.items.len() <= limit);
            for object in page.items {
                let colour = object.label("colour").unwrap().parse().unwrap();
                let key = (object.namespace().to_owned(), object.name().to_owned());
                assert!(
                    found.last_key_value().is_none_or(|(last, _)| *last < key),
                    "order"
                );
                found.insert(key, (object.revision(), colour));
            }
            let Some(token) = page.continue_token else { break };
            request.continue_token = Some(token);
            request.revision = RequestedRevision::Unset;
            request.revision_match = None;
        }
        assert_eq!(
            found,
            selected(&self.history[&at], namespace, colour),
            "at {at:?}"
        );
    }

    async fn watch(&mut self, back: usize, namespace: Option<u8>, colour: Option<u8>) {
        let from = self.back(back);
        let request = WatchRequest {
            namespace: namespace.map(|number| format!("ns{number}")),
            filter: of_colour(colour),
            revision: RequestedRevision::At(from),
            ..WatchRequest::default()
        };
        match self.store.watch(request).await {
            Ok(watcher) => self.watches.push(Watch {
                watcher,
                from,
                namespace,
                colour,
            }),
            // A new server knows no events from before it.
            Err(StorageError::Expired { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Every watcher has seen every change once, in order.
    async fn check_watches(&mut self) {
        for mut watch in std::mem::take(&mut self.watches) {
            let mut before = selected(&self.history[&watch.from], watch.namespace, watch.colour);
            for (at, state) in self.history.range(watch.from..).skip(1) {
                let after = selected(state, watch.namespace, watch.colour);
                for key in before
                    .keys()
                    .chain(after.keys())
                    .collect::<std::collections::BTreeSet<_>>()
                {
                    let want = match (before.get(key), after.get(key)) {
                        (None, Some(_)) => EventKind::Added,
                        (Some(_), None) => EventKind::Deleted,
                        (Some(old), Some(new)) if old != new => EventKind::Modified,
                        _ => continue,
                    };
                    let item = tokio::time::timeout(Duration::from_secs(10), watch.watcher.next()).await;
                    let Ok(WatchItem::Event(event)) = item else {
                        panic!("{item:?} instead of {want:?} {key:?} {at:?}")
                    };
                    let got = (
                        event.object().namespace().to_owned(),
                        event.object().name().to_owned(),
                    );
                    assert_eq!((event.kind, &got, event.revision()), (want, key, *at));
                }
                before = after;
            }
            assert!(watch.watcher.try_next().is_none(), "an event too many");
        }
    }
}

fn agree(steps: Vec<Step>, directory: Option<tempfile::TempDir>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new(directory).await;
        for step in steps {
            world.run(step).await;
        }
        world.check_watches().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn lists_and_watches_agree_with_history(steps in prop::collection::vec(step(), 1..60)) {
        agree(steps, None);
    }
}

proptest! {
    // Fewer: each write waits for the disk.
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_embedded_backend_agrees_over_restarts(steps in prop::collection::vec(step(), 1..60)) {
        agree(steps, Some(tempfile::tempdir().unwrap()));
    }
}
