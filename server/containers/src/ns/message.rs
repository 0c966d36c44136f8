//! What gateway and process 1 say to each other: one JSON value a packet, with descriptors beside it.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::backend::{FileAnswer, FileCall, Open};

/// Longest packet. Reasoning: a hundred file names of 255 bytes with their attributes; below the kernel's buffer.
pub(super) const PACKET_MAX: usize = 96 * 1024;
/// Descriptors of a packet: input, output, errors.
const FDS_MAX: usize = 3;

/// The first packet: what to become.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Launch {
    /// Account inside.
    pub(super) username: String,
    /// Number on the host to become first; without it we are nobody special already.
    pub(super) outer_uid: Option<u32>,
    /// Image; without it the host's own userland.
    pub(super) root: Option<PathBuf>,
    /// Size of the writable part.
    pub(super) disk_bytes: u64,
    /// For the limits that the kernel keeps for each process, where no cgroup does better.
    pub(super) memory_bytes: u64,
    pub(super) pids: u32,
    pub(super) rlimit_memory: bool,
    pub(super) rlimit_pids: bool,
    /// Runs at once; the container ends with it.
    pub(super) command: Vec<String>,
}

/// To process 1.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    Exec {
        id: u64,
        command: Option<String>,
        pty: Option<(u16, u16)>,
        term: String,
        env: Vec<(String, String)>,
    },
    Signal {
        id: u64,
        signal: i32,
    },
    Open {
        id: u64,
        path: String,
        how: Open,
    },
    File {
        id: u64,
        call: FileCall,
    },
}

/// From process 1.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Tell {
    /// Sessions can be attached; what is weaker than it should be.
    Ready {
        notes: Vec<String>,
    },
    /// It will not work.
    Failed {
        why: String,
    },
    /// With a terminal, or with three pipes.
    Started {
        id: u64,
    },
    Exited {
        id: u64,
        code: Option<i32>,
        signal: Option<i32>,
    },
    /// With the file.
    Opened {
        id: u64,
    },
    Answer {
        id: u64,
        answer: FileAnswer,
    },
    /// The kernel's number.
    Refused {
        id: u64,
        errno: i32,
    },
}

/// Sends a packet.
pub(super) fn send<T: Serialize>(
    socket: impl AsFd,
    message: &T,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    if text.len() > PACKET_MAX {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    sendmsg(
        socket,
        &[IoSlice::new(&text)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Receives a packet; `None` at the end. `peek` leaves it there, without its descriptors.
pub(super) fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
    peek: bool,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut text = vec![0; PACKET_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = if peek {
        RecvFlags::CMSG_CLOEXEC | RecvFlags::PEEK
    } else {
        RecvFlags::CMSG_CLOEXEC
    };
    let got = recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut text)],
        &mut control,
        flags,
    )?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if got.bytes == 0 {
        return Ok(None);
    }
    if got
        .flags
        .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    Ok(Some((serde_json::from_slice(&text[..got.bytes])?, fds)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    #[test]
    fn packets_carry_descriptors_and_end() {
        let (a, b) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        send(&a, &Tell::Opened { id: 7 }, &[file.as_fd()]).unwrap();
        let (peeked, _) = receive::<Tell>(&b, true).unwrap().unwrap();
        assert!(matches!(peeked, Tell::Opened { id: 7 }));
        let (told, fds) = receive::<Tell>(&b, false).unwrap().unwrap();
        assert!(matches!(told, Tell::Opened { id: 7 }));
        assert_eq!(fds.len(), 1);
        drop(a);
        assert!(receive::<Tell>(&b, false).unwrap().is_none());
    }
}
