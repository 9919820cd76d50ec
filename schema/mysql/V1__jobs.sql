-- One row for each job attempt. Times are microseconds since 1970-01-01T00:00:00Z.
-- Texts are VARBINARY: they are compared byte for byte, no folding of case, no padding.
CREATE TABLE IF NOT EXISTS jobs (
    id                BIGINT          NOT NULL AUTO_INCREMENT PRIMARY KEY,
    owner             VARBINARY(255)  NOT NULL,
    job_id            VARBINARY(256)  NOT NULL,
    attempt           INT UNSIGNED    NOT NULL,
    state             VARBINARY(16)   NOT NULL,
    held_from         VARBINARY(16),            -- the state that a held job goes back to
    priority_neg      BIGINT          NOT NULL, -- the priority, negated: smaller goes first
    content_hash      VARBINARY(32)   NOT NULL,
    reason            BLOB,
    accepted_at       BIGINT          NOT NULL,
    since             BIGINT          NOT NULL, -- when it entered its state
    kill_requested_at BIGINT,
    batch             BIGINT UNSIGNED NOT NULL, -- random: which transaction inserted the row
    UNIQUE KEY jobs_by_key (owner, job_id, attempt),
    KEY jobs_by_state (state, owner)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC
