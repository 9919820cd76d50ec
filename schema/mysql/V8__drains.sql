-- Daemons that claim nothing new.
CREATE TABLE IF NOT EXISTS drains (
    daemon VARBINARY(3072) NOT NULL PRIMARY KEY, -- its full JID; '': every daemon
    who    BLOB            NOT NULL,
    reason BLOB,
    since  BIGINT          NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC
