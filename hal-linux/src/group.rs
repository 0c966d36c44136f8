//! Which group a person must join to open a device file.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The name of the group that owns `device`. `None` where that is root, or nobody can tell: joining it is then
/// no remedy, and a udev rule is missing.
pub(crate) fn of(device: &Path) -> Option<String> {
    let gid = std::fs::metadata(device).ok()?.gid();
    let list = std::fs::read_to_string("/etc/group").ok()?;
    find(&list, gid)
}

/// What to do about a refused `device`, as the end of a sentence.
pub(crate) fn remedy(device: &Path) -> String {
    match of(device) {
        Some(group) => {
            format!(
                "add the user to the group `{group}` (usermod -aG {group} USER) and log in again"
            )
        }
        None => {
            "it belongs to root alone: install the udev rules of the Leitstand package".to_owned()
        }
    }
}

fn find(list: &str, gid: u32) -> Option<String> {
    if gid == 0 {
        return None;
    }
    let line = list
        .lines()
        .find(|line| line.split(':').nth(2).and_then(|id| id.parse().ok()) == Some(gid))?;
    line.split(':').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_found_by_number_and_root_is_none() {
        let list = "root:x:0:\nbroken\ngpio:x:997:pi,leitstand\ni2c:x:998:pi\n";
        assert_eq!(find(list, 997).as_deref(), Some("gpio"));
        assert_eq!(find(list, 0), None);
        assert_eq!(find(list, 5), None);
    }
}
