//! JUnit files that a gate wrote, read with bounds: a test may write anything there.

use std::io::{self, Read};
use std::path::{Component, Path};

use crate::deploy::ports::JunitFile;

/// A report of 10,000 cases with their output is about 4 MB.
const LARGEST: u64 = 8 << 20;

/// All files of one gate together.
pub const LARGEST_SUM: u64 = 32 << 20;

/// More files than any test run writes.
const MOST: usize = 500;

/// Those in a tar archive, which an engine makes of the directory.
pub fn from_archive(archive: &[u8]) -> io::Result<Vec<JunitFile>> {
    let mut archive = tar::Archive::new(archive);
    let mut files = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        // The directory itself is the first component.
        let inner: std::path::PathBuf = path.components().skip(1).collect();
        if entry.header().entry_type().is_file() && files.len() < MOST {
            files.extend(read(&inner, entry.size(), &mut entry)?);
        }
    }
    Ok(sorted(files))
}

/// Those in a directory of this machine.
pub fn from_directory(directory: &Path) -> io::Result<Vec<JunitFile>> {
    let mut files = Vec::new();
    let mut sum = 0;
    for entry in std::fs::read_dir(directory)?.take(MOST) {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum += metadata.len();
        if metadata.is_file() && sum <= LARGEST_SUM {
            let name = entry.file_name();
            let mut file = std::fs::File::open(entry.path())?;
            files.extend(read(Path::new(&name), metadata.len(), &mut file)?);
        }
    }
    Ok(sorted(files))
}

/// By its name.
pub fn is_report(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "xml")
}

fn read(path: &Path, size: u64, file: &mut dyn Read) -> io::Result<Option<JunitFile>> {
    if !is_report(path) || size > LARGEST {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes)?;
    let xml = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Some(JunitFile { name: name_of(path), xml }))
}

/// `suite/TEST-a.xml` becomes `suite-TEST-a.xml`: a name for a file, never a path.
fn name_of(path: &Path) -> String {
    let parts = path.components().filter_map(|component| match component {
        Component::Normal(part) => Some(part.to_string_lossy()),
        _ => None,
    });
    parts.collect::<Vec<_>>().join("-")
}

fn sorted(mut files: Vec<JunitFile>) -> Vec<JunitFile> {
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_xml_files_of_a_sane_size_are_taken() {
        let mut archive = tar::Builder::new(Vec::new());
        let mut put = |path: &str, kind: tar::EntryType, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, path, content).unwrap();
        };
        put("junit/", tar::EntryType::Directory, b"");
        put("junit/b.xml", tar::EntryType::Regular, b"<b/>");
        put("junit/unit/a.xml", tar::EntryType::Regular, b"<a/>");
        put("junit/notes.txt", tar::EntryType::Regular, b"no");
        put(
            "junit/huge.xml",
            tar::EntryType::Regular,
            &vec![b' '; usize::try_from(LARGEST).unwrap() + 1],
        );
        let found = from_archive(&archive.into_inner().unwrap()).unwrap();
        let found: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.xml.as_str())).collect();
        assert_eq!(found, [("b.xml", "<b/>"), ("unit-a.xml", "<a/>")]);
    }

    #[test]
    fn a_torn_archive_is_an_error() {
        assert!(from_archive(&[7; 700]).is_err());
    }
}
