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

/// Raises the limit on open files as far as the system allows. The default leaves room for programs
/// with `select`, which this is not.
pub(crate) fn raise_file_limit() {
    #[cfg(unix)]
    {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};

        let raised = getrlimit(Resource::RLIMIT_NOFILE)
            .and_then(|(soft, hard)| if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) });
        if let Err(error) = raised {
            tracing::warn!(%error, "the limit on open files cannot be raised");
        }
    }
}

/// Warns if a service may need more open files than it is allowed.
pub(crate) fn check_file_limit(needed: u64) {
    #[cfg(unix)]
    {
        use nix::sys::resource::{Resource, getrlimit};

        if let Ok((limit, _)) = getrlimit(Resource::RLIMIT_NOFILE)
            && limit < needed
        {
            tracing::warn!(
                limit,
                needed,
                "the limit on open files is lower than the options may need: raise LimitNOFILE= or `ulimit -n`"
            );
        }
    }
}
