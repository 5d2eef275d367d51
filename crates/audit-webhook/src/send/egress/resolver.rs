//! Names to addresses, under the policy: what comes out was checked, and is what is connected to.
//!
//! One lookup a name at a time: who asks meanwhile waits for the same answer, so that an endpoint whose name
//! hangs occupies one thread, however many of its deliveries want to begin.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use super::{Egress, Refusal};
use crate::send::bounds::RESOLUTIONS_MAX;

/// How names become addresses.
pub(crate) trait Lookup: Send + Sync + 'static {
    /// All addresses of a name. May block.
    fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver.
pub(crate) struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
    }
}

/// Why a name gave no address.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    /// The policy refuses where it leads.
    #[error("the name may not be connected to")]
    Refused(#[source] Refusal),
    /// It took too long.
    #[error("the name did not resolve within {0:?}")]
    Timeout(Duration),
    /// The resolver says that there is none, or can't tell.
    #[error("the name does not resolve: {0}")]
    Failed(String),
}

type Found = Result<Arc<[IpAddr]>, ResolveError>;
type ByName = HashMap<String, Shared<BoxFuture<'static, Found>>>;

/// Lookups under way, as many as there are threads for. Cheap to clone; all clones are the same ones.
#[derive(Clone)]
pub(crate) struct Lookups {
    /// What a lookup holds for as long as it occupies a thread, awaited or not.
    threads: Arc<Semaphore>,
    by_name: Arc<Mutex<ByName>>,
}

impl Lookups {
    /// None yet, and never more than `threads_max`.
    pub(crate) fn new(threads_max: usize) -> Self {
        Self { threads: Arc::new(Semaphore::new(threads_max)), by_name: Arc::default() }
    }
}

impl std::fmt::Debug for Lookups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lookups").finish_non_exhaustive()
    }
}

/// Resolves names for the HTTP client, and refuses those that the policy refuses. Cheap to clone.
#[derive(Clone)]
pub(crate) struct CheckedResolver {
    egress: Egress,
    lookup: Arc<dyn Lookup>,
    timeout: Duration,
    lookups: Lookups,
}

impl CheckedResolver {
    /// For deliveries, with threads of its own.
    pub(crate) fn new(egress: Egress, lookup: Arc<dyn Lookup>, timeout: Duration) -> Self {
        Self::among(Lookups::new(RESOLUTIONS_MAX), egress, lookup, timeout)
    }

    /// One of several that share their lookups.
    pub(super) fn among(
        lookups: Lookups,
        egress: Egress,
        lookup: Arc<dyn Lookup>,
        timeout: Duration,
    ) -> Self {
        Self { egress, lookup, timeout, lookups }
    }

    /// The addresses of a name, every one of them allowed. Their port is 0.
    pub(crate) async fn addresses(&self, name: &str) -> Result<Vec<SocketAddr>, ResolveError> {
        let looking = self.look_up(name);
        let found = tokio::time::timeout(self.timeout, looking)
            .await
            .map_err(|_| ResolveError::Timeout(self.timeout))??;
        let addresses: Vec<_> = found.iter().map(|address| SocketAddr::new(*address, 0)).collect();
        self.egress.policy().check_addresses(name, &addresses).map_err(ResolveError::Refused)?;
        Ok(addresses)
    }

    /// Joins the lookup of a name, or begins it.
    fn look_up(&self, name: &str) -> Shared<BoxFuture<'static, Found>> {
        let mut under_way = locked(&self.lookups.by_name);
        if let Some(lookup) = under_way.get(name) {
            return lookup.clone();
        }
        let (this, owned) = (self.clone(), name.to_owned());
        // A task of its own, so that it ends, and takes itself off the list, also when nobody waits any more.
        let task = tokio::spawn(async move {
            let found = this.on_a_thread(owned.clone()).await;
            locked(&this.lookups.by_name).remove(&owned);
            found
        });
        let joined =
            async { task.await.unwrap_or_else(|error| Err(ResolveError::Failed(error.to_string()))) };
        let lookup = joined.boxed().shared();
        under_way.insert(name.to_owned(), lookup.clone());
        lookup
    }

    async fn on_a_thread(&self, name: String) -> Found {
        let permit = Arc::clone(&self.lookups.threads).acquire_owned().await.expect("nobody closes it");
        let lookup = Arc::clone(&self.lookup);
        let looking = tokio::task::spawn_blocking(move || {
            // Until the thread is free again, not until somebody loses patience.
            let _permit = permit;
            lookup.lookup(&name)
        });
        let failed = |error: &dyn std::fmt::Display| ResolveError::Failed(error.to_string());
        let found = looking.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        if found.is_empty() { Err(failed(&"it has no address")) } else { Ok(found.into()) }
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let addresses = this.addresses(name.as_str()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn locked(lookups: &Mutex<ByName>) -> MutexGuard<'_, ByName> {
    // The list is whole at every moment, whatever happened to who held it.
    lookups.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::IpAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::{CheckedResolver, Lookup, ResolveError};
    use crate::send::egress::Egress;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// Answers when it is told to.
    struct Slow {
        asked: AtomicUsize,
        go_on: std::sync::Mutex<mpsc::Receiver<Vec<IpAddr>>>,
    }

    impl Lookup for Slow {
        fn lookup(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let answers = self.go_on.lock().expect("no panic");
            answers.recv().map_err(io::Error::other)
        }
    }

    fn slow(timeout: Duration) -> (CheckedResolver, Arc<Slow>, mpsc::SyncSender<Vec<IpAddr>>) {
        let (answer, go_on) = mpsc::sync_channel(1);
        let slow = Arc::new(Slow { asked: AtomicUsize::new(0), go_on: go_on.into() });
        let lookup = Arc::clone(&slow) as Arc<dyn Lookup>;
        (CheckedResolver::new(Egress::default(), lookup, timeout), slow, answer)
    }

    #[tokio::test]
    async fn who_asks_for_a_name_that_is_being_looked_up_waits_for_the_same_answer() {
        let (resolver, slow, answer) = slow(PATIENCE);
        // All have asked before the answer comes.
        let asking = join_all((0..100).map(|_| resolver.addresses("a.example")));
        let answering = async {
            answer.send(vec!["93.184.216.34".parse().expect("an address")]).expect("it waits");
        };
        let (found, ()) = tokio::join!(asking, answering);
        for addresses in found {
            assert_eq!(addresses.expect("resolved").len(), 1);
        }
        assert_eq!(slow.asked.load(Ordering::SeqCst), 1);
        drop(answer);
        // What was asked later is looked up anew: no answer is kept.
        assert!(matches!(resolver.addresses("a.example").await, Err(ResolveError::Failed(_))));
        assert_eq!(slow.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn resolvers_that_share_their_lookups_ask_once_for_a_name() {
        let (first, slow, answer) = slow(PATIENCE);
        let (lookups, lookup) = (first.lookups.clone(), Arc::clone(&first.lookup));
        let second = CheckedResolver::among(lookups, Egress::default(), lookup, PATIENCE);
        let asking = join_all([&first, &second].map(|resolver| resolver.addresses("a.example")));
        let answering = async {
            answer.send(vec!["93.184.216.34".parse().expect("an address")]).expect("it waits");
        };
        let (found, ()) = tokio::join!(asking, answering);
        assert!(found.iter().all(Result::is_ok), "{found:?}");
        assert_eq!(slow.asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_name_that_hangs_is_given_up_in_time_and_its_thread_stays_counted() {
        let (resolver, _slow, answer) = slow(Duration::from_millis(20));
        assert!(matches!(resolver.addresses("a.example").await, Err(ResolveError::Timeout(_))));
        assert!(matches!(resolver.addresses("a.example").await, Err(ResolveError::Timeout(_))));
        assert_eq!(resolver.lookups.threads.available_permits(), super::RESOLUTIONS_MAX - 1);
        drop(answer);
        flagtrail_testkit::wait::until(PATIENCE, "the thread is free", || async {
            resolver.lookups.threads.available_permits() == super::RESOLUTIONS_MAX
        })
        .await;
    }

    #[tokio::test]
    async fn one_private_address_among_public_ones_refuses_the_name() {
        let (resolver, _slow, answer) = slow(PATIENCE);
        let addresses = ["93.184.216.34", "fd00::1"].map(|address| address.parse().expect("an address"));
        answer.send(addresses.to_vec()).expect("it waits");
        assert!(matches!(resolver.addresses("a.example").await, Err(ResolveError::Refused(_))));
    }
}
