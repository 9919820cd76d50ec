-- What a claim's holder has done with a job.
ALTER TABLE jobs ADD COLUMN due_at INTEGER;             -- not before this; NULL: due
ALTER TABLE jobs ADD COLUMN token INTEGER NOT NULL DEFAULT 0;    -- how often it was claimed
ALTER TABLE jobs ADD COLUMN renewal INTEGER NOT NULL DEFAULT 0;  -- how often this claim was renewed
ALTER TABLE jobs ADD COLUMN holder TEXT;                -- who holds it; NULL: nobody
ALTER TABLE jobs ADD COLUMN runs INTEGER NOT NULL DEFAULT 0;     -- how many runs failed
ALTER TABLE jobs ADD COLUMN abandons INTEGER NOT NULL DEFAULT 0; -- how many claims were abandoned
ALTER TABLE jobs ADD COLUMN started_at INTEGER;         -- of the latest run
ALTER TABLE jobs ADD COLUMN progress_permille INTEGER;  -- of the latest run
ALTER TABLE jobs ADD COLUMN progress_words TEXT;
ALTER TABLE jobs ADD COLUMN told INTEGER NOT NULL DEFAULT 0;     -- 1: its supervisor knows its final word

-- The order in which jobs are claimed.
DROP INDEX jobs_by_state;
CREATE INDEX jobs_by_claim ON jobs (state, priority_neg, id);
CREATE INDEX jobs_by_due ON jobs (due_at, since) WHERE due_at IS NOT NULL;

-- What the latest run of a record left behind.
CREATE TABLE results (
    record_id   INTEGER PRIMARY KEY REFERENCES jobs (id),
    verdict     TEXT    NOT NULL,
    started_at  INTEGER,
    ended_at    INTEGER NOT NULL,
    exit_code   INTEGER,
    cpu_us      INTEGER NOT NULL,   -- CPU time, in microseconds
    peak_memory INTEGER NOT NULL,   -- in bytes
    fault_code  TEXT,
    fault_text  TEXT,
    outputs     TEXT    NOT NULL    -- a list of {"name", "size", "sha256"} in JSON
) STRICT;

-- Daemons that claim nothing new.
CREATE TABLE drains (
    daemon TEXT    NOT NULL PRIMARY KEY,   -- its full JID; '': every daemon
    who    TEXT    NOT NULL,
    reason TEXT,
    since  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
