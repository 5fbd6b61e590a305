//! Endpoints by a file that others write: deployment scripts, `consul-template`, a ConfigMap.
//!
//! The file is looked at each second. Watchers of the kernel see no change behind a symbolic link that is turned (as
//! Kubernetes does with volumes), nor on disks of the network; one `stat` a second costs nothing.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{EndpointsReader, FileSettings, Outlet};
use crate::upstream::EndpointSettings;

/// What one version of a file is told from the next by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    modified: Option<SystemTime>,
    len: u64,
    /// Of its directory entry: a replacement that keeps time and size has another one.
    number: u64,
}

/// A file that was written less than this before its look may be written once more without another time: clocks of disks
/// tick. It is read again the next time, whatever it looks like.
const YOUNG: Duration = Duration::from_secs(2);

/// A look at the file.
enum Look {
    /// As it was.
    Same,
    Read(Result<Vec<EndpointSettings>, String>),
}

/// A source's life.
pub(super) async fn run(settings: FileSettings, mut outlet: Outlet) {
    let mut known = None;
    loop {
        let (path, reader) = (settings.path.clone(), settings.reader);
        // files may hang, on a disk of the network; the runtime has others to serve
        let looked = tokio::task::spawn_blocking(move || look(&path, reader, known)).await;
        match looked {
            Ok((version, Look::Read(Ok(endpoints)))) => {
                known = version;
                outlet.found(endpoints);
            }
            Ok((version, Look::Read(Err(why)))) => {
                known = version;
                outlet.failed(&why);
            }
            Ok((_, Look::Same)) => {}
            Err(error) => outlet.failed(&format!("{}: {error}", settings.path.display())),
        }
        tokio::time::sleep(settings.interval).await;
    }
}

/// Reads a file that is not the known version. The version is looked at before the content, so that a change in between
/// is seen the next time.
fn look(path: &Path, reader: EndpointsReader, known: Option<Version>) -> (Option<Version>, Look) {
    let version = Version::of(path).ok();
    if version.is_some() && version == known {
        return (version, Look::Same);
    }
    let settled = version.filter(|version| !version.is_young());
    (settled, Look::Read((reader.0)(path)))
}

// === impl Version ===

impl Version {
    fn of(path: &Path) -> std::io::Result<Version> {
        let metadata = std::fs::metadata(path)?;
        Ok(Version { modified: metadata.modified().ok(), len: metadata.len(), number: number(&metadata) })
    }

    fn is_young(&self) -> bool {
        // one from the future is, too, and is read until its time has passed
        self.modified.is_none_or(|at| at.elapsed().map_or(true, |age| age < YOUNG))
    }
}

#[cfg(unix)]
fn number(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn number(_: &std::fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::outlet;
    use super::*;

    /// One URL a line.
    fn lines(path: &Path) -> Result<Vec<EndpointSettings>, String> {
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        text.lines().map(|line| EndpointSettings::parse(line).map_err(|error| error.to_string())).collect()
    }

    #[tokio::test]
    async fn a_file_is_followed_and_a_broken_or_missing_one_keeps_the_last_set() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("books");
        fs::write(&path, "h2c://a:1\n").unwrap();
        let settings =
            FileSettings { path: path.clone(), interval: Duration::from_millis(10), reader: EndpointsReader(lines) };
        let (outlet, taken) = outlet();
        let task = tokio::spawn(run(settings, outlet));
        assert_eq!(taken.labels(1).await, ["a:1"]);

        fs::write(&path, "h2c://a:1\nwhat?\n").unwrap();
        while taken.standing.failures() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(taken.standing.reason().unwrap().contains("no scheme"));
        assert_eq!(taken.sets.lock().unwrap().len(), 1);

        let beside = folder.path().join("beside");
        fs::write(&beside, "h2c://a:1\nh2c://b:1\n").unwrap();
        fs::rename(&beside, &path).unwrap();
        assert_eq!(taken.labels(2).await, ["a:1", "b:1"]);
        assert_eq!(taken.standing.reason(), None);

        fs::remove_file(&path).unwrap();
        while taken.standing.reason().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(taken.sets.lock().unwrap().len(), 2);
        task.abort();
    }

    #[test]
    fn a_file_that_has_stood_for_a_while_is_read_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (_, first) = look(file.path(), EndpointsReader(lines), None);
        assert!(matches!(first, Look::Read(_)));
        assert!(look(file.path(), EndpointsReader(lines), None).0.is_none(), "it may change within the clock's tick");
        file.as_file().set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
        let (version, _) = look(file.path(), EndpointsReader(lines), None);
        assert!(matches!(look(file.path(), EndpointsReader(lines), version).1, Look::Same));
    }
}
