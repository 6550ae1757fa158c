//! The sandbox's mail: folders of messages, kept in one file that is replaced whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::domain::address::MailAddress;
use crate::domain::clock::Clock;
use crate::sandbox::seed;

/// All folders by name.
#[derive(Debug)]
pub(super) struct Mailstore {
    path: PathBuf,
    folders: Mutex<BTreeMap<String, Folder>>,
    changed: watch::Sender<u64>,
    clock: Clock,
}

/// One folder.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Folder {
    pub(super) uid_validity: i64,
    pub(super) next_uid: u32,
    pub(super) messages: Vec<Message>,
}

/// One message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Message {
    pub(super) uid: u32,
    pub(super) flags: Vec<String>,
    pub(super) received_secs: i64,
    pub(super) bytes: Vec<u8>,
}

impl Mailstore {
    pub(super) fn open(folder: &Path, clock: Clock, address: &MailAddress) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join("mail.json");
        let stored = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let store =
            Self { path, folders: Mutex::new(stored.unwrap_or_default()), changed: watch::Sender::new(0), clock };
        if store.read(BTreeMap::is_empty) {
            for (folder, text) in seed::messages(address) {
                store.add(folder, &[], text.replace('\n', "\r\n").into_bytes());
            }
        }
        Ok(store)
    }

    /// Looks at all folders.
    pub(super) fn read<T>(&self, look: impl FnOnce(&BTreeMap<String, Folder>) -> T) -> T {
        look(&self.folders.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes folders, keeps the change, and tells those who wait.
    pub(super) fn write<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Folder>) -> T) -> T {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut folders);
        let fresh = self.path.with_extension("new");
        let kept = serde_json::to_vec(&*folders)
            .map_err(std::io::Error::from)
            .and_then(|bytes| std::fs::write(&fresh, bytes))
            .and_then(|()| std::fs::rename(&fresh, &self.path));
        if let Err(error) = kept {
            tracing::warn!(%error, "the sandbox's mail could not be kept");
        }
        drop(folders);
        self.changed.send_modify(|count| *count += 1);
        result
    }

    /// Adds a message to a folder, making the folder if need be. Gives the folder's validity and the message's UID.
    pub(super) fn add(&self, folder: &str, flags: &[String], bytes: Vec<u8>) -> (i64, u32) {
        let received_secs = self.clock.now().as_secs();
        self.write(|folders| {
            let folder = folders.entry(folder.to_owned()).or_insert_with(|| Folder::new(received_secs));
            let uid = folder.next_uid;
            folder.next_uid += 1;
            folder.messages.push(Message { uid, flags: flags.to_vec(), received_secs, bytes });
            (folder.uid_validity, uid)
        })
    }

    /// Whether there is a folder of this name.
    pub(super) fn has(&self, folder: &str) -> bool {
        self.read(|folders| folders.contains_key(folder))
    }

    /// Removes the messages of a folder that `goes` names.
    pub(super) fn remove(&self, folder: &str, goes: impl Fn(&Message) -> bool) {
        self.write(|folders| {
            if let Some(folder) = folders.get_mut(folder) {
                folder.messages.retain(|message| !goes(message));
            }
        });
    }

    /// Turns whenever something changed.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn now_secs(&self) -> i64 {
        self.clock.now().as_secs()
    }
}

impl Folder {
    pub(super) fn new(now_secs: i64) -> Self {
        Self { uid_validity: now_secs, next_uid: 1, messages: Vec::new() }
    }
}
