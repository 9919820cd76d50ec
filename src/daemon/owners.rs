//! Refuses a configuration by which a supervisor would be answered `rejected` about jobs that it
//! handed in: under an owner that no supervisor has any more, or that its JID had.

use std::collections::{BTreeMap, BTreeSet};

use xmpp_parsers::jid::Jid;

use crate::buffer::{BufferError, OpenError, Owners, Peer};
use crate::job::Owner;
use crate::xmpp::{Roster, Supervisor};

/// Which owner each supervisor is to have.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    /// The daemon's full JID.
    pub daemon: String,
    pub supervisors: Vec<Supervisor>,
    /// Whether jobs may be left without a supervisor.
    pub allow_orphans: bool,
}

impl Assignment {
    /// Checks it against the jobs that the store holds, and has the store remember it.
    pub async fn take_effect(&self, store: &dyn Owners) -> Result<(), OpenError> {
        let unreachable = |error: BufferError| OpenError::Unreachable(error.to_string());
        let before = store.peers(&self.daemon).await.map_err(unreachable)?;
        if !self.allow_orphans {
            let orphans = self.orphans(&before, store).await.map_err(unreachable)?;
            if !orphans.is_empty() {
                return Err(OpenError::Orphaned(orphans.join("; ")));
            }
        }
        let after = self.remembered(&before);
        if after != before {
            let remembered = store.remember_peers(&self.daemon, &after).await;
            remembered.map_err(unreachable)?;
        }
        Ok(())
    }

    /// The owners whose jobs would be lost to a supervisor.
    async fn orphans(
        &self,
        before: &[Peer],
        store: &dyn Owners,
    ) -> Result<Vec<String>, BufferError> {
        let known: BTreeSet<_> = self.supervisors.iter().map(|peer| &peer.owner).collect();
        let mut found = Vec::new();
        let owners = store.owners().await?.into_iter();
        for owner in owners.filter(|owner| !known.contains(owner)) {
            let owed = store.owed(&owner).await?;
            if !owed.is_nothing() {
                found.push(format!("{owner} ({owed}), which no supervisor has"));
            }
        }
        let moved = self.moved(before).into_iter();
        for (jid, owner, other) in moved.filter(|(_, owner, _)| known.contains(owner)) {
            let owed = store.owed(&owner).await?;
            if !owed.is_nothing() {
                let what = format!("{owner} ({owed}), which {jid} had before {other}");
                found.push(what);
            }
        }
        Ok(found)
    }

    /// JIDs whose owner changes: from this one, to that one.
    fn moved(&self, before: &[Peer]) -> Vec<(Jid, Owner, Owner)> {
        let (old, new) = self.rosters(before);
        let moved = self.jids(before).into_iter().filter_map(|jid| {
            let (old, new) = (old.find(&jid)?, new.find(&jid)?);
            let change = (old.owner.clone(), new.owner.clone());
            (change.0 != change.1).then_some((jid, change.0, change.1))
        });
        moved.collect()
    }

    /// What is remembered from now on: also the owners of JIDs that have none now.
    fn remembered(&self, before: &[Peer]) -> Vec<Peer> {
        let (old, new) = self.rosters(before);
        let peers = self.jids(before).into_iter().filter_map(|jid| {
            let peer = new.find(&jid).or_else(|| old.find(&jid))?;
            Some((jid.to_string(), peer.owner.clone()))
        });
        let peers: BTreeMap<_, _> = peers.collect();
        peers.into_iter().collect()
    }

    /// All JIDs that one of both assignments names.
    fn jids(&self, before: &[Peer]) -> Vec<Jid> {
        let before = supervisors(before).into_iter();
        let all = before.chain(self.supervisors.iter().cloned());
        all.map(|peer| peer.jid).collect()
    }

    /// Who was answered before, and who is now.
    fn rosters(&self, before: &[Peer]) -> (Roster, Roster) {
        let now = self.supervisors.clone();
        (Roster::new(supervisors(before)), Roster::new(now))
    }
}

fn supervisors(peers: &[Peer]) -> Vec<Supervisor> {
    let supervisor = |(jid, owner): &Peer| {
        Some(Supervisor {
            jid: jid.parse().ok()?,
            owner: owner.clone(),
            notify: false,
        })
    };
    peers.iter().filter_map(supervisor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{self, NewJob, Options, Store, StoreRequest, StoreUrl};
    use crate::job::{Attempt, ContentHash, JobId, JobKey, State};
    use jiff::Timestamp;
    use std::sync::Arc;

    const BARE: &str = "s@x";
    const FULL: &str = "s@x/r";

    fn owner(name: &str) -> Owner {
        Owner::new(name).unwrap()
    }

    fn assignment(pairs: &[(&str, &str)]) -> Assignment {
        let peers = pairs
            .iter()
            .map(|(jid, name)| ((*jid).to_owned(), owner(name)));
        Assignment {
            daemon: "executor@x/here".to_owned(),
            supervisors: supervisors(&peers.collect::<Vec<_>>()),
            allow_orphans: false,
        }
    }

    /// A store in which this owner has a job that has ended.
    async fn store(name: &str) -> (tempfile::TempDir, Arc<dyn Store>) {
        let folder = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(folder.path().join("buffer.db"));
        let store = buffer::open(&url, &Options::default()).await.unwrap();
        let job = NewJob {
            key: JobKey {
                job_id: JobId::new("1").unwrap(),
                attempt: Attempt::FIRST,
            },
            content: ContentHash([0; 32]),
            priority: 0,
            state: State::Succeeded,
            payload: String::new(),
        };
        let request = StoreRequest {
            owner: owner(name),
            jobs: vec![job],
            refusals: Vec::new(),
            sent_at: Timestamp::MAX,
            prompt_until: None,
            now: Timestamp::UNIX_EPOCH,
        };
        store.store(request).await.unwrap();
        (folder, store)
    }

    async fn takes(store: &dyn Owners, pairs: &[(&str, &str)]) -> bool {
        match assignment(pairs).take_effect(store).await {
            Ok(()) => true,
            Err(OpenError::Orphaned(_)) => false,
            Err(other) => panic!("{other}"),
        }
    }

    #[tokio::test]
    async fn jobs_that_ended_unreported_keep_their_owner() {
        let (_folder, store) = store("a").await;
        assert!(!takes(&*store, &[(BARE, "b")]).await);
        assert!(takes(&*store, &[(BARE, "a")]).await);
        assert!(!takes(&*store, &[(BARE, "b"), ("t@x", "a")]).await);
        let told = [(crate::job::RecordId::new(1).unwrap(), State::Succeeded)];
        assert_eq!(store.mark_told(&owner("a"), &told).await.unwrap(), [true]);
        assert!(takes(&*store, &[(BARE, "b"), ("t@x", "a")]).await);
        assert!(takes(&*store, &[(BARE, "b")]).await);
    }

    #[tokio::test]
    async fn an_entry_for_one_resource_goes_before_the_bare_one() {
        let (_folder, store) = store("a").await;
        let both = [(BARE, "b"), (FULL, "a")];
        assert!(takes(&*store, &both).await);
        assert!(takes(&*store, &both).await);
        // The resource is now the bare one's.
        assert!(!takes(&*store, &[(BARE, "b"), ("t@x", "a")]).await);
        assert!(takes(&*store, &[(BARE, "a"), (FULL, "a")]).await);
        assert!(!takes(&*store, &[(BARE, "a"), (FULL, "b")]).await);
        assert!(takes(&*store, &[(BARE, "a")]).await);
    }

    #[tokio::test]
    async fn a_jid_is_remembered_while_it_has_no_owner() {
        let (_folder, store) = store("a").await;
        assert!(takes(&*store, &[(BARE, "a"), ("t@x", "a")]).await);
        assert!(takes(&*store, &[("t@x", "a")]).await);
        assert!(!takes(&*store, &[(BARE, "b"), ("t@x", "a")]).await);
        let mut allowed = assignment(&[(BARE, "b"), ("t@x", "a")]);
        allowed.allow_orphans = true;
        allowed.take_effect(&*store).await.unwrap();
        assert!(takes(&*store, &[(BARE, "b"), ("t@x", "a")]).await);
    }
}
