-- Runners that start no jobs, for their host is not fit for them; for people who ask why jobs wait.
CREATE TABLE IF NOT EXISTS breakers (
    holder VARBINARY(128)  NOT NULL PRIMARY KEY, -- under which its jobs are claimed
    daemon VARBINARY(3072) NOT NULL,             -- its full JID
    reason BLOB            NOT NULL,
    since  BIGINT          NOT NULL,
    seen   BIGINT          NOT NULL              -- when that was last so
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC
