//! File copy in and out. Every call is made by the container's own process 1 with the rights of its account, so a
//! link that points out of it leads nowhere, and nothing here touches a path of the host.

use std::{collections::HashMap, io, os::unix::fs::FileExt as _, sync::Arc};

use russh_sftp::protocol::{
    Attrs, Data, File as Entry, FileAttributes, Handle, Name, OpenFlags, Status, StatusCode,
    Version,
};

use super::InUse;
use crate::backend::{FileAnswer, FileCall, FileStat, Files, Open};

/// Handles of one session. Reasoning: copies of a tree have a handful open.
const HANDLES_MAX: usize = 64;
/// Bytes of one read. Reasoning: what OpenSSH asks for, with room.
const READ_MAX: u32 = 128 * 1024;

enum Held {
    File(Arc<std::fs::File>),
    Dir { path: String, seen: usize },
}

/// One session of the subsystem.
pub(super) struct Sftp {
    files: Arc<dyn Files>,
    home: String,
    handles: HashMap<String, Held>,
    next: u64,
    _in_use: InUse,
}

impl Sftp {
    pub(super) fn new(files: Arc<dyn Files>, home: String, in_use: InUse) -> Self {
        Self {
            files,
            home,
            handles: HashMap::new(),
            next: 0,
            _in_use: in_use,
        }
    }

    /// Relative paths start at home.
    fn path(&self, path: &str) -> String {
        match path {
            "" | "." => self.home.clone(),
            absolute if absolute.starts_with('/') => absolute.into(),
            relative => format!("{}/{relative}", self.home),
        }
    }

    fn hold(&mut self, id: u32, held: Held) -> Result<Handle, StatusCode> {
        if self.handles.len() >= HANDLES_MAX {
            return Err(StatusCode::Failure);
        }
        self.next += 1;
        let handle = self.next.to_string();
        self.handles.insert(handle.clone(), held);
        Ok(Handle { id, handle })
    }

    fn file(&self, handle: &str) -> Result<Arc<std::fs::File>, StatusCode> {
        match self.handles.get(handle) {
            Some(Held::File(file)) => Ok(file.clone()),
            _ => Err(StatusCode::Failure),
        }
    }

    async fn call(&self, call: FileCall) -> Result<FileAnswer, StatusCode> {
        self.files.call(call).await.map_err(|e| code(&e))
    }

    async fn done(&self, id: u32, call: FileCall) -> Result<Status, StatusCode> {
        self.call(call).await?;
        Ok(ok(id))
    }

    async fn attributes(&self, id: u32, path: String, follow: bool) -> Result<Attrs, StatusCode> {
        match self
            .call(FileCall::Stat {
                path: self.path(&path),
                follow,
            })
            .await?
        {
            FileAnswer::Stat(stat) => Ok(Attrs {
                id,
                attrs: attributes(&stat),
            }),
            _ => Err(StatusCode::Failure),
        }
    }
}

fn ok(id: u32) -> Status {
    Status {
        id,
        status_code: StatusCode::Ok,
        error_message: "Ok".into(),
        language_tag: "en-US".into(),
    }
}

fn code(error: &io::Error) -> StatusCode {
    match error.kind() {
        io::ErrorKind::NotFound => StatusCode::NoSuchFile,
        io::ErrorKind::PermissionDenied => StatusCode::PermissionDenied,
        _ => StatusCode::Failure,
    }
}

fn attributes(stat: &FileStat) -> FileAttributes {
    FileAttributes {
        size: Some(stat.size),
        uid: Some(stat.uid),
        gid: Some(stat.gid),
        permissions: Some(stat.mode),
        atime: Some(stat.mtime),
        mtime: Some(stat.mtime),
        ..FileAttributes::empty()
    }
}

impl russh_sftp::server::Handler for Sftp {
    type Error = StatusCode;

    fn unimplemented(&self) -> StatusCode {
        StatusCode::OpUnsupported
    }

    async fn init(&mut self, _: u32, _: HashMap<String, String>) -> Result<Version, StatusCode> {
        Ok(Version::new())
    }

    async fn open(
        &mut self,
        id: u32,
        filename: String,
        flags: OpenFlags,
        attrs: FileAttributes,
    ) -> Result<Handle, StatusCode> {
        let how = Open {
            read: flags.contains(OpenFlags::READ),
            write: flags.contains(OpenFlags::WRITE),
            append: flags.contains(OpenFlags::APPEND),
            create: flags.contains(OpenFlags::CREATE),
            exclusive: flags.contains(OpenFlags::EXCLUDE),
            truncate: flags.contains(OpenFlags::TRUNCATE),
            mode: attrs.permissions.unwrap_or(0o644) & 0o777,
        };
        let file = self
            .files
            .open(self.path(&filename), how)
            .await
            .map_err(|e| code(&e))?;
        self.hold(id, Held::File(Arc::new(file)))
    }

    async fn close(&mut self, id: u32, handle: String) -> Result<Status, StatusCode> {
        self.handles
            .remove(&handle)
            .map(|_| ok(id))
            .ok_or(StatusCode::Failure)
    }

    async fn read(
        &mut self,
        id: u32,
        handle: String,
        offset: u64,
        len: u32,
    ) -> Result<Data, StatusCode> {
        let file = self.file(&handle)?;
        let read = tokio::task::spawn_blocking(move || {
            let mut data = vec![0; len.min(READ_MAX) as usize];
            let n = file.read_at(&mut data, offset)?;
            data.truncate(n);
            Ok::<_, io::Error>(data)
        });
        let data = read
            .await
            .map_err(|_| StatusCode::Failure)?
            .map_err(|e| code(&e))?;
        if data.is_empty() {
            Err(StatusCode::Eof)
        } else {
            Ok(Data { id, data })
        }
    }

    async fn write(
        &mut self,
        id: u32,
        handle: String,
        offset: u64,
        data: Vec<u8>,
    ) -> Result<Status, StatusCode> {
        let file = self.file(&handle)?;
        let written = tokio::task::spawn_blocking(move || file.write_all_at(&data, offset));
        written
            .await
            .map_err(|_| StatusCode::Failure)?
            .map_err(|e| code(&e))?;
        Ok(ok(id))
    }

    async fn lstat(&mut self, id: u32, path: String) -> Result<Attrs, StatusCode> {
        self.attributes(id, path, false).await
    }

    async fn stat(&mut self, id: u32, path: String) -> Result<Attrs, StatusCode> {
        self.attributes(id, path, true).await
    }

    async fn fstat(&mut self, id: u32, handle: String) -> Result<Attrs, StatusCode> {
        use std::os::unix::fs::MetadataExt as _;
        let meta = self.file(&handle)?.metadata().map_err(|e| code(&e))?;
        let attrs = FileAttributes {
            size: Some(meta.len()),
            permissions: Some(meta.mode()),
            ..FileAttributes::empty()
        };
        Ok(Attrs { id, attrs })
    }

    async fn setstat(
        &mut self,
        id: u32,
        path: String,
        attrs: FileAttributes,
    ) -> Result<Status, StatusCode> {
        // Times and owners are not ours to set; a copy that asks for them shall not fail over it.
        match attrs.permissions {
            Some(mode) => {
                self.done(
                    id,
                    FileCall::SetMode {
                        path: self.path(&path),
                        mode: mode & 0o777,
                    },
                )
                .await
            }
            None => Ok(ok(id)),
        }
    }

    async fn fsetstat(
        &mut self,
        id: u32,
        handle: String,
        attrs: FileAttributes,
    ) -> Result<Status, StatusCode> {
        use std::os::unix::fs::PermissionsExt as _;
        let file = self.file(&handle)?;
        if let Some(size) = attrs.size {
            file.set_len(size).map_err(|e| code(&e))?;
        }
        if let Some(mode) = attrs.permissions {
            let mode = std::fs::Permissions::from_mode(mode & 0o777);
            file.set_permissions(mode).map_err(|e| code(&e))?;
        }
        Ok(ok(id))
    }

    async fn opendir(&mut self, id: u32, path: String) -> Result<Handle, StatusCode> {
        let path = self.path(&path);
        // A folder that cannot be listed is refused here, where a client expects it.
        self.call(FileCall::List {
            path: path.clone(),
            skip: usize::MAX,
        })
        .await?;
        self.hold(id, Held::Dir { path, seen: 0 })
    }

    async fn readdir(&mut self, id: u32, handle: String) -> Result<Name, StatusCode> {
        let Some(Held::Dir { path, seen }) = self.handles.get(&handle) else {
            return Err(StatusCode::Failure);
        };
        let (path, skip) = (path.clone(), *seen);
        let FileAnswer::List(list) = self.call(FileCall::List { path, skip }).await? else {
            return Err(StatusCode::Failure);
        };
        if list.is_empty() {
            return Err(StatusCode::Eof);
        }
        if let Some(Held::Dir { seen, .. }) = self.handles.get_mut(&handle) {
            *seen += list.len();
        }
        let files = list
            .iter()
            .map(|stat| Entry::new(stat.name.clone(), attributes(stat)))
            .collect();
        Ok(Name { id, files })
    }

    async fn remove(&mut self, id: u32, filename: String) -> Result<Status, StatusCode> {
        self.done(
            id,
            FileCall::Remove {
                path: self.path(&filename),
            },
        )
        .await
    }

    async fn mkdir(
        &mut self,
        id: u32,
        path: String,
        attrs: FileAttributes,
    ) -> Result<Status, StatusCode> {
        let mode = attrs.permissions.unwrap_or(0o755) & 0o777;
        self.done(
            id,
            FileCall::MakeDir {
                path: self.path(&path),
                mode,
            },
        )
        .await
    }

    async fn rmdir(&mut self, id: u32, path: String) -> Result<Status, StatusCode> {
        self.done(
            id,
            FileCall::RemoveDir {
                path: self.path(&path),
            },
        )
        .await
    }

    async fn realpath(&mut self, id: u32, path: String) -> Result<Name, StatusCode> {
        match self
            .call(FileCall::RealPath {
                path: self.path(&path),
            })
            .await?
        {
            FileAnswer::Path(path) => Ok(Name {
                id,
                files: vec![Entry::dummy(path)],
            }),
            _ => Err(StatusCode::Failure),
        }
    }

    async fn rename(&mut self, id: u32, old: String, new: String) -> Result<Status, StatusCode> {
        self.done(
            id,
            FileCall::Rename {
                from: self.path(&old),
                to: self.path(&new),
            },
        )
        .await
    }

    async fn readlink(&mut self, id: u32, path: String) -> Result<Name, StatusCode> {
        match self
            .call(FileCall::ReadLink {
                path: self.path(&path),
            })
            .await?
        {
            FileAnswer::Path(path) => Ok(Name {
                id,
                files: vec![Entry::dummy(path)],
            }),
            _ => Err(StatusCode::Failure),
        }
    }

    async fn symlink(
        &mut self,
        id: u32,
        linkpath: String,
        targetpath: String,
    ) -> Result<Status, StatusCode> {
        // OpenSSH sends the two in the other order than the draft says, and so does everybody since.
        self.done(
            id,
            FileCall::Symlink {
                path: self.path(&targetpath),
                target: linkpath,
            },
        )
        .await
    }
}
