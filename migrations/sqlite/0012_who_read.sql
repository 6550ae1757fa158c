CREATE INDEX audit_events_mail ON audit_events (seq)
    WHERE code IN ('messages.read', 'messages.changed', 'message.submitted', 'message.indeterminate');
