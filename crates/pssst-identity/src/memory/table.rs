//! Identities with the indexes that a store needs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;

use jiff::Timestamp;
use pssst::PublicKey;

use crate::{Change, Changes, ClientTotals, Error, Identity, ListQuery, NewIdentity, Page, Revision, Update};

#[derive(Clone, Debug)]
pub(crate) struct Table {
    store: String,
    latest: u64,
    /// `None` for removed clients, because the feed still has to report them.
    by_key: HashMap<PublicKey, (u64, Option<Identity>)>,
    by_name: BTreeMap<String, PublicKey>,
    by_revision: BTreeMap<u64, PublicKey>,
}

impl Table {
    pub(crate) fn new(store: String) -> Self {
        Self { store, latest: 0, by_key: HashMap::new(), by_name: BTreeMap::new(), by_revision: BTreeMap::new() }
    }

    pub(crate) fn add_all(&mut self, new: Vec<NewIdentity>, now: Timestamp) -> Result<Vec<Identity>, Error> {
        let (mut keys, mut names) = (HashSet::new(), HashSet::new());
        for identity in &new {
            if self.get(&identity.key).is_some() || !keys.insert(&identity.key) {
                return Err(Error::KeyTaken(identity.key));
            }
            if self.by_name.contains_key(&identity.name) || !names.insert(&identity.name) {
                return Err(Error::NameTaken(identity.name.clone()));
            }
        }
        let added: Vec<_> = new.into_iter().map(|identity| identity.into_identity(now)).collect();
        for identity in &added {
            self.put(identity.clone());
        }
        Ok(added)
    }

    pub(crate) fn get(&self, key: &PublicKey) -> Option<&Identity> {
        self.by_key.get(key)?.1.as_ref()
    }

    pub(crate) fn find_by_name(&self, name: &str) -> Option<&Identity> {
        self.get(self.by_name.get(name)?)
    }

    /// Returns the number of identities.
    #[cfg(feature = "file")]
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Every identity, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Identity> {
        self.by_name.values().filter_map(|key| self.get(key))
    }

    pub(crate) fn list(&self, query: &ListQuery) -> Page {
        let after = query.after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let search = query.search.as_ref().map(|search| search.to_lowercase());
        let label = query.label.as_deref().map(Identity::label_line);
        let identities = self
            .by_name
            .range::<str, _>((after, Bound::Unbounded))
            .filter_map(|(_, key)| self.get(key))
            .filter(|identity| query.state.is_none_or(|state| identity.state == state))
            .filter(|identity| query.requires_psk.is_none_or(|requires_psk| identity.requires_psk == requires_psk))
            .filter(|identity| search.as_ref().is_none_or(|search| identity.search_text().contains(search)))
            .filter(|identity| label.as_ref().is_none_or(|label| identity.search_text().contains(label)))
            .take(query.page_len() + 1)
            .cloned()
            .collect();
        Page::new(identities, query)
    }

    pub(crate) fn totals(&self, now: Timestamp) -> ClientTotals {
        let mut totals = ClientTotals::default();
        for identity in self.iter() {
            let has_expired = identity.expires.is_some_and(|expires| expires <= now);
            totals.add(identity.state, 1, u64::from(has_expired));
        }
        totals
    }

    pub(crate) fn update(&mut self, key: &PublicKey, update: Update, now: Timestamp) -> Result<Identity, Error> {
        let mut identity = self.get(key).ok_or(Error::NotFound(*key))?.clone();
        let old_name = identity.name.clone();
        identity.apply(update, now)?;
        if identity.name != old_name {
            if self.by_name.contains_key(&identity.name) {
                return Err(Error::NameTaken(identity.name));
            }
            self.by_name.remove(&old_name);
        }
        self.put(identity.clone());
        Ok(identity)
    }

    pub(crate) fn remove(&mut self, key: &PublicKey) -> Result<(), Error> {
        let name = self.get(key).ok_or(Error::NotFound(*key))?.name.clone();
        self.by_name.remove(&name);
        self.note(*key, None);
        Ok(())
    }

    pub(crate) fn changes(&self, after: Revision, limit: usize) -> Changes {
        let changes = self
            .by_revision
            .range((Bound::Excluded(after.0), Bound::Unbounded))
            .filter_map(|(&revision, &key)| {
                let (_, identity) = self.by_key.get(&key)?;
                let status = identity.as_ref().map(Identity::status);
                Some(Change { revision: Revision(revision), key, status })
            })
            .take(limit)
            .collect();
        Changes { store: self.store.clone(), latest: Revision(self.latest), changes }
    }

    #[cfg(feature = "file")]
    /// Makes the table hold exactly these. What is as it was gets no new revision.
    pub(crate) fn replace_all(&mut self, identities: Vec<Identity>) {
        let kept: HashSet<_> = identities.iter().map(|identity| identity.key).collect();
        let gone: Vec<_> = self.iter().map(|identity| identity.key).filter(|key| !kept.contains(key)).collect();
        for key in gone {
            self.note(key, None);
        }
        self.by_name = identities.iter().map(|identity| (identity.name.clone(), identity.key)).collect();
        for identity in identities {
            if self.get(&identity.key) != Some(&identity) {
                self.note(identity.key, Some(identity));
            }
        }
    }

    fn put(&mut self, identity: Identity) {
        self.by_name.insert(identity.name.clone(), identity.key);
        self.note(identity.key, Some(identity));
    }

    fn note(&mut self, key: PublicKey, identity: Option<Identity>) {
        self.latest += 1;
        if let Some((revision, _)) = self.by_key.insert(key, (self.latest, identity)) {
            self.by_revision.remove(&revision);
        }
        self.by_revision.insert(self.latest, key);
    }
}
