//! A bundle for a report of a fault: everything that helps, and no secret.

use std::io::{self, Write};
use std::path::Path;

use pssst_service::Failure;

use super::scrub::scrub;
use crate::args::key_file;

/// Writes a tar archive that only its owner can read; never overwrites one.
pub(super) fn write(path: &Path, files: &[(String, String)]) -> Result<(), Failure> {
    let archive = archive(files);
    let cannot = |error: io::Error| {
        Failure::new(format!("cannot write {}: {error}", path.display()), "check that the disk is not full")
    };
    let archive = archive.map_err(cannot)?;
    let mut file = key_file::create(path)?;
    file.write_all(&archive).and_then(|()| file.sync_all()).map_err(cannot)
}

fn archive(files: &[(String, String)]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let text = scrub(text);
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        archive.append_data(&mut header, format!("pssst-doctor/{name}"), text.as_bytes())?;
    }
    archive.into_inner()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn files_are_without_secrets_and_are_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        let files = [("a.txt".to_owned(), "pssst-token-0123456789 and the rest".to_owned())];
        write(&path, &files).unwrap();
        assert!(write(&path, &files).unwrap_err().what().contains("exists already"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        let mut archive = tar::Archive::new(std::fs::File::open(&path).unwrap());
        let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap().to_str(), Some("pssst-doctor/a.txt"));
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        assert_eq!(text, "*** and the rest");
    }
}
