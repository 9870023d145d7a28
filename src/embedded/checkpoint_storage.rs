//! Checkpoint state in an object store: a local folder, or what else `object_store` can reach.

use std::io::{Read, Write};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use futures_executor::block_on;
use futures_util::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use riverrun_dataflow::{CheckpointStorage, Error, Result, StateHandle};

/// [`CheckpointStorage`] over an [`ObjectStore`]. Objects are LZ4 frames: keys and column names repeat, and fewer bytes are faster to
/// write than to copy. What does not begin as a frame was written by a version that did not compress, and is taken as it is.
///
/// `object_store` does not sync a local file before it answers, so a local folder is synced here: an object that a commit
/// record names must survive a power cut.
#[derive(Debug)]
pub struct ObjectStorage {
    objects: Arc<dyn ObjectStore>,
    local: Option<PathBuf>,
}

impl ObjectStorage {
    /// Storage in a local folder, made if it is not there.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be made or opened.
    pub fn local(folder: &FilePath) -> Result<Self> {
        let place = || format!("checkpoint folder {}", folder.display());
        std::fs::create_dir_all(folder).map_err(|e| Error::io(place(), e))?;
        let folder = folder.canonicalize().map_err(|e| Error::io(place(), e))?;
        let objects = LocalFileSystem::new_with_prefix(&folder)
            .map_err(|e| Error::io(place(), e))?
            .with_automatic_cleanup(true);
        Ok(Self { objects: Arc::new(objects), local: Some(folder) })
    }

    /// Storage that is gone with the process.
    pub fn memory() -> Self {
        Self { objects: Arc::new(InMemory::new()), local: None }
    }

    /// Makes a new file and the folders that lead to it durable.
    fn sync(&self, path: &str) -> std::io::Result<()> {
        let Some(root) = &self.local else { return Ok(()) };
        // The name as it is on disk: in the store's own form, which writes some characters as `%C3`.
        let file = root.join(Path::from(path).as_ref());
        std::fs::File::open(&file)?.sync_all()?;
        for folder in file.ancestors().skip(1) {
            std::fs::File::open(folder)?.sync_all()?;
            if folder == root {
                break;
            }
        }
        Ok(())
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// The first bytes of an LZ4 frame.
const FRAME: [u8; 4] = 0x184D_2204_u32.to_le_bytes();

fn compressed(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let room = Vec::with_capacity(bytes.len() / 2);
    // The object has a checksum of its own.
    let mut encoder = lz4::EncoderBuilder::new()
        .block_size(lz4::BlockSize::Max1MB)
        .content_size(bytes.len() as u64)
        .checksum(lz4::ContentChecksum::NoChecksum)
        .build(room)?;
    encoder.write_all(bytes)?;
    let (frame, done) = encoder.finish();
    done.map(|()| frame)
}

fn decompressed(object: &[u8]) -> std::io::Result<Vec<u8>> {
    if !object.starts_with(&FRAME) {
        return Ok(object.to_vec());
    }
    let mut bytes = Vec::with_capacity(object.len() * 2);
    lz4::Decoder::new(object)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl CheckpointStorage for ObjectStorage {
    fn write(&self, path: &str, bytes: Vec<u8>) -> Result<StateHandle> {
        let failed = |e: &dyn std::fmt::Display| {
            Error::io(format!("checkpoint object {path}"), format!("cannot be written: {e}"))
        };
        let object = compressed(&bytes).map_err(|e| failed(&e))?;
        drop(bytes);
        let (len, checksum) = (object.len() as u64, checksum(&object));
        block_on(self.objects.put(&Path::from(path), object.into())).map_err(|e| failed(&e))?;
        self.sync(path).map_err(|e| failed(&e))?;
        Ok(StateHandle::Object { path: path.to_owned(), bytes: len, checksum })
    }

    fn read(&self, handle: &StateHandle) -> Result<Vec<u8>> {
        let (path, expected, sum) = match handle {
            StateHandle::Inline(bytes) => return Ok(bytes.clone()),
            StateHandle::Object { path, bytes, checksum } => (path, *bytes, *checksum),
        };
        let failed = |reason: String| Error::io(format!("checkpoint object {path}"), reason);
        let bytes =
            block_on(async { self.objects.get(&Path::from(path.as_str())).await?.bytes().await })
                .map_err(|e| failed(format!("cannot be read: {e}")))?;
        if bytes.len() as u64 != expected || checksum(&bytes) != sum {
            return Err(failed(
                "is damaged: its bytes are not those that were written; restore the folder from a backup, \
                 or start the job under another name"
                    .to_owned(),
            ));
        }
        decompressed(&bytes).map_err(|e| failed(format!("cannot be decompressed: {e}")))
    }

    fn delete(&self, paths: &[String]) -> Result<()> {
        for path in paths {
            match block_on(self.objects.delete(&Path::from(path.as_str()))) {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => {
                    return Err(Error::io(
                        format!("checkpoint object {path}"),
                        format!("cannot be removed: {e}"),
                    ));
                }
            }
        }
        Ok(())
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let folder = Path::from(prefix);
        let listing = self.objects.list(Some(&folder));
        // Below the prefix as it was given, not in the store's form of it: so that the paths are those written.
        let path = |object: object_store::ObjectMeta| {
            let rest = object.location.prefix_match(&folder).into_iter().flatten();
            let rest: Vec<String> = rest.map(|part| part.as_ref().to_owned()).collect();
            format!("{}/{}", prefix.trim_end_matches('/'), rest.join("/"))
        };
        block_on(listing.map_ok(path).try_collect())
            .map_err(|e| Error::io(format!("checkpoint objects below {prefix}"), e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_come_back_checked_and_go_when_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let storage = ObjectStorage::local(&dir.path().join("checkpoints")).unwrap();
        let handle = storage.write("job/1/2/op-0", b"state".to_vec()).unwrap();
        assert_eq!(storage.read(&handle).unwrap(), b"state");
        assert_eq!(storage.list("job").unwrap(), ["job/1/2/op-0"]);

        std::fs::write(dir.path().join("checkpoints/job/1/2/op-0"), b"stale").unwrap();
        let error = storage.read(&handle).unwrap_err().to_string();
        assert!(error.contains("job/1/2/op-0") && error.contains("damaged"), "{error}");

        storage.delete(&["job/1/2/op-0".to_owned(), "job/none".to_owned()]).unwrap();
        assert!(storage.list("job").unwrap().is_empty());
        assert!(storage.read(&handle).is_err());
    }

    #[test]
    fn objects_are_compressed_and_plain_ones_are_read_too() {
        let dir = tempfile::tempdir().unwrap();
        let storage = ObjectStorage::local(dir.path()).unwrap();
        let state: Vec<u8> = (0..3_000_000u32).map(|at| (at / 64 % 251) as u8).collect();
        let handle = storage.write("job/1/2/op-0", state.clone()).unwrap();
        let file = std::fs::read(dir.path().join("job/1/2/op-0")).unwrap();
        assert!(file.len() < state.len() / 10 && file.starts_with(&FRAME));
        assert_eq!(storage.read(&handle).unwrap(), state);

        std::fs::write(dir.path().join("job/1/2/op-1"), &state).unwrap();
        let (bytes, checksum) = (state.len() as u64, checksum(&state));
        let plain = StateHandle::Object { path: "job/1/2/op-1".to_owned(), bytes, checksum };
        assert_eq!(storage.read(&plain).unwrap(), state);
    }

    #[test]
    fn jobs_may_have_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let storage = ObjectStorage::local(dir.path()).unwrap();
        for job in ["50% größer", "a*b", "a//b", "..", "/x"] {
            let path = format!("{job}/1/2/op-0");
            let handle = storage.write(&path, job.as_bytes().to_vec()).unwrap();
            assert_eq!(storage.read(&handle).unwrap(), job.as_bytes());
            assert_eq!(storage.list(&format!("{job}/")).unwrap(), [path.as_str()]);
            storage.delete(&[path]).unwrap();
            assert!(storage.list(&format!("{job}/")).unwrap().is_empty(), "{job}");
        }
    }
}
