//! IMAP: what tools and mail servers say (IM-01, IM-02).

use imap_codec::encode::Fragment;
use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::fetch::{MacroOrMessageDataItemNames, MessageDataItemName};
use imap_codec::imap_types::flag::{Flag, StoreType};

use mailwarden::domain::bounds::Bounds;
use mailwarden::domain::folder::{FolderPath, FolderPattern};
use mailwarden::domain::scope::{Scope, ScopeSet};
use mailwarden::policy::Rights;
use mailwarden::policy::imap::{State, decide, decide_request, decide_unparsed, table};
use mailwarden::protocol::imap::framing::{self, BadLiteral, Pieces};
use mailwarden::protocol::imap::request::{Form, Request};
use mailwarden::protocol::imap::response::{self, Kind};
use mailwarden::protocol::imap::{command, mutf7};

/// A command. Whatever some set of scopes permits goes upstream as exactly one command, which says the same and is permitted again.
pub(super) fn command(data: &[u8]) {
    if let Some(name) = table::name_in(data) {
        assert!(name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
        let _ = decide_unparsed(data);
    }
    // A session answers what has no proper tag before it looks at the rest.
    let (Some((tag, _)), Ok(parsed)) = (framing::split_tag(data), Request::parse(data)) else { return };
    assert_eq!(one_command(data), Some(data.len()), "the reader of literals and the parser see different commands");
    if let Ok(plain) = command::parse(data) {
        assert_eq!((tag, parsed.clone()), (plain.tag.as_ref(), plain.body.into()));
    }
    let mut said: Vec<Request> = Vec::new();
    for scopes in all_scopes() {
        for folders in
            [None, Some(vec!["INBOX".parse::<FolderPattern>().expect("a pattern"), "A/*".parse().expect("a pattern")])]
        {
            let rights = rights(scopes, folders);
            for state in states() {
                let Ok(permit) = decide_request(&rights, state, parsed.clone()) else { continue };
                let request = permit.into_inner();
                must_be_allowed(scopes, state, &request.body);
                let again = decide_request(&rights, state, request.clone());
                let again = again.expect("what is permitted is permitted again").into_inner();
                assert_eq!(again, request, "a permitted command is not changed again");
                if !said.contains(&request) {
                    must_be_one_command(&request);
                    said.push(request);
                }
            }
        }
    }
}

/// An APPEND up to the announcement of its message: what goes upstream announces the same message and nothing else.
pub(super) fn append(data: &[u8]) {
    let Some(end) = data.iter().rposition(|byte| *byte == b'\n').filter(|_| data.ends_with(b"\r\n")) else { return };
    let head = &data[..end - 1];
    let Some((pieces, used)) = pieces(data) else { return };
    // The message of an APPEND is not in `data`: its announcement stands at the end.
    let literal = match pieces.literal() {
        Ok(Some(literal)) if used == data.len() => literal,
        _ => return,
    };
    assert_eq!(pieces.bytes(), head);
    let Some(parsed) = command::parse_append(head, literal) else { return };
    for scopes in all_scopes() {
        let rights = rights(scopes, None);
        let Ok(permit) = decide(
            &rights,
            State { delimiter: Some('/'), is_read_write: true, costly_search: false },
            parsed.body.clone(),
        ) else {
            continue;
        };
        assert!(scopes.allows(Scope::Append));
        let body = permit.into_inner();
        let CommandBody::Append { flags, .. } = &body else { panic!("an APPEND became something else") };
        assert!(scopes.allows(Scope::Delete) || !flags.contains(&Flag::Deleted));
        for (is_sync, plus) in [(true, ""), (false, "+")] {
            let fragments =
                command::serialise_append("w1", body.clone(), literal.length, is_sync).expect("it can be said");
            let mut bytes = joined(&fragments);
            assert!(bytes.ends_with(format!("{{{}{plus}}}\r\n", literal.length).as_bytes()));
            if literal.length <= 64 {
                bytes.extend(std::iter::repeat_n(b'x', usize::try_from(literal.length).expect("a small number")));
                bytes.extend_from_slice(b"\r\n");
                assert_eq!(one_command(&bytes), Some(bytes.len()));
            }
        }
    }
}

/// A response of a mail server: lines, literals, folder names, namespaces.
pub(super) fn reply(data: &[u8]) {
    if let Kind::Tagged(tag, status, text) = response::kind(data) {
        assert!(!tag.contains([' ', '+', '*']) && data.starts_with(tag.as_bytes()) && data.ends_with(text));
        assert!(["OK", "NO", "BAD"].iter().any(|known| status.eq_ignore_ascii_case(known)));
    }
    if let Ok(Some(literal)) = response::literal_at_end(data) {
        assert!(literal.is_sync && data.ends_with(format!("{{{}}}", literal.length).as_bytes()));
    }
    if let Some(shown) = response::without_upstream_codes(data) {
        let start = shown.to_ascii_uppercase();
        assert!(data.ends_with(shown) && !start.starts_with(b"[CAPABILITY") && !start.starts_with(b"[REFERRAL"));
    }
    if let Some(shown) = response::personal_namespace(data) {
        // Read again, it is whole, and the same.
        assert!(shown.starts_with(b"* NAMESPACE ") && shown.ends_with(b" NIL NIL"));
        assert_eq!(response::personal_namespace(&shown), Some(shown));
    }
    if let Some(listed) = response::listed(data) {
        assert!(listed.word.bytes().all(|byte| !byte.is_ascii_lowercase()));
        if let Some(name) = mutf7::decode(&listed.name) {
            let _ = FolderPath::from_name(&name, listed.delimiter);
        }
    }
    if let Some((pieces, _)) = pieces(data) {
        let _ = (response::literal_in(&pieces), response::listed(pieces.bytes()), response::kind(pieces.bytes()));
    }
    // A length is what everybody reads who takes digits in braces for one.
    let lenient =
        data.strip_suffix(b"}").and_then(|body| Some(&body[body.iter().rposition(|byte| *byte == b'{')? + 1..]));
    match framing::literal_at_end(data) {
        Ok(None) => assert!(lenient.is_none_or(|inner| inner.contains(&b'"'))),
        Ok(Some(literal)) => {
            let plus = if literal.is_sync { "" } else { "+" };
            assert_eq!(lenient, Some(format!("{}{plus}", literal.length).as_bytes()));
        }
        Err(BadLiteral) => assert!(lenient.is_some()),
    }
}

/// A folder name in modified UTF-7: one spelling, or none.
pub(super) fn folder_name(data: &[u8]) {
    if let Some(name) = mutf7::decode(data) {
        assert_eq!(mutf7::encode(&name).as_bytes(), data);
        for delimiter in [None, Some('/'), Some('.')] {
            if let Some(path) = FolderPath::from_name(&name, delimiter) {
                assert!(path.segments().iter().all(|part| !part.is_empty() && !part.chars().any(char::is_control)));
            }
        }
    }
    if let Some(name) = super::text(data) {
        let wire = mutf7::encode(name);
        assert!(wire.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        assert!(wire.len() > 1000 || mutf7::decode(wire.as_bytes()).as_deref() == Some(name));
    }
}

/// The lines and literals that `data` begins with, and how many octets they are, read as the gateway reads a tool: what is announced
/// and not there ends it.
fn pieces(data: &[u8]) -> Option<(Pieces, usize)> {
    let (line, mut used) = first_line(data)?;
    let mut pieces = Pieces::new(line.to_vec());
    while let Ok(Some(literal)) = pieces.literal() {
        let Some((octets, rest)) = data[used..].split_at_checked(usize::try_from(literal.length).ok()?) else { break };
        let Some((line, length)) = first_line(rest) else { break };
        pieces.push_literal(octets);
        pieces.push_line(line);
        used += octets.len() + length;
    }
    Some((pieces, used))
}

/// A line without its CRLF, and its length with it.
fn first_line(data: &[u8]) -> Option<(&[u8], usize)> {
    let end = data.iter().position(|byte| *byte == b'\n')?;
    let line = data[..end].strip_suffix(b"\r")?;
    (!line.iter().any(|byte| matches!(byte, b'\r' | 0))).then_some((line, end + 1))
}

/// How many octets the first command of `data` has, as the gateway reads it.
fn one_command(data: &[u8]) -> Option<usize> {
    let (pieces, used) = pieces(data)?;
    (pieces.literal() == Ok(None)).then_some(used)
}

fn must_be_one_command(request: &Request) {
    let fragments = request.clone().serialise("w1").expect("it can be said");
    for (at, fragment) in fragments.iter().enumerate() {
        match fragment {
            Fragment::Line { data } => {
                let (line, length) = first_line(data).expect("one line, ended by CRLF, without NUL");
                assert_eq!(length, data.len(), "one line");
                let announced = framing::literal_at_end(line).expect("no half a literal");
                let follows = match fragments.get(at + 1) {
                    Some(Fragment::Literal { data, .. }) => Some(data.len() as u64),
                    _ => None,
                };
                assert_eq!(announced.map(|literal| literal.length), follows, "what is announced follows");
            }
            Fragment::Literal { data, .. } => assert!(!data.contains(&0), "a literal holds no NUL"),
        }
    }
    let bytes = joined(&fragments);
    assert_eq!(one_command(&bytes), Some(bytes.len()));
    assert!(bytes.starts_with(b"w1 "));
    let again = Request::parse(&bytes).expect("what we say is a command");
    match request.form {
        // The patterns of such a LIST are spelled anew, each as a string.
        Form::List(_) => assert!(again.serialise("w1").is_some_and(|again| joined(&again) == bytes)),
        Form::Plain | Form::Returning(_) => assert_eq!(again, *request, "it says what was permitted"),
    }
}

/// What each scope gives, said once more in other words than the policy's (design section 3).
fn must_be_allowed(scopes: ScopeSet, state: State, body: &CommandBody<'_>) {
    let needed: &[Scope] = match body {
        CommandBody::Noop | CommandBody::Logout | CommandBody::Capability | CommandBody::Check => return,
        CommandBody::Id { .. } | CommandBody::Enable { .. } | CommandBody::Unselect => return,
        CommandBody::List { .. } | CommandBody::Lsub { .. } | CommandBody::Namespace => {
            &[Scope::Metadata, Scope::Append]
        }
        CommandBody::Examine { .. } | CommandBody::Status { .. } | CommandBody::Search { .. } | CommandBody::Idle => {
            &[Scope::Metadata]
        }
        CommandBody::GetQuota { .. } | CommandBody::GetQuotaRoot { .. } => &[Scope::Metadata],
        CommandBody::Select { .. } => &[Scope::Flag, Scope::Organize, Scope::Delete],
        CommandBody::Close if !state.is_read_write => return,
        CommandBody::Close | CommandBody::Expunge | CommandBody::ExpungeUid { .. } | CommandBody::Delete { .. } => {
            &[Scope::Delete]
        }
        CommandBody::Create { .. }
        | CommandBody::Rename { .. }
        | CommandBody::Subscribe { .. }
        | CommandBody::Unsubscribe { .. }
        | CommandBody::Move { .. } => &[Scope::Organize],
        CommandBody::Copy { .. } => &[Scope::Organize, Scope::Append],
        CommandBody::Append { flags, .. } => {
            assert!(scopes.allows(Scope::Delete) || !flags.contains(&Flag::Deleted));
            &[Scope::Append]
        }
        CommandBody::Store { kind, flags, .. } => {
            let deletes = *kind == StoreType::Replace || flags.contains(&Flag::Deleted);
            assert!(scopes.allows(Scope::Delete) || !deletes, "\\Deleted is a deletion");
            &[Scope::Flag, Scope::Delete]
        }
        CommandBody::Fetch { macro_or_item_names, .. } => {
            if let MacroOrMessageDataItemNames::MessageDataItemNames(items) = macro_or_item_names {
                assert!(items.iter().all(|item| may_fetch(scopes, state, item)), "{items:?} under {scopes}");
            }
            &[Scope::Metadata]
        }
        _ => panic!("permitted, and no scope gives it: {}", body.name()),
    };
    assert!(scopes.allows_any(needed), "{} under {scopes}", body.name());
}

fn may_fetch(scopes: ScopeSet, state: State, item: &MessageDataItemName<'_>) -> bool {
    match item {
        MessageDataItemName::BodyExt { peek, .. } | MessageDataItemName::Binary { peek, .. } => {
            scopes.allows(Scope::Read) && (*peek || scopes.allows(Scope::Flag))
        }
        MessageDataItemName::Rfc822 | MessageDataItemName::Rfc822Text => {
            scopes.allows(Scope::Read) && (scopes.allows(Scope::Flag) || !state.is_read_write)
        }
        MessageDataItemName::Rfc822Header => scopes.allows(Scope::Read),
        _ => true,
    }
}

fn all_scopes() -> impl Iterator<Item = ScopeSet> {
    (0..1_u32 << Scope::ALL.len()).map(|bits| {
        Scope::ALL.into_iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1).map(|(_, scope)| scope).collect()
    })
}

fn states() -> [State; 2] {
    [true, false].map(|is_read_write| State { delimiter: Some('/'), is_read_write, costly_search: false })
}

fn rights(scopes: ScopeSet, folders: Option<Vec<FolderPattern>>) -> Rights {
    let mailbox = "own@a.test".parse().expect("an address");
    Rights { scopes, bounds: Bounds { folders, ..Bounds::default() }, mailbox }
}

fn joined(fragments: &[Fragment]) -> Vec<u8> {
    let octets = fragments.iter().flat_map(|fragment| match fragment {
        Fragment::Line { data } | Fragment::Literal { data, .. } => data,
    });
    octets.copied().collect()
}
