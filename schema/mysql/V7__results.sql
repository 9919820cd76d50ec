-- What the latest run of a record left behind.
CREATE TABLE IF NOT EXISTS results (
    record_id   BIGINT        NOT NULL PRIMARY KEY,
    verdict     VARBINARY(16) NOT NULL,
    started_at  BIGINT,
    ended_at    BIGINT        NOT NULL,
    exit_code   BIGINT,
    cpu_us      BIGINT        NOT NULL, -- CPU time, in microseconds
    peak_memory BIGINT        NOT NULL, -- in bytes
    fault_code  VARBINARY(64),
    fault_text  BLOB,
    outputs     MEDIUMBLOB    NOT NULL  -- a list of {"name", "size", "sha256"} in JSON
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC
