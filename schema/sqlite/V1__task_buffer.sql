-- Times are microseconds since 1970-01-01T00:00:00Z.

-- One row for each job attempt. AUTOINCREMENT: an ID is never given twice, also not after a purge.
CREATE TABLE jobs (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    owner             TEXT    NOT NULL,
    job_id            TEXT    NOT NULL,
    attempt           INTEGER NOT NULL,
    state             TEXT    NOT NULL,
    held_from         TEXT,               -- the state that a held job goes back to
    priority_neg      INTEGER NOT NULL,   -- the priority, negated: smaller goes first
    content_hash      BLOB    NOT NULL,
    reason            TEXT,
    accepted_at       INTEGER NOT NULL,
    since             INTEGER NOT NULL,   -- when it entered its state
    kill_requested_at INTEGER,
    UNIQUE (owner, job_id, attempt)
) STRICT;

CREATE INDEX jobs_by_state ON jobs (state, owner);

-- The job's XML, as it came. Apart, so that state changes stay small and a purge can drop it.
CREATE TABLE payloads (
    record_id INTEGER PRIMARY KEY REFERENCES jobs (id),
    xml       TEXT NOT NULL
) STRICT;

-- Jobs that were not stored: the last reason for each.
CREATE TABLE refusals (
    owner   TEXT    NOT NULL,
    job_id  TEXT    NOT NULL,
    attempt INTEGER NOT NULL,
    code    TEXT    NOT NULL,
    text    TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (owner, job_id, attempt)
) STRICT, WITHOUT ROWID;

-- Keys that were answered `rejected`, and when last; attempt 0 stands for all attempts.
CREATE TABLE rejections (
    owner   TEXT    NOT NULL,
    job_id  TEXT    NOT NULL,
    attempt INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (owner, job_id, attempt)
) STRICT, WITHOUT ROWID;

CREATE INDEX rejections_by_time ON rejections (at);

-- What happened to a record, append-only. Its acceptance is the row in `jobs` itself.
CREATE TABLE events (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    record_id INTEGER NOT NULL REFERENCES jobs (id),
    at        INTEGER NOT NULL,
    level     TEXT    NOT NULL,
    code      TEXT    NOT NULL,
    text      TEXT    NOT NULL
) STRICT;

CREATE INDEX events_by_record ON events (record_id);
