//! Calls on files that come over the life line, made with the account's own rights.

use std::{
    fs, io,
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink,
    },
};

use crate::backend::{FileAnswer, FileCall, FileStat, Open};

/// Entries of one answer.
const LIST_MAX: usize = 100;

/// Opens a regular file; never waits for the other end of a pipe.
pub(super) fn open(path: &str, how: Open) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options
        .read(how.read)
        .write(how.write && !how.append)
        .append(how.append)
        .truncate(how.truncate && how.write && !how.append);
    if how.write || how.append {
        options
            .create(how.create && !how.exclusive)
            .create_new(how.create && how.exclusive);
    }
    let file = options
        .mode(how.mode)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::from_raw_os_error(libc::EINVAL))
    }
}

/// Does the rest.
pub(super) fn call(call: FileCall) -> io::Result<FileAnswer> {
    match call {
        FileCall::List { path, skip } => list(&path, skip),
        FileCall::Stat { path, follow } => {
            let meta = if follow {
                fs::metadata(&path)?
            } else {
                fs::symlink_metadata(&path)?
            };
            Ok(FileAnswer::Stat(stat(String::new(), &meta)))
        }
        FileCall::RealPath { path } => {
            // What is not there yet has its canonical folder: clients ask before they create.
            let real = fs::canonicalize(&path).or_else(|error| {
                let path = std::path::Path::new(&path);
                match (path.parent(), path.file_name()) {
                    (Some(parent), Some(name)) => Ok(fs::canonicalize(parent)?.join(name)),
                    _ => Err(error),
                }
            })?;
            Ok(FileAnswer::Path(real.to_string_lossy().into_owned()))
        }
        FileCall::MakeDir { path, mode } => fs::DirBuilder::new()
            .mode(mode)
            .create(path)
            .map(|()| FileAnswer::Done),
        FileCall::Remove { path } => fs::remove_file(path).map(|()| FileAnswer::Done),
        FileCall::RemoveDir { path } => fs::remove_dir(path).map(|()| FileAnswer::Done),
        FileCall::Rename { from, to } => fs::rename(from, to).map(|()| FileAnswer::Done),
        FileCall::SetMode { path, mode } => {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).map(|()| FileAnswer::Done)
        }
        FileCall::ReadLink { path } => Ok(FileAnswer::Path(
            fs::read_link(path)?.to_string_lossy().into_owned(),
        )),
        FileCall::Symlink { path, target } => symlink(target, path).map(|()| FileAnswer::Done),
    }
}

fn list(path: &str, skip: usize) -> io::Result<FileAnswer> {
    let entries = fs::read_dir(path)?;
    let mut list = Vec::new();
    for entry in entries.skip(skip).take(LIST_MAX) {
        let entry = entry?;
        let Ok(meta) = entry.metadata() else { continue };
        list.push(stat(
            entry.file_name().to_string_lossy().into_owned(),
            &meta,
        ));
    }
    Ok(FileAnswer::List(list))
}

fn stat(name: String, meta: &fs::Metadata) -> FileStat {
    FileStat {
        name,
        mode: meta.mode(),
        size: meta.len(),
        uid: meta.uid(),
        gid: meta.gid(),
        mtime: u32::try_from(meta.mtime()).unwrap_or(0),
    }
}
