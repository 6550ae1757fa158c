//! After login: one command at a time, judged when its turn comes. Pipelined commands wait in the tool's own buffers.

use imap_codec::encode::Fragment;
use imap_codec::imap_types::command::CommandBody;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::audit::Recording;
use crate::gateway::gatekeeper::{Gatekeeper, Session};
use crate::gateway::imap::budget::Tally;
use crate::gateway::imap::enable::Enabled;
use crate::gateway::imap::folder::Folder;
use crate::gateway::imap::idle::Idling;
use crate::gateway::imap::input::{self, AUTOLOGOUT, Budget, Input};
use crate::gateway::imap::leave::Wake;
use crate::gateway::imap::renew::Renewals;
use crate::gateway::imap::{
    End, append, budget, capability, enable, extension, idle, last_word, leave, refusal_text, relay, renew,
    upstream_lost,
};
use crate::gateway::reads::Reads;
use crate::gateway::tags::Tags;
use crate::policy::budget::RULE;
use crate::policy::imap::{State, decide_request, decide_unparsed};
use crate::policy::{Denial, Permit};
use crate::protocol::imap::framing;
use crate::protocol::imap::request::Request;
use crate::protocol::imap::veil::Hidden;
use crate::upstream::imap::Connection;
use crate::upstream::wire::Wire;

/// How many malformed commands one session may send in a row.
const MAX_BAD: u32 = 20;

/// A session at work.
pub(super) struct Desk {
    pub(super) gatekeeper: Gatekeeper,
    pub(super) session: Session,
    pub(super) client: Wire,
    pub(super) upstream: Wire,
    pub(super) capabilities: Vec<String>,
    pub(super) state: State,
    /// Whether a folder is open, as far as the tool may know.
    pub(super) is_selected: bool,
    /// That folder, if it can be opened again.
    pub(super) folder: Option<Folder>,
    /// What the tool has switched on.
    pub(super) enabled: Enabled,
    /// The tags of the command under way: the upstream's and the tool's.
    pub(super) under_way: Option<(String, String)>,
    /// Whether the tool is in the middle of a response: then there is no room for a last word.
    pub(super) mid_response: bool,
    /// Whether the upstream has a part of a command: then it would take a goodbye for the rest of it.
    pub(super) mid_command: bool,
    /// How the upstream's connection would be found by whoever comes next.
    pub(super) wake: Wake,
    /// What took the place of a lost connection to the upstream.
    pub(super) renewals: Renewals,
    /// The IDLE that has begun and is not followed yet.
    pub(super) idling: Option<Idling>,
    /// What has to be counted of the answer that is under way.
    pub(super) tally: Tally,
    /// What was delivered of the folder that is open.
    pub(super) reads: Reads,
    /// Records that the next tagged answer waits for.
    pub(super) pending: Vec<Recording>,
    tags: Tags,
    bad: u32,
}

/// Runs a session to its end.
pub(super) async fn run(mut desk: Box<Desk>, shutdown: CancellationToken) {
    let ended = desk.session.told_to_end(shutdown);
    let (end, reason) = tokio::select! {
        end = desk.work() => (end, desk.session.own_end()),
        reason = ended => (End::Bye(last_word(reason).to_owned()), reason.as_str()),
    };
    Box::pin(leave::finish(desk, end, reason)).await;
}

impl Desk {
    /// In a box, which is handed on without its content being held once for every hand.
    pub(super) fn new(gatekeeper: Gatekeeper, client: Wire, session: Session, upstream: Connection) -> Box<Self> {
        let (state, tags) =
            (State { costly_search: gatekeeper.costly_search(), ..State::default() }, gatekeeper.tags());
        Box::new(Self {
            gatekeeper,
            session,
            client,
            upstream: upstream.wire,
            capabilities: upstream.capabilities,
            state,
            is_selected: false,
            folder: None,
            enabled: Enabled::default(),
            under_way: None,
            mid_response: false,
            mid_command: false,
            wake: Wake::default(),
            renewals: Renewals::default(),
            idling: None,
            tally: Tally::default(),
            reads: Reads::default(),
            pending: Vec::new(),
            tags,
            bad: 0,
        })
    }

    async fn work(&mut self) -> End {
        if let Err(end) = self.learn_delimiter().await {
            return end;
        }
        loop {
            let outcome = match self.turn().await {
                Err(End::Gone) => Box::pin(renew::between_commands(self)).await,
                outcome => outcome,
            };
            if let Err(end) = outcome {
                return end;
            }
            if self.session.is_worn_out() {
                return End::Bye("[LIMIT] too many refused commands in a row".to_owned());
            }
        }
    }

    pub(super) fn tag(&mut self) -> String {
        self.tags.next()
    }

    pub(super) async fn answer(&mut self, text: &str) -> Result<(), End> {
        Ok(self.client.send(format!("{text}\r\n").as_bytes()).await?)
    }

    /// One command of the tool, or one thing that the upstream says unasked.
    async fn turn(&mut self) -> Result<(), End> {
        let silent_until = Instant::now() + AUTOLOGOUT;
        let line = loop {
            if let Some(line) = self.client.take_line(Budget::AFTER_LOGIN.octets)? {
                break line;
            }
            if relay::unasked(self).await? {
                continue;
            }
            self.client.flush().await?;
            let due = self.reads.due();
            let is_due = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                filled = self.client.fill() => filled?,
                filled = self.upstream.fill() => filled.map_err(|_| self.gone())?,
                () = is_due => Box::pin(self.settle_all()).await?,
                () = sleep_until(silent_until) => return Err(input::autologout()),
            }
        };
        // In a box: what a command needs is not held while none is there.
        Box::pin(self.judge(line)).await?;
        // After it: a tool stays in IDLE for hours, which need little of what its command needed.
        match self.idling.take() {
            Some(idling) => Box::pin(idle::run(self, idling)).await,
            None => Ok(()),
        }
    }

    /// One command, of which the first line is there.
    async fn judge(&mut self, line: Vec<u8>) -> Result<(), End> {
        let Some((tag, _)) = framing::split_tag(&line) else { return self.bad("*").await };
        let tag = tag.to_owned();
        match input::rest_of(&mut self.client, line, Budget::AFTER_LOGIN, true).await? {
            Input::Refused => Ok(()),
            Input::Append(head, literal) => Box::pin(append::run(self, &tag, &head, literal)).await,
            Input::Command(bytes) => match Request::parse(&bytes) {
                Ok(request) => {
                    self.bad = 0;
                    self.command(&tag, request).await
                }
                Err(_) => self.unknown(&tag, &bytes).await,
            },
        }
    }

    /// No command of the parser. The table may know it by its name.
    async fn unknown(&mut self, tag: &str, bytes: &[u8]) -> Result<(), End> {
        let rest = framing::split_tag(bytes).map_or(&b""[..], |(_, rest)| rest);
        match decide_unparsed(rest) {
            Some(denial) => self.deny(tag, &denial).await,
            None => self.bad(tag).await,
        }
    }

    /// Not understood. It was read whole, literals included, so the next command is found where it starts; nothing of it went upstream.
    pub(super) async fn bad(&mut self, tag: &str) -> Result<(), End> {
        self.bad += 1;
        self.answer(&format!("{tag} BAD unknown or malformed command")).await?;
        if self.bad >= MAX_BAD { Err(End::Bye("too many malformed commands".to_owned())) } else { Ok(()) }
    }

    async fn command(&mut self, tag: &str, request: Request) -> Result<(), End> {
        match request.body {
            CommandBody::Capability => {
                let list = capability::after_login(&self.capabilities, self.state.costly_search);
                self.answer(&format!("* CAPABILITY {list}\r\n{tag} OK done")).await
            }
            CommandBody::Id { .. } => self.answer(&format!("* ID NIL\r\n{tag} OK done")).await,
            CommandBody::Enable { capabilities } => enable::run(self, tag, capabilities).await,
            CommandBody::Logout => {
                self.settle_all().await?;
                self.answer(&format!("* BYE see you\r\n{tag} OK done")).await?;
                self.wake.is_leaving = true;
                Err(End::Quiet)
            }
            CommandBody::Login { .. } | CommandBody::Authenticate { .. } => {
                self.answer(&format!("{tag} BAD logged in already")).await
            }
            _ if self.lacks(&request) => self.answer(&format!("{tag} BAD the mail server does not support this")).await,
            _ if !self.is_selected && extension::needs_selected(&request.body) => {
                self.answer(&format!("{tag} BAD select a folder first")).await
            }
            _ => {
                let opens = matches!(request.body, CommandBody::Select { .. } | CommandBody::Examine { .. });
                let state = self.state;
                match self.session.judge(|rights| decide_request(rights, state, request)) {
                    Ok(permit) if matches!(permit.get().body, CommandBody::Idle) => {
                        idle::begin(self, tag, permit).await
                    }
                    Ok(permit) => budget::run(self, tag, permit).await,
                    Err(denial) => {
                        // RFC 3501 section 6.3.1: a failed SELECT leaves nothing selected.
                        self.is_selected &= !opens;
                        self.deny(tag, &denial).await
                    }
                }
            }
        }
    }

    /// Extensions that we know and the upstream lacks.
    pub(super) fn lacks(&self, request: &Request) -> bool {
        extension::needed(request).iter().any(|needed| !capability::has(&self.capabilities, needed))
    }

    pub(super) async fn deny(&mut self, tag: &str, denial: &Denial) -> Result<(), End> {
        let code = match denial.rule {
            RULE => "LIMIT",
            // A freeze ends.
            Denial::FROZEN => "UNAVAILABLE",
            _ => "NOPERM",
        };
        self.refuse(tag, code, denial).await
    }

    /// A denial with the response code that tools know it by.
    pub(super) async fn refuse(&mut self, tag: &str, code: &str, denial: &Denial) -> Result<(), End> {
        let verdict = match Box::pin(self.gatekeeper.deny(&self.session, denial)).await {
            // It passes, or the session is ended.
            Err(refusal) if denial.rule == Denial::UNPROVEN => {
                return self.answer(&format!("{tag} NO {}", refusal_text(&refusal))).await;
            }
            verdict => verdict?,
        };
        self.answer(&format!("{tag} NO [{code}] {} (verdict {verdict})", denial.text)).await
    }

    /// Sends a permitted command and relays its answer.
    pub(super) async fn relay(&mut self, tag: &str, permit: Permit<Request>) -> Result<(), End> {
        self.session.goes_on();
        let mut request = permit.into_inner();
        self.wake.is_changed |= extension::is_lasting(&request);
        self.enabled.note(&request);
        let body = &mut request.body;
        if matches!(body, CommandBody::Unselect) && !self.capabilities.iter().any(|known| known == "UNSELECT") {
            // CLOSE without leave to expunge, at an upstream without UNSELECT: nothing is said, and the folder is closed for the tool.
            self.is_selected = false;
            return self.answer(&format!("{tag} OK closed")).await;
        }
        if let CommandBody::Status { item_names, .. } = body {
            item_names.to_mut().dedup();
        }
        let opened = match body {
            CommandBody::Select { .. } => Some(true),
            CommandBody::Examine { .. } => Some(false),
            _ => None,
        };
        let closes = matches!(body, CommandBody::Close | CommandBody::Unselect);
        if let Some(is_read_write) = opened {
            // The answer speaks of the new folder already.
            self.is_selected = true;
            self.wake.has_folder = true;
            self.state.is_read_write = is_read_write;
            self.folder = Folder::new(body);
        }
        let noted = self.note(body).await?;
        match body {
            CommandBody::Select { mailbox, .. } | CommandBody::Examine { mailbox, .. } => {
                self.leave(Some(mailbox)).await?;
            }
            body => self.ask_for_more(body),
        }
        let ours = self.tag();
        let fragments = request.serialise(&ours).ok_or_else(upstream_lost)?;
        self.under_way = Some((ours.clone(), tag.to_owned()));
        let is_heard = self.send_upstream(tag, &ours, fragments).await?;
        let is_ok = is_heard && relay::answer(self, tag, &ours).await?;
        self.under_way = None;
        (self.reads.hidden, self.reads.asks_content) = (Hidden::default(), false);
        // A SELECT that failed, at its literal too, leaves nothing selected for the tool, whatever the upstream has.
        if (opened.is_some() && !is_ok) || (closes && is_ok) {
            self.is_selected = false;
            if opened.is_some() {
                self.reads.open(String::new());
            }
            self.leave(None).await?;
        }
        self.wake.has_folder &= !(closes && is_ok);
        if is_ok { Ok(()) } else { self.failed(noted).await }
    }

    /// Sends a whole command. `false` when the upstream refused it before its end; the tool has had its answer then.
    pub(super) async fn send_upstream(&mut self, tag: &str, ours: &str, fragments: Vec<Fragment>) -> Result<bool, End> {
        self.mid_command = true;
        let is_heard = self.send_fragments(tag, ours, fragments).await?;
        self.mid_command = false;
        Ok(is_heard)
    }

    /// Sends fragments, waiting where a literal has to be waited for. `false` as for a whole command.
    pub(super) async fn send_fragments(
        &mut self,
        tag: &str,
        ours: &str,
        fragments: Vec<Fragment>,
    ) -> Result<bool, End> {
        let plus = self.has_literal_plus();
        let mut fragments = fragments.into_iter().peekable();
        while let Some(fragment) = fragments.next() {
            match fragment {
                Fragment::Line { mut data } => {
                    let waits = matches!(fragments.peek(), Some(Fragment::Literal { .. }));
                    if waits && let Some(open) = data.strip_suffix(b"+}\r\n").or_else(|| data.strip_suffix(b"}\r\n")) {
                        // The form that the upstream takes, whichever the tool used.
                        let end: &[u8] = if plus { b"+}\r\n" } else { b"}\r\n" };
                        data = [open, end].concat();
                    }
                    self.upstream.queue(&data).await.map_err(|_| upstream_lost())?;
                }
                Fragment::Literal { data, .. } => {
                    if !plus {
                        self.upstream.flush().await.map_err(|_| upstream_lost())?;
                        if !relay::continuation(self, tag, ours).await? {
                            return Ok(false);
                        }
                    }
                    self.upstream.queue(&data).await.map_err(|_| upstream_lost())?;
                }
            }
        }
        self.upstream.flush().await.map_err(|_| upstream_lost())?;
        Ok(true)
    }

    /// The upstream's connection has ended: between two things that it said, or within one.
    pub(super) fn gone(&self) -> End {
        if self.mid_response || !self.upstream.buffered().is_empty() { upstream_lost() } else { End::Gone }
    }

    /// Whether the upstream has an extension.
    pub(super) fn has(&self, name: &str) -> bool {
        capability::has(&self.capabilities, name)
    }

    /// Whether literals need not be waited for (RFC 7888).
    pub(super) fn has_literal_plus(&self) -> bool {
        self.capabilities.iter().any(|known| known == "LITERAL+")
    }
}
