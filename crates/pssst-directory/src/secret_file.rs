//! Files of secrets.

use std::fs::File;

use crate::Error;

/// Looks at the open file, not at its name, which could have been given to another file meanwhile.
#[cfg(unix)]
pub(crate) fn refuse_exposed(file: &File) -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt;

    let metadata = file.metadata()?;
    let mode = metadata.mode() & 0o777;
    if metadata.is_file() && mode & 0o077 != 0 { Err(Error::Exposed(mode)) } else { Ok(()) }
}

/// Elsewhere, access lists are the owner's business.
#[cfg(not(unix))]
pub(crate) fn refuse_exposed(_: &File) -> Result<(), Error> {
    Ok(())
}
