//! nginx as a balancer of datagrams.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Debian's place for it.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// A running nginx, stopped when dropped, at once, as when a machine reboots.
#[derive(Debug)]
pub struct Nginx {
    process: Child,
}

impl Nginx {
    /// Starts nginx with the configuration `stream` (its block `stream { … }`), and with its files
    /// in `folder`.
    ///
    /// # Panics
    /// Without nginx and its module for streams (Debian: `nginx-light`, `libnginx-mod-stream`).
    pub fn start(folder: &Path, stream: &str) -> Self {
        let head = format!(
            "load_module {STREAM_MODULE};\ndaemon off;\npid nginx.pid;\nerror_log stderr crit;\nevents {{ worker_connections 8192; }}\n"
        );
        fs::write(folder.join("nginx.conf"), head + stream).expect("nginx.conf is written");
        let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx"].into_iter().find(|path| Path::new(path).exists());
        let process = Command::new(program.expect("nginx (Debian: nginx-light, libnginx-mod-stream)"))
            .arg("-p")
            .arg(folder)
            .args(["-c", "nginx.conf"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("nginx starts");
        Self { process }
    }
}

/// Its workers end with it.
impl Drop for Nginx {
    fn drop(&mut self) {
        let pid = self.process.id().to_string();
        let _already_gone = Command::new("sh").args(["-c", "kill -TERM $0", &pid]).status();
        let _already_reaped = self.process.wait();
    }
}
