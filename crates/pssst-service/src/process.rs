//! Limits of this process, and the protection of its memory.

/// Keeps the memory of this process, which has secret keys, out of core dumps and from other
/// processes of the same user.
pub fn protect_memory() {
    #[cfg(unix)]
    {
        use nix::sys::resource::{Resource, setrlimit};

        if let Err(error) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
            tracing::warn!(%error, "a crash may write secrets to a core dump");
        }
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_dumpable(false) {
        tracing::warn!(%error, "other processes of this user may read the secrets of this one");
    }
}

/// Raises the limit on open files as far as the system allows, and warns if a service may need more
/// than that. The default leaves room for programs with `select`, which this is not.
#[cfg(unix)]
pub(crate) fn raise_file_limit(needed: u64) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(error) => {
            tracing::warn!(%error, "the limit on open files cannot be raised");
            soft
        }
    };
    if limit < needed {
        tracing::warn!(
            limit,
            needed,
            "the limit on open files is lower than the options may need: raise LimitNOFILE= or `ulimit -n`"
        );
    }
}

#[cfg(not(unix))]
pub(crate) fn raise_file_limit(_: u64) {}

/// Returns how many files this process may open; `None` if there is no limit.
pub fn file_limit() -> Option<u64> {
    #[cfg(unix)]
    {
        use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

        getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft).filter(|limit| *limit != RLIM_INFINITY)
    }
    #[cfg(not(unix))]
    None
}
