-- The jobs of listened owners whose word has changed, and when that is told.
CREATE TABLE IF NOT EXISTS notices (
    record_id BIGINT         NOT NULL PRIMARY KEY,
    owner     VARBINARY(255) NOT NULL,
    changes   BIGINT         NOT NULL, -- how often the word has changed
    due_at    BIGINT,                  -- not told before this; NULL: the supervisor knows
    tries     BIGINT         NOT NULL, -- how often the newest change was told
    KEY notices_by_due (owner, due_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC
