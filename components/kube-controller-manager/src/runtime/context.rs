//! The shared context of all controllers of one process.

use std::any::{Any, TypeId};
use std::fmt::Debug;
use std::sync::Arc;

use ahash::AHashMap;
use client::events::{EventApi, Recorder};
use client::{Connection, Informer};
use component_config::kube_controller_manager::ControllerManagerFlags;
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::accounts::Accounts;
use super::census::Census;
use crate::files::Files;

/// Handed to every controller. Informers are made when first asked for and shared afterwards.
pub struct Context {
    pub flags: ControllerManagerFlags,
    pub files: Files,
    pub shutdown: CancellationToken,
    /// The process's own identity: for informers and discovery, as upstream uses it.
    pub root: Connection,
    pub census: Arc<Census>,
    accounts: Accounts,
    informers: Mutex<AHashMap<TypeId, Box<dyn Any + Send>>>,
}

impl Context {
    pub fn new(
        flags: ControllerManagerFlags,
        files: Files,
        root: Connection,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            accounts: Accounts::new(root.clone(), flags.use_service_account_credentials),
            flags,
            files,
            shutdown,
            root,
            census: Arc::default(),
            informers: Mutex::default(),
        })
    }

    /// A client that acts as the controller's service account in kube-system.
    pub fn client(&self, account: &'static str) -> Client {
        self.accounts.client(account)
    }

    /// Records events as `account`, which is also the name in them.
    pub fn recorder(&self, account: &'static str) -> Recorder {
        self.recorder_as(account, account)
    }

    /// Records events as `account` under the name `component`.
    pub fn recorder_as(&self, account: &'static str, component: &str) -> Recorder {
        Recorder::start(self.client(account), component, "", EventApi::Core)
    }

    /// The shared copy of all objects of a kind.
    pub fn informer<K>(&self) -> Informer<K>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let mut informers = self.informers.lock();
        if let Some(informer) = informers
            .get(&TypeId::of::<K>())
            .and_then(|any| any.downcast_ref::<Informer<K>>())
        {
            return informer.clone();
        }
        let informer = Informer::start(
            Api::all(self.root.client.clone()),
            watcher::Config::default(),
            self.shutdown.clone(),
        );
        informers.insert(TypeId::of::<K>(), Box::new(informer.clone()));
        informer
    }
}

/// Waits for informers of different kinds; false when the process is ending.
#[macro_export]
macro_rules! synced {
    ($($informer:expr),+ $(,)?) => { $( $informer.synced().await && )+ true };
}
