-- What happened to a record, append-only. Its acceptance is the row in `jobs` itself.
CREATE TABLE IF NOT EXISTS events (
    id        BIGINT        NOT NULL AUTO_INCREMENT PRIMARY KEY,
    record_id BIGINT        NOT NULL,
    at        BIGINT        NOT NULL,
    level     VARBINARY(16) NOT NULL,
    code      VARBINARY(64) NOT NULL,
    text      MEDIUMBLOB    NOT NULL,
    KEY events_by_record (record_id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC
