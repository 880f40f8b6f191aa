//! Metrics of the files that a service follows.

use std::fmt;

use super::writer::MetricsWriter;
use crate::followed_file::FollowedFile;

pub(crate) fn metrics(program: &str, files: &[FollowedFile], page: &mut MetricsWriter<'_>) -> fmt::Result {
    page.gauges(
        &format!("{program}_file_age_seconds"),
        "Time since each followed file last had what is in use",
        "file",
        files.iter().map(|file| (&*file.path, file.status.age.as_secs_f64())),
    )?;
    page.gauges(
        &format!("{program}_file_refused"),
        "Whether a followed file cannot be used now (1), so that its previous contents stay in force",
        "file",
        files.iter().map(|file| (&*file.path, f64::from(u8::from(file.status.error.is_some())))),
    )?;
    page.counters(
        &format!("{program}_file_failures"),
        "Checks of each followed file that found it unusable",
        "file",
        files.iter().map(|file| (&*file.path, file.status.failures)),
    )
}
