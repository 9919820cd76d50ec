-- Copies of this store that were put in its place and accepted by an operator.
CREATE TABLE IF NOT EXISTS restored (
    accepted_at BIGINT NOT NULL PRIMARY KEY, -- microseconds since 1970
    copy_at     BIGINT NOT NULL, -- the copy's last commit, about
    known_at    BIGINT NOT NULL, -- the last growth that is known outside of the copy
    first_lost  BIGINT NOT NULL, -- record IDs that may have been given to jobs that are lost:
    next_id     BIGINT NOT NULL  -- from this one on, below this one
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC
