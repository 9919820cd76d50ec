-- How far this store is: grows while it is written to and is noted outside of the store, too, so
-- that an older copy is known. One row.
CREATE TABLE IF NOT EXISTS generation (
    one    TINYINT NOT NULL PRIMARY KEY, -- 1
    number BIGINT  NOT NULL,
    at     BIGINT  NOT NULL -- of the last growth, microseconds since 1970
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC
