-- Runners that start no jobs, for their host is not fit for them; for people who ask why jobs wait.
CREATE TABLE breakers (
    holder TEXT    NOT NULL PRIMARY KEY, -- under which its jobs are claimed
    daemon TEXT    NOT NULL,             -- its full JID
    reason TEXT    NOT NULL,
    since  INTEGER NOT NULL,
    seen   INTEGER NOT NULL              -- when that was last so
) STRICT, WITHOUT ROWID;
