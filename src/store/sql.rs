//! Every SQL statement there is. One text serves SQLite and PostgreSQL, so only what both understand may be written here.

/// One of the statements in this file; no other SQL can be run.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    text: &'static str,
    opening: &'static str,
    closing: &'static str,
}

impl Statement {
    /// The SQL text.
    pub fn text(self) -> &'static str {
        self.text
    }

    /// The same as the first of a transaction of SQLite, which it begins.
    pub(in crate::store) fn opening(self) -> &'static str {
        self.opening
    }

    /// The same as the last of a transaction of SQLite, which it ends.
    pub(in crate::store) fn closing(self) -> &'static str {
        self.closing
    }
}

macro_rules! statements {
    ($($name:ident = $sql:expr;)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "`: see its text.")]
            pub const $name: Statement = Statement {
                text: $sql,
                opening: concat!("BEGIN IMMEDIATE; ", $sql),
                closing: concat!($sql, "; COMMIT"),
            };
        )*
        /// All statements.
        pub const ALL: &[Statement] = &[$($name,)*];
    };
}

/// Records that are put at the end of the audit chain in one way to the database, for which each engine has its own words. Nothing is
/// written unless the head is what the caller takes it for: see [`Append::of`].
#[derive(Clone, Copy, Debug)]
pub struct Append {
    sqlite: &'static str,
    postgres: &'static str,
}

impl Append {
    /// For so many records, 1 to 8. The values are those of the records as in `EVENT_ADD`, then place, hash and MAC of the head that
    /// will be, then those of the one that is.
    pub fn of(records: usize) -> Option<Self> {
        APPENDS.get(records.checked_sub(1)?).copied()
    }

    pub(in crate::store) fn sqlite(self) -> &'static str {
        self.sqlite
    }

    pub(in crate::store) fn postgres(self) -> &'static str {
        self.postgres
    }
}

macro_rules! append {
    ($($head:literal)*; $row:expr $(, $more:expr)*) => {
        Append {
            sqlite: concat!("BEGIN IMMEDIATE; ", append!(@head $($head)*), "; INSERT INTO audit_events (", events!(),
                ") SELECT * FROM (VALUES ", $row $(, ", ", $more)*, ") WHERE changes() = 1; COMMIT"),
            postgres: concat!("WITH moved AS (", append!(@head $($head)*), " RETURNING 1) INSERT INTO audit_events (", events!(),
                ") SELECT added.* FROM moved, (VALUES ", $row $(, ", ", $more)*, ") AS added"),
        }
    };
    (@head $seq:literal $hash:literal $mac:literal $old_seq:literal $old_hash:literal $old_mac:literal) => {
        concat!("UPDATE audit_head SET seq = ", $seq, ", hash = ", $hash, ", mac = ", $mac,
            " WHERE id = 1 AND seq = ", $old_seq, " AND hash = ", $old_hash, " AND mac = ", $old_mac)
    };
}

macro_rules! operators {
    () => {
        "id, name, role, status, token_digest, expires_at, created_at, mac"
    };
}
macro_rules! mailboxes {
    () => {
        "id, address, status, health, upstream, tokens_valid_after, created_at, mac"
    };
}
macro_rules! clients {
    () => {
        "id, name, status, default_mailbox, token_alg, auth, required_binding, tokens_valid_after, created_at, mac"
    };
}
macro_rules! secrets {
    () => {
        "id, client_id, digest, created_at, expires_at, mac"
    };
}
macro_rules! grants { () => {
    "id, client_id, mailbox_id, scopes, bounds, status, token_ttl_secs, session_ttl_secs, expires_at, created_at, mac"
}; }
macro_rules! handles {
    () => {
        "digest, client_id, mailbox_id, grant_id, protocol, scopes, networks, issued_at, expires_at, mac"
    };
}
macro_rules! credentials {
    () => {
        "id, mailbox_id, version, state, kek_id, wrapped_dek, sealed, created_at"
    };
}
macro_rules! events { () => {
    "seq, at, code, actor, outcome, client_id, mailbox_id, grant_id, session_id, request_id, verdict_id, source, detail, hash"
}; }
/// Records by a filter. What it must hold stands in `$must` once more, so that SQLite finds an index for it.
macro_rules! event_list {
    ($must:literal) => {
        concat!(
            "SELECT ",
            events!(),
            " FROM audit_events WHERE ",
            $must,
            "seq > $1 \
    AND (CAST($2 AS TEXT) IS NULL OR code = $2) AND (CAST($3 AS TEXT) IS NULL OR client_id = $3) \
    AND (CAST($4 AS TEXT) IS NULL OR mailbox_id = $4) AND (CAST($5 AS TEXT) IS NULL OR verdict_id = $5) \
    ORDER BY seq LIMIT $6"
        )
    };
}
/// The places of one record among those of several.
#[rustfmt::skip]
macro_rules! event_row {
    (1) => { "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)" };
    (2) => { "($15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28)" };
    (3) => { "($29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42)" };
    (4) => { "($43, $44, $45, $46, $47, $48, $49, $50, $51, $52, $53, $54, $55, $56)" };
    (5) => { "($57, $58, $59, $60, $61, $62, $63, $64, $65, $66, $67, $68, $69, $70)" };
    (6) => { "($71, $72, $73, $74, $75, $76, $77, $78, $79, $80, $81, $82, $83, $84)" };
    (7) => { "($85, $86, $87, $88, $89, $90, $91, $92, $93, $94, $95, $96, $97, $98)" };
    (8) => { "($99, $100, $101, $102, $103, $104, $105, $106, $107, $108, $109, $110, $111, $112)" };
}
macro_rules! checkpoints {
    () => {
        "seq, hash, at, kid, signature"
    };
}
macro_rules! sessions {
    () => {
        "id, node_id, client_id, mailbox_id, mailbox, grant_id, protocol, source, started_at, ends_at, seen_at"
    };
}
macro_rules! freezes {
    () => {
        "id, level, client_id, mailbox_id, protocol, reason, made_by, created_at, thaws_at, mac"
    };
}
macro_rules! revoked_tokens {
    () => {
        "jti, client_id, expires_at, revoked_at, mac"
    };
}
macro_rules! signing_keys {
    () => {
        "kid, alg, kek_id, wrapped_dek, sealed, created_at, active_from, retires_at, revoked_at, mac"
    };
}

#[rustfmt::skip]
const APPENDS: [Append; 8] = [
    append!("$15" "$16" "$17" "$18" "$19" "$20"; event_row!(1)),
    append!("$29" "$30" "$31" "$32" "$33" "$34"; event_row!(1), event_row!(2)),
    append!("$43" "$44" "$45" "$46" "$47" "$48"; event_row!(1), event_row!(2), event_row!(3)),
    append!("$57" "$58" "$59" "$60" "$61" "$62"; event_row!(1), event_row!(2), event_row!(3), event_row!(4)),
    append!("$71" "$72" "$73" "$74" "$75" "$76";
        event_row!(1), event_row!(2), event_row!(3), event_row!(4), event_row!(5)),
    append!("$85" "$86" "$87" "$88" "$89" "$90";
        event_row!(1), event_row!(2), event_row!(3), event_row!(4), event_row!(5), event_row!(6)),
    append!("$99" "$100" "$101" "$102" "$103" "$104";
        event_row!(1), event_row!(2), event_row!(3), event_row!(4), event_row!(5), event_row!(6), event_row!(7)),
    append!("$113" "$114" "$115" "$116" "$117" "$118";
        event_row!(1), event_row!(2), event_row!(3), event_row!(4), event_row!(5), event_row!(6), event_row!(7), event_row!(8)),
];

statements! {
    PING = "SELECT value FROM counters WHERE name = 'policy_epoch'";
    EPOCH_BUMP = "UPDATE counters SET value = value + 1 WHERE name = 'policy_epoch' RETURNING value";

    INSTALLATION_GET = "SELECT id, kek_id, kek_check FROM installation";
    INSTALLATION_ADD = "INSERT INTO installation (id, kek_id, kek_check, created_at) VALUES ($1, $2, $3, $4)";

    HEAD_GET = "SELECT seq, hash, mac FROM audit_head WHERE id = 1";
    HEAD_ADD = "INSERT INTO audit_head (id, seq, hash, mac) VALUES (1, $1, $2, $3)";
    HEAD_LOCK = "UPDATE audit_head SET seq = seq WHERE id = 1 RETURNING seq, hash, mac";
    HEAD_SET = "UPDATE audit_head SET seq = $1, hash = $2, mac = $3 WHERE id = 1";
    EVENT_ADD = concat!("INSERT INTO audit_events (", events!(), ") VALUES ", event_row!(1));
    EVENT_ADD_2 = concat!("INSERT INTO audit_events (", events!(), ") VALUES ", event_row!(1), ", ", event_row!(2));
    EVENT_ADD_3 = concat!("INSERT INTO audit_events (", events!(), ") VALUES ",
        event_row!(1), ", ", event_row!(2), ", ", event_row!(3));
    EVENT_ADD_4 = concat!("INSERT INTO audit_events (", events!(), ") VALUES ",
        event_row!(1), ", ", event_row!(2), ", ", event_row!(3), ", ", event_row!(4));
    EVENT_ADD_5 = concat!("INSERT INTO audit_events (", events!(), ") VALUES ",
        event_row!(1), ", ", event_row!(2), ", ", event_row!(3), ", ", event_row!(4), ", ",
        event_row!(5));
    EVENT_ADD_6 = concat!("INSERT INTO audit_events (", events!(), ") VALUES ",
        event_row!(1), ", ", event_row!(2), ", ", event_row!(3), ", ", event_row!(4), ", ",
        event_row!(5), ", ", event_row!(6));
    EVENT_ADD_7 = concat!("INSERT INTO audit_events (", events!(), ") VALUES ",
        event_row!(1), ", ", event_row!(2), ", ", event_row!(3), ", ", event_row!(4), ", ",
        event_row!(5), ", ", event_row!(6), ", ", event_row!(7));
    EVENT_ADD_8 = concat!("INSERT INTO audit_events (", events!(), ") VALUES ",
        event_row!(1), ", ", event_row!(2), ", ", event_row!(3), ", ", event_row!(4), ", ",
        event_row!(5), ", ", event_row!(6), ", ", event_row!(7), ", ", event_row!(8));
    EVENT_LIST = event_list!("");
    EVENT_LIST_OF_CLIENT = event_list!("client_id = $3 AND ");
    EVENT_LIST_OF_MAILBOX = event_list!("mailbox_id = $4 AND ");
    EVENT_LIST_OF_VERDICT = event_list!("verdict_id = $5 AND ");
    EVENT_MENTIONS = concat!("SELECT ", events!(), " FROM audit_events WHERE \
        code IN ('messages.read', 'messages.changed', 'message.submitted', 'message.indeterminate') AND seq > $1 \
        AND (CAST($2 AS TEXT) IS NULL OR mailbox_id = $2) AND detail LIKE $3 ORDER BY seq LIMIT $4");
    EVENT_MENTIONED = "SELECT seq FROM audit_events WHERE \
        code IN ('messages.read', 'messages.changed', 'message.submitted', 'message.indeterminate') AND seq > $1 \
        AND (CAST($2 AS TEXT) IS NULL OR mailbox_id = $2) AND (detail LIKE $3 OR detail LIKE $4) ORDER BY seq LIMIT $5";

    CHECKPOINT_ADD = concat!("INSERT INTO audit_checkpoints (", checkpoints!(),
        ") VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING");
    CHECKPOINT_LAST = concat!("SELECT ", checkpoints!(), " FROM audit_checkpoints ORDER BY seq DESC LIMIT 1");
    CHECKPOINT_LIST = concat!("SELECT ", checkpoints!(), " FROM audit_checkpoints WHERE seq > $1 AND seq <= $2 ORDER BY seq");
    CHECKPOINT_COUNT = "SELECT COUNT(*) FROM audit_checkpoints";
    AUDIT_KEY_GET = "SELECT kid, wrapped_dek, sealed FROM audit_keys WHERE state = 'active'";
    AUDIT_KEY_ADD = "INSERT INTO audit_keys (kid, state, kek_id, wrapped_dek, sealed, created_at) \
        VALUES ($1, 'active', $2, $3, $4, $5) ON CONFLICT DO NOTHING";

    SESSION_ADD = concat!("INSERT INTO sessions (", sessions!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING");
    SESSION_REMOVE = "DELETE FROM sessions WHERE id = $1";
    SESSION_SEEN = "UPDATE sessions SET seen_at = $2 WHERE node_id = $1";
    SESSION_FORGET = "DELETE FROM sessions WHERE node_id = $1";
    SESSION_STALE = "DELETE FROM sessions WHERE seen_at < $1";
    SESSION_OTHERS = concat!("SELECT ", sessions!(), " FROM sessions WHERE node_id <> $1 AND seen_at >= $2 ORDER BY id");
    SESSION_KILL = "UPDATE sessions SET killed_at = $2 WHERE id = $1 AND seen_at >= $3 AND killed_at IS NULL";
    SESSION_KILL_WHERE = "UPDATE sessions SET killed_at = $1 WHERE node_id <> $2 AND seen_at >= $3 AND killed_at IS NULL \
        AND (CAST($4 AS TEXT) IS NULL OR client_id = $4) AND (CAST($5 AS TEXT) IS NULL OR mailbox_id = $5) \
        AND (CAST($6 AS TEXT) IS NULL OR protocol = $6)";
    SESSION_KILLED = "SELECT id FROM sessions WHERE node_id = $1 AND killed_at IS NOT NULL";

    FREEZE_ADD = concat!("INSERT INTO freezes (", freezes!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)");
    FREEZE_LIST = concat!("SELECT ", freezes!(), " FROM freezes ORDER BY id");
    FREEZE_END = "DELETE FROM freezes WHERE id = $1";

    USED_ADD = "INSERT INTO used_tokens (kind, owner, digest, expires_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    USED_SWEEP = "DELETE FROM used_tokens WHERE expires_at < $1";
    REVOKED_TOKEN_ADD = concat!("INSERT INTO revoked_tokens (", revoked_tokens!(),
        ") VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING");
    REVOKED_TOKEN_GET = concat!("SELECT ", revoked_tokens!(), " FROM revoked_tokens WHERE jti = $1");
    REVOKED_TOKEN_SINCE = "SELECT jti FROM revoked_tokens WHERE revoked_at >= $1";
    REVOKED_TOKEN_ALIVE = "SELECT jti FROM revoked_tokens WHERE expires_at >= $1 LIMIT $2";
    REVOKED_TOKEN_SWEEP = "DELETE FROM revoked_tokens WHERE expires_at < $1";
    TOKEN_ISSUED_LIST = concat!("SELECT ", events!(), " FROM audit_events WHERE code = 'token.issued' AND at >= $1 AND seq > $2 \
        AND (CAST($3 AS TEXT) IS NULL OR client_id = $3) AND (CAST($4 AS TEXT) IS NULL OR mailbox_id = $4) ORDER BY seq LIMIT $5");
    TOKEN_ISSUED_FIND = concat!("SELECT ", events!(), " FROM audit_events WHERE code = 'token.issued' AND at >= $1 AND detail LIKE $2");

    OPERATOR_ADD = concat!("INSERT INTO operators (", operators!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
    OPERATOR_SET = "UPDATE operators SET name = $2, role = $3, status = $4, token_digest = $5, expires_at = $6, created_at = $7, \
        mac = $8 WHERE id = $1 AND mac = $9";
    OPERATOR_LIST = concat!("SELECT ", operators!(), " FROM operators WHERE status <> 'removed' ORDER BY id");
    OPERATOR_GET = concat!("SELECT ", operators!(), " FROM operators WHERE id = $1");
    OPERATOR_BY_DIGEST = concat!("SELECT ", operators!(), " FROM operators WHERE token_digest = $1");

    MAILBOX_ADD = concat!("INSERT INTO mailboxes (", mailboxes!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
    MAILBOX_SET = "UPDATE mailboxes SET address = $2, status = $3, health = $4, upstream = $5, tokens_valid_after = $6, \
        created_at = $7, mac = $8 WHERE id = $1 AND mac = $9";
    MAILBOX_LIST = concat!("SELECT ", mailboxes!(), " FROM mailboxes WHERE status <> 'removed' ORDER BY id");
    MAILBOX_GET = concat!("SELECT ", mailboxes!(), " FROM mailboxes WHERE id = $1");
    MAILBOX_BY_ADDRESS = concat!("SELECT ", mailboxes!(), " FROM mailboxes WHERE address = $1 AND status <> 'removed'");

    CREDENTIAL_ADD = concat!("INSERT INTO credentials (", credentials!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
    CREDENTIAL_LATEST = concat!("SELECT ", credentials!(),
        " FROM credentials WHERE mailbox_id = $1 AND state = 'current' ORDER BY version DESC LIMIT 1");
    CREDENTIAL_VERSION = "SELECT version FROM credentials WHERE mailbox_id = $1 AND state = 'current' ORDER BY version DESC LIMIT 1";
    CREDENTIAL_TOP = "SELECT version FROM credentials WHERE mailbox_id = $1 ORDER BY version DESC LIMIT 1";
    CREDENTIAL_DEMOTE = "UPDATE credentials SET state = 'previous' WHERE mailbox_id = $1 AND state = 'current'";
    CREDENTIAL_PRUNE = "DELETE FROM credentials WHERE mailbox_id = $1 AND state = 'previous'";
    CREDENTIAL_SHRED = "DELETE FROM credentials WHERE mailbox_id = $1";

    // Holds the mailbox's breaker for the transaction, and makes one that nothing is held against.
    BREAKER_LOCK = "INSERT INTO breakers (mailbox_id, epoch, refused, forgiven, tried_at) VALUES ($1, 0, 0, 0, 0) \
        ON CONFLICT (mailbox_id) DO UPDATE SET epoch = breakers.epoch RETURNING epoch, refused, forgiven, tried_at";
    BREAKER_STRIKES = "SELECT refused - forgiven FROM breakers WHERE mailbox_id = $1";
    BREAKER_TRIED = "UPDATE breakers SET tried_at = $2 WHERE mailbox_id = $1";
    BREAKER_REFUSED = "UPDATE breakers SET refused = refused + $3 WHERE mailbox_id = $1 AND epoch = $2 RETURNING refused - forgiven";
    // $3: the refusals that are forgiven, because the upstream took a login that began after them.
    BREAKER_FORGIVE = "UPDATE breakers SET forgiven = CASE WHEN forgiven < $3 THEN $3 ELSE forgiven END \
        WHERE mailbox_id = $1 AND epoch = $2 RETURNING refused - forgiven";
    BREAKER_RESET = "UPDATE breakers SET epoch = epoch + 1, forgiven = refused WHERE mailbox_id = $1";
    LOGIN_SLOT_ADD = "INSERT INTO login_slots (id, mailbox_id, reserved_at, is_proven) VALUES ($1, $2, $3, 0)";
    LOGIN_SLOT_PROVEN = "UPDATE login_slots SET is_proven = 1 WHERE id = $1";
    LOGIN_SLOT_REMOVE = "DELETE FROM login_slots WHERE id = $1";
    LOGIN_SLOT_CLEAR = "DELETE FROM login_slots WHERE mailbox_id = $1";
    LOGIN_SLOT_COUNT = "SELECT COUNT(*) FROM login_slots WHERE mailbox_id = $1";
    LOGIN_SLOT_MAILBOXES = "SELECT DISTINCT mailbox_id FROM login_slots";
    LOGIN_SLOT_LOST = "DELETE FROM login_slots WHERE mailbox_id = $1 AND is_proven = $2 AND reserved_at <= $3";

    // Holds the counter for the transaction, and makes one that nothing was counted on.
    BUDGET_LOCK = "INSERT INTO budget_uses (grant_id, what, span, begun_at, used, is_told) VALUES ($1, $2, $3, $4, 0, 0) \
        ON CONFLICT (grant_id, what, span, begun_at) DO UPDATE SET used = budget_uses.used RETURNING used";
    BUDGET_ADD = "UPDATE budget_uses SET used = used + $5 WHERE grant_id = $1 AND what = $2 AND span = $3 AND begun_at = $4";
    BUDGET_TELL = "UPDATE budget_uses SET is_told = 1 \
        WHERE grant_id = $1 AND what = $2 AND span = $3 AND begun_at = $4 AND is_told = 0";
    BUDGET_UNTELL = "UPDATE budget_uses SET is_told = 0 WHERE grant_id = $1 AND what = $2 AND span = $3 AND begun_at = $4";
    BUDGET_USES = "SELECT what, span, used FROM budget_uses WHERE grant_id = $1 \
        AND ((span = $2 AND begun_at = $3) OR (span = $4 AND begun_at = $5))";
    // A span of 0 is no time: such a row is there to be locked.
    BUDGET_SWEEP = "DELETE FROM budget_uses WHERE span > 0 AND begun_at + span < $1";
    BUDGET_FOLDER_FIND = "SELECT 1 FROM budget_folders WHERE grant_id = $1 AND span = $2 AND begun_at = $3 AND folder = $4";
    BUDGET_FOLDER_ADD = "INSERT INTO budget_folders (grant_id, span, begun_at, folder) VALUES ($1, $2, $3, $4) \
        ON CONFLICT DO NOTHING";
    BUDGET_FOLDER_SWEEP = "DELETE FROM budget_folders WHERE begun_at + span < $1";
    SEAT_ADD = "INSERT INTO session_seats (session_id, grant_id, node_id, seen_at) VALUES ($1, $2, $3, $4)";
    SEAT_COUNT = "SELECT COUNT(*) FROM session_seats WHERE grant_id = $1";
    SEAT_TAKEN = "SELECT session_id FROM session_seats WHERE grant_id = $1 AND seen_at >= $2";
    SEAT_REMOVE = "DELETE FROM session_seats WHERE session_id = $1";
    SEAT_OF_NODE = "SELECT session_id FROM session_seats WHERE node_id = $1";
    SEAT_SEEN = "UPDATE session_seats SET seen_at = $2 WHERE node_id = $1";
    SEAT_STALE = "DELETE FROM session_seats WHERE grant_id = $1 AND seen_at < $2";
    SEAT_SWEEP = "DELETE FROM session_seats WHERE seen_at < $1";
    SEAT_FORGET = "DELETE FROM session_seats WHERE node_id = $1";

    CLIENT_ADD = concat!("INSERT INTO clients (", clients!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)");
    CLIENT_SET = "UPDATE clients SET name = $2, status = $3, default_mailbox = $4, token_alg = $5, auth = $6, \
        required_binding = $7, tokens_valid_after = $8, created_at = $9, mac = $10 WHERE id = $1 AND mac = $11";
    CLIENT_LIST = concat!("SELECT ", clients!(), " FROM clients WHERE status <> 'removed' ORDER BY id");
    CLIENT_GET = concat!("SELECT ", clients!(), " FROM clients WHERE id = $1");
    CLIENT_BY_NAME = concat!("SELECT ", clients!(), " FROM clients WHERE name = $1 AND status <> 'removed'");
    CLIENT_LOCK = "UPDATE clients SET status = status WHERE id = $1";

    SECRET_ADD = concat!("INSERT INTO client_secrets (", secrets!(), ") VALUES ($1, $2, $3, $4, $5, $6)");
    SECRET_SET = "UPDATE client_secrets SET client_id = $2, digest = $3, created_at = $4, expires_at = $5, mac = $6 \
        WHERE id = $1 AND mac = $7";
    SECRET_LIST = concat!("SELECT ", secrets!(), " FROM client_secrets WHERE client_id = $1 ORDER BY created_at, id");
    SECRET_REMOVE = "DELETE FROM client_secrets WHERE id = $1";
    SECRET_SHRED = "DELETE FROM client_secrets WHERE client_id = $1";

    // An observation, not policy: no MAC. The later of two nodes' notes stays; a secret that is gone gets none.
    SECRET_USED = "INSERT INTO client_secret_uses (secret_id, used_at, source) \
        SELECT CAST($1 AS TEXT), CAST($2 AS BIGINT), CAST($3 AS TEXT) WHERE EXISTS (SELECT 1 FROM client_secrets WHERE id = $1) \
        ON CONFLICT (secret_id) DO UPDATE SET used_at = excluded.used_at, source = excluded.source \
        WHERE client_secret_uses.used_at < excluded.used_at";
    SECRET_USES = "SELECT secret_id, used_at, source FROM client_secret_uses WHERE secret_id IN \
        (SELECT id FROM client_secrets WHERE client_id = $1)";

    GRANT_ADD = concat!("INSERT INTO grants (", grants!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)");
    GRANT_SET = "UPDATE grants SET client_id = $2, mailbox_id = $3, scopes = $4, bounds = $5, status = $6, token_ttl_secs = $7, \
        session_ttl_secs = $8, expires_at = $9, created_at = $10, mac = $11 WHERE id = $1 AND mac = $12";
    GRANT_LIST = concat!("SELECT ", grants!(), " FROM grants WHERE status <> 'removed' ORDER BY id");
    GRANT_GET = concat!("SELECT ", grants!(), " FROM grants WHERE id = $1");
    GRANT_OF_CLIENT = concat!("SELECT ", grants!(), " FROM grants WHERE client_id = $1 AND status <> 'removed' ORDER BY id");
    GRANT_FOR = concat!("SELECT ", grants!(), " FROM grants WHERE client_id = $1 AND mailbox_id = $2 AND status = 'active'");

    // All that decides over a login: what `CLIENT_GET`, `MAILBOX_BY_ADDRESS`, `GRANT_FOR` and `REVOKED_TOKEN_GET` would give one after
    // the other, and how many freezes there are.
    MOMENT_GET = concat!("SELECT c.*, m.*, g.*, (SELECT COUNT(*) FROM freezes), r.* \
        FROM (SELECT ", clients!(), " FROM clients WHERE id = $1) c \
        JOIN (SELECT ", mailboxes!(), " FROM mailboxes WHERE address = $2 AND status <> 'removed') m ON 1 = 1 \
        JOIN (SELECT ", grants!(), " FROM grants WHERE client_id = $1 AND status = 'active') g ON g.mailbox_id = m.id \
        LEFT JOIN (SELECT ", revoked_tokens!(), " FROM revoked_tokens WHERE jti = $3) r ON 1 = 1");

    KEY_LIST = concat!("SELECT ", signing_keys!(), " FROM signing_keys ORDER BY active_from, created_at, kid");
    KEY_ADD = concat!("INSERT INTO signing_keys (", signing_keys!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)");
    KEY_SET = "UPDATE signing_keys SET alg = $2, kek_id = $3, wrapped_dek = $4, sealed = $5, created_at = $6, active_from = $7, \
        retires_at = $8, revoked_at = $9, mac = $10 WHERE kid = $1 AND mac = $11";
    KEY_REMOVE = "DELETE FROM signing_keys WHERE kid = $1";
    HANDLE_ADD = concat!("INSERT INTO handles (", handles!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)");
    HANDLE_SET = "UPDATE handles SET client_id = $2, mailbox_id = $3, grant_id = $4, protocol = $5, scopes = $6, networks = $7, \
        issued_at = $8, expires_at = $9, mac = $10 WHERE digest = $1 AND mac = $11";
    HANDLE_GET = concat!("SELECT ", handles!(), " FROM handles WHERE digest = $1");
    HANDLE_SWEEP = "DELETE FROM handles WHERE expires_at < $1";
    HIDDEN_LIST = "SELECT validity, first_uid, last_uid FROM pop3_hidden WHERE grant_id = $1 ORDER BY validity, first_uid";
    HIDDEN_ADD = "INSERT INTO pop3_hidden (grant_id, validity, first_uid, last_uid) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    HIDDEN_REMOVE = "DELETE FROM pop3_hidden WHERE grant_id = $1 AND validity = $2 AND first_uid = $3 AND last_uid = $4";
    HIDDEN_FORGET = "DELETE FROM pop3_hidden WHERE grant_id = $1";
}
