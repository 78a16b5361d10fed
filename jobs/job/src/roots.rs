//! Where the files may lie that a job names: mappings, exports, truth, stages, encoders, a generator's output.
//!
//! On a server a job comes from anybody who reaches its port, and the files are opened with the server's rights. So the
//! operator names the folders ([`Roots::below`]), and a path is resolved through links and `..` before it is compared
//! with them. A job in its user's own process has that user's rights ([`Roots::Anywhere`]). A file in an object store is
//! named by its URL, and lies below a root that is the URL of a folder there.
//!
//! What is absent: the archive's own files, which are objects of its store. Start at [`Roots::resolve`].

use std::path::{Path, PathBuf};

use tidewaiter_core::{Error, Result, ResultExt};

/// Where the files may lie that a job names.
#[derive(Debug, Clone)]
pub enum Roots {
    /// Anywhere: the job runs with the rights of who asked for it.
    Anywhere,
    /// In or below these folders.
    Below(Vec<Root>),
}

/// Whether a path is a URL, such as `s3://bucket/file`, and so none of this machine.
pub fn is_url(path: &str) -> bool {
    let scheme = path.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// A folder of [`Roots`].
#[derive(Debug, Clone)]
pub struct Root {
    /// As the operator names it; executors find it under this name.
    named: PathBuf,
    /// The same without links.
    real: PathBuf,
}

impl Roots {
    /// These folders and all below them; none: no file at all.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] or [`ErrorKind::Input`] when one is not a folder.
    pub fn below(folders: &[PathBuf]) -> Result<Self> {
        let root = |folder: &PathBuf| {
            if folder.to_str().is_some_and(is_url) {
                return Ok(Root { named: folder.clone(), real: folder.clone() });
            }
            let doing = || format!("open the folder {} of --exports", folder.display());
            let (named, real) =
                (std::path::absolute(folder).context(doing)?, folder.canonicalize().context(doing)?);
            if real.is_dir() {
                return Ok(Root { named, real });
            }
            Err(Error::input(format!("{} of --exports is not a folder; name one that is", folder.display())))
        };
        Ok(Self::Below(folders.iter().map(root).collect::<Result<_>>()?))
    }

    /// The path, by the name that executors know, of a file or folder that a job names; in its last part a `*` may
    /// stand for anything. It need not exist. In a folder no link may lead out of the roots.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when it lies elsewhere, whether or not it exists.
    pub fn resolve(&self, path: &str) -> Result<String> {
        let Self::Below(roots) = self else { return Ok(path.to_owned()) };
        if is_url(path) {
            let is_inside =
                roots.iter().any(|root| root.named.to_str().is_some_and(|root| is_below(root, path)));
            return if is_inside { Ok(path.to_owned()) } else { Err(refused(path, roots)) };
        }
        let (folder, pattern) = match split_pattern(Path::new(path)) {
            Some((folder, pattern)) => (folder, Some(pattern)),
            None => (Path::new(path), None),
        };
        let inside = |path: &Path| {
            let real = real_path(path)?;
            let root = roots.iter().find(|root| real.starts_with(&root.real))?;
            let below = real.strip_prefix(&root.real).ok()?;
            Some(if below.as_os_str().is_empty() { root.named.clone() } else { root.named.join(below) })
        };
        let named = Some(folder).filter(|folder| folder.is_absolute()).and_then(inside);
        let named = named.ok_or_else(|| refused(path, roots))?;
        if pattern.is_none() {
            for link in links(&named)? {
                inside(&link).ok_or_else(|| refused(&link.display().to_string(), roots))?;
            }
        }
        let named = pattern.map_or_else(|| named.clone(), |pattern| named.join(pattern));
        let text = named.into_os_string().into_string();
        text.map_err(|path| Error::input(format!("{} is not text in UTF-8; rename it", path.display())))
    }
}

fn refused(path: &str, roots: &[Root]) -> Error {
    let remedy = if roots.is_empty() {
        "the scheduler was started without --exports, so its jobs may name no files; ask its operator for a folder"
            .to_owned()
    } else {
        let roots: Vec<_> = roots.iter().map(|root| root.named.display().to_string()).collect();
        format!("jobs of this scheduler may name files in {} only; put it there", roots.join(", "))
    };
    Error::input(format!("{path} is out of bounds: {remedy}"))
}

/// Whether a URL lies below that of a folder; one with parts that a parser may resolve does not.
fn is_below(folder: &str, url: &str) -> bool {
    let Some(inside) = url.strip_prefix(folder.trim_end_matches('/')) else { return false };
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    is_url(folder)
        && !inside.contains(['%', '?', '#', '\\'])
        && inside.strip_prefix('/').is_some_and(|inside| inside.split('/').all(is_plain))
}

/// A path whose last part is a pattern, divided there.
fn split_pattern(path: &Path) -> Option<(&Path, &str)> {
    let pattern = path.file_name()?.to_str().filter(|name| name.contains('*'))?;
    Some((path.parent()?, pattern))
}

/// A path without links and `..`; of what does not exist yet, as it would be made. `None` where nobody can say.
fn real_path(path: &Path) -> Option<PathBuf> {
    let (mut there, mut missing) = (path, Vec::new());
    loop {
        match there.canonicalize() {
            Ok(real) => return Some(missing.iter().rev().fold(real, |path, part| path.join(part))),
            // What is written to a link that leads nowhere is made where it points.
            Err(_) if there.is_symlink() => return None,
            Err(_) => {
                // There is no name where the path ends with `..`.
                missing.push(there.file_name()?);
                there = there.parent()?;
            }
        }
    }
}

/// The links in a folder; none in what is not a folder.
fn links(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let doing = || format!("list {}", folder.display());
    let mut links = Vec::new();
    for entry in std::fs::read_dir(folder).context(doing)? {
        let path = entry.context(doing)?.path();
        if path.is_symlink() {
            links.push(path);
        }
    }
    links.sort();
    Ok(links)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use tempfile::TempDir;
    use tidewaiter_core::ErrorKind;

    use super::*;

    /// A root with exports, links and a folder, and a secret beside it.
    fn place() -> (TempDir, Roots) {
        let place = tempfile::tempdir().expect("a folder");
        let path = |name: &str| place.path().join(name);
        for folder in ["exports/deep", "exports/linked", "secret", "exports-too"] {
            fs::create_dir_all(path(folder)).expect("made");
        }
        for file in ["exports/a.csv", "exports/deep/b.csv", "secret/key", "exports-too/c.csv"] {
            fs::write(path(file), "x").expect("written");
        }
        symlink(path("exports/a.csv"), path("exports/same.csv")).expect("linked");
        symlink(path("secret/key"), path("exports/linked/key.csv")).expect("linked");
        symlink(path("secret"), path("exports/way")).expect("linked");
        symlink(path("nowhere"), path("exports/dangling")).expect("linked");
        symlink(path("exports"), path("mount")).expect("linked");
        let roots = Roots::below(&[path("exports")]).expect("folders");
        (place, roots)
    }

    #[test]
    fn a_path_in_or_below_a_root_is_taken_under_the_roots_name() {
        let (place, roots) = place();
        let path = |name: &str| place.path().join(name).display().to_string();
        for (given, resolved) in [
            ("exports/a.csv", "exports/a.csv"),
            ("exports/deep/../a.csv", "exports/a.csv"),
            ("exports/./deep/b.csv", "exports/deep/b.csv"),
            ("exports/same.csv", "exports/a.csv"),
            ("exports/deep", "exports/deep"),
            ("exports/new/folder", "exports/new/folder"),
            ("exports/missing.csv", "exports/missing.csv"),
            ("exports/deep/*.csv", "exports/deep/*.csv"),
            ("mount/a.csv", "exports/a.csv"),
        ] {
            assert_eq!(roots.resolve(&path(given)).expect(given), path(resolved), "{given}");
        }
        let mounted = Roots::below(&[place.path().join("mount")]).expect("folders");
        let resolved = mounted.resolve(&path("mount/deep/b.csv")).expect("inside");
        assert_eq!(resolved, path("mount/deep/b.csv"), "executors know the mount, not what it stands for");
    }

    #[test]
    fn a_path_that_leaves_the_roots_is_refused_whether_or_not_it_exists() {
        let (place, roots) = place();
        let path = |name: &str| place.path().join(name).display().to_string();
        let outside = [
            "secret/key",
            "secret/missing",
            "exports/../secret/key",
            "exports/missing/../../secret/key",
            "exports/missing/..",
            "exports/linked/key.csv",
            "exports/linked",
            "exports/way/key",
            "exports/way/new",
            "exports/way/*",
            "exports/dangling",
            "exports/dangling/new",
            "exports-too/c.csv",
            "*",
        ];
        for given in
            outside.map(path).iter().map(String::as_str).chain(["/etc/passwd", "a.csv", "", "..", "*"])
        {
            let error = roots.resolve(given).expect_err(given);
            assert_eq!(error.kind(), ErrorKind::Input, "{given}");
            assert!(error.chain().contains("out of bounds"), "{}", error.chain());
        }
        let none = Roots::below(&[]).expect("no folder");
        let error = none.resolve(&path("exports/a.csv")).expect_err("no file at all");
        assert!(error.chain().contains("without --exports"), "{}", error.chain());
    }

    #[test]
    fn a_url_is_taken_below_a_root_that_is_one() {
        let (_place, files) = place();
        let roots = Roots::below(&["s3://exports/customs/".into()]).expect("a URL");
        for url in ["s3://exports/customs/a.csv", "s3://exports/customs/2020/*.csv"] {
            assert_eq!(roots.resolve(url).expect(url), url);
            assert_eq!(files.resolve(url).expect_err(url).kind(), ErrorKind::Input);
        }
        for url in [
            "s3://exports/customs",
            "s3://exports/customs-too/a.csv",
            "s3://exports/customs/../secret",
            "s3://exports/customs/%2e%2e/secret",
            "s3://exports/customs//a.csv",
            "s3://other/customs/a.csv",
            "gs://exports/customs/a.csv",
            "/etc/passwd",
        ] {
            assert_eq!(roots.resolve(url).expect_err(url).kind(), ErrorKind::Input, "{url}");
        }
    }

    #[test]
    fn without_roots_a_path_stays_as_it_is() {
        for path in ["/etc/passwd", "a/../b.csv", ""] {
            assert_eq!(Roots::Anywhere.resolve(path).expect("taken"), path);
        }
    }
}
