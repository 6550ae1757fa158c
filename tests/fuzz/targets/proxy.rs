//! The PROXY protocol: what a proxy says before anything else.

use mailwarden::protocol::proxy::{self, MAX_HEADER, Progress, begins_header};

/// What a network may deliver, whole or octet by octet: both end at the same place with the same word, and nothing behind it is touched.
pub(super) fn header(data: &[u8]) {
    let told = fed(data, MAX_HEADER);
    assert_eq!(told, fed(data, 1));
    let Some((progress, length)) = told else { return };
    assert!(length <= MAX_HEADER);
    let header = data.get(..length).unwrap_or_default();
    assert_eq!(proxy::read(header), Ok(progress));
    assert_eq!(begins_header(header), Some(true), "from a stranger it would be taken for something else");
    let known = (0..length).filter_map(|cut| begins_header(header.get(..cut)?));
    assert!(known.into_iter().all(|known| known), "it was taken for something else on the way");
}

/// Gives at most `most` octets of what is asked for; `None`: it is no header, or there is no more of it.
fn fed(data: &[u8], most: usize) -> Option<(Progress, usize)> {
    let mut known = 0;
    loop {
        match proxy::read(data.get(..known)?).ok()? {
            Progress::More(more) => {
                assert!(more > 0 && known + more <= MAX_HEADER);
                known += more.min(most);
            }
            done @ Progress::Done(_) => return Some((done, known)),
        }
    }
}
