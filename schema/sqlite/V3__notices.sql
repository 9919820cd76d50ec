-- Whose jobs' changes are noted, and for which daemon (its full JID).
CREATE TABLE listeners (
    owner  TEXT NOT NULL,
    daemon TEXT NOT NULL,
    PRIMARY KEY (owner, daemon)
) STRICT, WITHOUT ROWID;

-- The jobs of those owners whose word has changed, and when that is told.
CREATE TABLE notices (
    record_id INTEGER PRIMARY KEY,
    owner     TEXT    NOT NULL,
    changes   INTEGER NOT NULL,   -- how often the word has changed
    due_at    INTEGER,            -- not told before this; NULL: the supervisor knows
    tries     INTEGER NOT NULL    -- how often the newest change was told
) STRICT;

CREATE INDEX notices_by_due ON notices (owner, due_at) WHERE due_at IS NOT NULL;
