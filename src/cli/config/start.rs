//! Checks settings against this machine: addresses that it does not have, and unusable directories.

use std::{io, net::TcpListener, path::Path};

use crate::{config::Settings, net, store};

/// Returns a sentence for each problem, which begins with the setting's key.
pub(super) fn problems(settings: &Settings) -> Vec<String> {
    let data = &settings.paths.data;
    // A file that is checked on its own may not name the data directory.
    let known = !data.as_os_str().is_empty();
    // If a node runs on the data directory, it may be the one that uses the port.
    let taken = known && !store::is_in_use(data);
    let counts = |error: &io::Error| error.kind() != io::ErrorKind::AddrInUse || taken;
    let listen = settings.node.net.listen.iter().filter_map(|address| {
        let error = net::try_listen(address).err().filter(&counts)?;
        Some(format!(
            "listen: cannot listen on {address}: {error}; choose an address of this machine"
        ))
    });
    let control = settings.control_tcp.and_then(|address| {
        let error = TcpListener::bind(address).err().filter(&counts)?;
        Some(format!(
            "control_tcp: cannot listen on {address}: {error}; choose another port"
        ))
    });
    let dirs = [("data_dir", data), ("data_dir", &settings.paths.state)]
        .into_iter()
        .filter(|_| known);
    let dir = dirs.filter_map(|(key, dir)| {
        let why = unusable(dir)?;
        Some(format!(
            "{key}: cannot use {}: {why}; choose a directory that you own",
            dir.display()
        ))
    });
    listen.chain(control).chain(dir.take(1)).collect()
}

/// Returns why a directory cannot be created or written to. Creates nothing.
fn unusable(dir: &Path) -> Option<String> {
    let there = dir
        .ancestors()
        .find(|above| std::fs::symlink_metadata(above).is_ok())
        .unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() {
        Path::new(".")
    } else {
        there
    };
    let about = match std::fs::metadata(there) {
        Ok(about) => about,
        Err(error) => return Some(format!("{}: {error}", there.display())),
    };
    if !about.is_dir() {
        return Some(format!("{} is not a directory", there.display()));
    }
    let error = rustix::fs::access(
        there,
        rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
    )
    .err()?;
    Some(format!("{}: {}", there.display(), io::Error::from(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_found_unusable_without_making_anything() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(unusable(dir.path()), None);
        assert_eq!(unusable(&dir.path().join("a/b/c")), None);
        assert!(!dir.path().join("a").exists());
        for bad in [file.clone(), file.join("below")] {
            assert!(
                unusable(&bad).is_some_and(|why| why.contains("is not a directory")),
                "{}",
                bad.display()
            );
        }
    }
}
